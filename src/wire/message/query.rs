use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{AppsOffered, Load};
use crate::id::NodeId;

/// What a client asks an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Query {
    /// Who is there.
    Nodes,
    /// What they offer.
    Apps,
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
    /// The entry does not know the query.
    #[serde(other)]
    Unsupported,
}

/// A node as an entry sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
}

/// Whether a node can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// A state of a newer peer.
    #[serde(other)]
    Other,
}

/// An app and who offers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppView {
    /// Its name.
    pub app: String,
    /// The nodes.
    pub nodes: Vec<NodeId>,
}

/// A registry as an entry sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceView {
    /// Its name, as `static`.
    pub name: String,
    /// Age of its last good answer.
    #[serde(default)]
    pub age_ms: Option<u64>,
    /// Why the knowledge is old, if it is.
    #[serde(default)]
    pub stale: Option<String>,
}
