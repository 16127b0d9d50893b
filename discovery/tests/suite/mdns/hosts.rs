//! Hosts with a registry each.

use std::{future::Future, time::Duration};

use dpipes_discovery::{Instance, Lease, Registration, Registry, RegistryError, mdns};
use dpipes_testbed::net::Net;
use tokio::{
    runtime::{Builder, Runtime},
    time::{Instant, timeout},
};

use crate::bed::{Watch, names, service, service_names};

/// Longest wait for what the link owes within seconds: only a hang takes longer on a busy machine.
pub(crate) const SOON: Duration = crate::bed::PATIENCE;

/// A host with threads and a registry of its own.
pub(crate) struct Host {
    runtime: Option<Runtime>,
    pub(crate) mdns: mdns::Mdns,
}

/// Makes hosts, or says why there are none, and so no test.
macro_rules! net_or_return {
    ($hosts:expr) => {
        match crate::mdns::hosts::net($hosts) {
            Ok(net) => net,
            Err(why) => return eprintln!("not run: {why}"),
        }
    };
}
pub(crate) use net_or_return;

pub(crate) fn net(hosts: u8) -> Result<Net, &'static str> {
    if crate::bed::is_left_out("DPIPES_SKIP_MDNS") {
        return Err("DPIPES_SKIP_MDNS=1");
    }
    Net::new(hosts).ok_or("network namespaces take root")
}

pub(crate) fn config(interfaces: &[&str]) -> mdns::Config {
    mdns::Config {
        interfaces: interfaces.iter().map(|name| (*name).to_owned()).collect(),
        subtypes: false,
    }
}

/// A node that takes every address it has.
pub(crate) fn node(name: &str, boot: &str, apps: &[&str]) -> Registration {
    Registration {
        host: String::new(),
        ..crate::bed::booted(name, apps, boot)
    }
}

// === impl Host ===

impl Host {
    /// A host that speaks on `eth0`.
    pub(crate) fn new(net: &Net, number: u8) -> Self {
        Self::with(net, number, config(&["eth0"]))
    }

    pub(crate) fn with(net: &Net, number: u8, config: mdns::Config) -> Self {
        let enter = net.entrance(number);
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .on_thread_start(enter)
            .build();
        Self {
            runtime: Some(runtime.unwrap()),
            mdns: mdns::Mdns::new(config, service_names()).unwrap(),
        }
    }

    /// Runs something on the host.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let runtime = self.runtime.as_ref().unwrap();
        let task = runtime.spawn(work);
        timeout(SOON, task).await.expect("done in time").unwrap()
    }

    pub(crate) async fn register(&self, what: Registration) -> Box<dyn Lease> {
        self.try_register(what).await.unwrap()
    }

    pub(crate) async fn try_register(
        &self,
        what: Registration,
    ) -> Result<Box<dyn Lease>, RegistryError> {
        let mdns = self.mdns.clone();
        self.run(async move { mdns.register(what).await }).await
    }

    /// A watch of a service that has said what it first says.
    pub(crate) async fn watch(&self, name: &str) -> Watching {
        let mut watch = self.mdns.watch(&service(name));
        let (watch, first) = self
            .run(async move {
                let first = futures_util::StreamExt::next(&mut watch).await;
                (watch, first)
            })
            .await;
        Watching {
            watch,
            now: first.expect("a first item").unwrap(),
        }
    }

    pub(crate) async fn lookup(&self, name: &str) -> Result<Vec<Instance>, RegistryError> {
        let (mdns, service) = (self.mdns.clone(), service(name));
        self.run(async move { mdns.lookup(&service).await }).await
    }

    pub(crate) async fn suspect(&self, node: &str) {
        let (mdns, node) = (self.mdns.clone(), node.parse().unwrap());
        self.run(async move { mdns.suspect(&node).await }).await;
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A watch and its present set.
pub(crate) struct Watching {
    watch: Watch,
    pub(crate) now: Vec<Instance>,
}

impl Watching {
    /// Waits until the set is as wanted; returns how long it took.
    pub(crate) async fn until(&mut self, wanted: impl Fn(&[Instance]) -> bool) -> Duration {
        self.until_within(SOON, wanted).await
    }

    pub(crate) async fn until_within(
        &mut self,
        patience: Duration,
        wanted: impl Fn(&[Instance]) -> bool,
    ) -> Duration {
        let start = Instant::now();
        while !wanted(&self.now) {
            let next = futures_util::StreamExt::next(&mut self.watch);
            let left = patience.saturating_sub(start.elapsed());
            let Ok(item) = timeout(left, next).await else {
                panic!("not so within {patience:?}: {:#?}", self.now);
            };
            self.now = item.expect("no end before an error").unwrap();
        }
        start.elapsed()
    }

    /// Waits until exactly these nodes are there.
    pub(crate) async fn until_nodes(&mut self, nodes: &[&str]) -> Duration {
        self.until(|set| names(set) == nodes).await
    }

    /// The next item, whatever it is.
    pub(crate) async fn next(&mut self) -> Option<Result<Vec<Instance>, RegistryError>> {
        let next = futures_util::StreamExt::next(&mut self.watch);
        timeout(SOON, next).await.expect("an item in time")
    }
}
