//! A session as its users see it.

use std::{fmt, sync::Arc, time::Duration};

use super::{
    address::{Peer, PeerAddress},
    error::Lost,
    shared::Guard,
    stream::{RecvStream, SendStream},
};
use crate::{
    media::{Coding, Compress},
    mux::{OpenError, code},
    wire::{StreamKind, message::Purpose},
};

/// Round trip from which on a peer is far away. Within a building or a data centre it is less than one millisecond, over a busy radio link
/// a few, between cities of a country ten and more. Links of the first kind carry more than a core compresses, those of the last kind
/// hardly ever.
const FAR: Duration = Duration::from_millis(10);

/// How often the first round trip of a session is looked for: it is there at once or not for long.
const LOOK: Duration = Duration::from_millis(1);

/// One connection to a peer, with many streams. Clones are handles to the same session.
///
/// The session ends when [`Session::close`] is called, when the peer ends it or is lost, or when the last handle and the last stream
/// have been dropped.
#[derive(Clone)]
pub struct Session {
    guard: Arc<Guard>,
}

/// A stream that the peer has opened.
#[derive(Debug)]
pub enum Incoming {
    /// The peer writes, this side reads; nothing flows before [`RecvStream::grant`].
    Uni {
        /// What it is for.
        purpose: Purpose,
        /// The reading end.
        stream: RecvStream,
    },
    /// Both sides write messages.
    Bidi {
        /// What it is for.
        purpose: Purpose,
        /// The writing end.
        send: SendStream,
        /// The reading end.
        recv: RecvStream,
    },
}

// === impl Session ===

impl Session {
    pub(super) fn new(guard: Guard) -> Self {
        Self {
            guard: Arc::new(guard),
        }
    }

