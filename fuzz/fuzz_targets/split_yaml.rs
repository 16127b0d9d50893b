#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| dpipes_fuzz::yaml::split_yaml(input));
