//! One direction of a stream: as its writer, and as its reader.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;

use super::{
    budget::{Budget, Reservation},
    code,
    inbox::Inbox,
    payload::Payload,
};
use crate::wire::limits;

/// Window of a one-way stream unless its reader chooses another: what a local network needs at 1 GB/s and a round trip of 1 ms.
pub const DEFAULT_WINDOW: u32 = 1 << 20;

/// What a writer may queue before it must wait: two of the largest reads of a pipe, so that one is filled while the other is sent.
pub const SEND_QUEUE: usize = 512 << 10;

/// What a writer may always have under way to a pipe that is full, within its window: a pipe tells only when it was full that it has room
/// again, so it has to be filled to the brim, and what does not fit waits in memory.
const SLACK: u64 = 64 << 10;

/// A full pipe of which its reader takes so long to read is slow: there is time to look at it now and then, instead of filling it to the
/// brim to be told. A look that a runtime's timer makes late by a millisecond or two still finds something in it.
const SLOW: Duration = Duration::from_millis(4);

/// The pipe of a slow reader is looked at no earlier than after this: a runtime's timer has no finer grain.
const LOOK_LEAST: Duration = Duration::from_millis(1);

/// And no later than after this, should its reader have become quick: then the pipe was empty for so long, once.
const LOOK_MOST: Duration = Duration::from_millis(16);

/// After so many looks at a pipe of which nobody has read, it is filled to the brim, and tells by itself when somebody does. A stream that
/// nobody reads for an hour must not cost a processor anything.
const IDLE_LOOKS: u32 = 8;

/// Round trip from which on a path is not a local network.
pub(super) const FAR: Duration = Duration::from_millis(5);

/// A writer with less credit than this gets more as soon as there is room for a good piece, not only when half a window is free.
const LOW: u64 = 128 << 10;

/// Such a good piece.
const GOOD_PIECE: u64 = 16 << 10;

/// Window that a stream gets even when the budget is used up: with less it would hardly move.
const LEAST_WINDOW: u32 = 64 << 10;

/// A window that was used up within so many round trips is too small for its path: with one it would just have sufficed.
const SMALL_WITHIN: u32 = 3;

/// What a writer that ignored its credit may still send until it learns that it was stopped. It is dropped, so this is not memory.
const GRACE: u64 = limits::MAX_WINDOW as u64;

/// How a half ended. The four are never merged: only the first one is an end of the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The writer is done and everything has arrived.
    Finished,
    /// The writer gave up.
    Reset {
        /// Why, for programs.
        code: u32,
        /// Why, for people.
        reason: String,
    },
    /// The reader is gone.
    Stopped {
        /// Why, for programs.
        code: u32,
        /// Why, for people.
        reason: String,
    },
    /// The session ended first.
    Lost,
}

/// What a reader gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// A piece of data, or one whole message.
    Payload(Bytes),
    /// Nothing yet.
    Pending,
    /// Nothing more, for this reason.
    Ended(Ending),
}

/// Where a half is for its writer.
///
/// ```text
///              finish             Finish handed out            Finish written
///     Open ---------> Finishing ----------------> FinishTaken ---------------> Ended(Finished)
///      |                  |                            |
///      +------------------+-- reset --> Ended(Reset)   |
///      +------------------+-- Stop ---> Ended(Stopped) |
///      +------------------+----------------------------+-- session lost ----> Ended(Lost)
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SendState {
    /// May be written.
    Open,
    /// Nothing more is written; Finish follows what is queued.
    Finishing,
    /// Finish is on its way to the socket and cannot be taken back.
    FinishTaken,
    /// Over.
    Ended(Ending),
}

/// A half as its writer has it.
#[derive(Debug)]
pub(super) struct SendHalf {
    pub(super) state: SendState,
    queue: VecDeque<Payload>,
    queued: usize,
    credit: u64,
    accepted: u64,
    digest: Option<[u8; 32]>,
    /// Whether it stands in the queue of those that have something to send.
    pub(super) in_line: bool,
    /// Whether its user has not let go of it.
    pub(super) held: bool,
}

/// What a writer sends next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Payload(Payload),
    Finish {
        bytes: u64,
        digest: Option<[u8; 32]>,
    },
}

