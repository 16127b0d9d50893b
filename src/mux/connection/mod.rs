//! One side of a session.

mod frames;
mod users;

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use super::{
    bucket::Bucket,
    budget::Budget,
    error::Violation,
    half::{Ending, FAR, Next, ReceiveHalf, ReceiveState, SendHalf, SendState},
    life::{Life, Pulse},
    payload::Payload,
};
use crate::wire::{Frame, FrameType, Half, StreamId, StreamKind, limits, message::Purpose};

/// Streams that each side may have open: eight for each of two thousand pipes, far beyond what a node runs.
pub const MAX_STREAMS: usize = 16_384;

/// Streams beyond the limit that are refused one by one before the session ends: those that were under way.
const MAX_REFUSED: usize = 1_024;

/// Frames that may wait to be sent beside payloads. Each live stream causes at most three, so only a peer that makes and ends streams
/// and never reads the answers gets there.
const MAX_CONTROL: usize = 4 * (MAX_STREAMS + MAX_REFUSED);

/// Opens, resets and stops: a busy entry starts some hundred pipes a second, with a handful of streams on each session; a flood is a
/// hundred thousand.
const CHURN_INTERVAL: Duration = Duration::from_micros(500);

/// How many of them may come at once: 1,000 pipes started together, and their ends.
const CHURN_BURST: u32 = 8_192;

/// A healthy peer pings every five seconds, and one with a short lease five times a second
/// ([`PING_AT_MOST_EVERY`](super::life::PING_AT_MOST_EVERY)). Twice that is for clocks, and for pings that were held up.
const PING_INTERVAL: Duration = Duration::from_millis(100);

/// Pings that may come at once, after a pause of the network.
const PING_BURST: u32 = 10;

/// Length of a data frame while other streams of the session have something to send: a quarter of what one alone gets, so that each
/// waits for the others for a quarter of the time, and still enough to be worth its system calls.
const SHARED_QUANTUM: usize = 256 << 10;

/// Length of a data frame on a path that is [`FAR`](super::half::FAR): what stands before a control frame in the socket delays it, and on a slow path by
/// much. The windows there are many times longer, so throughput does not depend on it.
const FAR_QUANTUM: usize = 64 << 10;

/// Which side of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Made the connection; its streams are odd.
    Dialler,
    /// Was connected to; its streams are even.
    Acceptor,
}

/// What has happened, for the driver to wake whom it concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// [`Connection::accept`] has something.
    Incoming,
    /// A half has changed: room, data, or an end.
    Changed(StreamId, Half),
    /// A half's ending is settled between both sides. For logs and tests; [`Event::Changed`] comes beside it.
    Ended(StreamId, Half, Ending),
    /// The peer accepts no new streams.
    GoAway {
        /// Why, for programs.
        code: u32,
        /// Why, for people.
        reason: String,
    },
}

/// What is to be sent next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// A frame that is not Data.
    Frame(Frame),
    /// A Data frame.
    Data {
        /// The stream.
        stream: StreamId,
        /// Its payload, at most [`limits::MAX_DATA`] long. Once taken it must be sent whole, or the session is lost.
        payload: Payload,
    },
}

/// A stream that the peer has opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Its name.
    pub id: StreamId,
    /// Who writes.
    pub kind: StreamKind,
    /// What it is for.
    pub purpose: Purpose,
}

/// One side of a session.
#[derive(Debug)]
pub struct Connection {
    side: Side,
    streams: HashMap<StreamId, Halves>,
    accept: VecDeque<Stream>,
    events: VecDeque<Event>,
    line: Line,
    next_id: u32,
    last_peer_id: u32,
    own: usize,
    peers: usize,
    budget: Budget,
    life: Life,
    churn: Bucket,
    pings: Bucket,
    away: Away,
    idle_since: Duration,
    over: bool,
}

/// What waits to be sent.
#[derive(Debug, Default)]
struct Line {
    pong: Option<u64>,
    ping: Option<u64>,
    control: VecDeque<Frame>,
    credit: VecDeque<StreamId>,
    ready: VecDeque<StreamId>,
}

/// Who accepts no new streams any more.
#[derive(Debug, Default)]
struct Away {
    here: Option<String>,
    there: Option<String>,
}

/// A stream: at least one half.
#[derive(Debug)]
struct Halves {
    kind: StreamKind,
    own: bool,
    send: Option<SendHalf>,
    receive: Option<ReceiveHalf>,
    /// Whether it stands in the queue of those that return credit.
    in_credit_line: bool,
}

