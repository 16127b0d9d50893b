//! The frames of a session.

use std::fmt;

use bytes::Bytes;

use super::message::Purpose;

/// The name of a stream within its session. 0 is the session itself; the dialler's streams are odd, the acceptor's even.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u32);

/// Whether both sides of a stream write, or only the one that opened it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StreamKind {
    /// The opener writes bytes, the acceptor reads them.
    Uni,
    /// Both sides write messages.
    Bidi,
}

/// One direction of a stream, as seen from one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Half {
    /// The direction in which this side writes.
    Send,
    /// The direction in which this side reads.
    Receive,
}

/// The number of a frame type. Numbers are never used again: one that is given up stays listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FrameType {
    /// A control message in JSON.
    Message = 1,
    /// A new stream.
    Open = 2,
    /// Bytes of a stream.
    Data = 3,
    /// The clean end of a half.
    Finish = 4,
    /// The writer gives up.
    Reset = 5,
    /// The reader is gone.
    Stop = 6,
    /// The writer may send more.
    Credit = 7,
    /// Are you there?
    Ping = 8,
    /// I am here.
    Pong = 9,
    /// No new streams, please.
    GoAway = 10,
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A control message: one JSON object. On stream 0 it is the Hello.
    Message {
        /// The stream.
        stream: StreamId,
        /// The JSON text.
        body: Bytes,
    },
    /// A new stream, named by the side that opens it.
    Open {
        /// The new name: odd from the dialler, even from the acceptor, larger than all before.
        stream: StreamId,
        /// Who writes.
        kind: StreamKind,
        /// What it is for.
        purpose: Purpose,
    },
    /// Bytes of a one-way stream. The decoder may deliver one Data frame as several of these, as its payload arrives.
    Data {
        /// The stream.
        stream: StreamId,
        /// At least one byte.
        payload: Bytes,
    },
    /// The writer's clean end of its half. Nothing of this half follows.
    Finish {
        /// The stream.
        stream: StreamId,
        /// How many bytes the writer has sent in Data payloads and Message bodies.
        bytes: u64,
        /// SHA-256 of those bytes, where it was agreed on.
        digest: Option<[u8; 32]>,
    },
    /// The writer gives up its half. Nothing of this half follows.
    Reset {
        /// The stream.
        stream: StreamId,
        /// Why, for programs.
        code: u32,
        /// Why, for people.
        reason: String,
    },
    /// The reader asks the writer to end its half; the writer answers with Reset unless it has finished already.
    Stop {
        /// The stream.
        stream: StreamId,
        /// Why, for programs.
        code: u32,
        /// Why, for people.
        reason: String,
    },
    /// The writer may send this many bytes more.
    Credit {
        /// The stream.
        stream: StreamId,
        /// How many more.
        delta: u32,
    },
    /// Asks for a Pong with the same number.
    Ping(u64),
    /// The answer to a Ping.
    Pong(u64),
    /// The sender accepts no new streams; the others go on.
    GoAway {
        /// Why, for programs.
        code: u32,
        /// Why, for people.
        reason: String,
    },
}

// === impl StreamId ===

impl StreamId {
    /// The session itself.
    pub const SESSION: Self = Self(0);
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

// === impl FrameType ===

impl FrameType {
    /// The type with this number, if this version knows it.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Message,
            2 => Self::Open,
            3 => Self::Data,
            4 => Self::Finish,
            5 => Self::Reset,
            6 => Self::Stop,
            7 => Self::Credit,
            8 => Self::Ping,
            9 => Self::Pong,
            10 => Self::GoAway,
            _ => return None,
        })
    }

    /// Its number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for FrameType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

// === impl Frame ===

impl Frame {
    /// Its type.
    #[must_use]
    pub const fn frame_type(&self) -> FrameType {
        match self {
            Self::Message { .. } => FrameType::Message,
            Self::Open { .. } => FrameType::Open,
            Self::Data { .. } => FrameType::Data,
            Self::Finish { .. } => FrameType::Finish,
            Self::Reset { .. } => FrameType::Reset,
            Self::Stop { .. } => FrameType::Stop,
            Self::Credit { .. } => FrameType::Credit,
            Self::Ping(_) => FrameType::Ping,
            Self::Pong(_) => FrameType::Pong,
            Self::GoAway { .. } => FrameType::GoAway,
        }
    }

    /// The stream it is about; [`StreamId::SESSION`] for those about the session.
    #[must_use]
    pub const fn stream(&self) -> StreamId {
        match self {
            Self::Message { stream, .. }
            | Self::Open { stream, .. }
            | Self::Data { stream, .. }
            | Self::Finish { stream, .. }
            | Self::Reset { stream, .. }
            | Self::Stop { stream, .. }
            | Self::Credit { stream, .. } => *stream,
            Self::Ping(_) | Self::Pong(_) | Self::GoAway { .. } => StreamId::SESSION,
        }
    }
}
