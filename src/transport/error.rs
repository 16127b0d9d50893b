//! What can go wrong, per operation.

use std::{io, net::SocketAddr, time::Duration};

use thiserror::Error;

use crate::{
    mux::Violation,
    wire::{DecodeError, FrameType, PrefaceError},
};

/// Why a session is over.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Lost {
    /// This side closed it.
    #[error("closed: {0}")]
    Closed(String),
    /// The peer closed it and said why.
    #[error("closed by the peer: {reason}")]
    PeerClosed {
        /// The code of its GoAway.
        code: u32,
        /// Its reason.
        reason: String,
    },
    /// The connection ended without a word: the peer died, or something between cut it.
    #[error("the connection ended{}", if *.mid_frame { " in the middle of a frame" } else { "" })]
    Cut {
        /// Whether a frame had begun.
        mid_frame: bool,
    },
    /// The kernel reports an error of the connection.
    #[error("{text}")]
    Io {
        /// Its kind.
        kind: io::ErrorKind,
        /// Its text.
        text: String,
    },
    /// The peer broke the protocol, or was silent for too long.
    #[error("{0}")]
    Violation(#[source] Violation),
    /// The peer sent something that is no frame.
    #[error("protocol error: {0}")]
    Decode(#[source] DecodeError),
}

/// Why nothing can be written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The reader is gone.
    #[error("stopped by the reader: {reason}")]
    Stopped {
        /// Why, for programs.
        code: u32,
        /// Why, for people.
        reason: String,
    },
    /// The session is over.
    #[error("session lost: {0}")]
    Lost(#[source] Lost),
    /// The message is longer than any may be.
    #[error("message of {0} bytes is too long")]
    TooLong(usize),
}

/// Why a writer need not go on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StopCause {
    /// The reader is gone.
    #[error("stopped by the reader: {reason}")]
    Stopped {
        /// Why, for programs.
        code: u32,
        /// Why, for people.
        reason: String,
    },
    /// The session is over.
    #[error("session lost: {0}")]
    Lost(#[source] Lost),
}

/// Why the end of the data will not come.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The writer gave up.
    #[error("reset by the writer: {reason}")]
    Reset {
        /// Why, for programs.
        code: u32,
        /// Why, for people.
        reason: String,
    },
    /// The session is over.
    #[error("session lost: {0}")]
    Lost(#[source] Lost),
}

/// Why there is no message.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MessageError {
    /// What came is not what was expected.
    #[error("malformed message: {0}")]
    Malformed(#[source] serde_json::Error),
    /// The writer gave up.
    #[error("reset by the writer: {reason}")]
    Reset {
        /// Why, for programs.
        code: u32,
        /// Why, for people.
        reason: String,
    },
    /// The session is over.
    #[error("session lost: {0}")]
    Lost(#[source] Lost),
}

/// Why a connection did not become a session.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The peer speaks something else or another version, or refuses.
    #[error(transparent)]
    Preface(#[from] PrefaceError),
    /// The peer did not say enough in time.
    #[error("no answer within {} s", .0.as_secs_f32())]
    Timeout(Duration),
    /// The peer ended the connection.
    #[error("the peer closed the connection during the handshake")]
    Closed,
    /// The kernel reports an error.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The peer's first frame is none.
    #[error("first frame: {0}")]
    Frame(#[from] DecodeError),
    /// The peer's first frame is not a Hello.
    #[error("first frame is {0:?} and not the hello")]
    NoHello(Option<FrameType>),
    /// The peer's Hello is longer than it may be.
    #[error("hello of {0} bytes is too long")]
    HelloTooLong(usize),
    /// The peer's Hello cannot be read.
    #[error("malformed hello: {0}")]
    Hello(#[source] serde_json::Error),
    /// The peer's Hello repeats another nonce.
    #[error("the peer's hello does not answer this connection")]
    Nonce,
    /// The connection leads to this very connection.
    #[error("connected to itself")]
    Itself,
    /// This side does not want the peer, now that it said who it is.
    #[error("refused: {0}")]
    Unwanted(String),
}

/// Why a daemon was not reached.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DialError {
    /// The name has no address.
    #[error("cannot resolve {address}: {source}")]
    Resolve {
        /// The address asked for.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// No address of the name accepts connections.
    #[error("cannot connect to {address}: {}", list(address, tried))]
    Connect {
        /// The address asked for.
        address: String,
        /// Every address with its own error.
        tried: Vec<(SocketAddr, io::Error)>,
    },
    /// The unix socket does not accept connections.
    #[error("cannot connect to {address}: {source}")]
    Unix {
        /// The address asked for.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The connection did not become a session.
    #[error("{address}: {source}")]
    Handshake {
        /// The address asked for.
        address: String,
        /// Why.
        source: HandshakeError,
    },
}

/// Addresses with their errors, for one line. The only one needs no name when it is just what was asked for.
fn list(asked: &str, tried: &[(SocketAddr, io::Error)]) -> String {
    if let [(address, error)] = tried
        && address.to_string() == asked
    {
        return error.to_string();
    }
    let each = tried
        .iter()
        .map(|(address, error)| format!("{address}: {error}"));
    each.collect::<Vec<_>>().join("; ")
}

// === impl Lost ===

impl From<io::Error> for Lost {
    fn from(error: io::Error) -> Self {
        Self::Io {
            kind: error.kind(),
            text: error.to_string(),
        }
    }
}

// === impl WriteError ===

impl From<StopCause> for WriteError {
    fn from(cause: StopCause) -> Self {
        match cause {
            StopCause::Stopped { code, reason } => Self::Stopped { code, reason },
            StopCause::Lost(lost) => Self::Lost(lost),
        }
    }
}

// === impl MessageError ===

impl From<ReadError> for MessageError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Reset { code, reason } => Self::Reset { code, reason },
            ReadError::Lost(lost) => Self::Lost(lost),
        }
    }
}
