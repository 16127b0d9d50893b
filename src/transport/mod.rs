//! Sessions over sockets: the driver of [`mux`](crate::mux), the handshake, and the pump between streams and pipes.
//!
//! ```text
//! dial / greet --> Session --open_uni, open_bidi--> SendStream, RecvStream <--accept-- Session <-- greet
//!                   |   reader task: socket -> decoder -> Connection -> wakes the streams' users
//!                   |   writer task: Connection -> frames -> socket
//!                   +-- both stop when the session is over, or when nobody holds the session or a stream of it any more
//! ```
//!
//! A session reads at all times, also while its writing is held up, or two full peers would wait for each other for ever. Backpressure
//! is the streams' credit alone.

mod address;
mod batch;
mod buffers;
mod dial;
mod driver;
mod error;
mod handshake;
pub mod pump;
mod reader;
mod session;
mod shared;
mod socket;
mod splice;
mod stream;
mod turn;

pub use self::{
    address::{Address, InvalidAddress, Peer, PeerAddress},
    dial::{Timeouts, dial, dial_from},
    error::{DialError, HandshakeError, Lost, MessageError, ReadError, StopCause, WriteError},
    handshake::{HANDSHAKE_TIMEOUT, greet, greet_if, refuse},
    session::{Incoming, Session},
    shared::window_bytes,
    socket::Connected,
    stream::{RecvStream, SendStream},
};
pub use crate::mux::{DEFAULT_WINDOW, OpenError, PING_EVERY, SEND_QUEUE, Side, code};

#[cfg(test)]
mod tests;
