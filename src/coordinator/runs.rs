use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{broadcast, mpsc};

use super::chronicle::Chronicle;
use crate::{
    id::{Attempt, NodeId, PipeId, PipeName, StageNumber},
    media::Coding,
    transport::{PeerAddress, RecvStream, code},
    wire::message::{LinkEndpoint, PipeView},
};

/// Streams on their way to a coordinator at most. It takes them at once, so this is only ever filled by a peer that misbehaves or by
/// a thousand stages that begin to write to stderr in the same moment.
const ARRIVALS: usize = 1_024;

/// The runs that this entry coordinates: where a stream that belongs to one is delivered.
#[derive(Clone)]
pub struct Runs {
    by_pipe: Arc<Mutex<HashMap<PipeId, mpsc::Sender<Arrival>>>>,
    chronicle: Chronicle,
}

/// A stream that belongs to a run.
#[derive(Debug)]
pub enum Arrival {
    /// The last stage's output.
    Link {
        /// The try it says it belongs to.
        attempt: Attempt,
        /// Who writes it.
        from: LinkEndpoint,
        /// The digest its writer agreed to.
        digest: String,
        /// How it travels.
        coding: Coding,
        /// The node at the other end of its session.
        peer: Option<NodeId>,
        /// The stream.
        stream: RecvStream,
    },
    /// What a stage writes to stderr.
    Stderr {
        /// The try it says it belongs to.
        attempt: Attempt,
        /// The stage.
        stage: StageNumber,
        /// The stream.
        stream: RecvStream,
    },
    /// The client's standard input.
    Stdin {
        /// How it travels.
        coding: Coding,
        /// The stream.
        stream: RecvStream,
    },
    /// What somebody else than its client wants of it.
    Order(Order),
}

/// What can be wanted of a run.
#[derive(Clone, Debug)]
pub enum Order {
    /// That it ends.
    End {
        /// Who wants it, for its client.
        reason: String,
    },
    /// That its apps get a signal.
    Signal {
        /// The signal.
        signal: i32,
        /// The only stage that gets it.
        stage: Option<StageNumber>,
    },
}

/// A run's place in [`Runs`].
#[must_use = "dropping it takes the run out of the table, and its streams are stopped"]
#[derive(Debug)]
pub(super) struct Registered {
    runs: Runs,
    pipe: PipeId,
    pub(super) arrivals: mpsc::Receiver<Arrival>,
}

// === impl Runs ===

impl Runs {
    /// Without a run yet, of this entry.
    #[must_use]
    pub fn new(entry: NodeId) -> Self {
        Self {
            by_pipe: Arc::default(),
            chronicle: Chronicle::new(entry),
        }
    }

    /// Enters a run; `None` when its name is taken.
    pub(super) fn register(&self, pipe: PipeId) -> Option<Registered> {
        let (send, arrivals) = mpsc::channel(ARRIVALS);
        let mut by_pipe = self.by_pipe.lock().unwrap_or_else(PoisonError::into_inner);
        if by_pipe.contains_key(&pipe) {
            return None;
        }
        by_pipe.insert(pipe, send);
        Some(Registered {
            runs: self.clone(),
            pipe,
            arrivals,
        })
    }

    /// Hands a stream to its run. A stream of an unknown run, or one too many, is stopped.
    pub fn deliver(&self, pipe: PipeId, arrival: Arrival) {
        let run = self
            .by_pipe
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&pipe)
            .cloned();
        let refused = match run {
            Some(run) => run
                .try_send(arrival)
                .err()
                .map(mpsc::error::TrySendError::into_inner),
            None => Some(arrival),
        };
        if let Some(stream) = refused.and_then(Arrival::into_stream) {
            stream.stop(code::UNKNOWN_PIPE, "no such pipe here");
        }
    }

    /// Gives a run an order. Says whether it takes it: it does not when it is over, or has not taken a thousand things before.
    #[must_use]
    pub fn order(&self, pipe: PipeId, order: Order) -> bool {
        let by_pipe = self.by_pipe.lock().unwrap_or_else(PoisonError::into_inner);
        let run = by_pipe.get(&pipe);
        run.is_some_and(|run| run.try_send(Arrival::Order(order)).is_ok())
    }

    /// The runs whose pipes' names begin or end like this, those that were over within the last hour among them, each with who asked for it. There
    /// are two at most, for then the name is not enough.
    #[must_use]
    pub fn find(&self, name: &PipeName) -> Vec<(PipeView, PeerAddress)> {
        self.chronicle.find(name)
    }

    /// The run of this pipe, also if it was over within the last hour, with who asked for it.
    #[must_use]
    pub fn get(&self, pipe: PipeId) -> Option<(PipeView, PeerAddress)> {
        self.chronicle.get(pipe)
    }

    /// Where what becomes of runs is written down.
    pub(super) const fn chronicle(&self) -> &Chronicle {
        &self.chronicle
    }

    /// What became of the runs: of those that go on and, with `over`, of those that were over within the last hour, the newest first and `most`
    /// at most. Says also how many more there are.
    #[must_use]
    pub fn views(&self, over: bool, most: usize) -> (Vec<PipeView>, u64) {
        self.chronicle.read(over, most)
    }

    /// The pipes of runs of which something changes from now on.
    #[must_use]
    pub fn follow(&self) -> broadcast::Receiver<PipeId> {
        self.chronicle.follow()
    }

    /// The pipes of all runs.
    #[must_use]
    pub fn names(&self) -> Vec<PipeId> {
        let by_pipe = self.by_pipe.lock().unwrap_or_else(PoisonError::into_inner);
        by_pipe.keys().copied().collect()
    }

    /// How many runs there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_pipe
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for Runs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runs").field("len", &self.len()).finish()
    }
}

// === impl Arrival ===

impl Arrival {
    pub(super) fn into_stream(self) -> Option<RecvStream> {
        match self {
            Self::Link { stream, .. }
            | Self::Stderr { stream, .. }
            | Self::Stdin { stream, .. } => Some(stream),
            Self::Order(_) => None,
        }
    }
}

// === impl Registered ===

impl Drop for Registered {
    fn drop(&mut self) {
        self.runs
            .by_pipe
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.pipe);
    }
}
