//! The two ends of a stream.

use std::{convert::Infallible, fmt, sync::Arc};

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{sync::Notify, time::sleep};

use super::{
    error::{MessageError, ReadError, StopCause, WriteError},
    shared::{Guard, Shared, State},
    splice::{self, Outlet, Source},
};
use crate::{
    mux::{Connection, DEFAULT_WINDOW, Ending, Payload, Read},
    wire::{Half, StreamId, StreamKind, limits},
};

/// The writing end of a stream.
///
/// It ends once: by [`SendStream::finish`], by [`SendStream::reset`], or by being dropped, which is a reset.
pub struct SendStream {
    end: End,
    bytes: u64,
    source: Option<Arc<Source>>,
}

/// The reading end of a stream.
///
/// Dropped before its end was read, it is stopped, and the writer sees that.
pub struct RecvStream {
    end: End,
    bytes: u64,
    outlet: Option<Arc<Outlet>>,
}

/// What both ends have.
struct End {
    guard: Arc<Guard>,
    id: StreamId,
    half: Half,
    kind: StreamKind,
    waker: Arc<Notify>,
}

// === impl End ===

impl End {
    fn new(guard: &Arc<Guard>, id: StreamId, half: Half, kind: StreamKind) -> Self {
        Self {
            waker: guard.shared.lock().waker(id, half),
            guard: Arc::clone(guard),
            id,
            half,
            kind,
        }
    }

    fn shared(&self) -> &Shared {
        &self.guard.shared
    }

    /// Waits until the check has a result. The check is made whenever the half has changed.
    async fn wait<T>(&self, mut check: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            let mut changed = std::pin::pin!(self.waker.notified());
            // Before the check, so that no change falls between the check and the waiting.
            changed.as_mut().enable();
            {
                let mut state = self.shared().lock();
                let result = check(&mut state);
                self.shared().settle(&mut state);
                if let Some(result) = result {
                    return result;
                }
            }
            changed.await;
        }
    }

    /// Whether the kernel can move what flows here between a pipe and the session's socket.
    fn can_splice(&self) -> bool {
        self.kind == StreamKind::Uni && self.shared().has_socket && splice::works()
    }

    fn debug(&self, name: &str, bytes: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("id", &self.id)
            .field("kind", &self.kind)
            .field("bytes", &bytes)
            .finish_non_exhaustive()
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let shared = self.shared();
        let now = shared.now();
        let mut state = shared.lock();
        match self.half {
            Half::Send => state.connection.release_send(self.id, now),
            Half::Receive => state.connection.release_receive(self.id, now),
        }
        state.forget(self.id, self.half);
        shared.settle(&mut state);
    }
}

// === impl SendStream ===

impl SendStream {
    pub(super) fn new(guard: &Arc<Guard>, id: StreamId, kind: StreamKind) -> Self {
        Self {
            end: End::new(guard, id, Half::Send, kind),
            bytes: 0,
            source: None,
        }
    }

    /// Sends bytes; on a two-way stream they are one message. Waits until there is room in the stream's queue.
    ///
    /// Cancel safe: the bytes are queued when it returns, and not at all when it is dropped before.
    ///
    /// # Errors
    ///
    /// Returns why nothing can be written any more.
    pub async fn send(&mut self, data: Bytes) -> Result<(), WriteError> {
        let length = data.len();
        if self.end.kind == StreamKind::Bidi && length > limits::MAX_MESSAGE {
            return Err(WriteError::TooLong(length));
        }
        let id = self.end.id;
        let mut data = Some(data);
        let queue = |state: &mut State| match state.connection.has_room(id, length) {
            Ok(true) => {
                if let Some(data) = data.take() {
                    state.connection.send(id, Payload::Bytes(data));
                }
                Some(Ok(()))
            }
            Ok(false) => None,
            Err(ending) => Some(Err(stop_cause(state, ending))),
        };
        self.end.wait(queue).await?;
        self.bytes += length as u64;
        Ok(())
    }

    /// Sends one message. Cancel safe as [`SendStream::send`].
    ///
    /// # Errors
    ///
    /// Returns why nothing can be written any more, or that the message is too long.
    ///
    /// # Panics
    ///
    /// If the stream is one-way, or the message cannot be JSON: both are bugs of the caller.
    pub async fn message<T: Serialize + Sync>(&mut self, message: &T) -> Result<(), WriteError> {
        assert!(
            self.end.kind == StreamKind::Bidi,
            "messages travel on two-way streams"
        );
        let body = serde_json::to_vec(message).expect("messages are plain data with text keys");
        self.send(body.into()).await
    }

