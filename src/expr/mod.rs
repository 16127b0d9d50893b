#![doc = include_str!("GRAMMAR.md")]
//!
//! # The code
//!
//! [`parse`] turns a text into a [`Pipeline`] or a [`ParseError`] that knows its place. Four steps, each linear in the text and
//! none of them recursive, so that a hostile text costs no more than its length:
//!
//! 1. the lexer cuts words and pipes, takes quotes away and remembers which characters they covered;
//! 2. words are looked through for what only a shell or the node can expand;
//! 3. the parser puts placements, assignments, app and arguments into stages;
//! 4. whoever refuses a stage later draws the place with [`render`].

use std::ops::Range;

use crate::{
    id::{InvalidNodeId, NodeId},
    word::Word,
};

mod advice;
mod braces;
mod display;
mod error;
mod hint;
mod lexer;
mod parser;
mod pattern;
mod placement;
mod render;
mod words;

#[cfg(test)]
mod tests;

pub use error::{Expansion, ParseError, ParseErrorKind, Redirection};
pub use hint::shell_only_hint;
pub use parser::parse;
pub use render::render;

/// Longest expression in bytes: half of what Linux passes to a program by default (`ARG_MAX`, 2 MiB), so more than a shell can
/// usually hand over, and little enough to be parsed in milliseconds.
pub const MAX_SOURCE: usize = 1024 * 1024;

/// Most stages of a pipeline. Every stage is a process and two descriptors on some node; real pipelines have less than twenty.
pub const MAX_STAGES: usize = 1024;

/// Most words of one stage, app and assignments included. `printf` with some thousand arguments works in a shell and works here;
/// beyond this a list belongs into a file or into `xargs`.
pub const MAX_WORDS: usize = 65_536;

/// Longest word in bytes: Linux refuses a longer argument (`MAX_ARG_STRLEN`, 128 KiB with the NUL at its end).
pub const MAX_WORD: usize = 128 * 1024 - 1;

/// A range of bytes of the expression, on character boundaries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// The byte after the last one.
    pub end: usize,
}

/// A pipeline as the user wrote it: apps, words and wishes, but no places yet.
///
/// Its [`Display`](std::fmt::Display) is one line in canonical quoting, unless a word holds a newline; it parses to the same pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pipeline {
    /// The expression; every [`Span`] points into it.
    pub source: String,
    /// The stages, first to last; never empty.
    pub stages: Vec<Stage>,
}

/// One app of a pipeline with everything that was said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// From the first word of the stage to its last.
    pub span: Span,
    /// Where it may run: all of these must hold. Empty means anywhere.
    pub placement: Vec<Constraint>,
    /// The `@` words, if there are any.
    pub placement_span: Option<Span>,
    /// Environment asked for, in order; a later name wins over an earlier one, as in a shell.
    pub env: Vec<Assignment>,
    /// The app: a word without anything to expand, and not empty.
    pub app: SpannedWord,
    /// The arguments, without the app itself.
    pub args: Vec<SpannedWord>,
    /// Whether `|&` follows, which sends stderr along with stdout.
    pub stderr_joined: bool,
}

/// A wish about the node of a stage.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Constraint {
    /// `@name`: this node.
    Node(NodeId),
    /// `@key=value`: a node with this label.
    Label {
        /// The label's name.
        key: String,
        /// What it must be.
        value: String,
    },
}

/// `NAME=value` before an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The variable's name.
    pub name: String,
    /// Its value, in which only `~` is left to expand.
    pub value: Word,
    /// The whole of `NAME=value`.
    pub span: Span,
}

/// A word and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpannedWord {
    /// Where it stands, quotes included.
    pub span: Span,
    /// What it says.
    pub word: Word,
}

/// Why an `@` word says nothing about a place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlacementError {
    /// `@` alone.
    #[error("`@` names no place")]
    Empty,
    /// The name is not one that a node can have.
    #[error(transparent)]
    Node(#[from] InvalidNodeId),
    /// A part of a list without `=`.
    #[error("`{0}` is no `label=value`")]
    NotALabel(String),
    /// The text before `=` is not a label's name.
    #[error("`{0}` is no label's name")]
    Key(String),
    /// A pattern or braces.
    #[error("a place takes no patterns")]
    Pattern,
    /// A second node, or a label for the second time.
    #[error("`{0}` is said twice")]
    Repeated(String),
}

// === impl Span ===

impl Span {
    /// The bytes from `start` up to `end`.
    #[must_use]
    pub const fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// The place before the byte at `at`.
    #[must_use]
    pub const fn empty(at: usize) -> Self {
        Self::new(at, at)
    }

    /// The span from the start of this one to the end of the other.
    #[must_use]
    pub const fn to(self, last: Self) -> Self {
        Self::new(self.start, last.end)
    }

    /// The span as a range, to slice the source with.
    #[must_use]
    pub const fn range(self) -> Range<usize> {
        self.start..self.end
    }
}

// === impl Stage ===

impl Stage {
    /// The app's name.
    #[must_use]
    pub fn app_name(&self) -> String {
        self.app.word.to_string()
    }
}
