use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    id::{Attempt, NodeId, PipeId, StageNumber},
    media::{Format, Naming},
    word::Word,
};

/// What an entry asks of one node: some stages of a pipe, and the terms for all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The pipe.
    pub pipe: PipeId,
    /// The try.
    pub attempt: Attempt,
    /// The entry that asks.
    pub entry: NodeId,
    /// How many stages the whole pipe has.
    pub stages_total: u16,
    /// The stages this node is asked to run, in order.
    pub stages: Vec<StageOffer>,
    /// Features of the protocol that the pipe needs.
    #[serde(default)]
    pub features: Vec<String>,
    /// Options given with `-o`, as far as nodes may know them. A node names those it ignored.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// What the client merely has and a node may take: `LANG`, `LC_*`, `TZ`. An embedded run: the whole environment.
    #[serde(default)]
    pub ambient: Vec<(String, String)>,
    /// Longest run time of the pipe, if limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// How long the pipe outlives the loss of its entry at most.
    pub lease_ms: u64,
    /// From SIGTERM to SIGKILL.
    pub kill_grace_ms: u64,
    /// Credit of each link at most, in bytes.
    pub window: u32,
    /// What the client shows a node that demands a credential. Never logged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// Whether nobody wants the stages' stderr, so that it need not be sent.
    #[serde(default)]
    pub drop_stderr: bool,
    /// Whether [`FromNode::Progress`](super::FromNode::Progress) is wanted.
    #[serde(default)]
    pub progress: bool,
    /// How often, where the entry says; a node without a word of it tells a few times a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress_ms: Option<u64>,
    /// How often this pipe was started from inside another one.
    #[serde(default)]
    pub hops: u8,
}

/// One stage as offered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageOffer {
    /// Its place.
    pub stage: StageNumber,
    /// The app: the first word of the command.
    pub app: String,
    /// The words after it.
    pub args: Vec<Word>,
    /// Environment asked for by name (`VAR=x cmd`, `-e`): taken whole or the stage is refused.
    #[serde(default)]
    pub env: Vec<EnvVar>,
    /// Versions that will do, as in `>=8.30`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require: Option<String>,
    /// The user to run as, if asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The working directory, if asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// What it is to read, unless the node knows that the app reads something else.
    #[serde(default)]
    pub input: Format,
    /// What it is to write, unless the node knows that the app writes something else.
    #[serde(default)]
    pub output: Format,
    /// Whether its stderr joins its stdout (`|&`).
    #[serde(default)]
    pub stderr_joined: bool,
    /// Who writes what it reads, if a stage does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<Upstream>,
    /// Where its standard input comes from.
    pub stdin: Wiring,
    /// Where its standard output goes.
    pub stdout: Wiring,
}

/// The stage whose output another one reads, as apps are told in `DP_REMOTE_*`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstream {
    /// Its app.
    pub app: String,
    /// Its node.
    pub node: NodeId,
    /// Its node's address.
    pub address: String,
}

/// What one end of a stage is connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wiring {
    /// A link to another node or to the client.
    Link,
    /// A kernel pipe to the neighbouring stage on the same node.
    Joined,
    /// `/dev/null`.
    Null,
}

/// A variable with its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvVar {
    /// Its name.
    pub name: String,
    /// Its value, with a leading `~` still to be expanded.
    pub value: Word,
}

/// A node's answer to an [`Offer`]: one for each stage, in the same order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The node that answers.
    pub node: NodeId,
    /// One answer for each offered stage.
    pub stages: Vec<StageAnswer>,
    /// Options of the offer that this node ignored.
    #[serde(default)]
    pub ignored: Vec<String>,
    /// Features of the protocol that this node has, for those that a pipe may use and does not need.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub features: BTreeSet<String>,
}

/// Yes or no to one stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StageAnswer {
    /// Everything but `execve` has been done.
    Accept(Accept),
    /// It will not run here.
    Refuse(Refusal),
}

/// What a node agreed to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accept {
    /// The stage.
    pub stage: StageNumber,
    /// The program that will be run.
    pub program: String,
    /// Its arguments after expansion, as text; bytes that are no UTF-8 are shown replaced.
    pub argv: Vec<String>,
    /// Its version, where the node knows one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The user it runs as.
    pub user: String,
    /// The directory it starts in.
    pub cwd: String,
    /// `LC_ALL`, else `LC_COLLATE`, else `LANG`, as the app will see it; empty for none. Neighbours that differ sort differently.
    #[serde(default)]
    pub locale: String,
    /// What it reads.
    #[serde(default)]
    pub input: Format,
    /// What it writes.
    #[serde(default)]
    pub output: Format,
    /// What the metadata in its objects are called; absent where it reads bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub naming: Option<Naming>,
    /// How its processes are kept together: `cgroup` or `pgroup`.
    #[serde(default)]
    pub isolation: String,
    /// How many variables of `ambient` were not taken.
    #[serde(default)]
    pub dropped_env: u32,
    /// The process that waits at the barrier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
}

/// Why a side did not agree: the parameter, what was wanted and what there is. Data, not a sentence; the client prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The stage, or `None` when it is about the whole offer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<StageNumber>,
    /// The parameter's name in the table of `negotiate`.
    pub parameter: String,
    /// What was asked for.
    pub wanted: String,
    /// What this side has or allows.
    pub got: String,
    /// What it means for the run.
    pub kind: RefusalKind,
    /// The word of the command it is about, counted from 0 (the app itself), for the caret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub word: Option<u16>,
    /// One next step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// What a refusal means for the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalKind {
    /// Against a rule: the run ends with 126.
    Forbidden,
    /// The app is not there: 127.
    NoSuchApp,
    /// The app is there and cannot be executed: 126.
    NotExecutable,
    /// No room now; another node may have some.
    Busy,
    /// The node is leaving; another may stay.
    Gone,
    /// A kind of a newer peer, treated as `Forbidden`.
    #[serde(other)]
    Unknown,
}
