//! What can be wrong with an object.

use thiserror::Error;

use crate::media::Format;

/// An object that is none, or is not allowed: which one, where, and why.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("object {number}, byte {offset}: {problem}")]
pub struct BadObject {
    /// Which one, counted from 1.
    pub number: u64,
    /// Where in the writer's stream the problem lies, in bytes from 0.
    pub offset: u64,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Problem {
    /// A byte that cannot stand here.
    #[error("{} where {wanted} should be", shown(*.found))]
    Unexpected {
        /// The byte.
        found: u8,
        /// What could stand here, as in "a comma or `}`".
        wanted: &'static str,
    },
    /// The stream ended within an object.
    #[error("the stream ends where {wanted} should be")]
    Ended {
        /// What could stand here.
        wanted: &'static str,
    },
    /// Not UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// Longer than an object may be.
    #[error("longer than {limit} bytes")]
    TooLong {
        /// The limit, in bytes.
        limit: usize,
    },
    /// Deeper than an object may be.
    #[error("nested deeper than {limit} levels")]
    TooDeep {
        /// The limit, in levels.
        limit: usize,
    },
    /// The root is no object, and that was not to be passed over.
    #[error("{found} where an object should be")]
    NoObject {
        /// What it is, as in "a list".
        found: &'static str,
    },
    /// Not YAML.
    #[error("not YAML: {detail}")]
    NotYaml {
        /// What the parser says.
        detail: String,
    },
    /// Metadata that came with it cannot be taken out without a change to what stays.
    #[error("{what} cannot be taken out")]
    Entangled {
        /// What they are, as in "metadata that a merge key brings".
        what: &'static str,
    },
    /// The other format cannot hold it.
    #[error("{what} cannot be said in {}", .to.to_string().to_uppercase())]
    Inexpressible {
        /// What it is, as in "a key that is no string".
        what: String,
        /// The other format.
        to: Format,
    },
}

fn shown(byte: u8) -> String {
    match byte {
        b'\n' => "the end of a line".to_owned(),
        0x21..=0x7e => format!("`{}`", char::from(byte)),
        other => format!("byte 0x{other:02x}"),
    }
}
