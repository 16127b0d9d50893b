//! A half as its reader has it.

mod credit;

use std::time::Duration;

use bytes::Bytes;

pub(in crate::mux) use self::credit::FAR;
use self::credit::Tuning;
pub use self::credit::{DEFAULT_WINDOW, Room};
use super::{Ending, Read, message_cost};
use crate::{
    mux::{
        budget::{Budget, Reservation},
        code,
        inbox::Inbox,
    },
    wire::limits,
};

/// What a writer that ignored its credit may still send until it learns that it was stopped. It is dropped, so this is not memory.
const GRACE: u64 = limits::MAX_WINDOW as u64;

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
pub(in crate::mux) enum ReceiveState {
    /// Data may come.
    Open,
    /// The writer has been asked to end; what comes is counted and dropped.
    Stopping { code: u32, reason: String },
    /// Nothing more comes; what has come may still wait to be read.
    Ended(Ending),
}

/// A half as its reader has it.
#[derive(Debug)]
pub(in crate::mux) struct ReceiveHalf {
    pub(in crate::mux) state: ReceiveState,
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
    pub(in crate::mux) credit_due: u64,
    received: u64,
    digest: Option<[u8; 32]>,
    tuning: Tuning,
    /// What was free in the pipe at the last look, and how often it was that already.
    looks: Option<(usize, u32)>,
    reserved: Reservation,
    /// Whether its user has not let go of it.
    pub(in crate::mux) held: bool,
}

/// The writer sent more than was granted.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::mux) enum Excess {
    /// For the first time: the half is to be stopped.
    First,
    /// Although it had been stopped: the session cannot go on.
    Again,
}

// === impl ReceiveHalf ===

impl ReceiveHalf {
    pub(in crate::mux) fn new(window: u32, budget: &Budget) -> Self {
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

    /// How much may be passed straight into the pipe that it ends in: nothing that would overtake what waits to be read.
    pub(in crate::mux) fn passable(&self) -> usize {
        if self.state == ReceiveState::Open && self.inbox.len() == 0 && self.lent == 0 {
            usize::try_from(self.granted).unwrap_or(usize::MAX)
        } else {
            0
        }
    }

    /// Takes in what has arrived. The caller has checked that the half has not ended.
    pub(in crate::mux) fn arrive(&mut self, payload: Bytes, message: bool) -> Result<(), Excess> {
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
    pub(in crate::mux) fn stop(&mut self, code: u32, reason: String) {
        self.state = ReceiveState::Stopping { code, reason };
        self.inbox.clear();
        self.credit_due = 0;
    }

    /// The writer's Finish; the caller has compared the counts.
    pub(in crate::mux) fn finish(&mut self, digest: Option<[u8; 32]>) {
        self.digest = digest;
        self.end(Ending::Finished);
    }

    /// The writer's Reset.
    pub(in crate::mux) fn reset(&mut self, code: u32, reason: String) {
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

    pub(in crate::mux) fn end(&mut self, ending: Ending) {
        self.state = ReceiveState::Ended(ending);
        self.credit_due = 0;
    }

    pub(in crate::mux) const fn has_ended(&self) -> bool {
        matches!(self.state, ReceiveState::Ended(_))
    }

    pub(in crate::mux) const fn received(&self) -> u64 {
        self.received
    }

    pub(in crate::mux) const fn digest(&self) -> Option<[u8; 32]> {
        self.digest
    }

    /// Takes the next piece, and takes back what was lent before: into `pipe`, where that is what it ends in.
    ///
    /// A window of data may grow where `round_trip` says that it is too small.
    pub(in crate::mux) fn read(
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
    pub(in crate::mux) fn broken(&self) -> Option<Ending> {
        match &self.state {
            ReceiveState::Open | ReceiveState::Ended(Ending::Finished) => None,
            ReceiveState::Ended(ending) => Some(ending.clone()),
            ReceiveState::Stopping { code, reason } => Some(Ending::Reset {
                code: *code,
                reason: reason.clone(),
            }),
        }
    }
}
