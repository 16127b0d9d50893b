//! What the tasks of a session and the users of its streams share.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::BytesMut;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    address::Peer,
    error::Lost,
    splice::{Outlet, Source},
};
use crate::{
    mux::{Budget, Connection, Event, Payload, Side, code},
    wire::{Frame, Half, StreamId, codec},
};

/// What the windows of all sessions together may come to. A thousand links that all have the usual 256 KiB fit; what a stalled stream
/// holds in memory is at most its window.
const WINDOWS: u64 = 256 << 20;

/// The windows' budget of this process.
static BUDGET: LazyLock<Budget> = LazyLock::new(|| Budget::new(WINDOWS));

/// What the windows of all open streams of this process may come to now, in bytes.
#[must_use]
pub fn window_bytes() -> u64 {
    WINDOWS - BUDGET.left()
}

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
    /// Whether a socket of the kernel carries the session as it is.
    pub(super) has_socket: bool,
}

/// What the lock protects.
#[derive(Debug)]
pub(super) struct State {
    pub(super) connection: Connection,
    wakers: HashMap<(StreamId, Half), Arc<Notify>>,
    /// The pipes that streams are written from, where the kernel moves their bytes.
    sources: HashMap<StreamId, Arc<Source>>,
    /// The pipes that streams end in, where the kernel moves their bytes.
    outlets: HashMap<StreamId, Arc<Outlet>>,
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
    pub(super) fn new(side: Side, peer: Peer, has_socket: bool) -> Self {
        Self {
            state: Mutex::new(State {
                connection: Connection::new(side, BUDGET.clone()),
                wakers: HashMap::new(),
                sources: HashMap::new(),
                outlets: HashMap::new(),
                lost: None,
                farewell: None,
            }),
            began: Instant::now(),
            incoming: Notify::new(),
            writer: Notify::new(),
            over: CancellationToken::new(),
            closed: CancellationToken::new(),
            peer,
            has_socket,
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
        match half {
            Half::Send => drop(self.sources.remove(&stream)),
            Half::Receive => drop(self.outlets.remove(&stream)),
        }
    }

    /// Lets a stream's bytes be announced while they are in a pipe.
    pub(super) fn attach_source(&mut self, stream: StreamId, source: Arc<Source>) {
        self.sources.insert(stream, source);
    }

    /// The pipe that a stream is written from.
    pub(super) fn source(&self, stream: StreamId) -> Option<Arc<Source>> {
        self.sources.get(&stream).cloned()
    }

    /// Lets a stream's bytes be passed straight into a pipe.
    pub(super) fn attach_outlet(&mut self, stream: StreamId, outlet: Arc<Outlet>) {
        self.outlets.insert(stream, outlet);
    }

    /// Takes that back. A reader in the middle of passing something on may still do so.
    pub(super) fn detach_outlet(&mut self, stream: StreamId) {
        self.outlets.remove(&stream);
    }

    /// Whether a stream's bytes are passed straight into a pipe when there is room.
    pub(super) fn has_outlet(&self, stream: StreamId) -> bool {
        self.outlets.contains_key(&stream)
    }

    /// Where the next bytes of a stream may be passed, and how many.
    pub(super) fn passable(&self, stream: StreamId) -> Option<(Arc<Outlet>, usize)> {
        let outlet = self.outlets.get(&stream)?;
        let most = self.connection.passable(stream);
        (most > 0).then(|| (Arc::clone(outlet), most))
    }

    /// Announces what is in the pipe of a stream of which nothing is announced. If that is not worth it, whoever holds the stream reads
    /// what little there is.
    pub(super) fn announce(&mut self, stream: StreamId, source: &Source) {
        match source.waiting() {
            Some(waiting) => self.connection.send(stream, Payload::Piped(waiting)),
            None => source.run_dry(),
        }
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
