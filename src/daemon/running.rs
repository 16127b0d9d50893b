//! What runs on this node, whoever conducts it.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::stage::StageHandle;
use crate::{
    id::{NodeId, PipeId, StageNumber},
    wire::message::StageHere,
};

/// The stages of all parts that are here.
#[derive(Clone, Default)]
pub(super) struct Running {
    stages: Arc<Mutex<BTreeMap<Key, Listed>>>,
}

type Key = (PipeId, StageNumber);

struct Listed {
    entry: NodeId,
    handle: StageHandle,
}

/// A part's place in [`Running`].
#[must_use = "dropping it takes the part's stages out of the list"]
pub(super) struct Entered {
    running: Running,
    keys: Vec<Key>,
}

// === impl Running ===

impl Running {
    /// Enters the stages of a part that was started.
    pub(super) fn enter(&self, pipe: PipeId, entry: &NodeId, stages: &[StageHandle]) -> Entered {
        let listed = |handle: &StageHandle| Listed {
            entry: entry.clone(),
            handle: handle.clone(),
        };
        let keyed = |handle: &StageHandle| ((pipe, handle.stage()), listed(handle));
        self.lock().extend(stages.iter().map(keyed));
        Entered {
            running: self.clone(),
            keys: stages.iter().map(|stage| (pipe, stage.stage())).collect(),
        }
    }

    /// The stages whose apps run, those of the oldest pipe first, and how many more than `most` there are.
    pub(super) fn views(&self, most: usize) -> (Vec<StageHere>, u64) {
        let stages = self.lock();
        let running = stages.iter().filter_map(|((pipe, stage), listed)| {
            let progress = listed.handle.progress()?;
            Some(StageHere {
                pipe: *pipe,
                stage: *stage,
                app: listed.handle.app().to_owned(),
                entry: listed.entry.clone(),
                pid: listed.handle.pid()?,
                bytes_in: progress.bytes_in,
                bytes_out: progress.bytes_out,
                stalled_ms: progress.stalled_ms,
                waits: progress.waits,
            })
        });
        let mut views: Vec<_> = running.collect();
        let left_out = views.len().saturating_sub(most);
        views.truncate(most);
        (views, left_out as u64)
    }

    /// How many ends of links they have.
    pub(super) fn links(&self) -> usize {
        let stages = self.lock();
        let ends = stages.values().map(|listed| {
            let meters = listed.handle.meters();
            usize::from(meters.input.is_some()) + usize::from(meters.output.is_some())
        });
        ends.sum()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Listed>> {
        self.stages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len = self.lock().len();
        f.debug_struct("Running").field("stages", &len).finish()
    }
}

// === impl Entered ===

impl Drop for Entered {
    fn drop(&mut self) {
        let mut stages = self.running.lock();
        for key in &self.keys {
            stages.remove(key);
        }
    }
}
