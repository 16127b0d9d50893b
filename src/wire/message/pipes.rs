//! What an entry tells of the pipes that it conducts.

use serde::{Deserialize, Serialize};

use super::{Exit, Failure};
use crate::id::{NodeId, PipeId, StageNumber};

/// A pipe as its entry knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipeView {
    /// Its name.
    pub pipe: PipeId,
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
    #[serde(default)]
    pub stages: Vec<StageView>,
    /// What failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// How far a pipe is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageView {
    /// The stage.
    pub stage: StageNumber,
    /// Its app.
    pub app: String,
    /// The node that runs it.
    pub node: NodeId,
    /// How it ended; `None` while that is not known.
    #[serde(default)]
    pub exit: Option<Exit>,
    /// Bytes it was given, once it is over.
    #[serde(default)]
    pub bytes_in: Option<u64>,
    /// Bytes it wrote, once it is over.
    #[serde(default)]
    pub bytes_out: Option<u64>,
}

// === impl PipeState ===

impl PipeState {
    /// Whether nothing more happens.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Complete | Self::Failed)
    }
}