// === impl Side ===

impl Side {
    /// The number of this side's first stream.
    const fn first_id(self) -> u32 {
        match self {
            Self::Dialler => 1,
            Self::Acceptor => 2,
        }
    }
}

// === impl Halves ===

impl Halves {
    fn new(kind: StreamKind, own: bool, budget: &Budget) -> Self {
        let (send, receive) = match kind {
            StreamKind::Uni if own => (Some(0), None),
            StreamKind::Uni => (None, Some(0)),
            StreamKind::Bidi => (Some(limits::MESSAGE_WINDOW), Some(limits::MESSAGE_WINDOW)),
        };
        Self {
            kind,
            own,
            send: send.map(|credit| SendHalf::new(u64::from(credit))),
            receive: receive.map(|window| ReceiveHalf::new(window, budget)),
            in_credit_line: false,
        }
    }

    const fn messages(&self) -> bool {
        matches!(self.kind, StreamKind::Bidi)
    }

    fn is_done(&self) -> bool {
        let sent = self
            .send
            .as_ref()
            .is_none_or(|half| half.has_ended() && !half.held);
        let received = self
            .receive
            .as_ref()
            .is_none_or(|half| half.has_ended() && !half.held);
        sent && received
    }
}

// === impl Connection: the driver's side ===

impl Connection {
    /// One side of a session whose Hellos have been exchanged, at time zero. Its windows take what they need of the budget.
    #[must_use]
    pub fn new(side: Side, budget: Budget) -> Self {
        Self {
            side,
            streams: HashMap::new(),
            accept: VecDeque::new(),
            events: VecDeque::new(),
            line: Line::default(),
            next_id: side.first_id(),
            last_peer_id: 0,
            own: 0,
            peers: 0,
            budget,
            life: Life::new(),
            churn: Bucket::new(CHURN_INTERVAL, CHURN_BURST),
            pings: Bucket::new(PING_INTERVAL, PING_BURST),
            away: Away::default(),
            idle_since: Duration::ZERO,
            over: false,
        }
    }

    /// Notes that bytes came, be they a frame or only a part of one.
    pub fn heard(&mut self, now: Duration) {
        self.life.heard(now);
    }

    /// Takes in a frame of the peer.
    ///
    /// # Errors
    ///
    /// Returns what the peer did wrong when the session cannot go on. What concerns one stream only ends that stream.
    pub fn receive(&mut self, frame: Frame, now: Duration) -> Result<(), Violation> {
        if self.over {
            return Ok(());
        }
        self.life.heard(now);
        let (frame_type, stream) = (frame.frame_type(), frame.stream());
        let churns = matches!(
            frame_type,
            FrameType::Open | FrameType::Reset | FrameType::Stop
        );
        if churns && !self.churn.take(now) {
            return Err(Violation::Flood(frame_type));
        }
        match frame {
            // Room for later minor versions: a message to the session after the Hello is ignored.
            Frame::Message {
                stream: StreamId::SESSION,
                ..
            } => {}
            Frame::Open {
                stream,
                kind,
                purpose,
            } => self.opened(stream, kind, purpose, now)?,
            Frame::Data { payload, .. } => {
                self.arrived(stream, payload, StreamKind::Uni)?;
            }
            Frame::Message { body, .. } => {
                self.arrived(stream, body, StreamKind::Bidi)?;
            }
            Frame::Finish { bytes, digest, .. } => self.finished(stream, bytes, digest)?,
            Frame::Reset { code, reason, .. } => {
                self.reader(stream, FrameType::Reset)?.reset(code, reason);
                self.receive_ended(stream);
            }
            Frame::Credit { delta, .. } => self.credited(stream, delta)?,
            Frame::Stop { code, reason, .. } => self.stopped(stream, code, reason)?,
            Frame::Ping(number) => {
                if !self.pings.take(now) {
                    return Err(Violation::Flood(FrameType::Ping));
                }
                self.line.pong = Some(number);
            }
            Frame::Pong(number) => self.life.answered(number, now),
            Frame::GoAway { code, reason } => {
                self.away.there = Some(reason.clone());
                self.events.push_back(Event::GoAway { code, reason });
            }
        }
        self.sweep(stream, now);
        if self.line.control.len() > MAX_CONTROL {
            return Err(Violation::Backlog(self.line.control.len()));
        }
        Ok(())
    }

