//! Waiting for events, and for a turn.

use std::{
    sync::{Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long a test waits for something that is going to happen, unless `DPIPES_TEST_PATIENCE` (in seconds) says otherwise. Everything
/// awaited takes well below a second on an idle machine; 20 s is for one that runs a build beside the tests.
const DEFAULT_PATIENCE: Duration = Duration::from_secs(20);

/// How often a condition that has no event of its own is looked at.
const POLL: Duration = Duration::from_millis(10);

/// Tests that move gigabytes or start hundreds of processes run at most this many at once: one more than that on two cores makes them
/// wait for each other and not for dpipes.
const HEAVY_AT_ONCE: usize = 2;

static HEAVY: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

/// How long to wait for what must happen.
pub(crate) fn patience() -> Duration {
    let given = std::env::var("DPIPES_TEST_PATIENCE")
        .ok()
        .and_then(|seconds| seconds.parse().ok());
    given.map_or(DEFAULT_PATIENCE, Duration::from_secs)
}

/// Whether the condition came true within the limit.
pub(crate) fn holds_within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if condition() {
            return true;
        }
        if start.elapsed() > limit {
            return false;
        }
        pause(POLL);
    }
}

/// Lets time pass. For conditions without an event, and for showing that something does *not* happen for a while; never to wait for
/// something that happens.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place of the suite that sleeps; everything else waits for a condition"
)]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// A turn among the heavy tests of this process.
#[must_use = "the turn ends when this is dropped"]
pub(crate) struct Heavy(());

/// Waits for a turn among the heavy tests.
pub(crate) fn heavy() -> Heavy {
    let (running, changed) = &HEAVY;
    let running = running.lock().unwrap_or_else(PoisonError::into_inner);
    let free = |running: &mut usize| *running >= HEAVY_AT_ONCE;
    *changed
        .wait_while(running, free)
        .unwrap_or_else(PoisonError::into_inner) += 1;
    Heavy(())
}

impl Drop for Heavy {
    fn drop(&mut self) {
        let (running, changed) = &HEAVY;
        *running.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        changed.notify_one();
    }
}