    /// Ends the half cleanly and waits until everything, the end included, has been handed to the socket. Returns the number of
    /// bytes.
    ///
    /// Dropped before it is done, the half is reset.
    ///
    /// # Errors
    ///
    /// Returns that the reader stopped or the session was lost before.
    pub async fn finish(self) -> Result<u64, WriteError> {
        self.finish_with(None).await
    }

    /// The same, and tells the reader the digest of what was written, which [`RecvStream::digest`] gives it.
    ///
    /// # Errors
    ///
    /// As those of [`SendStream::finish`].
    pub async fn finish_with(self, digest: Option<[u8; 32]>) -> Result<u64, WriteError> {
        let id = self.end.id;
        self.end
            .shared()
            .with(|connection, _| connection.finish(id, digest));
        let ended = |state: &mut State| {
            let ending = state.connection.send_ending(id)?;
            Some(match ending {
                Ending::Finished => Ok(()),
                ending => Err(stop_cause(state, ending)),
            })
        };
        self.end.wait(ended).await?;
        Ok(self.bytes())
    }

    /// Gives up writing: the reader sees a reset, never an end. What is queued is dropped.
    pub fn reset(self, code: u32, reason: &str) {
        let id = self.end.id;
        self.end
            .shared()
            .with(|connection, _| connection.reset(id, code, reason));
    }

    /// Waits until writing is of no use any more: the reader stopped, or the session is over. Cancel safe.
    pub async fn stopped(&self) -> StopCause {
        let id = self.end.id;
        let ended = |state: &mut State| {
            let ending = state.connection.send_ending(id)?;
            Some(stop_cause(state, ending))
        };
        self.end.wait(ended).await
    }

    /// Whether bytes that are in a pipe can be sent without a copy in this process.
    pub(super) fn can_splice(&self) -> bool {
        self.end.can_splice()
    }

    /// Lets bytes be announced that are in this pipe, which nobody else must read.
    pub(super) fn attach(&mut self, source: &Arc<Source>) {
        self.source = Some(Arc::clone(source));
        let mut state = self.end.shared().lock();
        state.attach_source(self.end.id, Arc::clone(source));
    }

    /// Sends what is in the attached pipe, as long as there is much, without another call: [`Source::dry`] tells when it is over. Until then
    /// the pipe must not be read.
    pub(super) fn announce(&self) {
        if let Some(source) = &self.source {
            let shared = self.end.shared();
            let mut state = shared.lock();
            state.announce(self.end.id, source);
            shared.settle(&mut state);
        }
    }

    /// Bytes that were queued so far, or that left an attached pipe.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes + self.source.as_ref().map_or(0, |source| source.bytes())
    }

    /// The number of the stream within its session, for logs.
    #[must_use]
    pub const fn id(&self) -> StreamId {
        self.end.id
    }
}

/// What an ending means to a writer that did not finish.
fn stop_cause(state: &State, ending: Ending) -> StopCause {
    match ending {
        Ending::Stopped { code, reason } | Ending::Reset { code, reason } => {
            StopCause::Stopped { code, reason }
        }
        Ending::Lost | Ending::Finished => StopCause::Lost(state.why_lost()),
    }
}

impl fmt::Debug for SendStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.end.debug("SendStream", self.bytes, f)
    }
}

// === impl RecvStream ===

impl RecvStream {
    pub(super) fn new(guard: &Arc<Guard>, id: StreamId, kind: StreamKind) -> Self {
        Self {
            end: End::new(guard, id, Half::Receive, kind),
            bytes: 0,
            outlet: None,
        }
    }

    /// Accepts a one-way stream: its writer may send so many bytes ahead of the reader. A later, larger grant widens the window; any
    /// other changes nothing.
    pub fn grant(&mut self, window: u32) {
        let id = self.end.id;
        self.end
            .shared()
            .with(|connection, _| connection.grant(id, window));
    }

    /// Accepts a one-way stream with the [`DEFAULT_WINDOW`].
    pub fn accept(&mut self) {
        self.grant(DEFAULT_WINDOW);
    }