/// Where a half is for its reader.
///
/// ```text
///           Finish                                    Finish: it was quicker
///     Open ---------> Ended(Finished)      Stopping -------------------------> Ended(Finished)
///      |    Reset                            ^  |      Reset, code stopped
///      +------------> Ended(Reset)           |  +----------------------------> Ended(Stopped)
///      |    stop, or too much data           |  |      Reset, other code
///      +-------------------------------------+  +----------------------------> Ended(Reset)
///      +--------------- session lost -----------+----------------------------> Ended(Lost)
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ReceiveState {
    /// Data may come.
    Open,
    /// The writer has been asked to end; what comes is counted and dropped.
    Stopping { code: u32, reason: String },
    /// Nothing more comes; what has come may still wait to be read.
    Ended(Ending),
}

/// A half as its reader has it.
#[derive(Debug)]
pub(super) struct ReceiveHalf {
    pub(super) state: ReceiveState,
    inbox: Inbox,
    window: u32,
    /// Of this, what was granted or is the pipe's; the rest is for the length of the path.
    base: u32,
    /// What the writer may still send.
    granted: u64,
    /// What the user has and will have used up when it reads again.
    lent: u64,
    /// What was used up and not returned.
    used: u64,
    /// What the next Credit frame returns.
    pub(super) credit_due: u64,
    received: u64,
    digest: Option<[u8; 32]>,
    tuning: Tuning,
    /// What was free in the pipe at the last look, and how often it was that already.
    looks: Option<(usize, u32)>,
    reserved: Reservation,
    /// Whether its user has not let go of it.
    pub(super) held: bool,
}

/// Finds out whether the window is too small.
#[derive(Debug, Default)]
struct Tuning {
    since: Duration,
    used: u64,
    /// How long a window took at the last pace.
    took: Duration,
}

/// What a pipe that a stream ends in holds and could hold, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// How much it takes when it is empty.
    pub capacity: usize,
    /// How much it takes now. An estimate: a pipe is full when its slots are used up, however little is in each.
    pub free: usize,
}

/// The writer sent more than was granted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Excess {
    /// For the first time: the half is to be stopped.
    First,
    /// Although it had been stopped: the session cannot go on.
    Again,
}

/// What a message of this length costs in credit.
pub(super) const fn message_cost(length: usize) -> u64 {
    length as u64 + limits::MESSAGE_OVERHEAD as u64
}

// === impl SendHalf ===

impl SendHalf {
    pub(super) const fn new(credit: u64) -> Self {
        Self {
            state: SendState::Open,
            queue: VecDeque::new(),
            queued: 0,
            credit,
            accepted: 0,
            digest: None,
            in_line: false,
            held: true,
        }
    }

    /// Whether a piece of this length may be queued now.
    pub(super) const fn has_room(&self, length: usize) -> bool {
        self.queued == 0 || self.queued + length <= SEND_QUEUE
    }

    pub(super) fn push(&mut self, payload: Payload) {
        self.queued += payload.len();
        self.accepted += payload.len() as u64;
        match (self.queue.back_mut(), payload) {
            (Some(Payload::Piped(waiting)), Payload::Piped(more)) => *waiting += more,
            (_, payload) => self.queue.push_back(payload),
        }
    }

    /// How much of a pipe is announced, when that is all that is queued.
    pub(super) fn announced(&self) -> Option<usize> {
        match self.queue.front() {
            Some(Payload::Piped(length)) if *length == self.queued => Some(self.queued),
            _ => None,
        }
    }

    pub(super) const fn queued(&self) -> usize {
        self.queued
    }

    pub(super) const fn accepted(&self) -> u64 {
        self.accepted
    }

    pub(super) fn finish(&mut self, digest: Option<[u8; 32]>) {
        if self.state == SendState::Open {
            self.state = SendState::Finishing;
            self.digest = digest;
        }
    }

    /// Whether nothing was handed out yet that cannot be taken back.
    pub(super) const fn is_live(&self) -> bool {
        matches!(self.state, SendState::Open | SendState::Finishing)
    }

    pub(super) const fn has_ended(&self) -> bool {
        matches!(self.state, SendState::Ended(_))
    }

    /// Ends it; what is queued is dropped.
    pub(super) fn end(&mut self, ending: Ending) {
        self.state = SendState::Ended(ending);
        self.queue.clear();
        self.queued = 0;
    }

    /// Adds credit; says whether it is within the limit.
    pub(super) const fn add_credit(&mut self, delta: u32) -> bool {
        self.credit += delta as u64;
        self.credit <= limits::MAX_CREDIT
    }

