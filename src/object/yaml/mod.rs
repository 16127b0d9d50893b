//! YAML: where documents end, metadata in them, and the way from and to JSON.
//!
//! Text is cut and spliced, never written anew: comments, anchors, quoting and the spelling of numbers come through. The parser says
//! where things stand and whether the text is YAML at all.

mod edit;
mod emit;
mod frame;
mod from_json;
mod json_text;
mod merge;
mod parse;
mod plain;
mod root;
mod scalar;
mod split;
mod to_json;

#[cfg(test)]
mod tests;

pub(super) use self::{
    edit::edit,
    frame::pass,
    from_json::{from_json, wrap},
    split::Splitter,
    to_json::to_json,
};

use super::Problem;

/// What is wrong with a text, and at which of its bytes.
type Fault = (usize, Problem);
