//! What a reader lets its writer send: windows, what the pipe that it ends in has room for, and how both follow the pace.

use std::time::Duration;

use super::{ReceiveHalf, ReceiveState};
use crate::wire::limits;

/// Window of a one-way stream unless its reader chooses another: what a local network needs at 1 GB/s and a round trip of 1 ms.
pub const DEFAULT_WINDOW: u32 = 1 << 20;

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
pub(in crate::mux) const FAR: Duration = Duration::from_millis(5);

/// A writer with less credit than this gets more as soon as there is room for a good piece, not only when half a window is free.
const LOW: u64 = 128 << 10;

/// Such a good piece.
const GOOD_PIECE: u64 = 16 << 10;

/// Window that a stream gets even when the budget is used up: with less it would hardly move.
const LEAST_WINDOW: u32 = 64 << 10;

/// A window that was used up within so many round trips is too small for its path: with one it would just have sufficed.
const SMALL_WITHIN: u32 = 3;

/// Finds out whether the window is too small.
#[derive(Debug, Default)]
pub(super) struct Tuning {
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

// === impl ReceiveHalf: credit ===

impl ReceiveHalf {
    /// Opens the window, or widens it, as far as the budget allows.
    pub(in crate::mux) fn grant(&mut self, window: u32) {
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
    pub(in crate::mux) fn widen(&mut self, capacity: u32) {
        let wanted = capacity.min(limits::MAX_WINDOW).saturating_sub(self.window);
        self.window += self.reserved.take(wanted);
        self.base = self.base.max(self.window.min(capacity));
    }

    /// Notes that so much has been passed straight into the pipe that it ends in. Says whether it is time to [replenish](Self::replenish).
    pub(in crate::mux) fn passed(
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

    /// Takes the credit that a frame is to return.
    pub(in crate::mux) fn take_credit(&mut self) -> u32 {
        let due = u32::try_from(self.credit_due).unwrap_or(u32::MAX);
        self.credit_due -= u64::from(due);
        self.granted += u64::from(due);
        due
    }

    /// Counts what was lent as used up, and makes credit of it when it is half a window.
    pub(super) fn take_back(
        &mut self,
        pipe: Option<Room>,
        now: Duration,
        round_trip: Option<Duration>,
    ) {
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
    pub(in crate::mux) fn replenish(&mut self, pipe: Room, round_trip: Option<Duration>) {
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
    pub(in crate::mux) fn look(
        &mut self,
        pipe: Room,
        round_trip: Option<Duration>,
    ) -> Option<Duration> {
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
    pub(in crate::mux) fn is_starved(&self) -> bool {
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
