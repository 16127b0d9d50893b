//! A half as its writer has it.

use std::collections::VecDeque;

use super::{Ending, message_cost};
use crate::{mux::payload::Payload, wire::limits};

/// What a writer may queue before it must wait: two of the largest reads of a pipe, so that one is filled while the other is sent.
pub const SEND_QUEUE: usize = 512 << 10;

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
pub(in crate::mux) enum SendState {
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
pub(in crate::mux) struct SendHalf {
    pub(in crate::mux) state: SendState,
    queue: VecDeque<Payload>,
    queued: usize,
    credit: u64,
    accepted: u64,
    digest: Option<[u8; 32]>,
    /// Whether it stands in the queue of those that have something to send.
    pub(in crate::mux) in_line: bool,
    /// Whether its user has not let go of it.
    pub(in crate::mux) held: bool,
}

/// What a writer sends next.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::mux) enum Next {
    Payload(Payload),
    Finish {
        bytes: u64,
        digest: Option<[u8; 32]>,
    },
}

// === impl SendHalf ===

impl SendHalf {
    pub(in crate::mux) const fn new(credit: u64) -> Self {
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
    pub(in crate::mux) const fn has_room(&self, length: usize) -> bool {
        self.queued == 0 || self.queued + length <= SEND_QUEUE
    }

    pub(in crate::mux) fn push(&mut self, payload: Payload) {
        self.queued += payload.len();
        self.accepted += payload.len() as u64;
        match (self.queue.back_mut(), payload) {
            (Some(Payload::Piped(waiting)), Payload::Piped(more)) => *waiting += more,
            (_, payload) => self.queue.push_back(payload),
        }
    }

    /// How much of a pipe is announced, when that is all that is queued.
    pub(in crate::mux) fn announced(&self) -> Option<usize> {
        match self.queue.front() {
            Some(Payload::Piped(length)) if *length == self.queued => Some(self.queued),
            _ => None,
        }
    }

    pub(in crate::mux) const fn queued(&self) -> usize {
        self.queued
    }

    pub(in crate::mux) const fn accepted(&self) -> u64 {
        self.accepted
    }

    pub(in crate::mux) fn finish(&mut self, digest: Option<[u8; 32]>) {
        if self.state == SendState::Open {
            self.state = SendState::Finishing;
            self.digest = digest;
        }
    }

    /// Whether nothing was handed out yet that cannot be taken back.
    pub(in crate::mux) const fn is_live(&self) -> bool {
        matches!(self.state, SendState::Open | SendState::Finishing)
    }

    pub(in crate::mux) const fn has_ended(&self) -> bool {
        matches!(self.state, SendState::Ended(_))
    }

    /// Ends it; what is queued is dropped.
    pub(in crate::mux) fn end(&mut self, ending: Ending) {
        self.state = SendState::Ended(ending);
        self.queue.clear();
        self.queued = 0;
    }

    /// Adds credit; says whether it is within the limit.
    pub(in crate::mux) const fn add_credit(&mut self, delta: u32) -> bool {
        self.credit += delta as u64;
        self.credit <= limits::MAX_CREDIT
    }

    /// Whether [`Self::next`] would return something.
    pub(in crate::mux) fn is_ready(&self, messages: bool) -> bool {
        match self.queue.front() {
            _ if !self.is_live() => false,
            None => self.state == SendState::Finishing,
            Some(payload) if messages => self.credit >= message_cost(payload.len()),
            Some(_) => self.credit > 0,
        }
    }

    /// Takes what is to be sent next: as much as credit and `quantum`, the length of a frame, allow.
    pub(in crate::mux) fn next(&mut self, messages: bool, quantum: usize) -> Option<Next> {
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
