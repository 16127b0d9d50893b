//! Who is there: what the registries say, what the nodes said themselves, and which of them answer.
//!
//! [`cluster`] is what a pipe's start reads; [`people`] is what `dpipes nodes` and `dpipes apps` show; [`warm`] keeps sessions open and looks
//! whether the nodes answer of which no registry says so.

pub(super) mod cluster;
mod index;
pub(super) mod people;
pub(super) mod warm;

use std::{net::IpAddr, time::Duration};

use dpipes_discovery::{
    Address, Candidate, Health, LeaseState, NodeEntry, NodeId as RegistryNode, NodeList,
    ServiceName, Snapshot,
};

use super::{node::Node, own_addresses::can_be_reached, settings::StaticNode};
use crate::{
    id::NodeId,
    plan::Tier,
    wire::message::{SourceView, milliseconds},
};

/// The service that every node registers.
const PRIMARY: &str = "dpipesd";

/// What stands before an app's name in the service that offers it.
pub(super) const APP_PREFIX: &str = "dp.";

/// Port of a node whose address names none.
pub(super) const DEFAULT_PORT: u16 = 3_747;

/// How long a pipe's start, or a question of a person, waits for what is not in memory yet. The first use of an app or a node pays it,
/// later ones do not.
const FIRST_USE: Duration = Duration::from_secs(2);

/// A static list as the registry takes it.
pub(super) fn node_list(nodes: &[StaticNode]) -> Result<NodeList, String> {
    let entry = |node: &StaticNode| {
        let name = RegistryNode::new(node.name.as_str()).map_err(|error| error.to_string())?;
        let entry = NodeEntry::new(name, &node.addr)?
            .with_weight(node.weight)
            .with_labels(node.labels.clone());
        match &node.apps {
            Some(apps) => entry.with_apps(apps.iter().cloned()),
            None => Ok(entry),
        }
    };
    nodes.iter().map(entry).collect()
}

/// The name under which nodes are registered.
pub(super) fn primary_service() -> ServiceName {
    ServiceName::new(PRIMARY).expect("a constant that is a legal name")
}

/// The service that offers an app. A name that no registry can carry is nobody's service.
fn app_service(app: &str) -> Option<ServiceName> {
    ServiceName::new(format!("{APP_PREFIX}{app}")).ok()
}

/// How well a registry says that an instance is.
const fn tier(candidate: &Candidate) -> Tier {
    match candidate.instance.health {
        _ if candidate.absent => Tier::Absent,
        Health::Passing => Tier::Passing,
        Health::Unknown => Tier::Unknown,
        Health::Warning => Tier::Warning,
        Health::Critical => Tier::Critical,
    }
}

/// Whether the registry lists this node at this address.
pub(super) fn is_listed(own: &Node, node: &NodeId, address: &str) -> bool {
    let registered = own.registered();
    let is_address = |listed: &Address| listed.to_string() == address;
    find(&registered, node).is_some_and(|listed| listed.addrs.iter().any(is_address))
}

/// Where the registry says that this node is dialled, if others can use that: seen from its own machine a node may be at a loopback
/// address, or at one of a link, and neither means the same to anybody else. `is_local` is for a node that is on this machine alone,
/// and so are those that it talks to.
pub(super) fn listed_address(own: &Node, is_local: bool) -> Option<String> {
    let registered = own.registered();
    let listed = find(&registered, own.id())?;
    let mut addresses = listed.addrs.iter();
    let usable = addresses.find(|address| is_for_all(&address.host, is_local));
    usable.map(ToString::to_string)
}

fn is_for_all(host: &str, is_local: bool) -> bool {
    let is_usable = |ip: IpAddr| can_be_reached(ip) || (is_local && ip.is_loopback());
    // Only addresses of a link have a zone.
    !host.contains('%') && host.parse().map_or(true, is_usable)
}

/// What a snapshot says of a node.
fn find<'a>(snapshot: &'a Snapshot, node: &NodeId) -> Option<&'a Candidate> {
    // Sorted by name, as every snapshot is.
    let order = |candidate: &Candidate| candidate.instance.node.as_str().cmp(node.as_str());
    let at = snapshot.candidates.binary_search_by(order).ok()?;
    Some(&snapshot.candidates[at])
}

/// Tells the directory what came of a session that a pipe needed.
pub(super) fn report(node: &Node, id: &NodeId, reached: bool) {
    let Ok(id) = RegistryNode::new(id.as_str()) else {
        return;
    };
    if reached {
        node.directory().succeeded(&id);
    } else {
        node.directory().failed(&id);
    }
}

/// Where the knowledge comes from, and how old it is.
pub(super) fn sources(node: &Node) -> Vec<SourceView> {
    let announced = node.announced();
    let view = |source: &dpipes_discovery::Source| {
        let own = announced.iter().find(|own| own.registry == source.name);
        SourceView {
            name: source.name.to_string(),
            age_ms: source.updated.map(|at| milliseconds(at.elapsed())),
            stale: source.stale.clone(),
            unannounced: own.and_then(|own| unannounced(&own.state)),
        }
    };
    node.registered().sources.iter().map(view).collect()
}

/// Why others do not find this node, if they do not.
fn unannounced(state: &LeaseState) -> Option<String> {
    match state {
        LeaseState::Live => None,
        LeaseState::Pending => Some("not accepted yet".to_owned()),
        LeaseState::Retrying { detail, .. } | LeaseState::Invisible { detail } => {
            Some(detail.clone())
        }
        LeaseState::Superseded { holder } => {
            Some(format!("another node has taken the name: {holder}"))
        }
    }
}

/// Registries allow the same names as dpipes does; one that is not legal here is skipped.
fn own_id(node: &RegistryNode) -> Option<NodeId> {
    NodeId::new(node.as_str()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_means_something_else_elsewhere_is_not_handed_on() {
        for (host, expected) in [
            ("127.0.0.1", false),
            ("::1", false),
            ("fe80::1%eth0", false),
            ("fe80::1", false),
            ("10.0.0.1", true),
            ("2001:db8::1", true),
            ("node-a.example", true),
        ] {
            assert_eq!(is_for_all(host, false), expected, "{host}");
        }
        assert!(is_for_all("127.0.0.1", true) && !is_for_all("fe80::1", true));
    }
}
