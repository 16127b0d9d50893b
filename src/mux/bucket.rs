//! A limit on how often something may happen.

use std::time::Duration;

/// A token bucket, kept as the time at which it would be full again.
#[derive(Debug)]
pub(super) struct Bucket {
    /// Time between two tokens.
    interval: Duration,
    /// How far ahead of the clock the bucket may be: burst times interval.
    tolerance: Duration,
    /// When all tokens would be there again.
    full_at: Duration,
}

// === impl Bucket ===

impl Bucket {
    /// A full bucket that holds `burst` tokens and gains one per `interval`.
    pub(super) const fn new(interval: Duration, burst: u32) -> Self {
        Self {
            interval,
            tolerance: interval.saturating_mul(burst),
            full_at: Duration::ZERO,
        }
    }

    /// Takes a token; says whether there was one.
    pub(super) fn take(&mut self, now: Duration) -> bool {
        let full_at = self.full_at.max(now).saturating_add(self.interval);
        if full_at.saturating_sub(now) > self.tolerance {
            return false;
        }
        self.full_at = full_at;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_allowed_once_and_then_only_the_rate() {
        let mut bucket = Bucket::new(Duration::from_secs(1), 3);
        let second = Duration::from_secs;
        assert!((0..3).all(|_| bucket.take(second(10))));
        assert!(!bucket.take(second(10)));
        assert!(bucket.take(second(11)));
        assert!(!bucket.take(second(11)));
        assert!((0..3).all(|_| bucket.take(second(20))));
        assert!(!bucket.take(second(20)));
    }
}