    /// Whether [`Self::next`] would return something.
    pub(super) fn is_ready(&self, messages: bool) -> bool {
        match self.queue.front() {
            _ if !self.is_live() => false,
            None => self.state == SendState::Finishing,
            Some(payload) if messages => self.credit >= message_cost(payload.len()),
            Some(_) => self.credit > 0,
        }
    }

    /// Takes what is to be sent next: as much as credit and `quantum`, the length of a frame, allow.
    pub(super) fn next(&mut self, messages: bool, quantum: usize) -> Option<Next> {
        if !self.is_ready(messages) {
            return None;
        }
        let Some(front) = self.queue.front_mut() else {
            self.state = SendState::FinishTaken;
            return Some(Next::Finish {
                bytes: self.accepted,
                digest: self.digest,
            });
        };
        let payload = if messages {
            self.credit -= message_cost(front.len());
            self.queue.pop_front()?
        } else {
            let credit = usize::try_from(self.credit).unwrap_or(usize::MAX);
            let most = credit.min(quantum);
            let payload = if front.len() <= most {
                self.queue.pop_front()?
            } else {
                front.split_to(most)
            };
            self.credit -= payload.len() as u64;
            payload
        };
        self.queued -= payload.len();
        Some(Next::Payload(payload))
    }
}

// === impl ReceiveHalf ===

impl ReceiveHalf {
    pub(super) fn new(window: u32, budget: &Budget) -> Self {
        Self {
            state: ReceiveState::Open,
            inbox: Inbox::default(),
            window,
            base: window,
            granted: u64::from(window),
            lent: 0,
            used: 0,
            credit_due: 0,
            received: 0,
            digest: None,
            tuning: Tuning::default(),
            looks: None,
            reserved: budget.reservation(),
            held: true,
        }
    }

    /// Opens the window, or widens it, as far as the budget allows.
    pub(super) fn grant(&mut self, window: u32) {
        let window = window.clamp(1, limits::MAX_WINDOW);
        if self.state != ReceiveState::Open {
            return;
        }
        let wanted = window.saturating_sub(self.window);
        let more = self
            .reserved
            .take(wanted)
            .max(LEAST_WINDOW.min(window).saturating_sub(self.window));
        self.credit_due += u64::from(more);
        self.window += more;
        self.base = self.window;
    }

    /// Lets the window grow to what the pipe takes that it ends in, as far as the budget allows. What waits there waits for free.
    pub(super) fn widen(&mut self, capacity: u32) {
        let wanted = capacity.min(limits::MAX_WINDOW).saturating_sub(self.window);
        self.window += self.reserved.take(wanted);
        self.base = self.base.max(self.window.min(capacity));
    }

    /// How much may be passed straight into the pipe that it ends in: nothing that would overtake what waits to be read.
    pub(super) fn passable(&self) -> usize {
        if self.state == ReceiveState::Open && self.inbox.len() == 0 && self.lent == 0 {
            usize::try_from(self.granted).unwrap_or(usize::MAX)
        } else {
            0
        }
    }

    /// Notes that so much has been passed straight into the pipe that it ends in. Says whether it is time to [replenish](Self::replenish).
    pub(super) fn passed(
        &mut self,
        bytes: usize,
        now: Duration,
        round_trip: Option<Duration>,
    ) -> bool {
        self.received += bytes as u64;
        self.granted = self.granted.saturating_sub(bytes as u64);
        if self.state != ReceiveState::Open {
            return false;
        }
        let _grown = self.tune(bytes as u64, now, round_trip);
        // As if the pipe were empty: asking it costs a system call.
        self.is_due(u64::from(self.window))
    }

    /// Takes in what has arrived. The caller has checked that the half has not ended.
    pub(super) fn arrive(&mut self, payload: Bytes, message: bool) -> Result<(), Excess> {
        let length = payload.len();
        self.received += length as u64;
        let cost = if message {
            message_cost(length)
        } else {
            length as u64
        };
        let Some(granted) = self.granted.checked_sub(cost) else {
            if self.state != ReceiveState::Open {
                return Err(Excess::Again);
            }
            self.stop(code::FLOW_CONTROL, "more data than was granted".to_owned());
            self.granted = GRACE;
            return Err(Excess::First);
        };
        self.granted = granted;
        if self.state == ReceiveState::Open {
            if message {
                self.inbox.push_message(payload);
            } else {
                self.inbox.push_data(payload);
            }
        }
        Ok(())
    }

