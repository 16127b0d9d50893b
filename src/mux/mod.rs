//! Many streams over one connection, without a socket, a clock or a task.
//!
//! A [`Connection`] is one side of a session. Its driver
//!
//! 1. gives it every decoded frame ([`Connection::receive`]) with the time since the session began,
//! 2. gives it the commands of the streams' users ([`Connection::open`], [`Connection::send`], [`Connection::finish`], …),
//! 3. takes what is to be sent ([`Connection::poll_outgoing`]) and what has happened ([`Connection::poll_event`]),
//! 4. calls [`Connection::tick`] now and then.
//!
//! Frames about the session and about credit go first, in a queue of their own; payloads follow, stream by stream in turn. There is
//! credit per stream only: a window shared by streams starves some of them and in the end blocks all.
//!
//! # Payloads
//!
//! What flows is a [`Payload`], not a buffer, on both sides. Today it is always [`Payload::Bytes`]. A splicing driver adds the variant
//! "so many bytes that wait in this pipe": the connection only ever asks a payload for its length and splits it, so it need not change.

mod bucket;
pub mod code;
mod connection;
mod error;
mod half;
mod inbox;
mod life;
mod payload;

pub use self::{
    connection::{Connection, Event, MAX_STREAMS, Outgoing, Side, Stream},
    error::{OpenError, Violation},
    half::{DEFAULT_WINDOW, Ending, Read, SEND_QUEUE},
    life::{DEAD_AFTER, PING_EVERY},
    payload::Payload,
};
