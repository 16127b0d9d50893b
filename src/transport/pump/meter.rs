//! How far a pump is.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Counts the bytes that have passed a pump, for those who watch.
#[derive(Debug)]
pub struct Meter {
    began: Instant,
    bytes: AtomicU64,
    /// Milliseconds from the beginning to the last byte.
    moved: AtomicU64,
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
        }
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