    /// Changes the silence after which the peer is dead; `None` leaves that to the socket.
    pub fn set_lease(&mut self, lease: Option<Duration>) {
        self.life.set_lease(lease);
    }

    /// When the peer was last heard, since the start.
    #[must_use]
    pub fn last_heard(&self) -> Duration {
        self.life.last_heard()
    }

    /// Looks at the clock: asks the peer for a sign of life when that is due.
    ///
    /// # Errors
    ///
    /// Returns [`Violation::Silent`] when nothing was heard for [`DEAD_AFTER`](super::DEAD_AFTER).
    pub fn tick(&mut self, now: Duration) -> Result<(), Violation> {
        match self.life.tick(now) {
            _ if self.over => {}
            Pulse::Quiet => {}
            Pulse::Ping(number) => self.line.ping = Some(number),
            Pulse::Dead(silent) => return Err(Violation::Silent(silent)),
        }
        Ok(())
    }

    /// When [`Connection::tick`] must be called next, at the latest.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.life.deadline()
    }

    /// The last round trip of a ping.
    #[must_use]
    pub const fn round_trip(&self) -> Option<Duration> {
        self.life.round_trip()
    }

    /// The shortest round trip of a ping, which is the path's own.
    #[must_use]
    pub const fn least_round_trip(&self) -> Option<Duration> {
        self.life.least_round_trip()
    }

    /// Since when there has been no stream; `None` while there is one.
    #[must_use]
    pub fn idle_since(&self) -> Option<Duration> {
        self.streams.is_empty().then_some(self.idle_since)
    }

    /// What has happened since it was asked last.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Takes what is to be sent next: frames of the session, ends and credit first, then payloads, stream by stream.
    ///
    /// When a [`Frame::Finish`] has been written the driver says so by [`Connection::finish_written`].
    pub fn poll_outgoing(&mut self) -> Option<Outgoing> {
        if self.over {
            return None;
        }
        if let Some(number) = self.line.pong.take() {
            return Some(Outgoing::Frame(Frame::Pong(number)));
        }
        if let Some(number) = self.line.ping.take() {
            return Some(Outgoing::Frame(Frame::Ping(number)));
        }
        if let Some(frame) = self.line.control.pop_front() {
            return Some(Outgoing::Frame(frame));
        }
        while let Some(stream) = self.line.credit.pop_front() {
            let Some(halves) = self.streams.get_mut(&stream) else {
                continue;
            };
            halves.in_credit_line = false;
            let delta = halves.receive.as_mut().map_or(0, ReceiveHalf::take_credit);
            if delta > 0 {
                return Some(Outgoing::Frame(Frame::Credit { stream, delta }));
            }
        }
        while let Some(stream) = self.line.ready.pop_front() {
            let quantum = self.quantum();
            let Some(halves) = self.streams.get_mut(&stream) else {
                continue;
            };
            let messages = halves.messages();
            let Some(half) = &mut halves.send else {
                continue;
            };
            half.in_line = false;
            let Some(next) = half.next(messages, quantum) else {
                continue;
            };
            self.line_up(stream);
            self.changed(stream, Half::Send);
            return Some(match next {
                Next::Finish { bytes, digest } => Outgoing::Frame(Frame::Finish {
                    stream,
                    bytes,
                    digest,
                }),
                Next::Payload(Payload::Bytes(body)) if messages => {
                    Outgoing::Frame(Frame::Message { stream, body })
                }
                Next::Payload(payload) => Outgoing::Data { stream, payload },
            });
        }
        None
    }

    /// The stream of the next data frame, if what it will carry was announced while it is in a pipe, and how much that was. More may be there
    /// by now, which the driver can [announce](Self::send) too: the frame becomes longer then. A stream that is alone has not waited.
    #[must_use]
    pub fn next_announced(&self) -> Option<(StreamId, usize)> {
        if self.line.ready.len() < 2 {
            return None;
        }
        let stream = *self.line.ready.front()?;
        let announced = self.sending(stream)?.announced()?;
        (announced < self.quantum()).then_some((stream, announced))
    }

    /// Whether [`Connection::poll_outgoing`] may have something.
    #[must_use]
    pub fn has_outgoing(&self) -> bool {
        let line = &self.line;
        line.pong.is_some()
            || line.ping.is_some()
            || !line.control.is_empty()
            || !line.credit.is_empty()
            || !line.ready.is_empty()
    }

    /// Takes the ends of streams that wait to be sent, so that the peer of a session that is about to close learns their reasons.
    pub fn take_control(&mut self) -> Vec<Frame> {
        self.line.control.drain(..).collect()
    }

    /// Notes that a Finish frame is in the socket: the half has ended.
    pub fn finish_written(&mut self, stream: StreamId, now: Duration) {
        if let Some(half) = self.sender(stream)
            && half.state == SendState::FinishTaken
        {
            half.end(Ending::Finished);
            self.send_ended(stream);
            self.sweep(stream, now);
        }
    }

    /// Notes that the session is over: every half that has not ended is lost.
    pub fn lose(&mut self) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        let ids: Vec<StreamId> = self.streams.keys().copied().collect();
        for id in ids {
            let Some(halves) = self.streams.get_mut(&id) else {
                continue;
            };
            let send = halves.send.as_mut().is_some_and(|half| {
                let lost = !half.has_ended();
                if lost {
                    half.end(Ending::Lost);
                }
                lost
            });
            let receive = halves.receive.as_mut().is_some_and(|half| {
                let lost = !half.has_ended();
                if lost {
                    half.end(Ending::Lost);
                }
                lost
            });
            if send {
                self.send_ended(id);
            }
            if receive {
                self.receive_ended(id);
            }
        }
        self.accept.clear();
        self.events.push_back(Event::Incoming);
        self.line = Line::default();
    }
}

