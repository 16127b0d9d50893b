use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{AppsOffered, Load, PipeView, StageHere};
use crate::id::{NodeId, PipeId, StageNumber};

/// What a client asks an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Query {
    /// Who is there.
    Nodes,
    /// What they offer.
    Apps,
    /// Who offers one app, and how well it is there.
    App {
        /// Its name.
        app: String,
    },
    /// How the entry itself is.
    State,
    /// The pipes that it conducts.
    Pipes {
        /// Whether those that are over are wanted too.
        #[serde(default)]
        over: bool,
        /// Whether the other nodes are to be asked for theirs too.
        #[serde(default)]
        cluster: bool,
    },
    /// One of them, or one that was over within the last hour.
    Pipe {
        /// Its name, or enough of the beginning or the end of it.
        pipe: String,
        /// Whether the other nodes are to be asked if it is none of the entry's own.
        #[serde(default)]
        cluster: bool,
    },
    /// The stages that run on it, whoever conducts them.
    Stages,
    /// That one of them ends, or that its apps get a signal.
    Kill {
        /// Its name, or enough of the beginning or the end of it.
        pipe: String,
        /// The signal for its apps; without one the pipe ends as if its client had been killed.
        #[serde(default)]
        signal: Option<i32>,
        /// The only stage that gets it.
        #[serde(default)]
        stage: Option<StageNumber>,
    },
    /// A query of a newer peer.
    #[serde(other)]
    Unknown,
}

/// An entry's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Reply {
    /// Every node that is known.
    Nodes {
        /// The nodes, by name.
        nodes: Vec<NodeView>,
        /// Where the knowledge comes from.
        sources: Vec<SourceView>,
    },
    /// Every app that is known by name.
    Apps {
        /// The apps, by name.
        apps: Vec<AppView>,
        /// Nodes that run any program of their search path.
        any: Vec<NodeId>,
        /// Where the knowledge comes from.
        sources: Vec<SourceView>,
    },
    /// Who offers one app.
    App {
        /// Its name.
        app: String,
        /// The nodes that list it, by name.
        offers: Vec<OfferView>,
        /// Nodes that run any program of their search path.
        any: Vec<NodeId>,
        /// Apps with similar names, where nobody lists this one, and who offers them.
        #[serde(default)]
        near: Vec<(String, Vec<NodeId>)>,
        /// Where the knowledge comes from.
        sources: Vec<SourceView>,
    },
    /// How the entry itself is.
    State(StateView),
    /// The pipes that it conducts.
    Pipes {
        /// The pipes, the newest first.
        pipes: Vec<PipeView>,
        /// How many more there are.
        #[serde(default)]
        left_out: u64,
        /// Nodes that were asked and did not answer: what they conduct is missing.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        silent: Vec<Silent>,
    },
    /// One pipe.
    Pipe(PipeView),
    /// The stages that run on it.
    Stages {
        /// The stages, those of the oldest pipe first.
        stages: Vec<StageHere>,
        /// How many more there are.
        #[serde(default)]
        left_out: u64,
    },
    /// What became of a kill.
    Killed {
        /// The pipe, which has been told.
        pipe: PipeId,
    },
    /// No pipe, or not just one, is meant, or nothing may or can be done to it.
    NotDone {
        /// Why.
        reason: NotDone,
        /// Who has to be asked instead, where another node conducts it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        instead: Option<Conductor>,
    },
    /// The entry does not know the query.
    #[serde(other)]
    Unsupported,
}

/// A node that did not answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Silent {
    /// Its name.
    pub node: NodeId,
    /// Why not, in a few words.
    pub why: String,
}

/// A node that conducts a pipe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conductor {
    /// Its name.
    pub node: NodeId,
    /// Where it listens, as far as that is known.
    pub address: Option<String>,
}

