//! Apps as real processes, with the real shim and the real keeper.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod endings;
mod keeper;
mod kit;
mod start;
mod user;
