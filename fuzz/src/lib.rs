//! What the fuzz targets do with their input: one function for each decoder of what comes from outside.
//!
//! The targets in `fuzz_targets` hand these functions to libFuzzer. The suite replays `corpus` through the same functions, so that what
//! was found once stays fixed without a fuzzer. None of them trusts its input, and each asserts more than that nothing panics.

pub mod coding;
pub mod files;
pub mod json;
pub mod negotiation;
pub mod objects;
pub mod wire;
pub mod words;
pub mod yaml;

/// What a target does with one input.
pub type Body = fn(&[u8]);

/// Every target by its name, which is also that of its file and of the folder of its corpus.
pub const TARGETS: &[(&str, Body)] = &[
    ("answers", negotiation::answers),
    ("config_load", files::config_load),
    ("expr_parse", words::expr_parse),
    ("frame_decode", wire::frame_decode),
    ("link_decode", coding::link_decode),
    ("message_decode", wire::message_decode),
    ("node_list", files::node_list),
    ("offer", negotiation::offer),
    ("preface", wire::preface),
    ("session_state", wire::session_state),
    ("split_json", json::split_json),
    ("split_yaml", yaml::split_yaml),
    ("terms", negotiation::terms),
    ("version", words::version),
];
