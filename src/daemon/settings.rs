//! What a daemon is told: plain data, built by `config`, changed by sending a new value on a watch channel.

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf, time::Duration};

use crate::{id::NodeId, negotiate::rules::Rules};

/// Everything a daemon needs to know to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// This node's name.
    pub node: NodeId,
    /// Its labels, for `@label=value`.
    pub labels: BTreeMap<String, String>,
    /// Where to listen. Only read at start.
    pub listen: Vec<Listen>,
    /// Where other nodes dial this one, as `host:port`; by default the first TCP address that is listened on.
    pub advertise: Option<String>,
    /// Who may connect.
    pub access: Access,
    /// What may be run.
    pub rules: Rules,
    /// Where nodes are found, in order of preference. Only read at start.
    pub registries: Vec<RegistrySettings>,
    /// Terms that pipes get unless they ask for others.
    pub terms: DefaultTerms,
    /// Whether to leave after one stage has run, with its status.
    pub exit_after_one: bool,
    /// How long running pipes may go on after the daemon was told to leave.
    pub drain_timeout: Duration,
}

/// A place to listen at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// `host:port`; port 0 for any free one.
    Tcp(String),
    /// A unix socket. `required: false` for the default one, which another daemon of the same user may hold.
    Unix {
        /// Its path.
        path: PathBuf,
        /// Whether the daemon refuses to start without it.
        required: bool,
    },
}

/// Who may connect, besides the unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Loopback.
    Local,
    /// Loopback, and the addresses of nodes that the registry knows.
    Members,
    /// Loopback, and these prefixes as (address, length).
    Networks(Vec<(IpAddr, u8)>),
    /// Everyone. Must be said; warns at every start.
    Open,
}

/// A registry to build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistrySettings {
    /// A file with a list of nodes, watched for change.
    StaticFile(PathBuf),
    /// A list of nodes in the configuration itself.
    StaticList(Vec<StaticNode>),
}

/// A node of a static list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticNode {
    /// Its name.
    pub name: NodeId,
    /// Where it is dialled, as `host:port`.
    pub addr: String,
    /// Its apps; `None` to ask the node.
    pub apps: Option<Vec<String>>,
    /// Its share of the work; 0 takes none.
    pub weight: u16,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// Terms that pipes get unless they ask for others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultTerms {
    /// How long a pipe outlives the loss of its entry.
    pub lease: Duration,
    /// From SIGTERM to SIGKILL.
    pub kill_grace: Duration,
    /// Credit of a link, in bytes.
    pub window: u32,
    /// Placement: `spread`, `pack` or `pin`.
    pub policy: String,
}
