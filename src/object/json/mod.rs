//! JSON: where values end, and members of the root.
//!
//! [`Splitter`] checks the whole of RFC 8259's grammar on the way; [`Editor`] then trusts what it is given and looks at the root only.
//! Texts are one after the other with white space between them or not, so lines, concatenated values and pretty-printed ones are all read.
//! Two that would merge, as `12` and `true` do, need something between them.

#[cfg(test)]
mod conformance;
mod edit;
mod levels;
mod members;
mod scan;
mod split;
mod swar;

pub(super) use self::{edit::Editor, split::Splitter};

/// White space (RFC 8259, section 2).
const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// How many bytes of white space are at the front.
fn spaces(bytes: &[u8]) -> usize {
    let end = bytes.iter().position(|&byte| !is_space(byte));
    end.unwrap_or(bytes.len())
}