// === impl Connection: book-keeping ===

impl Connection {
    /// How long the next data frame may be.
    fn quantum(&self) -> usize {
        let far = self
            .life
            .least_round_trip()
            .is_some_and(|round_trip| round_trip >= FAR);
        match (far, self.line.ready.is_empty()) {
            (true, _) => FAR_QUANTUM,
            (false, false) => SHARED_QUANTUM,
            (false, true) => limits::MAX_DATA,
        }
    }

    /// The half that this side writes.
    fn sending(&self, stream: StreamId) -> Option<&SendHalf> {
        self.streams.get(&stream)?.send.as_ref()
    }

    /// The half that this side reads.
    fn receiving(&self, stream: StreamId) -> Option<&ReceiveHalf> {
        self.streams.get(&stream)?.receive.as_ref()
    }

    fn sender(&mut self, stream: StreamId) -> Option<&mut SendHalf> {
        self.streams.get_mut(&stream)?.send.as_mut()
    }

    /// Puts a stream into the queue of those that have something to send, if it has.
    fn line_up(&mut self, stream: StreamId) {
        let Some(halves) = self.streams.get_mut(&stream) else {
            return;
        };
        let messages = halves.messages();
        if let Some(half) = &mut halves.send
            && !half.in_line
            && half.is_ready(messages)
        {
            half.in_line = true;
            self.line.ready.push_back(stream);
        }
    }

    /// Puts a stream into the queue of those that return credit.
    fn line_up_credit(&mut self, stream: StreamId) {
        if let Some(halves) = self.streams.get_mut(&stream)
            && !std::mem::replace(&mut halves.in_credit_line, true)
        {
            self.line.credit.push_back(stream);
        }
    }

    fn changed(&mut self, stream: StreamId, half: Half) {
        self.events.push_back(Event::Changed(stream, half));
    }

    fn send_ended(&mut self, stream: StreamId) {
        if let Some(ending) = self.send_ending(stream) {
            self.events
                .push_back(Event::Ended(stream, Half::Send, ending));
            self.changed(stream, Half::Send);
        }
    }

    fn receive_ended(&mut self, stream: StreamId) {
        let half = self.receiving(stream);
        if let Some(ReceiveState::Ended(ending)) = half.map(|half| &half.state) {
            let ending = ending.clone();
            self.events
                .push_back(Event::Ended(stream, Half::Receive, ending));
            self.changed(stream, Half::Receive);
        }
    }

    /// Forgets a stream whose halves have ended and that nobody uses any more.
    fn sweep(&mut self, stream: StreamId, now: Duration) {
        if !self.streams.get(&stream).is_some_and(Halves::is_done) {
            return;
        }
        if let Some(halves) = self.streams.remove(&stream) {
            if halves.own {
                self.own -= 1;
            } else {
                self.peers -= 1;
            }
            self.idle_since = now;
        }
    }
}

#[cfg(test)]
mod tests;
