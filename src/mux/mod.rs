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
//! What is sent is a [`Payload`]: bytes in memory, or so many bytes that wait in a pipe. The connection only ever asks a payload for its
//! length and splits it; where the bytes are is the driver's business. What arrives is bytes in memory, or is [passed](Connection::passed) by
//! the driver straight into the pipe that the stream ends in, as long as [`Connection::passable`] allows.

mod bucket;
mod budget;
pub mod code;
mod connection;
mod error;
mod half;
mod inbox;
mod life;
mod payload;

pub use self::{
    budget::Budget,
    connection::{Connection, Event, MAX_STREAMS, Outgoing, Side, Stream},
    error::{OpenError, Violation},
    half::{DEFAULT_WINDOW, Ending, Read, Room, SEND_QUEUE},
    life::{DEAD_AFTER, PING_EVERY},
    payload::Payload,
};
