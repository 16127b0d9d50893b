//! Larger pipes for those who need them.

use std::{
    fs,
    os::fd::AsFd,
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use rustix::thread::{CapabilitySet, capabilities};

/// Size of a pipe that carries bulk: twice the throughput of the usual 64 KiB at half the cost, and the most an unprivileged user gets.
const LARGE: usize = 1 << 20;

/// Pipes that may be large at a time. A user has 64 MiB of pipe buffers (`pipe-user-pages-soft`, pipe(7)); beyond them every new pipe, also of
/// other programs, shrinks to two pages. This leaves half to the others.
const MOST: usize = 32;

/// The same where the kernel sets no bound, which is for processes with `CAP_SYS_RESOURCE`: as much as windows may come to.
const MOST_PRIVILEGED: usize = 256;

/// How many it is for this process.
static MOST_HERE: LazyLock<usize> = LazyLock::new(|| {
    let may =
        capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_RESOURCE));
    // In a user namespace of its own a process has every capability, and none that counts here (user_namespaces(7)).
    let counts = || {
        let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        map.split_ascii_whitespace().eq(["0", "0", "4294967295"])
    };
    if may && counts() {
        MOST_PRIVILEGED
    } else {
        MOST
    }
});

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
            (pipes < *MOST_HERE).then_some(pipes + 1)
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
