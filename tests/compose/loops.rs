//! Pipelines that run again and again while something is done to the bed.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use crate::{
    bed::{Bed, Node},
    kit::Run,
};

/// What is said before the client is started, to tell its failures from those of the engine.
const STARTED: &str = "the client is started";

/// A pipeline that runs again and again from a node, until it is dropped.
pub(crate) struct Loop {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<Tally>>,
}

/// How the rounds of a loop ended.
#[derive(Default)]
pub(crate) struct Tally {
    /// As bash.
    pub(crate) right: u32,
    /// With a status other than 0 and a reason.
    pub(crate) honest: u32,
    /// Anything else: this must not be.
    pub(crate) wrong: Vec<String>,
    /// The rounds since the last failure.
    pub(crate) right_since: u32,
    last_failure: String,
}

// === impl Loop ===

impl Loop {
    /// Starts it; `wanted` is what bash writes.
    pub(crate) fn start(bed: &Arc<Bed>, from: Node, pipeline: &'static str, wanted: &Run) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (bed, stop, wanted) = (Arc::clone(bed), Arc::clone(&over), wanted.stdout.clone());
        let thread = thread::spawn(move || {
            let mut tally = Tally::default();
            let script = format!("echo '{STARTED}' >&2; exec dpipes \"$0\"");
            while !stop.load(Ordering::Relaxed) {
                let run = bed.on(from, &["sh", "-c", &script, pipeline]).run();
                tally.count(&run, &wanted);
            }
            tally
        });
        Self {
            over,
            thread: Some(thread),
        }
    }

    /// Lets the round that runs end, and says how all of them did.
    pub(crate) fn stop(mut self) -> Tally {
        self.end().expect("a loop that was not stopped")
    }

    fn end(&mut self) -> Option<Tally> {
        self.over.store(true, Ordering::Relaxed);
        let thread = self.thread.take()?;
        Some(thread.join().expect("a loop does not panic"))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        self.end();
    }
}

// === impl Tally ===

impl Tally {
    fn count(&mut self, run: &Run, wanted: &[u8]) {
        match run.status {
            0 if run.stdout == wanted => {
                self.right += 1;
                self.right_since += 1;
            }
            0 => self
                .wrong
                .push(format!("status 0, but not the output: {run:?}")),
            // The engine could not start the client in a container that was just stopped.
            _ if !run.stderr.contains(STARTED) => self.failed(run),
            // The client was killed with its container, and nobody is left to give a reason.
            137 | 143 => self.failed(run),
            _ if run.stderr.trim() == STARTED => {
                self.wrong
                    .push(format!("a failure without a reason: {run:?}"));
            }
            _ => self.failed(run),
        }
    }

    fn failed(&mut self, run: &Run) {
        self.honest += 1;
        self.right_since = 0;
        self.last_failure = format!("{run:?}");
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} right, {} honest failures, {} wrong; last failure: {}",
            self.right,
            self.honest,
            self.wrong.len(),
            self.last_failure
        )
    }
}
