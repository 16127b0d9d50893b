//! The suite for every backend. All nodes are on one host, in another registry than the one that is tested.

use std::collections::BTreeMap;

use dpipes_discovery::{Lease, Registry, mdns::Mdns};
use dpipes_testbed::net::Net;
use futures_util::{StreamExt, future::join_all};
use tokio::{runtime::Builder, time::Instant};

use super::hosts::{SOON, config, net_or_return};
use crate::bed::{Bed, Watch, conforms, registration, service, service_names};

struct MdnsBed {
    net: Net,
    /// Announces; the nodes are seen by another registry, through the network.
    nodes: Mdns,
    leases: BTreeMap<String, Box<dyn Lease>>,
    registry: Mdns,
    /// Keeps the registry's browse, as a daemon's lease does; and what it said last.
    browse: Option<Watch>,
    known: Vec<(String, Vec<String>)>,
}

impl MdnsBed {
    fn new(net: Net) -> Self {
        let mdns = || Mdns::new(config(&["eth0"]), service_names()).unwrap();
        Self {
            net,
            nodes: mdns(),
            leases: BTreeMap::new(),
            registry: mdns(),
            browse: None,
            known: Vec::new(),
        }
    }

    /// Waits until the registry knows exactly these nodes with these apps.
    async fn seen(&mut self, nodes: &[(&str, &[&str])]) {
        let browse = self
            .browse
            .get_or_insert_with(|| self.registry.watch(&service("noded")));
        let deadline = Instant::now() + SOON;
        let wanted: Vec<(String, Vec<String>)> = nodes
            .iter()
            .map(|(node, apps)| {
                let mut apps: Vec<_> = apps.iter().map(|app| (*app).to_owned()).collect();
                apps.sort();
                ((*node).to_owned(), apps)
            })
            .collect();
        while self.known != wanted {
            let item = tokio::time::timeout_at(deadline, browse.next()).await;
            let set = item.unwrap_or_else(|_| panic!("{wanted:?} seen in time"));
            let nodes = set.unwrap().unwrap().into_iter();
            self.known = nodes
                .map(|i| (i.node.to_string(), i.tags.into_iter().collect()))
                .collect();
        }
    }
}

#[async_trait::async_trait]
impl Bed for MdnsBed {
    fn registry(&self) -> &dyn Registry {
        &self.registry
    }

    /// Multicast is not spoken on `::1`.
    fn host(&self) -> &'static str {
        "10.77.0.1"
    }

    async fn holds(&mut self, nodes: &[(&str, &[&str])]) {
        let mut before = std::mem::take(&mut self.leases);
        for (node, apps) in nodes {
            let mut what = registration(node, apps);
            what.host = self.host().to_owned();
            let lease = match before.remove(*node) {
                Some(lease) => {
                    lease.update(what.services).await.unwrap();
                    lease
                }
                None => self.nodes.register(what).await.unwrap(),
            };
            self.leases.insert((*node).to_owned(), lease);
        }
        join_all(before.into_values().map(|lease| lease.deregister())).await;
        self.seen(nodes).await;
    }

    async fn breaks(&mut self) {
        self.browse = None;
        self.net.ip(1, "link set eth0 down");
    }

    async fn mends(&mut self) {
        self.net.ip(1, "link set eth0 up");
        let mut watch = self.registry.watch(&service("noded"));
        let deadline = Instant::now() + SOON;
        loop {
            match tokio::time::timeout_at(deadline, watch.next()).await {
                Ok(Some(Ok(set))) if !set.is_empty() => break,
                Ok(Some(Ok(_))) => {}
                Ok(_) => watch = self.registry.watch(&service("noded")),
                Err(_) => panic!("the node is announced again in time"),
            }
        }
        self.browse = Some(watch);
    }
}

#[test]
fn mdns_conforms() {
    let net = net_or_return!(1);
    // The thread of a test may run another one after it, so a thread of its own is moved to the host.
    let suite = std::thread::spawn(move || {
        net.enter(1);
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(conforms(MdnsBed::new(net)));
    });
    if let Err(failure) = suite.join() {
        std::panic::resume_unwind(failure);
    }
}
