//! How a Consul agent is reached and what is written there.

use std::{collections::BTreeSet, path::PathBuf};

use crate::{Secret, Tls};

/// Where an agent listens when nobody says so.
pub const DEFAULT_ADDRESS: &str = "127.0.0.1:8500";

/// A Consul agent: plain data. Nothing is read from the environment here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `host:port`, `http://…`, `https://…` or `unix:///path`, as in `CONSUL_HTTP_ADDR`.
    pub address: String,
    /// The ACL token.
    pub token: Token,
    /// User and password for a proxy in front of the agent.
    pub basic_auth: Option<(String, Secret)>,
    /// The datacenter that is asked; the agent's own by default.
    pub datacenter: Option<String>,
    /// The namespace (Consul Enterprise).
    pub namespace: Option<String>,
    /// The admin partition (Consul Enterprise).
    pub partition: Option<String>,
    /// TLS, where the address is `https`.
    pub tls: Tls,
    /// What is registered.
    pub layout: Layout,
    /// Whether apps are listed as tags of the node's own service, for Consul's DNS (`sort.noded.service.consul`).
    pub app_tags: bool,
    /// More tags for every service.
    pub tags: BTreeSet<String>,
    /// Whether the agent also dials the node, which notices a killed process in a second.
    pub tcp_check: bool,
}

/// The ACL token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Token {
    /// None: the agent's own or the anonymous one counts.
    #[default]
    None,
    /// This one.
    Value(Secret),
    /// What the file says; read again when the token is refused.
    File(PathBuf),
}

/// What a node registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// A service for the node and one for each app.
    #[default]
    Services,
    /// Only the node's own service, with the apps as tags: a hundredth of the writes, for clusters of hundreds of nodes.
    Node,
}

// === impl Config ===

impl Config {
    /// An agent at an address, all else as it is by default.
    #[must_use]
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            token: Token::None,
            basic_auth: None,
            datacenter: None,
            namespace: None,
            partition: None,
            tls: Tls::default(),
            layout: Layout::default(),
            app_tags: true,
            tags: BTreeSet::new(),
            tcp_check: false,
        }
    }
}
