//! What a peer can do wrong, and why a stream cannot be opened.

use std::time::Duration;

use thiserror::Error;

use super::code;
use crate::wire::{FrameType, StreamId, StreamKind};

/// What ends a session by the peer's fault.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Violation {
    /// A frame for a stream that never was.
    #[error("{frame} for stream {stream}, which was never opened")]
    UnknownStream {
        /// The frame.
        frame: FrameType,
        /// The stream.
        stream: StreamId,
    },
    /// An id that is used already, or not larger than all before, or of the wrong side.
    #[error("stream {0} cannot be opened: its number is not a new one of this peer")]
    BadId(StreamId),
    /// A frame behind the end of its half.
    #[error("{frame} for stream {stream} after its end")]
    AfterEnd {
        /// The frame.
        frame: FrameType,
        /// The stream.
        stream: StreamId,
    },
    /// A frame that only the other side may send on this stream, or that does not fit its kind.
    #[error("{frame} does not belong on stream {stream} ({kind:?})")]
    Misplaced {
        /// The frame.
        frame: FrameType,
        /// The stream.
        stream: StreamId,
        /// Its kind.
        kind: StreamKind,
    },
    /// More data than was granted, even after having been told to stop for that reason.
    #[error("stream {0} ignores its credit")]
    IgnoresCredit(StreamId),
    /// A Finish whose count is not what arrived.
    #[error("stream {stream} was finished after {said} bytes, but {arrived} arrived")]
    Count {
        /// The stream.
        stream: StreamId,
        /// What the writer says.
        said: u64,
        /// What arrived.
        arrived: u64,
    },
    /// Streams beyond the limit, although the ones before were refused.
    #[error("more than {0} streams")]
    TooManyStreams(usize),
    /// More of something free of charge than is reasonable.
    #[error("flood of {0} frames")]
    Flood(FrameType),
    /// The peer causes answers and does not read them.
    #[error("{0} answers wait because the peer does not read")]
    Backlog(usize),
    /// Nothing was heard of the peer for too long.
    #[error("silent for {} s", .0.as_secs())]
    Silent(Duration),
}

/// Why no stream can be opened.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The peer, or this side, accepts no new streams.
    #[error("the peer is going away: {0}")]
    GoingAway(String),
    /// As many streams as are allowed are open.
    #[error("{0} streams are open already")]
    TooMany(usize),
    /// All numbers have been used; a new session has new ones.
    #[error("the session has used up its stream numbers")]
    Exhausted,
    /// The purpose is longer than an Open frame may be.
    #[error("purpose of {0} bytes is too long")]
    TooLong(usize),
    /// The session is over.
    #[error("the session is over")]
    Over,
}

// === impl Violation ===

impl Violation {
    /// The code of the GoAway that tells the peer.
    #[must_use]
    pub const fn code(&self) -> u32 {
        match self {
            Self::Flood(_) | Self::TooManyStreams(_) | Self::Backlog(_) => code::AWAY_FLOOD,
            Self::Silent(_) => code::AWAY_SILENT,
            _ => code::AWAY_PROTOCOL,
        }
    }
}