    /// Asks for the end; what has arrived is dropped.
    pub(super) fn stop(&mut self, code: u32, reason: String) {
        self.state = ReceiveState::Stopping { code, reason };
        self.inbox.clear();
        self.credit_due = 0;
    }

    /// The writer's Finish; the caller has compared the counts.
    pub(super) fn finish(&mut self, digest: Option<[u8; 32]>) {
        self.digest = digest;
        self.end(Ending::Finished);
    }

    /// The writer's Reset.
    pub(super) fn reset(&mut self, code: u32, reason: String) {
        let ending = match &self.state {
            ReceiveState::Stopping { code: why, reason } if code == code::STOPPED => {
                Ending::Stopped {
                    code: *why,
                    reason: reason.clone(),
                }
            }
            _ => Ending::Reset { code, reason },
        };
        self.end(ending);
    }

    pub(super) fn end(&mut self, ending: Ending) {
        self.state = ReceiveState::Ended(ending);
        self.credit_due = 0;
    }

    pub(super) const fn has_ended(&self) -> bool {
        matches!(self.state, ReceiveState::Ended(_))
    }

    pub(super) const fn received(&self) -> u64 {
        self.received
    }

    pub(super) const fn digest(&self) -> Option<[u8; 32]> {
        self.digest
    }

    /// Takes the next piece, and takes back what was lent before: into `pipe`, where that is what it ends in.
    ///
    /// A window of data may grow where `round_trip` says that it is too small.
    pub(super) fn read(
        &mut self,
        message: bool,
        pipe: Option<Room>,
        now: Duration,
        round_trip: Option<Duration>,
    ) -> Read {
        self.take_back(pipe, now, round_trip.filter(|_| !message));
        if let ReceiveState::Stopping { code, reason } = &self.state {
            // Only a half that was stopped for its writer's fault still has a reader.
            return Read::Ended(Ending::Reset {
                code: *code,
                reason: reason.clone(),
            });
        }
        if let Some(payload) = self.inbox.pop() {
            self.lent = if message {
                message_cost(payload.len())
            } else {
                payload.len() as u64
            };
            return Read::Payload(payload);
        }
        match &self.state {
            ReceiveState::Ended(ending) => Read::Ended(ending.clone()),
            _ => Read::Pending,
        }
    }

    /// Why the reader will not see the end of the data, as soon as that is known, whatever is still to be read.
    pub(super) fn broken(&self) -> Option<Ending> {
        match &self.state {
            ReceiveState::Open | ReceiveState::Ended(Ending::Finished) => None,
            ReceiveState::Ended(ending) => Some(ending.clone()),
            ReceiveState::Stopping { code, reason } => Some(Ending::Reset {
                code: *code,
                reason: reason.clone(),
            }),
        }
    }

    /// Takes the credit that a frame is to return.
    pub(super) fn take_credit(&mut self) -> u32 {
        let due = u32::try_from(self.credit_due).unwrap_or(u32::MAX);
        self.credit_due -= u64::from(due);
        self.granted += u64::from(due);
        due
    }

    /// Counts what was lent as used up, and makes credit of it when it is half a window.
    fn take_back(&mut self, pipe: Option<Room>, now: Duration, round_trip: Option<Duration>) {
        let lent = std::mem::take(&mut self.lent);
        if lent == 0 || self.state != ReceiveState::Open {
            return;
        }
        let grown = self.tune(lent, now, round_trip);
        if let Some(pipe) = pipe {
            self.replenish(pipe, round_trip);
            return;
        }
        self.credit_due += u64::from(grown);
        self.used += lent;
        if self.used * 2 >= u64::from(self.window) {
            self.credit_due += std::mem::take(&mut self.used);
        }
    }

    /// Gives the writer of a stream that ends in a pipe as much credit as the pipe has room, and some slack.
    ///
    /// The pipe never tells that it is less full than before unless it was full. So a writer is not without credit while nothing waits in
    /// memory: it sends until the pipe is full and something waits, and when the pipe has room for that, this is called again. Where the pipe
    /// is read slowly there is no slack, credit comes when half of the pipe is free, and whoever holds the stream [looks](Self::look) at it.
    pub(super) fn replenish(&mut self, pipe: Room, round_trip: Option<Duration>) {
        if self.state != ReceiveState::Open {
            return;
        }
        let path = self.under_way(pipe.capacity, round_trip.unwrap_or_default());
        let room = |slack| u64::from(self.window).min(pipe.free as u64 + slack);
        let (target, is_due) = if self.is_slow(pipe) {
            let target = room(path);
            (target, self.due(target) >= self.low_water(pipe))
        } else {
            let target = room(path.max(SLACK));
            (target, self.is_due(target))
        };
        if is_due {
            self.credit_due += self.due(target);
        }
    }

