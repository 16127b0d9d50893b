//! The writing side: what a run tells of itself as it goes on.

use std::sync::{Arc, atomic::AtomicU64};

use super::{Chronicle, Written, flow::Flow, tail::Tail};
use crate::{
    id::{PipeId, StageNumber},
    wire::message::{
        Ending, Failure, Outcome, PipeState, StagePlan, StageProgress, StageRecord, StageView,
    },
};

/// A run's own page. Dropped before its outcome was noted, the run failed without a word.
#[derive(Debug)]
pub(in crate::coordinator) struct Page {
    chronicle: Chronicle,
    pipe: PipeId,
    delivered: Arc<AtomicU64>,
}

// === impl Page ===

impl Page {
    pub(super) fn new(chronicle: Chronicle, pipe: PipeId, delivered: Arc<AtomicU64>) -> Self {
        Self {
            chronicle,
            pipe,
            delivered,
        }
    }

    /// Where the bytes are counted that reach the client.
    pub(in crate::coordinator) fn delivered(&self) -> Arc<AtomicU64> {
        self.delivered.clone()
    }

    /// Every node has agreed.
    pub(in crate::coordinator) fn agreed(&self, stages: &[StagePlan]) {
        let stages = stages.iter().map(|stage| StageView {
            stage: stage.stage,
            app: stage.app.clone(),
            node: stage.node.clone(),
            why: stage.why.clone(),
            exit: None,
            bytes_in: None,
            bytes_out: None,
            rate_in: None,
            rate_out: None,
            waits: None,
            stderr: String::new(),
        });
        let stages: Arc<[_]> = stages.collect();
        self.with(|run| {
            run.flows = vec![Flow::default(); stages.len()];
            run.view.state = PipeState::Starting;
            run.view.stages = stages;
        });
    }

    /// Every program runs.
    pub(in crate::coordinator) fn started(&self) {
        self.with(|run| run.view.state = PipeState::Running);
    }

    /// How far stages are.
    pub(in crate::coordinator) fn progress(&self, stages: &[StageProgress]) {
        self.with(|run| {
            let shown = run.view.stages_mut();
            for progress in stages {
                let index = progress.stage.index();
                let Some((stage, flow)) = shown.get_mut(index).zip(run.flows.get_mut(index)) else {
                    continue;
                };
                // One that is over has said its last word.
                if stage.exit.is_none() {
                    flow.note(progress);
                    (stage.bytes_in, stage.bytes_out) = (progress.bytes_in, progress.bytes_out);
                    (stage.rate_in, stage.rate_out) = flow.rates();
                    stage.waits = progress.waits;
                }
            }
        });
    }

    /// A stage is over.
    pub(in crate::coordinator) fn ended(&self, record: &StageRecord) {
        self.with(|run| {
            let index = record.stage.index();
            if let Some(stage) = run.view.stages_mut().get_mut(index) {
                stage.exit = Some(record.exit);
                (stage.bytes_in, stage.bytes_out) = (record.bytes_in, record.bytes_out);
                (stage.rate_in, stage.rate_out) = (None, None);
                stage.waits = record.waits;
                run.flows[index] = Flow::default();
            }
        });
    }

    /// Where to leave what a stage writes to stderr.
    pub(in crate::coordinator) fn tail(&self, stage: StageNumber) -> Tail {
        Tail::new(self.chronicle.clone(), self.pipe, stage)
    }

    /// The run is over.
    pub(in crate::coordinator) fn close(self, outcome: &Outcome) {
        let ending = match &outcome.ending {
            Ending::Complete => Ok(()),
            Ending::Failed(failure) => Err(failure.clone()),
        };
        self.end(ending);
    }

    fn end(&self, ending: Result<(), Failure>) {
        self.chronicle.book().close(self.pipe, ending);
        self.chronicle.changed(self.pipe);
    }

    fn with(&self, change: impl FnOnce(&mut Written)) {
        self.chronicle.with(self.pipe, change);
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // Nothing is left of it where it was closed.
        let detail = "the run was given up".to_owned();
        self.end(Err(Failure::Entry { detail }));
    }
}