    /// Waits for the next piece; on a two-way stream it is one whole message. `Ok(None)` is the clean end: everything has arrived.
    ///
    /// A piece counts as used up when this is called again, and its credit is returned then: whoever calls it says that the piece
    /// before has left. What arrived before a reset or a loss is still returned first; [`RecvStream::broken`] tells at once.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// Returns why the end will not come.
    pub async fn recv(&mut self) -> Result<Option<Bytes>, ReadError> {
        let id = self.end.id;
        let shared = self.end.shared();
        let outlet = self.outlet.as_deref();
        let next = |state: &mut State| {
            let room = outlet.map(Outlet::room);
            match state.connection.read(id, room, shared.now()) {
                Read::Payload(bytes) => Some(Ok(Some(bytes))),
                Read::Pending => None,
                Read::Ended(Ending::Finished) => Some(Ok(None)),
                Read::Ended(ending) => Some(Err(read_error(state, ending))),
            }
        };
        let read = match outlet {
            None => self.end.wait(next).await?,
            Some(outlet) => tokio::select! {
                // First, for it says that what was read before has left, and only then can it be known whether the writer is starved.
                biased;
                read = self.end.wait(next) => read?,
                never = self.look_after(outlet) => match never {},
            },
        };
        self.bytes += read.as_ref().map_or(0, |bytes| bytes.len() as u64);
        Ok(read)
    }

    /// Waits for the next message; `Ok(None)` is the clean end. Cancel safe.
    ///
    /// # Errors
    ///
    /// Returns what is wrong with the message, or why the end will not come.
    pub async fn message<T: DeserializeOwned>(&mut self) -> Result<Option<T>, MessageError> {
        match self.recv().await? {
            None => Ok(None),
            Some(body) => serde_json::from_slice(&body)
                .map(Some)
                .map_err(MessageError::Malformed),
        }
    }

    /// Waits until it is known that the clean end will not come, whatever still waits to be read. Never returns for a half that ends
    /// cleanly. Cancel safe.
    ///
    /// For readers that are held up by something else, as a full pipe.
    pub async fn broken(&self) -> ReadError {
        let id = self.end.id;
        let broken = |state: &mut State| {
            let ending = state.connection.broken(id)?;
            Some(read_error(state, ending))
        };
        self.end.wait(broken).await
    }

    /// The digest that the writer told when it finished; known once [`RecvStream::recv`] has said that this is the end.
    #[must_use]
    pub fn digest(&self) -> Option<[u8; 32]> {
        let id = self.end.id;
        self.end
            .shared()
            .with(|connection, _| connection.digest(id))
    }

    /// Asks the writer to end; what still comes is dropped.
    pub fn stop(self, code: u32, reason: &str) {
        let id = self.end.id;
        self.end
            .shared()
            .with(|connection: &mut Connection, _| connection.stop(id, code, reason));
    }

    /// Whether what arrives can go into a pipe without a copy in this process.
    pub(super) fn can_splice(&self) -> bool {
        self.end.can_splice()
    }

    /// Lets what arrives go straight into a pipe while nothing waits in memory. What [`RecvStream::recv`] returns must be written into it
    /// before it is called again, and it is called all the time.
    pub(super) fn attach(&mut self, outlet: &Arc<Outlet>) {
        self.outlet = Some(Arc::clone(outlet));
        let mut state = self.end.shared().lock();
        state.attach_outlet(self.end.id, Arc::clone(outlet));
    }

    /// Sees to it that the writer gets credit when the attached pipe has room though nobody tells. Cancel safe.
    async fn look_after(&self, outlet: &Outlet) -> Infallible {
        let id = self.end.id;
        loop {
            let is_starved = |state: &mut State| state.connection.is_starved(id).then_some(());
            self.end.wait(is_starved).await;
            loop {
                let room = outlet.room();
                let shared = self.end.shared();
                let Some(again) = shared.with(|connection, _| connection.look(id, room)) else {
                    break;
                };
                sleep(again).await;
            }
        }
    }

    /// Takes that back.
    pub(super) fn detach(&mut self) {
        self.outlet = None;
        self.end.shared().lock().detach_outlet(self.end.id);
    }

    /// Bytes that were read so far; what went straight into a pipe is not among them.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The number of the stream within its session, for logs.
    #[must_use]
    pub const fn id(&self) -> StreamId {
        self.end.id
    }
}

/// What an ending means to a reader that did not see a clean end.
fn read_error(state: &State, ending: Ending) -> ReadError {
    match ending {
        Ending::Reset { code, reason } | Ending::Stopped { code, reason } => {
            ReadError::Reset { code, reason }
        }
        Ending::Lost | Ending::Finished => ReadError::Lost(state.why_lost()),
    }
}

impl fmt::Debug for RecvStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.end.debug("RecvStream", self.bytes, f)
    }
}
