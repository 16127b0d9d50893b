//! How far a pump is, and what its pipe holds.

use std::{
    fmt::Debug,
    os::fd::AsFd,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Counts the bytes that have passed a pump, for those who watch. What its pipe holds costs nothing until somebody looks.
#[derive(Debug)]
pub struct Meter {
    began: Instant,
    bytes: AtomicU64,
    /// Milliseconds from the beginning to the last byte.
    moved: AtomicU64,
    pipe: OnceLock<Weak<dyn Pipe>>,
}

/// How full the pipe of a pump is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// The pump has not begun.
    Unopened,
    /// There is nothing in it.
    Empty,
    /// There is something in it.
    Some,
    /// At least half of what it can hold is in it. It may take no more then: a slot holds what one write of its page began, and of pages that are
    /// filled by writes of any length each is filled by half.
    Half,
    /// The pump is over.
    Over,
}

/// What a meter can look into.
pub(in crate::transport) trait Pipe: Debug + Send + Sync {
    /// How full it is.
    fn fill(&self) -> Fill;
}

// === impl Meter ===

impl Meter {
    /// A meter at zero.
    #[must_use]
    pub fn new() -> Self {
        Self {
            began: Instant::now(),
            bytes: AtomicU64::new(0),
            moved: AtomicU64::new(0),
            pipe: OnceLock::new(),
        }
    }

    /// How full the pipe is now: two system calls.
    #[must_use]
    pub fn fill(&self) -> Fill {
        match self.pipe.get().map(Weak::upgrade) {
            None => Fill::Unopened,
            Some(None) => Fill::Over,
            Some(Some(pipe)) => pipe.fill(),
        }
    }

    /// Lets those who watch look into the pipe for as long as it is there. Of several the first one counts.
    pub(in crate::transport) fn look_into(&self, pipe: &Arc<impl Pipe + 'static>) {
        let weak = Arc::downgrade(pipe);
        let _first = self.pipe.set(weak);
    }

    /// Bytes so far: those that were queued on the stream, or that are in the pipe.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Time since the last byte, or since the beginning.
    #[must_use]
    pub fn idle_for(&self) -> Duration {
        let moved = Duration::from_millis(self.moved.load(Ordering::Relaxed));
        self.began.elapsed().saturating_sub(moved)
    }

    pub(in crate::transport) fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        let moved = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved.store(moved, Ordering::Relaxed);
    }
}

impl Default for Meter {
    fn default() -> Self {
        Self::new()
    }
}

/// A pipe can be asked at either end.
impl<T: AsFd + Debug + Send + Sync> Pipe for T {
    fn fill(&self) -> Fill {
        let held = rustix::io::ioctl_fionread(self).unwrap_or_default();
        let size = rustix::pipe::fcntl_getpipe_size(self).unwrap_or_default() as u64;
        match held {
            0 => Fill::Empty,
            held if held >= size / 2 => Fill::Half,
            _ => Fill::Some,
        }
    }
}