/// Why nothing was done to a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NotDone {
    /// None of that name is conducted here.
    NoSuchPipe,
    /// Several names begin or end like that.
    Ambiguous,
    /// It is over already.
    Over,
    /// It has no such stage.
    NoSuchStage,
    /// It is another user's.
    NotYours,
    /// It has not taken what came before.
    Busy,
    /// A reason of a newer peer.
    #[serde(other)]
    Other,
}

/// How far a daemon is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Its addresses are open; a registry that its settings require has not answered yet, or not accepted it.
    Starting,
    /// It takes work.
    Ready,
    /// It takes no new work, lets pipes end, and leaves.
    Draining,
    /// A phase of a newer peer.
    #[serde(other)]
    Other,
}

/// A daemon as it sees itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StateView {
    /// Its name.
    pub node: NodeId,
    /// Its software's version.
    pub version: String,
    /// How far it is.
    pub phase: Phase,
    /// Time since its start.
    pub uptime_ms: u64,
    /// Pipes that have a stage here or are conducted from here.
    #[serde(default)]
    pub pipes: u64,
    /// Nodes that it knows, itself among them.
    #[serde(default)]
    pub nodes: u64,
    /// Its registries.
    #[serde(default)]
    pub sources: Vec<SourceView>,
}

/// A node as an entry sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeView {
    /// Its name.
    pub node: NodeId,
    /// Its address.
    pub address: String,
    /// Whether it can be used.
    pub state: NodeState,
    /// What is wrong with it, or how it is reached.
    #[serde(default)]
    pub detail: String,
    /// What it runs, where known.
    #[serde(default)]
    pub apps: Option<AppsOffered>,
    /// How busy it is, where known.
    #[serde(default)]
    pub load: Option<Load>,
    /// Its software's version, where known.
    #[serde(default)]
    pub version: Option<String>,
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Which registry told of it.
    pub source: String,
    /// Age of the last sign of life.
    #[serde(default)]
    pub seen_ms: Option<u64>,
    /// Its share of the work, where a registry tells it; 0 takes none.
    #[serde(default)]
    pub weight: Option<u16>,
    /// Age of the newest answer of a registry that lists it.
    #[serde(default)]
    pub known_ms: Option<u64>,
}

/// Whether a node can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NodeState {
    /// The entry itself.
    Here,
    /// It answers.
    Up,
    /// It is listed and nobody looked yet.
    Unknown,
    /// It wants no more work.
    Draining,
    /// It did not answer and is left alone for a while.
    Avoided,
    /// An operator took it out: its weight is 0.
    Out,
    /// Its registry no longer lists it.
    Absent,
    /// Its registry says that it is broken.
    Critical,
    /// A state of a newer peer.
    #[serde(other)]
    Other,
}

/// An app on one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OfferView {
    /// The node.
    pub node: NodeId,
    /// How well the app is there: `passing`, `unknown`, `warning`, `absent` or `critical`.
    pub health: String,
    /// Its share of the work; 0 takes none.
    pub weight: u16,
    /// What else speaks against it, as `lately did not answer`.
    #[serde(default)]
    pub detail: String,
    /// The app's version, where the registry tells it.
    #[serde(default)]
    pub version: Option<String>,
    /// Which registries tell of it.
    pub source: String,
    /// Age of the newest answer of a registry that lists it.
    #[serde(default)]
    pub known_ms: Option<u64>,
}

/// An app and who offers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AppView {
    /// Its name.
    pub app: String,
    /// The nodes.
    pub nodes: Vec<NodeId>,
}

/// A registry as an entry sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SourceView {
    /// Its name, as `static`.
    pub name: String,
    /// Age of its last good answer.
    #[serde(default)]
    pub age_ms: Option<u64>,
    /// Why the knowledge is old, if it is.
    #[serde(default)]
    pub stale: Option<String>,
    /// Why this node is not found there by others, if it should be and is not.
    #[serde(default)]
    pub unannounced: Option<String>,
}
