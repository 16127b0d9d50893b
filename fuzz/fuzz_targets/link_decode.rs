#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| dpipes_fuzz::coding::link_decode(input));
