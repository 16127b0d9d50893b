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

/// Size of one more when many carry bulk already: most of the gain for a quarter of the memory.
const MEDIUM: usize = 256 << 10;

/// Bytes that larger pipes may come to. A user has 64 MiB of pipe buffers (`pipe-user-pages-soft`, pipe(7)); beyond them every new pipe, also of
/// other programs, shrinks to two pages. This leaves half to the others.
const MOST: usize = 32 << 20;

/// The same where the kernel sets no bound, which is for processes with `CAP_SYS_RESOURCE`: as much as windows may come to.
const MOST_PRIVILEGED: usize = 256 << 20;

/// How much it is for this process.
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

/// Score that proves bulk: four long pieces, or full pipes, in a row, or a few more with short ones between them.
const PROOF: u32 = 4 * LONG_PIECE;

/// What a long piece adds to the score; a short one takes away 1. The end of a long frame is a short piece, so that every other one may be short.
const LONG_PIECE: u32 = 2;

/// What the larger pipes of this process come to.
static TAKEN: AtomicUsize = AtomicUsize::new(0);

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
    /// To so many bytes.
    To(usize),
}

// === impl Grower ===

impl Grower {
    /// Notes whether much was moved just now; says whether the pipe carries bulk.
    pub(in crate::transport) fn note<F: AsFd>(&mut self, pipe: F, much: bool) -> Bulk {
        if !matches!(self.state, Grown::No) {
            return Bulk::Yes;
        }
        self.proof = if much {
            self.proof + LONG_PIECE
        } else {
            self.proof.saturating_sub(1)
        };
        if self.proof < PROOF {
            return Bulk::No;
        }
        self.state = Self::grow(pipe);
        match self.state {
            Grown::To(size) => Bulk::Grown(size),
            Grown::No | Grown::Refused => Bulk::Yes,
        }
    }

    fn grow<F: AsFd>(pipe: F) -> Grown {
        let has = rustix::pipe::fcntl_getpipe_size(&pipe).unwrap_or(usize::MAX);
        // One half is for large ones, so that the many that may come later get something as well.
        for (size, most) in [(LARGE, *MOST_HERE / 2), (MEDIUM, *MOST_HERE)] {
            if has >= size || !take(size, most) {
                continue;
            }
            if rustix::pipe::fcntl_setpipe_size(&pipe, size).is_ok() {
                return Grown::To(size);
            }
            TAKEN.fetch_sub(size, Ordering::Relaxed);
        }
        Grown::Refused
    }
}

/// Takes so much, if no more than `most` is taken then.
fn take(size: usize, most: usize) -> bool {
    let more = |taken| (taken + size <= most).then_some(taken + size);
    TAKEN
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
        .is_ok()
}

impl Drop for Grower {
    fn drop(&mut self) {
        if let Grown::To(size) = self.state {
            TAKEN.fetch_sub(size, Ordering::Relaxed);
        }
    }
}
