//! What an entry tells of the pipes that it conducts.

use std::{cmp::Reverse, sync::Arc};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Exit, Failure, Waits};
use crate::id::{NodeId, PipeId, StageNumber};

/// A pipe as its entry knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PipeView {
    /// Its name.
    pub pipe: PipeId,
    /// The node that conducts it; absent from older nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<NodeId>,
    /// The pipeline as it was written; the end of a very long one is left out.
    pub pipeline: String,
    /// Who asked for it: an address, or the user of a socket on this machine.
    pub client: String,
    /// When it was asked for, since the beginning of 1970 in UTC.
    pub began_ms: u64,
    /// Time since then.
    pub age_ms: u64,
    /// Time that it has taken so far, or took.
    pub elapsed_ms: u64,
    /// How far it is.
    pub state: PipeState,
    /// Its stages in order, once their nodes have agreed.
    // Copies share them: a list is made of thousands.
    #[serde(default)]
    #[schema(value_type = Vec<StageView>)]
    pub stages: Arc<[StageView]>,
    /// Bytes of its output that have gone to its client.
    #[serde(default)]
    pub delivered: u64,
    /// What held it up most, lately while it runs and in all when it is over; absent while too little is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
    /// What failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub failure: Option<Failure>,
}

/// How far a pipe is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PipeState {
    /// Its nodes are being chosen and asked.
    Agreeing,
    /// They have agreed, and not all of its programs run yet.
    Starting,
    /// All of them run, or have run.
    Running,
    /// It is over, and the statuses of its stages are the apps' own.
    Complete,
    /// It is over, and something of dpipes or of the cluster failed.
    Failed,
    /// A state of a newer peer.
    #[serde(other)]
    Other,
}

/// A stage of such a pipe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StageView {
    /// The stage.
    pub stage: StageNumber,
    /// Its app.
    pub app: String,
    /// The node that runs it.
    pub node: NodeId,
    /// Why it was chosen, in a few words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// How it ended; `None` while that is not known.
    #[serde(default)]
    pub exit: Option<Exit>,
    /// Bytes it was given so far; `None` on a kernel pipe, where nobody counts.
    #[serde(default)]
    pub bytes_in: Option<u64>,
    /// Bytes it wrote so far; `None` on a kernel pipe.
    #[serde(default)]
    pub bytes_out: Option<u64>,
    /// Bytes that it was given in the last second or so, per second; while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_in: Option<u64>,
    /// Bytes that it wrote in the last second or so, per second; while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_out: Option<u64>,
    /// What it has spent its time on so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits: Option<Waits>,
    /// The last of what it wrote to stderr, for those who may act on the pipe.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stderr: String,
}

/// What holds a pipe up most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Limit {
    /// What it is.
    #[serde(flatten)]
    pub by: LimitedBy,
    /// The part of the time, in hundredths, in which it did.
    pub percent: u8,
}

/// What can hold a pipe up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum LimitedBy {
    /// A stage, which has input and whose output is taken.
    Stage {
        /// The stage.
        stage: StageNumber,
        /// The last of the stages that kernel pipes join to it, where there are any: what is between them is not seen.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last: Option<StageNumber>,
    },
    /// The way between two nodes: one end has something to send, the other waits for it.
    Link {
        /// The stage that writes to it.
        stage: StageNumber,
    },
    /// Whoever writes what the client reads.
    Input,
    /// Whoever reads what the client writes.
    Output,
    /// Something that a newer peer knows of.
    #[serde(other)]
    Other,
}

/// A stage whose app runs, as its own node knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StageHere {
    /// The pipe that it belongs to.
    pub pipe: PipeId,
    /// Its place in it.
    pub stage: StageNumber,
    /// Its app.
    pub app: String,
    /// The node that conducts the pipe.
    pub entry: NodeId,
    /// Its process.
    pub pid: u32,
    /// Bytes it was given so far; `None` on a kernel pipe.
    #[serde(default)]
    pub bytes_in: Option<u64>,
    /// Bytes it wrote so far; `None` on a kernel pipe.
    #[serde(default)]
    pub bytes_out: Option<u64>,
    /// How long neither moved.
    #[serde(default)]
    pub stalled_ms: u64,
    /// What it has spent its time on so far.
    #[serde(default)]
    pub waits: Option<Waits>,
}

// === impl PipeView ===

impl PipeView {
    /// What lists are sorted by, so that the newest comes first.
    #[must_use]
    pub const fn newest_first(&self) -> Reverse<(u64, PipeId)> {
        Reverse((self.began_ms, self.pipe))
    }

    /// The stages, to be changed in this view only.
    pub fn stages_mut(&mut self) -> &mut [StageView] {
        Arc::make_mut(&mut self.stages)
    }

    /// Leaves out what the stages said.
    pub fn hide_stderr(&mut self) {
        // What is shared stays shared where there is nothing to hide.
        if self.stages.iter().any(|stage| !stage.stderr.is_empty()) {
            for stage in self.stages_mut() {
                stage.stderr = String::new();
            }
        }
    }
}

// === impl PipeState ===

impl PipeState {
    /// Whether nothing more happens.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Complete | Self::Failed)
    }
}
