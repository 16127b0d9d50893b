//! How long to wait between tries.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use crate::RegistryError;

/// First wait after a failure that may pass by itself: short, for a restarting registry is often back within a second.
const QUICK_FIRST: Duration = Duration::from_millis(100);
/// Longest such wait: what a registry that comes back must endure at most before it is asked again.
const QUICK_MAX: Duration = Duration::from_secs(10);
/// First wait after a refusal: nothing changes before a person acts, though tokens were seen to become valid seconds later.
const SLOW_FIRST: Duration = Duration::from_secs(5);
/// Longest such wait: a repaired token is noticed within a minute.
const SLOW_MAX: Duration = Duration::from_secs(60);

/// How eagerly to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// The fault may pass by itself: 100 ms doubling to 10 s.
    Quick,
    /// Somebody has to act first: 5 s doubling to 60 s.
    Slow,
}

/// Waits that double, with jitter.
#[derive(Clone, Debug, Default)]
pub struct Backoff {
    tries: u32,
}

// === impl Pace ===

impl Pace {
    /// How eagerly to try again after this error; `None` if that is useless.
    #[must_use]
    pub const fn after(error: &RegistryError) -> Option<Self> {
        match error {
            RegistryError::Unavailable { .. } => Some(Self::Quick),
            RegistryError::Denied { .. }
            | RegistryError::Rejected { .. }
            | RegistryError::Conflict { .. } => Some(Self::Slow),
            RegistryError::Unsupported { .. } => None,
        }
    }
}

// === impl Backoff ===

impl Backoff {
    /// Starts from the shortest wait again; after every good answer.
    pub const fn reset(&mut self) {
        self.tries = 0;
    }

    /// The next wait, with jitter of the system's randomness.
    pub fn wait(&mut self, pace: Pace) -> Duration {
        self.wait_with(pace, RandomState::new().hash_one(self.tries))
    }

    /// The next wait; `random` picks from its upper half, so that nodes that failed together do not return together.
    pub fn wait_with(&mut self, pace: Pace, random: u64) -> Duration {
        let (first, max) = match pace {
            Pace::Quick => (QUICK_FIRST, QUICK_MAX),
            Pace::Slow => (SLOW_FIRST, SLOW_MAX),
        };
        let full = first.saturating_mul(1 << self.tries.min(16)).min(max);
        self.tries = self.tries.saturating_add(1);
        let share = f64::from(u32::try_from(random >> 32).expect("32 bits")) / f64::from(u32::MAX);
        full.mul_f64(0.5 + share / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_their_limit_and_start_anew_after_a_reset() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..9)
            .map(|_| backoff.wait_with(Pace::Quick, u64::MAX).as_millis())
            .collect();
        assert_eq!(
            waits,
            [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]
        );
        backoff.reset();
        assert_eq!(backoff.wait_with(Pace::Quick, 0).as_millis(), 50);
        assert_eq!(backoff.wait_with(Pace::Slow, 0).as_millis(), 5_000);
    }

    #[test]
    fn jitter_stays_in_the_upper_half() {
        for _ in 0..100 {
            let wait = Backoff::default().wait(Pace::Slow);
            assert!(wait >= SLOW_FIRST / 2 && wait <= SLOW_FIRST, "{wait:?}");
        }
    }
}
