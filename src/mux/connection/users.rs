//! What the users of the streams do.

use std::time::Duration;

use super::{Connection, Halves, MAX_STREAMS, Stream};
use crate::{
    mux::{
        code,
        error::OpenError,
        half::{Ending, Read, ReceiveHalf, ReceiveState, Room, SendHalf, SendState},
        payload::Payload,
    },
    wire::{Frame, Half, StreamId, StreamKind, limits, message::Purpose},
};

impl Connection {
    /// Opens a stream.
    ///
    /// # Errors
    ///
    /// Returns why none can be opened; nothing was sent then.
    pub fn open(&mut self, kind: StreamKind, purpose: &Purpose) -> Result<StreamId, OpenError> {
        if self.over {
            return Err(OpenError::Over);
        }
        if let Some(reason) = self.away.there.as_ref().or(self.away.here.as_ref()) {
            return Err(OpenError::GoingAway(reason.clone()));
        }
        if self.own >= MAX_STREAMS {
            return Err(OpenError::TooMany(self.own));
        }
        let length = serde_json::to_vec(purpose).map_or(usize::MAX, |text| text.len());
        if length >= limits::MAX_OPEN {
            return Err(OpenError::TooLong(length));
        }
        let id = StreamId(self.next_id);
        self.next_id = self.next_id.checked_add(2).ok_or(OpenError::Exhausted)?;
        self.own += 1;
        self.streams
            .insert(id, Halves::new(kind, true, &self.budget));
        self.line.control.push_back(Frame::Open {
            stream: id,
            kind,
            purpose: purpose.clone(),
        });
        Ok(id)
    }

    /// Takes the next stream that the peer has opened.
    pub fn accept(&mut self) -> Option<Stream> {
        self.accept.pop_front()
    }

    /// Whether a piece of this length may be given to [`Connection::send`] now.
    ///
    /// # Errors
    ///
    /// Returns how the half ended.
    pub fn has_room(&self, stream: StreamId, length: usize) -> Result<bool, Ending> {
        match self.sending(stream).map(|half| (&half.state, half)) {
            None => Err(Ending::Lost),
            Some((SendState::Ended(ending), _)) => Err(ending.clone()),
            Some((_, half)) => Ok(half.has_room(length)),
        }
    }

    /// Queues a piece of data, or the body of one message. Does nothing if the half has ended or was finished.
    ///
    /// # Panics
    ///
    /// If a message is longer than [`limits::MAX_MESSAGE`].
    pub fn send(&mut self, stream: StreamId, payload: Payload) {
        let Some(halves) = self.streams.get_mut(&stream) else {
            return;
        };
        let fits = !halves.messages() || payload.len() <= limits::MAX_MESSAGE;
        assert!(fits, "message of {} bytes", payload.len());
        if let Some(half) = &mut halves.send
            && half.state == SendState::Open
            && !payload.is_empty()
        {
            half.push(payload);
            self.line_up(stream);
        }
    }

    /// Ends a half cleanly, behind what is queued. `digest` is the SHA-256 of all its bytes where that was agreed on.
    pub fn finish(&mut self, stream: StreamId, digest: Option<[u8; 32]>) {
        if let Some(half) = self.sender(stream) {
            half.finish(digest);
            self.line_up(stream);
        }
    }

    /// How a written half ended; `None` while it has not.
    #[must_use]
    pub fn send_ending(&self, stream: StreamId) -> Option<Ending> {
        match self.sending(stream) {
            Some(half) => match &half.state {
                SendState::Ended(ending) => Some(ending.clone()),
                _ => None,
            },
            None => Some(Ending::Lost),
        }
    }

    /// Bytes of a half that wait to be taken.
    #[must_use]
    pub fn queued(&self, stream: StreamId) -> usize {
        self.sending(stream).map_or(0, SendHalf::queued)
    }

    /// Bytes that were queued on a half since its beginning.
    #[must_use]
    pub fn bytes_accepted(&self, stream: StreamId) -> u64 {
        self.sending(stream).map_or(0, SendHalf::accepted)
    }

    /// Gives up writing; what is queued is dropped. Does nothing once Finish has been handed out.
    pub fn reset(&mut self, stream: StreamId, code: u32, reason: &str) {
        if let Some(half) = self.sender(stream)
            && half.is_live()
        {
            let reason = reason.to_owned();
            half.end(Ending::Reset {
                code,
                reason: reason.clone(),
            });
            self.line.control.push_back(Frame::Reset {
                stream,
                code,
                reason,
            });
            self.send_ended(stream);
        }
    }

    /// The writer's user lets go: a half that has not ended is reset.
    pub fn release_send(&mut self, stream: StreamId, now: Duration) {
        self.reset(stream, code::CANCELLED, "given up");
        if let Some(half) = self.sender(stream) {
            half.held = false;
        }
        self.sweep(stream, now);
    }

    /// Opens the window of a one-way stream, or widens it: its writer may send. Bounded by [`limits::MAX_WINDOW`] and by what is left of
    /// the budget; it is never less than 64 KiB if that was asked for.
    pub fn grant(&mut self, stream: StreamId, window: u32) {
        if let Some(halves) = self.streams.get_mut(&stream)
            && let Some(half) = &mut halves.receive
        {
            half.grant(window);
            self.line_up_credit(stream);
        }
    }