    /// Opens a stream of bytes to the peer. Nothing is waited for: the peer learns of it with the next frames.
    ///
    /// # Errors
    ///
    /// Returns why no stream can be opened.
    #[expect(
        clippy::unused_async,
        reason = "room for waiting until the peer has room"
    )]
    pub async fn open_uni(&self, purpose: &Purpose) -> Result<SendStream, OpenError> {
        let id = self
            .guard
            .shared
            .with(|connection, _| connection.open(StreamKind::Uni, purpose))?;
        Ok(SendStream::new(&self.guard, id, StreamKind::Uni))
    }

    /// Opens a stream of messages in both directions. Nothing is waited for.
    ///
    /// # Errors
    ///
    /// Returns why no stream can be opened.
    #[expect(
        clippy::unused_async,
        reason = "room for waiting until the peer has room"
    )]
    pub async fn open_bidi(
        &self,
        purpose: &Purpose,
    ) -> Result<(SendStream, RecvStream), OpenError> {
        let id = self
            .guard
            .shared
            .with(|connection, _| connection.open(StreamKind::Bidi, purpose))?;
        Ok((
            SendStream::new(&self.guard, id, StreamKind::Bidi),
            RecvStream::new(&self.guard, id, StreamKind::Bidi),
        ))
    }

    /// Waits for the next stream that the peer opens; `None` when the session is over. Cancel safe.
    pub async fn accept(&self) -> Option<Incoming> {
        let shared = &self.guard.shared;
        loop {
            let mut notified = std::pin::pin!(shared.incoming.notified());
            notified.as_mut().enable();
            // A statement of its own, so that the lock is free again before the ends are made.
            let next = shared.lock().connection.accept();
            if let Some(stream) = next {
                return Some(match stream.kind {
                    StreamKind::Uni => Incoming::Uni {
                        purpose: stream.purpose,
                        stream: RecvStream::new(&self.guard, stream.id, stream.kind),
                    },
                    StreamKind::Bidi => Incoming::Bidi {
                        purpose: stream.purpose,
                        send: SendStream::new(&self.guard, stream.id, stream.kind),
                        recv: RecvStream::new(&self.guard, stream.id, stream.kind),
                    },
                });
            }
            if self.is_closed() {
                return None;
            }
            notified.await;
        }
    }

    /// Who is at the other end.
    #[must_use]
    pub fn peer(&self) -> &Peer {
        &self.guard.shared.peer
    }

    /// Waits until the session is over and says why. Any number may wait.
    pub async fn closed(&self) -> Lost {
        let shared = &self.guard.shared;
        shared.over.cancelled().await;
        shared.lock().why_lost()
    }

    /// Waits until the socket is closed too: the peer has heard the last words, or two seconds have passed. A process that is about to
    /// exit waits for this.
    pub async fn disconnected(&self) {
        self.guard.shared.closed.cancelled().await;
    }

    /// Whether the session is over.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.guard.shared.over.is_cancelled()
    }

    /// Opens and accepts no streams from now on; those that are there go on.
    pub fn go_away(&self, reason: &str) {
        self.guard
            .shared
            .with(|connection, _| connection.go_away(code::AWAY_DRAINING, reason));
    }

    /// Ends the session now. What was not finished is lost; what [`SendStream::finish`] has confirmed will arrive.
    ///
    /// Returns at once. The socket is shut for writing, then read until the peer closes too, for two seconds or 64 KiB at most.
    pub fn close(&self, reason: &str) {
        let farewell = Some((code::AWAY_CLOSED, reason));
        self.guard
            .shared
            .end(Lost::Closed(reason.to_owned()), farewell);
    }

    /// Changes the silence after which the peer counts as dead; `None` for a peer on this machine, whose socket tells. Without this it
    /// is [`DEAD_AFTER`](crate::mux::DEAD_AFTER).
    pub fn set_lease(&self, lease: Option<Duration>) {
        self.guard
            .shared
            .with(|connection, _| connection.set_lease(lease));
    }

    /// How long ago the peer was last heard.
    #[must_use]
    pub fn heard_ago(&self) -> Duration {
        let shared = &self.guard.shared;
        let now = shared.now();
        now.saturating_sub(shared.lock().connection.last_heard())
    }

    /// The last round trip of a ping, once there was one.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.guard.shared.lock().connection.round_trip()
    }

    /// How a stream to the peer is to travel, of the ways that are allowed.
    pub async fn coding(&self, allowed: Compress) -> Coding {
        allowed.coding(allowed == Compress::Auto && self.is_far().await)
    }

    /// Whether the peer is far away: on another network, where bytes are dearer than the time to compress them. Waits for an answer to
    /// the first ping of a session, at most as long as a near peer would take; a near one that is too busy to answer counts as far.
    async fn is_far(&self) -> bool {
        let shared = &self.guard.shared;
        if !matches!(self.peer().address, PeerAddress::Tcp(_)) {
            return false;
        }
        loop {
            // A statement of its own, so that the lock is free again before anything is waited for.
            let least = shared.lock().connection.least_round_trip();
            if let Some(least) = least {
                return least >= FAR;
            }
            // The first ping went out when the session began.
            let left = FAR.saturating_sub(shared.now());
            if left.is_zero() || self.is_closed() {
                return !self.is_closed();
            }
            tokio::time::sleep(left.min(LOOK)).await;
        }
    }

    /// For how long the session has had no stream; zero while it has one.
    #[must_use]
    pub fn idle_for(&self) -> Duration {
        let shared = &self.guard.shared;
        let now = shared.now();
        let since = shared.lock().connection.idle_since();
        since.map_or(Duration::ZERO, |since| now.saturating_sub(since))
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("peer", &self.guard.shared.peer.address)
            .field("over", &self.guard.shared.lost())
            .finish_non_exhaustive()
    }
}

// === impl Incoming ===

impl Incoming {
    /// What the stream is for.
    #[must_use]
    pub const fn purpose(&self) -> &Purpose {
        match self {
            Self::Uni { purpose, .. } | Self::Bidi { purpose, .. } => purpose,
        }
    }

    /// Refuses the stream: its reading end is stopped, its writing end reset.
    pub fn refuse(self, code: u32, reason: &str) {
        match self {
            Self::Uni { stream, .. } => stream.stop(code, reason),
            Self::Bidi { send, recv, .. } => {
                recv.stop(code, reason);
                send.reset(code, reason);
            }
        }
    }
}
