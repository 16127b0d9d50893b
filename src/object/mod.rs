//! Streams of JSON and YAML objects: where one ends and the next begins, metadata at their root, and the way from one format to the other.
//!
//! ```text
//! bytes of the writer -> Splitter -> one value, whole -> edit or convert -> bytes for the reader
//!                        (bounded)                       (root level only)
//! ```
//!
//! A [`Transform`] is one edge of a pipe: it takes what one app writes and gives what the next one reads. Nothing here does I/O, and what a
//! value says is never built as a tree where text will do: the app's own data come through unchanged.
//!
//! Sources: [RFC 8259](https://www.rfc-editor.org/rfc/rfc8259) for JSON, [YAML 1.2.2](https://yaml.org/spec/1.2.2/) with its core schema.

mod cut;
mod error;
mod json;
mod plan;
mod transform;
mod yaml;

pub use self::{
    error::{BadObject, Problem},
    plan::{
        Entry, Layout, Limits, MAX_DEPTH, MAX_OBJECT, Metadata, OnBadObject, OnNonObject, Plan,
        UnknownWay,
    },
    transform::Transform,
};