    /// Takes what has arrived on a half. Reading on says that what was read before has been used up, which returns its credit.
    ///
    /// What arrived before a reset or a loss is still delivered; who must know of these at once asks [`Connection::broken`]. `pipe` is what
    /// there is room for in the pipe that the stream ends in, where the driver passes data straight into it.
    pub fn read(&mut self, stream: StreamId, pipe: Option<Room>, now: Duration) -> Read {
        let round_trip = self.life.least_round_trip();
        let Some(halves) = self.streams.get_mut(&stream) else {
            return Read::Ended(Ending::Lost);
        };
        let messages = halves.messages();
        let Some(half) = &mut halves.receive else {
            return Read::Ended(Ending::Lost);
        };
        let read = half.read(messages, pipe, now, round_trip);
        if half.credit_due > 0 {
            self.line_up_credit(stream);
        }
        read
    }

    /// How many bytes of a one-way stream that arrive next may be passed straight into the pipe that it ends in; 0 when they have to be
    /// [received](Connection::receive), because others wait before them, nobody wants them, or they were not granted.
    #[must_use]
    pub fn passable(&self, stream: StreamId) -> usize {
        let half = self
            .streams
            .get(&stream)
            .filter(|halves| !halves.messages())
            .and_then(|halves| halves.receive.as_ref());
        half.map_or(0, ReceiveHalf::passable)
    }

    /// Notes that so many bytes, which were passable, are in the pipe that the stream ends in. Says whether it is time to
    /// [replenish](Self::replenish) what its writer may send.
    #[must_use]
    pub fn passed(&mut self, stream: StreamId, bytes: usize, now: Duration) -> bool {
        self.life.heard(now);
        let round_trip = self.life.least_round_trip();
        let half = self
            .streams
            .get_mut(&stream)
            .and_then(|halves| halves.receive.as_mut());
        half.is_some_and(|half| half.passed(bytes, now, round_trip))
    }

    /// Whether the writer of a stream that ends in a pipe waits for credit while nothing waits to be read: then
    /// [look](Self::look) has to be called now and then, for the pipe does not tell when it has room.
    #[must_use]
    pub fn is_starved(&self, stream: StreamId) -> bool {
        self.receiving(stream).is_some_and(ReceiveHalf::is_starved)
    }

    /// Gives the writer of a stream that ends in a pipe credit for what the pipe has room.
    pub fn replenish(&mut self, stream: StreamId, pipe: Room) {
        let round_trip = self.life.least_round_trip();
        if let Some(halves) = self.streams.get_mut(&stream)
            && let Some(half) = &mut halves.receive
        {
            half.replenish(pipe, round_trip);
            if half.credit_due > 0 {
                self.line_up_credit(stream);
            } else if half.is_starved() {
                self.changed(stream, Half::Receive);
            }
        }
    }

    /// The same for a stream that [is starved](Self::is_starved). Says when to look again, unless its writer has got credit.
    pub fn look(&mut self, stream: StreamId, pipe: Room) -> Option<Duration> {
        let round_trip = self.life.least_round_trip();
        let half = self.streams.get_mut(&stream)?.receive.as_mut()?;
        let again = half.look(pipe, round_trip);
        if half.credit_due > 0 {
            self.line_up_credit(stream);
        }
        again
    }

    /// Lets the window of a one-way stream grow to what the pipe takes that it ends in, where the budget has room. The credit comes with
    /// what is passed next.
    pub fn widen(&mut self, stream: StreamId, capacity: u32) {
        if let Some(halves) = self.streams.get_mut(&stream)
            && let Some(half) = &mut halves.receive
        {
            half.widen(capacity);
        }
    }

    /// Why a read half will not come to a clean end, as soon as that is known.
    #[must_use]
    pub fn broken(&self, stream: StreamId) -> Option<Ending> {
        match self.receiving(stream) {
            Some(half) => half.broken(),
            None => Some(Ending::Lost),
        }
    }

    /// The digest that came with the Finish of a half.
    #[must_use]
    pub fn digest(&self, stream: StreamId) -> Option<[u8; 32]> {
        self.receiving(stream).and_then(ReceiveHalf::digest)
    }

    /// Asks the writer to end a half; what has arrived and what still comes is dropped.
    pub fn stop(&mut self, stream: StreamId, code: u32, reason: &str) {
        let Some(halves) = self.streams.get_mut(&stream) else {
            return;
        };
        if let Some(half) = &mut halves.receive
            && half.state == ReceiveState::Open
        {
            half.stop(code, reason.to_owned());
            self.line.control.push_back(Frame::Stop {
                stream,
                code,
                reason: reason.to_owned(),
            });
        }
    }

    /// The reader's user lets go: a half that has not ended is stopped.
    pub fn release_receive(&mut self, stream: StreamId, now: Duration) {
        self.stop(stream, code::CANCELLED, "given up");
        if let Some(halves) = self.streams.get_mut(&stream)
            && let Some(half) = &mut halves.receive
        {
            half.held = false;
        }
        self.sweep(stream, now);
    }

    /// Accepts no new streams from now on, and opens none; the others go on.
    pub fn go_away(&mut self, code: u32, reason: &str) {
        if self.away.here.is_none() {
            self.away.here = Some(reason.to_owned());
            self.line.control.push_back(Frame::GoAway {
                code,
                reason: reason.to_owned(),
            });
        }
    }
}
