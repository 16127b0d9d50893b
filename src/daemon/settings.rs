//! What a daemon is told: plain data, built by `config`, changed by sending a new value on a watch channel.

use std::{collections::BTreeMap, fmt, net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

#[cfg(feature = "consul")]
use dpipes_discovery::consul;
#[cfg(feature = "etcd")]
use dpipes_discovery::etcd;
#[cfg(feature = "mdns")]
use dpipes_discovery::mdns;

use crate::{
    id::NodeId,
    media::Naming,
    negotiate::rules::Rules,
    object::{Limits, OnBadObject, OnNonObject},
};

/// Everything a daemon needs to know to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// This node's name.
    pub node: NodeId,
    /// Its labels, for `@label=value`.
    pub labels: BTreeMap<String, String>,
    /// Its share of the work, in proportion to the weights of other nodes; 0 takes none.
    pub weight: u16,
    /// Where to listen. Only read at start.
    pub listen: Vec<Listen>,
    /// Where other nodes dial this one, as `host:port`; by default the first TCP address that is listened on.
    pub advertise: Option<String>,
    /// Who may connect.
    pub access: Access,
    /// What may be run.
    pub rules: Arc<Rules>,
    /// Where nodes are found, in order of preference. Only read at start.
    pub registries: Vec<RegistrySettings>,
    /// How this node is announced in them.
    pub discovery: DiscoverySettings,
    /// Terms that pipes get unless they ask for others.
    pub terms: DefaultTerms,
    /// Whether the kernel moves bulk between the apps' pipes and the sessions' sockets by itself, where it can. Without it all goes through
    /// this process's memory: the same bytes at twice the cost.
    pub splice: bool,
    /// What becomes of objects that reach the apps of this node.
    pub objects: ObjectSettings,
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
    /// Consul, through an agent.
    #[cfg(feature = "consul")]
    Consul(consul::Config),
    /// An etcd cluster.
    #[cfg(feature = "etcd")]
    Etcd(etcd::Config),
    /// Multicast DNS, on the links of this machine.
    #[cfg(feature = "mdns")]
    Mdns(mdns::Config),
}

/// How a node is announced, whatever the registries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiscoverySettings {
    /// Whether the daemon is not ready before every registry has answered once.
    pub required: bool,
    /// How long a registry keeps a node that it does not hear of any more.
    pub ttl: Duration,
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
    /// Whether this node compresses links and takes compressed ones.
    pub compress: bool,
}

/// What becomes of objects that reach the apps of this node, unless a run says otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectSettings {
    /// What the metadata are called.
    pub naming: Naming,
    /// What becomes of a root that is no object.
    pub on_non_object: OnNonObject,
    /// What becomes of a bad object.
    pub on_bad_object: OnBadObject,
    /// What an object may be.
    pub limits: Limits,
}

// === impl Listen ===

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Unix { path, .. } => write!(f, "unix:{}", path.display()),
        }
    }
}

// === impl Settings ===

impl Settings {
    /// What somebody should hear at every start, one sentence each: who may come in that perhaps should not, and whom the node
    /// believes without looking.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        match self.access {
            Access::Open => warnings.push(
                "access is open: whoever reaches this node can run programs on it".to_owned(),
            ),
            Access::Members => {
                warnings.extend(
                    self.registries
                        .iter()
                        .filter_map(RegistrySettings::unguarded),
                );
            }
            Access::Local | Access::Networks(_) => {}
        }
        let unverified = self
            .registries
            .iter()
            .filter(|registry| !registry.verifies());
        warnings.extend(unverified.map(|registry| {
            format!(
                "registry {}: its certificate is not verified, so anybody in between can name the nodes and read the token; \
                 take `verify: false` away and name its authority with `ca`",
                registry.kind()
            )
        }));
        warnings
    }
}

// === impl RegistrySettings ===

impl RegistrySettings {
    /// Its kind, as in `--registry KIND:`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::StaticFile(_) | Self::StaticList(_) => "static",
            #[cfg(feature = "consul")]
            Self::Consul(_) => "consul",
            #[cfg(feature = "etcd")]
            Self::Etcd(_) => "etcd",
            #[cfg(feature = "mdns")]
            Self::Mdns(_) => "mdns",
        }
    }

    /// Where it is, for people: `consul 127.0.0.1:8500`.
    #[must_use]
    pub fn place(&self) -> String {
        match self {
            Self::StaticFile(path) => format!("static {}", path.display()),
            Self::StaticList(nodes) => format!("static ({} nodes)", nodes.len()),
            #[cfg(feature = "consul")]
            Self::Consul(config) => format!("consul {}", config.address),
            #[cfg(feature = "etcd")]
            Self::Etcd(config) => format!("etcd {}", config.endpoints.join(",")),
            #[cfg(feature = "mdns")]
            Self::Mdns(config) if config.interfaces.is_empty() => {
                "mdns on every interface".to_owned()
            }
            #[cfg(feature = "mdns")]
            Self::Mdns(config) => format!("mdns on {}", config.interfaces.join(",")),
        }
    }

    /// Why its members are worth little, where anybody can become one.
    fn unguarded(&self) -> Option<String> {
        match self {
            #[cfg(feature = "mdns")]
            Self::Mdns(_) => Some(format!(
                "members by announcement ({}): anybody on the link can announce a node and then run programs here; use it on links \
                 that you trust and name these with `mdns:INTERFACE`, or say who may come in with `--networks`",
                self.place()
            )),
            _ => None,
        }
    }

    const fn verifies(&self) -> bool {
        match self {
            #[cfg(feature = "consul")]
            Self::Consul(config) => config.tls.verify,
            #[cfg(feature = "etcd")]
            Self::Etcd(config) => config.tls.verify,
            _ => true,
        }
    }
}
