//! Turns that the tasks of a thread take.

/// Bytes that a task moves before others of its thread have their turn: a third of a millisecond at 3 GB/s.
const TURN: usize = 1 << 20;

/// What a task has moved in its turn. A socket that is always ready never makes its task wait, and a task that never waits holds up the
/// others of its thread; in the end it waits for them itself, as a reader does for the process that they feed.
#[derive(Debug, Default)]
pub(super) struct Turn {
    moved: usize,
}

// === impl Turn ===

impl Turn {
    /// Notes what was moved, and lets others go on when it was much.
    pub(super) async fn moved(&mut self, bytes: usize) {
        self.moved += bytes;
        if self.moved >= TURN {
            self.moved = 0;
            tokio::task::yield_now().await;
        }
    }
}
