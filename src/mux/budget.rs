//! Memory that windows may come to, shared by all sessions of a process.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// What all windows together may come to, before new ones are smaller and none grows: a stalled stream holds its window in memory.
/// Clones share it.
#[derive(Clone, Debug)]
pub struct Budget {
    left: Arc<AtomicU64>,
}

/// What one window has taken of a budget. It goes back when this is dropped.
#[derive(Debug)]
pub(super) struct Reservation {
    budget: Budget,
    bytes: u32,
}

// === impl Budget ===

impl Budget {
    /// A budget of so many bytes.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        Self {
            left: Arc::new(AtomicU64::new(bytes)),
        }
    }

    /// Bytes that are left.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.left.load(Ordering::Relaxed)
    }

    /// A reservation of nothing yet.
    pub(super) fn reservation(&self) -> Reservation {
        Reservation {
            budget: self.clone(),
            bytes: 0,
        }
    }

    /// Takes as much of what is wanted as there is.
    fn take(&self, wanted: u32) -> u32 {
        let mut taken = 0;
        let _always = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                taken = u32::try_from(left).map_or(wanted, |left| left.min(wanted));
                Some(left - u64::from(taken))
            });
        taken
    }
}

// === impl Reservation ===

impl Reservation {
    /// Takes as much of what is wanted as there is, and says how much that was.
    pub(super) fn take(&mut self, wanted: u32) -> u32 {
        let taken = self.budget.take(wanted);
        self.bytes += taken;
        taken
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget
            .left
            .fetch_add(u64::from(self.bytes), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_bounded_and_comes_back() {
        let budget = Budget::new(100);
        let mut one = budget.reservation();
        let mut other = budget.reservation();
        assert_eq!((one.take(70), other.take(70), one.take(1)), (70, 30, 0));
        assert_eq!(budget.left(), 0);
        drop(one);
        assert_eq!((budget.left(), other.take(u32::MAX)), (70, 70));
        drop(other);
        assert_eq!(budget.left(), 100);
    }
}
