//! One direction of a stream: as its writer, and as its reader.

mod receive;
mod send;

pub use self::{
    receive::{DEFAULT_WINDOW, Room},
    send::SEND_QUEUE,
};
pub(super) use self::{
    receive::{Excess, FAR, ReceiveHalf, ReceiveState},
    send::{Next, SendHalf, SendState},
};

use bytes::Bytes;

use crate::wire::limits;

/// How a half ended. The four are never merged: only the first one is an end of the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The writer is done and everything has arrived.
    Finished,
    /// The writer gave up.
    Reset {
        /// Why, for programs.
        code: u32,
        /// Why, for people.
        reason: String,
    },
    /// The reader is gone.
    Stopped {
        /// Why, for programs.
        code: u32,
        /// Why, for people.
        reason: String,
    },
    /// The session ended first.
    Lost,
}

/// What a reader gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// A piece of data, or one whole message.
    Payload(Bytes),
    /// Nothing yet.
    Pending,
    /// Nothing more, for this reason.
    Ended(Ending),
}

/// What a message of this length costs in credit.
const fn message_cost(length: usize) -> u64 {
    length as u64 + limits::MESSAGE_OVERHEAD as u64
}
