//! Between pipes and streams: the only place that knows both.
//!
//! [`send_pipe`] empties a pipe into a stream, [`receive_pipe`] a stream into a pipe, [`receive_through`] with a [`Filter`] in between.
//! On Linux bulk does not pass through memory: the kernel splices it between pipe and socket, where the session is
//! carried by a socket and the [`Transfer`] allows it. [`send_coded`] and [`receive_coded`] are for links whose bytes are compressed or hashed
//! on their way, which takes memory, as filters do. What the pumps promise does not depend on how they move bytes. No timer is involved: what
//! can be read now goes out now, and larger pieces come by themselves under load.
//!
//! A pipe cannot say "error", so the write end of a pipe whose stream did not finish is handed back **open**: closing it would tell the
//! reading process that its input is complete. The caller ends that process first.
//!
//! The pipes must be the caller's own. They are set non-blocking, which would be felt by whoever shares the open file, so a descriptor
//! that came from the user's shell must never be given to these functions.

mod coded;
mod filter;
mod grow;
mod meter;
mod receive;
mod send;

pub(super) use self::grow::{Bulk, Grower};
pub use self::{
    coded::{receive_coded, send_coded},
    filter::{Filter, Spoilt},
    meter::{Fill, Meter},
    receive::{ReceiveEnd, receive_pipe, receive_through},
    send::{SendEnd, send_pipe},
};

/// How bytes are moved between a pipe and a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transfer {
    /// Bulk by the kernel alone, where it can; what is short or cannot be spliced through memory.
    #[default]
    Splice,
    /// All through memory.
    Copy,
}

#[cfg(test)]
mod copied {
    include!("tests.rs");
}

#[cfg(test)]
mod spliced {
    include!("tests.rs");
}
