use serde::{Deserialize, Serialize};

use super::{LinkEndpoint, Refusal, SourceView, StageRecord};
use crate::{
    id::{NodeId, StageNumber},
    media::Format,
};

/// How a run ended. The client makes the exit status of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Whether the pipe did what a local one would have done.
    pub ending: Ending,
    /// What is known of each stage, in order; empty when nothing was started.
    pub stages: Vec<StageRecord>,
    /// Data streams the entry opened to the client for this run. The client waits for the end of so many.
    #[serde(default)]
    pub streams: u32,
    /// From the request to the end.
    pub elapsed_ms: u64,
}

/// Whether a run is to be believed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// Every stage's end is known and every link balanced: the statuses are the apps' own.
    Complete,
    /// Something of dpipes or of the cluster failed.
    Failed(Failure),
}

/// What went wrong, as data; the client prints it and picks the exit status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "failure", rename_all = "kebab-case")]
pub enum Failure {
    /// No node offers the app. Status 127.
    NoSuchApp {
        /// The stage.
        stage: StageNumber,
        /// The app.
        app: String,
        /// Apps with similar names, and who offers them.
        near: Vec<(String, Vec<NodeId>)>,
        /// Who was asked.
        sources: Vec<SourceView>,
        /// How many nodes are known.
        nodes: u32,
    },
    /// No node but the entry is known, for a registry was never read. Status 125.
    NoRegistry {
        /// The registries, each with its error.
        sources: Vec<SourceView>,
    },
    /// Nodes offer the app, but none fits the constraint in the pipeline or `--avoid`. Status 126.
    NoFit {
        /// The stage.
        stage: StageNumber,
        /// The app.
        app: String,
        /// What none of them satisfies.
        constraint: String,
        /// Who offers the app.
        nodes: Vec<NodeId>,
    },
    /// A side did not agree. Status 126 or 127 by its kind.
    Refused {
        /// The node that refused; `None` when the entry itself did.
        node: Option<NodeId>,
        /// Its address.
        address: String,
        /// Why.
        refusal: Refusal,
    },
    /// No node that could take a stage was reached. Status 125.
    Unreachable {
        /// The stage.
        stage: StageNumber,
        /// The app.
        app: String,
        /// Every try with its own error.
        tried: Vec<Tried>,
    },
    /// After Start a program could not be executed. Status 126 or 127.
    ExecFailed {
        /// The stage.
        stage: StageNumber,
        /// The app.
        app: String,
        /// The node.
        node: NodeId,
        /// What the node was doing.
        step: String,
        /// The error number, as in errno(3).
        errno: i32,
    },
    /// A node was lost while the pipe ran. Status 125.
    LostNode {
        /// The node.
        node: NodeId,
        /// The stages it ran.
        stages: Vec<StageNumber>,
        /// Their apps.
        apps: Vec<String>,
        /// Why it is thought lost.
        detail: String,
        /// Bytes that had reached the client's stdout.
        delivered: u64,
    },
    /// A link between two nodes broke. Status 125.
    LostLink {
        /// Who wrote.
        from: LinkEndpoint,
        /// Who read.
        to: LinkEndpoint,
        /// The node that noticed.
        node: NodeId,
        /// The node at the other end.
        peer: NodeId,
        /// Bytes that had passed.
        bytes: u64,
        /// Why.
        detail: String,
        /// Bytes that had reached the client's stdout.
        delivered: u64,
    },
    /// What was written is no object of the agreed format. Status 125.
    BadObject {
        /// Who wrote it.
        from: LinkEndpoint,
        /// Its app; empty for the client.
        app: String,
        /// Its node; `None` for the client.
        node: Option<NodeId>,
        /// Who was to read it.
        to: LinkEndpoint,
        /// What it should have been.
        format: Format,
        /// Which object, counted from 1.
        number: u64,
        /// Where in what was written, in bytes from 0.
        offset: u64,
        /// What was wrong.
        problem: String,
    },
    /// Both ends of a link ended it, but their counts differ. Status 125.
    Unbalanced {
        /// Who wrote.
        from: LinkEndpoint,
        /// Who read.
        to: LinkEndpoint,
        /// Bytes written.
        sent: Option<u64>,
        /// Bytes read.
        received: Option<u64>,
    },
    /// A stage's status never came. Status 125.
    StatusUnknown {
        /// The stage.
        stage: StageNumber,
        /// Why.
        detail: String,
    },
    /// An app reached a limit of its node. Status 125.
    LimitReached {
        /// The stage.
        stage: StageNumber,
        /// The app.
        app: String,
        /// The node.
        node: NodeId,
        /// Which limit, and its value.
        limit: String,
    },
    /// `--timeout` was reached. Status 124.
    TimedOut {
        /// The limit.
        after_ms: u64,
    },
    /// The client asked for the end, or a signal did. Status 128 plus the signal.
    Aborted {
        /// Why.
        reason: String,
        /// The signal, if one did.
        signal: Option<i32>,
    },
    /// The request itself was wrong. Status 125.
    BadRequest {
        /// Why.
        detail: String,
        /// The bytes of the expression it is about.
        span: Option<(u32, u32)>,
        /// One next step.
        hint: Option<String>,
    },
    /// The entry itself failed or is leaving. Status 125.
    Entry {
        /// Why.
        detail: String,
    },
    /// A failure of a newer peer. Status 125.
    #[serde(other)]
    Unknown,
}

/// One try at reaching a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// The node.
    pub node: NodeId,
    /// The address.
    pub address: String,
    /// What came of it.
    pub error: String,
}
