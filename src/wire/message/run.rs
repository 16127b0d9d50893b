use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Accept, Load, Outcome, StageProgress};
use crate::{
    id::{NodeId, PipeId, StageNumber},
    media::Formats,
};

/// What a client says to its entry about a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum ToEntry {
    /// Asks for a run. First message; once per stream.
    Run(Box<RunRequest>),
    /// Sends a signal to every stage, as a terminal does.
    Signal {
        /// The signal's number.
        signal: i32,
    },
    /// The client is about to be suspended by its user: its silence is not to be taken for death. Answered by
    /// [`FromEntry::Frozen`].
    Suspend,
    /// The client goes on.
    Resume,
    /// Ends the run now.
    Abort {
        /// Why.
        reason: String,
    },
    /// A message of a newer peer; ignored.
    #[serde(other)]
    Unknown,
}

/// A run as asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRequest {
    /// The pipe's name.
    pub pipe: PipeId,
    /// Run it, or only see whether everybody would agree.
    pub mode: RunMode,
    /// The pipeline as the user wrote it.
    pub expression: String,
    /// Whether a [`Purpose::Stdin`](super::Purpose::Stdin) stream feeds the first stage; else it reads `/dev/null`.
    pub stdin: bool,
    /// Everything else.
    pub options: RunOptions,
}

/// Whether a run is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunMode {
    /// Start it.
    Run,
    /// Parse, place and negotiate; start nothing.
    Check,
}

/// What a user may say about a run beside the pipeline.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunOptions {
    /// What flows along the links.
    pub formats: Formats,
    /// Environment asked for with `-e`, for every stage.
    pub env: Vec<(String, String)>,
    /// What the client merely has: `LANG`, `LC_*`, `TZ`. Embedded: everything.
    pub ambient: Vec<(String, String)>,
    /// Working directory of every stage.
    pub cwd: Option<String>,
    /// User of every stage.
    pub user: Option<String>,
    /// Version requirements, as `sort>=8.30`.
    pub require: Vec<String>,
    /// Nodes to keep off.
    pub avoid: Vec<NodeId>,
    /// `-o` options as given; `policy`, `on-loss`, `lease`, `kill-grace`, `window`, `digest` and whatever a node knows.
    pub options: BTreeMap<String, String>,
    /// Shown to nodes that demand one. Never logged.
    pub credential: Option<String>,
    /// Longest run time.
    pub timeout_ms: Option<u64>,
    /// What becomes of the stages' stderr.
    pub stderr: StderrMode,
    /// Whether [`FromEntry::Progress`] is wanted.
    pub progress: bool,
    /// How often this pipe was started from inside another one.
    pub hops: u8,
}

/// What becomes of the stages' stderr.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StderrMode {
    /// All of it reaches the client.
    #[default]
    All,
    /// The client keeps the last lines and shows those of failed stages.
    Failed,
    /// Read and dropped on the node.
    None,
}

/// What an entry says to its client about a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum FromEntry {
    /// Everybody agreed: where each stage runs. With [`RunMode::Check`] the last message but the outcome.
    Agreed {
        /// The stages in order.
        stages: Vec<StagePlan>,
        /// From the first look at the registry to the last answer.
        elapsed_ms: u64,
        /// Silence after which client and entry take each other for dead, while the run goes on; absent where their socket tells.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lease_ms: Option<u64>,
    },
    /// Every program runs.
    Started,
    /// Bytes so far, when asked for.
    Progress {
        /// One entry for each running stage.
        stages: Vec<StageProgress>,
    },
    /// The client's lease is frozen; it may be suspended for as long as its user likes.
    Frozen,
    /// Something the user should know now, in one line.
    Note {
        /// The line.
        text: String,
    },
    /// The last message: how it ended.
    Outcome(Box<Outcome>),
    /// A message of a newer peer; ignored.
    #[serde(other)]
    Unknown,
}

/// Where a stage is to run, and why there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StagePlan {
    /// The stage.
    pub stage: StageNumber,
    /// Its app.
    pub app: String,
    /// The node.
    pub node: NodeId,
    /// The node's address; `here` for the entry's own.
    pub address: String,
    /// Which registry told of it.
    pub via: String,
    /// How many nodes could have taken it.
    pub candidates: u32,
    /// Why this one, in a few words.
    pub why: String,
    /// What the node agreed to.
    #[schema(value_type = Option<Object>)]
    pub accept: Option<Accept>,
    /// Options the node ignored.
    #[serde(default)]
    pub ignored: Vec<String>,
    /// The nodes that were looked at, the chosen one first; only with [`RunMode::Check`], and a few at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub considered: Vec<Considered>,
}

/// A node that was looked at for a stage, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Considered {
    /// The node.
    pub node: NodeId,
    /// How well the app is there: `passing`, `unknown`, `warning`, `absent` or `critical`.
    pub health: String,
    /// The app's share of the work there; 0 takes none.
    pub weight: u16,
    /// How busy the node is, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<Load>,
    /// Which registry told of it.
    pub source: String,
    /// Why it was chosen, or why not.
    pub verdict: String,
}
