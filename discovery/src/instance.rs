//! What a registry holds: instances, and what a node announces.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{NodeId, ServiceName};

/// The weight of an instance that names none: ten, so that there is room below without fractions.
pub const DEFAULT_WEIGHT: u16 = 10;

/// How well an instance is, as its registry says.
///
/// The order is from best to worst for whoever looks for one to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Health {
    /// Well.
    Passing,
    /// This registry knows no health.
    #[default]
    Unknown,
    /// Wants no more work: draining or overloaded.
    Warning,
    /// Broken or gone.
    Critical,
}

/// One service on one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// The service.
    pub service: ServiceName,
    /// The node.
    pub node: NodeId,
    /// Where the node is dialled: an address or a DNS name.
    pub host: String,
    /// The port.
    pub port: u16,
    /// How much work it takes, compared with others; 0 takes none.
    pub weight: u16,
    /// How well it is.
    pub health: Health,
    /// Words about it.
    pub tags: BTreeSet<String>,
    /// More about it. `boot` names the start of the node: of two entries with one node the newer one counts.
    pub meta: BTreeMap<String, String>,
}

/// All that one node announces. `primary` carries the only liveness check; `services` live and die with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The node.
    pub node: NodeId,
    /// Where it is dialled: an address or a DNS name. Empty: the address of this machine that readers of the registry reach, which the
    /// backend finds.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The service that stands for the node itself.
    pub primary: ServiceDef,
    /// Everything else it offers.
    pub services: Vec<ServiceDef>,
    /// How long the registry keeps the node after its last sign of life.
    pub ttl: Duration,
}

/// One announced service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceDef {
    /// Its name.
    pub name: ServiceName,
    /// How much work it takes.
    pub weight: u16,
    /// Words about it.
    pub tags: BTreeSet<String>,
    /// More about it.
    pub meta: BTreeMap<String, String>,
}

// === impl Instance ===

impl Instance {
    /// The start of the node that this entry stems from; empty if it does not say.
    #[must_use]
    pub fn boot(&self) -> &str {
        self.meta.get("boot").map_or("", String::as_str)
    }
}

// === impl ServiceDef ===

impl ServiceDef {
    /// A service of default weight, without tags and meta.
    #[must_use]
    pub const fn new(name: ServiceName) -> Self {
        Self {
            name,
            weight: DEFAULT_WEIGHT,
            tags: BTreeSet::new(),
            meta: BTreeMap::new(),
        }
    }
}

// === impl Registration ===

impl Registration {
    /// The instances that this registration makes, all of the same health.
    pub fn instances(&self, health: Health) -> impl Iterator<Item = Instance> {
        let defs = std::iter::once(&self.primary).chain(&self.services);
        defs.map(move |def| Instance {
            service: def.name.clone(),
            node: self.node.clone(),
            host: self.host.clone(),
            port: self.port,
            weight: def.weight,
            health,
            tags: def.tags.clone(),
            meta: def.meta.clone(),
        })
    }

    /// The start of the node that announces; empty if it does not say.
    #[must_use]
    pub fn boot(&self) -> &str {
        self.primary.meta.get("boot").map_or("", String::as_str)
    }
}
