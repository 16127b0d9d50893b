//! What the tasks of a session and the users of its streams share.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::BytesMut;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{address::Peer, error::Lost};
use crate::{
    mux::{Connection, Event, Side, code},
    wire::{Frame, Half, StreamId, codec},
};

/// A session's state. The lock is held for short work in memory only, never across an await.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    began: Instant,
    /// Wakes those who wait for a stream of the peer.
    pub(super) incoming: Notify,
    /// Wakes the writer task. One waiter, so a wake-up that comes early is kept.
    pub(super) writer: Notify,
    /// Cancelled when the session is over.
    pub(super) over: CancellationToken,
    /// Cancelled when its socket is closed.
    pub(super) closed: CancellationToken,
    pub(super) peer: Peer,
}

/// What the lock protects.
#[derive(Debug)]
pub(super) struct State {
    pub(super) connection: Connection,
    wakers: HashMap<(StreamId, Half), Arc<Notify>>,
    lost: Option<Lost>,
    /// The frames that are still to be written when the session is over; `None` if the peer would not hear them.
    farewell: Option<BytesMut>,
}

/// Ends the session when the last user of it lets go.
#[derive(Debug)]
pub(super) struct Guard {
    pub(super) shared: Arc<Shared>,
}

// === impl Shared ===

impl Shared {
    pub(super) fn new(side: Side, peer: Peer) -> Self {
        Self {
            state: Mutex::new(State {
                connection: Connection::new(side),
                wakers: HashMap::new(),
                lost: None,
                farewell: None,
            }),
            began: Instant::now(),
            incoming: Notify::new(),
            writer: Notify::new(),
            over: CancellationToken::new(),
            closed: CancellationToken::new(),
            peer,
        }
    }

    /// The time as the connection knows it.
    pub(super) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// The connection's time as the runtime knows it.
    pub(super) fn instant(&self, time: Duration) -> Instant {
        self.began + time
    }

    /// Locks the state. A panic of another holder is a bug that must not spread, and every change is complete at any point.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the connection and wakes whom it concerns.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Connection, Duration) -> T) -> T {
        let now = self.now();
        let mut state = self.lock();
        let result = act(&mut state.connection, now);
        self.settle(&mut state);
        result
    }

    /// Wakes whom the last change concerns.
    pub(super) fn settle(&self, state: &mut State) {
        let mut gone = None;
        while let Some(event) = state.connection.poll_event() {
            match event {
                Event::Incoming => self.incoming.notify_waiters(),
                Event::Changed(stream, half) => {
                    if let Some(waker) = state.wakers.get(&(stream, half)) {
                        waker.notify_waiters();
                    }
                }
                Event::Ended(stream, half, ending) => {
                    tracing::trace!(%stream, ?half, ?ending, "half ended");
                }
                Event::GoAway { code, reason } => {
                    tracing::debug!(code, reason, "peer goes away");
                    if code != code::AWAY_DRAINING {
                        gone = Some(Lost::PeerClosed { code, reason });
                    }
                }
            }
        }
        if let Some(lost) = gone {
            self.end_locked(state, lost, None);
        }
        if state.connection.has_outgoing() {
            self.writer.notify_one();
        }
    }

    /// Ends the session, unless it is over already. `farewell` is said to a peer that can still hear it.
    pub(super) fn end(&self, lost: Lost, farewell: Option<(u32, &str)>) {
        self.end_locked(&mut self.lock(), lost, farewell);
    }

    fn end_locked(&self, state: &mut State, lost: Lost, farewell: Option<(u32, &str)>) {
        if state.lost.is_some() {
            return;
        }
        tracing::debug!(peer = %self.peer.address, reason = %lost, "session over");
        state.lost = Some(lost);
        state.farewell = farewell.map(|(code, reason)| {
            let mut out = BytesMut::new();
            for frame in state.connection.take_control() {
                codec::encode(&frame, &mut out);
            }
            let reason = reason.to_owned();
            codec::encode(&Frame::GoAway { code, reason }, &mut out);
            out
        });
        state.connection.lose();
        self.settle(state);
        self.over.cancel();
    }

    /// Why the session is over, if it is.
    pub(super) fn lost(&self) -> Option<Lost> {
        self.lock().lost.clone()
    }
}

// === impl State ===

impl State {
    /// Makes what wakes the user of a half.
    pub(super) fn waker(&mut self, stream: StreamId, half: Half) -> Arc<Notify> {
        Arc::clone(self.wakers.entry((stream, half)).or_default())
    }

    /// Forgets it.
    pub(super) fn forget(&mut self, stream: StreamId, half: Half) {
        self.wakers.remove(&(stream, half));
    }

    /// Why the session is over. Asked only when a half was lost, and the reason is known before any half is.
    pub(super) fn why_lost(&self) -> Lost {
        self.lost.clone().unwrap_or(Lost::Cut { mid_frame: false })
    }

    /// Takes the last words.
    pub(super) fn take_farewell(&mut self) -> Option<BytesMut> {
        self.farewell.take()
    }
}

// === impl Guard ===

impl Drop for Guard {
    fn drop(&mut self) {
        let reason = "no longer used";
        let farewell = Some((code::AWAY_CLOSED, reason));
        self.shared.end(Lost::Closed(reason.to_owned()), farewell);
    }
}
