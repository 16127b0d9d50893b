//! Larger pipes for those who need them.

use std::{
    os::fd::AsFd,
    sync::atomic::{AtomicUsize, Ordering},
};

/// Size of a pipe that carries bulk: twice the throughput of the usual 64 KiB at half the cost, and the most an unprivileged user gets.
const LARGE: usize = 1 << 20;

/// Pipes that may be large at a time. A user has 64 MiB of pipe buffers; beyond them every new pipe, also of other programs, shrinks to
/// two pages. This leaves half to the others.
const MOST: usize = 32;

/// A full pipe, or a long piece, so many times in a row is bulk.
const PROOF: u32 = 4;

/// How many pipes are large.
static LARGE_PIPES: AtomicUsize = AtomicUsize::new(0);

/// Watches a pipe and enlarges it once when it proves to carry bulk.
#[derive(Debug, Default)]
pub(in crate::transport) struct Grower {
    proof: u32,
    state: Grown,
}

/// Whether a pipe carries bulk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::transport) enum Bulk {
    /// Not as far as is known.
    No,
    /// It does.
    Yes,
    /// It does, and that has just now made it so large, in bytes.
    Grown(usize),
}

#[derive(Debug, Default)]
enum Grown {
    #[default]
    No,
    /// It was tried, and failed, which is normal.
    Refused,
    Yes,
}

// === impl Grower ===

impl Grower {
    /// Notes whether much was moved just now; says whether the pipe carries bulk.
    pub(in crate::transport) fn note<F: AsFd>(&mut self, pipe: F, much: bool) -> Bulk {
        if !matches!(self.state, Grown::No) {
            return Bulk::Yes;
        }
        self.proof = if much { self.proof + 1 } else { 0 };
        if self.proof < PROOF {
            return Bulk::No;
        }
        self.state = Self::grow(pipe);
        match self.state {
            Grown::Yes => Bulk::Grown(LARGE),
            Grown::No | Grown::Refused => Bulk::Yes,
        }
    }

    fn grow<F: AsFd>(pipe: F) -> Grown {
        let taken = LARGE_PIPES.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |pipes| {
            (pipes < MOST).then_some(pipes + 1)
        });
        if taken.is_err() {
            return Grown::Refused;
        }
        let enough = rustix::pipe::fcntl_getpipe_size(&pipe).is_ok_and(|size| size >= LARGE);
        if !enough && rustix::pipe::fcntl_setpipe_size(&pipe, LARGE).is_ok() {
            Grown::Yes
        } else {
            LARGE_PIPES.fetch_sub(1, Ordering::Relaxed);
            Grown::Refused
        }
    }
}

impl Drop for Grower {
    fn drop(&mut self) {
        if matches!(self.state, Grown::Yes) {
            LARGE_PIPES.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
