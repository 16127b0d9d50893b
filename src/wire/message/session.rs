use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::id::NodeId;

/// The first message of both peers on stream 0: who they are. Nothing else counts before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// What the sender is to the receiver.
    pub role: Role,
    /// The sender's node name; `None` for a client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    /// A text that differs at every start of the sender, so that a restarted node is known as such.
    pub boot: String,
    /// The sender's software version, for display and `dpipes nodes`.
    pub version: String,
    /// Optional abilities the sender has, by name.
    #[serde(default)]
    pub features: BTreeSet<String>,
    /// The 16 bytes of the receiver's preface, in hexadecimal: proof that the sender read it.
    pub nonce: String,
    /// The address where the sender can be dialled, as `host:port`, if it listens for peers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advertise: Option<String>,
    /// What the sender runs; `None` for a client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apps: Option<AppsOffered>,
    /// The sender's labels, as used by `@label=value`.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// How busy the sender is.
    #[serde(default)]
    pub load: Load,
}

/// What a peer is to the one it greets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Wants pipes to be run.
    Client,
    /// Runs stages.
    Node,
}

/// The apps a node runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AppsOffered {
    /// Any program of its search path.
    Any,
    /// These and no others.
    Listed(BTreeSet<String>),
}

/// How busy a node is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Load {
    /// Stages now prepared or running.
    pub stages: u32,
    /// Stages it takes at most; 0 when unknown.
    pub capacity: u32,
}
