//! What a splitter finds in a stream.

use super::BadObject;

/// What a splitter found. All text is as it was written.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cut<'a> {
    /// Nothing whole yet: give it more.
    More,
    /// One whole value.
    Found {
        /// What stood before it: white space, a byte order mark, separators.
        gap: &'a [u8],
        /// The value.
        text: &'a [u8],
        /// Which one, counted from 1.
        number: u64,
        /// Where the text begins in the stream.
        offset: u64,
    },
    /// What stands between values, when the next one is not whole yet.
    Gap {
        /// White space, a byte order mark, separators.
        text: &'a [u8],
    },
    /// Something that is no value. Of what cannot be held, only the beginning is here and [`Cut::Rest`] follows.
    Bad {
        /// What is wrong with it.
        bad: BadObject,
        /// It, as far as it was read.
        text: &'a [u8],
    },
    /// More of the bad one before.
    Rest {
        /// Up to where reading can go on, or as much of it as there is.
        text: &'a [u8],
    },
}

/// What was done with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edited {
    /// Whether members at its root were taken out.
    pub(super) replaced: bool,
    /// Whether its root is an object.
    pub(super) object: bool,
}
