//! What this node tells registries of itself, from its start to its leave.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use dpipes_discovery::{
    Announcer, Health, NodeId as RegistryNode, Registration, Registry, ServiceDef, ServiceName,
};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{debug, warn};

use super::{
    node::Node,
    own_addresses::own_addresses,
    settings::Settings,
    view::{APP_PREFIX, primary_service},
};
use crate::{transport, wire::message::AppsOffered};

/// How long registries may take to agree that this node is gone; they forget it by themselves after its TTL.
const WITHDRAW_TIMEOUT: Duration = Duration::from_secs(4);
/// How often this machine's addresses are looked at: one that moved to another network is announced there within a minute.
const ADDRESSES_INTERVAL: Duration = Duration::from_secs(60);
/// Further addresses that are announced. A registry's value may be 512 characters long, and eight addresses of IPv6 fit.
const MAX_ADDRESSES: usize = 8;
/// Version of the announcement: its services, meta and tags.
const ANNOUNCEMENT: &str = "1";

/// Begins to announce a node in the registries that can.
pub(super) fn begin(
    node: &Arc<Node>,
    registries: &[Arc<dyn Registry>],
    listener: Option<SocketAddr>,
) {
    if !registries.iter().any(|one| one.abilities().registers) {
        return;
    }
    match registration(node, listener) {
        Ok(what) => {
            let announcer = Announcer::new(registries, what);
            node.set_announced(announcer.states());
            let keeping = keep_announced(node.clone(), announcer, listener);
            node.tasks().spawn(keeping);
        }
        Err(problem) => warn!(%problem, "this node is in no registry"),
    }
}

/// Keeps this node announced as it is: apps, labels and addresses as they are now, draining once it leaves, gone at the end.
async fn keep_announced(node: Arc<Node>, announcer: Announcer, listener: Option<SocketAddr>) {
    let mut settings = node.follow_settings();
    let mut look = interval(ADDRESSES_INTERVAL);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            Ok(()) = settings.changed() => {}
            _ = look.tick() => {}
            () = node.closing().cancelled() => break,
        }
        match registration(&node, listener) {
            Ok(what) => announcer.announce(what),
            Err(problem) => warn!(%problem, "this node stays announced as it was"),
        }
    }
    announcer.set_health(Health::Warning, "draining");
    node.ending_token().cancelled().await;
    if timeout(WITHDRAW_TIMEOUT, announcer.withdraw())
        .await
        .is_err()
    {
        warn!("a registry did not agree in time that this node has left; it forgets it by itself");
    }
}

/// What is announced now; `listener` is the first address that is listened on.
fn registration(node: &Node, listener: Option<SocketAddr>) -> Result<Registration, String> {
    let settings = node.settings();
    let (host, port) = place(&settings, listener)?;
    let id = RegistryNode::new(node.id().as_str()).map_err(|error| error.to_string())?;
    let mut primary = ServiceDef {
        weight: settings.weight,
        ..ServiceDef::new(primary_service())
    };
    let offered = node.offered();
    let apps = match &offered {
        AppsOffered::Any => "any",
        AppsOffered::Listed(_) => "listed",
    };
    let meta = [
        ("v", ANNOUNCEMENT),
        ("node", node.id().as_str()),
        ("boot", node.boot()),
        ("version", env!("CARGO_PKG_VERSION")),
        ("apps", apps),
    ];
    let mut meta: Vec<(String, String)> = meta.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let labels = settings.labels.iter();
    meta.extend(labels.map(|(name, value)| (format!("label_{name}"), value.clone())));
    meta.extend(further_addresses(&host).map(|addresses| ("addrs".to_owned(), addresses)));
    primary.meta.extend(meta);
    let services = match offered {
        AppsOffered::Any => Vec::new(),
        AppsOffered::Listed(apps) => apps.iter().filter_map(|app| service(node, app)).collect(),
    };
    Ok(Registration {
        node: id,
        host,
        port,
        primary,
        services,
        ttl: settings.discovery.ttl,
    })
}

/// One app's service; an app whose name no registry can carry is found only by who asks the node.
fn service(node: &Node, app: &str) -> Option<ServiceDef> {
    match ServiceName::new(format!("{APP_PREFIX}{app}")) {
        Ok(name) => {
            let mut def = ServiceDef {
                weight: node.settings().weight,
                ..ServiceDef::new(name)
            };
            def.meta.insert("node".to_owned(), node.id().to_string());
            Some(def)
        }
        Err(error) => {
            debug!(app, %error, "not announced");
            None
        }
    }
}

/// Where others dial this node: as configured, else the address that is listened on, with an empty host where that is every address.
fn place(settings: &Settings, listener: Option<SocketAddr>) -> Result<(String, u16), String> {
    if let Some(advertised) = &settings.advertise {
        return host_and_port(advertised)
            .ok_or_else(|| format!("`advertise: {advertised}` is not HOST:PORT or [V6]:PORT"));
    }
    let listener =
        listener.ok_or("this node listens to no network, so there is no address to announce")?;
    let host = match listener.ip() {
        ip if ip.is_unspecified() => String::new(),
        ip => ip.to_string(),
    };
    Ok((host, listener.port()))
}

fn host_and_port(text: &str) -> Option<(String, u16)> {
    let Ok(transport::Address::Tcp(address)) = text.parse() else {
        return None;
    };
    let (host, port) = address.rsplit_once(':')?;
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    Some((bare.unwrap_or(host).to_owned(), port.parse().ok()?))
}

/// Addresses from which this node may come, beside the announced one; peers let members in by these.
fn further_addresses(host: &str) -> Option<String> {
    further_of(host, &own_addresses())
}

fn further_of(host: &str, own: &[IpAddr]) -> Option<String> {
    // A node that is announced at an address that this machine does not have is behind a translation of addresses, as in a container,
    // and comes from that address too. Its own ones mean other machines outside, which must not become members. And one that is to be
    // found on this machine alone comes from nowhere else.
    if host.parse().is_ok_and(|ip: IpAddr| !own.contains(&ip)) {
        return None;
    }
    let further: Vec<String> = own
        .iter()
        .map(ToString::to_string)
        .filter(|address| address != host)
        .take(MAX_ADDRESSES)
        .collect();
    (!further.is_empty()).then(|| further.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_behind_a_translation_of_addresses_announces_no_inner_ones() {
        let own: Vec<IpAddr> = ["172.17.0.2", "10.0.0.1"]
            .map(|text| text.parse().unwrap())
            .into();
        let further = |host: &str| further_of(host, &own);
        assert_eq!(further("10.0.0.1").as_deref(), Some("172.17.0.2"));
        assert_eq!(further("").as_deref(), Some("172.17.0.2,10.0.0.1"));
        assert_eq!(further("192.0.2.7"), None);
        assert_eq!(further("127.0.0.1"), None);
    }

    #[test]
    fn an_advertised_address_is_taken_apart() {
        for (text, place) in [
            ("10.0.0.1:4000", Some(("10.0.0.1", 4000))),
            ("n1.example:80", Some(("n1.example", 80))),
            ("[2001:db8::1]:80", Some(("2001:db8::1", 80))),
            ("10.0.0.1", None),
            ("2001:db8::1:80", None),
            ("unix:/run/x", None),
        ] {
            let place = place.map(|(host, port)| (host.to_owned(), port));
            assert_eq!(host_and_port(text), place, "{text}");
        }
    }
}