    /// The same for a pipe of which nobody tells. Says when to look again, unless the writer has got something.
    pub(super) fn look(&mut self, pipe: Room, round_trip: Option<Duration>) -> Option<Duration> {
        self.looks = match self.looks {
            Some((free, looks)) if free == pipe.free => Some((free, looks + 1)),
            _ => Some((pipe.free, 0)),
        };
        if self.looks.is_some_and(|(_, looks)| looks >= IDLE_LOOKS) {
            // As of a reader whose pace is not known.
            self.tuning.took = Duration::ZERO;
        }
        self.replenish(pipe, round_trip);
        if !self.is_starved() {
            self.looks = None;
            return None;
        }
        let missing = self.low_water(pipe).saturating_sub(pipe.free as u64);
        Some(self.reads_within(missing).clamp(LOOK_LEAST, LOOK_MOST))
    }

    fn is_slow(&self, pipe: Room) -> bool {
        self.reads_within(pipe.capacity as u64) >= SLOW
    }

    /// How much of a slow reader's pipe has to be free before its writer gets credit: few large pieces are cheaper than many small ones,
    /// and the other half lasts until they are there.
    fn low_water(&self, pipe: Room) -> u64 {
        (pipe.capacity as u64).min(u64::from(self.window)) / 2
    }

    /// How long the reader of the pipe takes for so much, as far as is known.
    fn reads_within(&self, bytes: u64) -> Duration {
        let share = bytes as f64 / f64::from(self.window.max(1));
        self.tuning.took.mul_f64(share)
    }

    /// What has to be under way beside what a pipe of this capacity takes. On a far path that is all of the window, which is for nothing else.
    /// On a near one it is twice what fits on the path at the pace of the last window, as far as the window has grown.
    fn under_way(&self, capacity: usize, round_trip: Duration) -> u64 {
        if round_trip >= FAR {
            return u64::from(self.window).saturating_sub(capacity as u64);
        }
        let grown = u64::from(self.window - self.base);
        let took = self.tuning.took.as_secs_f64();
        let share = 2.0 * round_trip.as_secs_f64() / took.max(f64::MIN_POSITIVE);
        // A cast of what is too much, or no number, ends at the bounds.
        grown.min((f64::from(self.window) * share) as u64)
    }

    /// Whether the writer can do nothing until it gets credit, though nothing waits in memory: then nobody tells when the pipe has room
    /// again, and it has to be looked at.
    pub(super) fn is_starved(&self) -> bool {
        self.state == ReceiveState::Open
            && self.granted + self.credit_due == 0
            && self.inbox.len() == 0
            && self.lent == 0
    }

    /// What is missing until the writer may have so much under way.
    fn due(&self, target: u64) -> u64 {
        target.saturating_sub(self.granted + self.credit_due + self.inbox.len() as u64)
    }

    /// Whether that is worth a frame.
    fn is_due(&self, target: u64) -> bool {
        let due = self.due(target);
        due * 2 >= target || (self.granted + self.credit_due < LOW && due >= GOOD_PIECE)
    }

    /// Doubles a window that is used up faster than its path can return credit for it; says by how much it has grown.
    fn tune(&mut self, used: u64, now: Duration, round_trip: Option<Duration>) -> u32 {
        self.tuning.used += used;
        if self.tuning.used < u64::from(self.window) {
            return 0;
        }
        let took = now.saturating_sub(self.tuning.since);
        // It may have been nearly two windows.
        let windows = self.tuning.used as f64 / f64::from(self.window);
        self.tuning = Tuning {
            since: now,
            used: 0,
            took: took.div_f64(windows),
        };
        if round_trip.is_none_or(|round_trip| self.tuning.took >= round_trip * SMALL_WITHIN) {
            return 0;
        }
        let wanted = self.window.min(limits::MAX_WINDOW - self.window);
        let more = self.reserved.take(wanted);
        self.window += more;
        more
    }
}
