//! etcd, against real members.

mod access;
mod content;
mod load;
mod outage;
mod registration;

use std::time::Duration;

use dpipes_discovery::{
    Lease, LeaseState, Registration, Registry, RegistryError,
    etcd::{Config, Etcd},
};
use dpipes_testbed::etcd::{Cluster, Member};
use tokio::{sync::watch, time::timeout};

use crate::bed::{Bed, conforms, registration, service_names};

/// Longest wait for something that takes seconds by design, on a busy machine.
const LONG: Duration = Duration::from_secs(60);

/// A TTL that tests can wait out; servers raise shorter ones than two seconds.
const SHORT: Duration = Duration::from_secs(3);

/// Whether these tests are to be left out, which is said.
fn skipped() -> bool {
    let skipped = std::env::var_os("DPIPES_SKIP_ETCD").is_some_and(|value| value == "1");
    if skipped {
        println!("skipped: DPIPES_SKIP_ETCD=1");
    }
    skipped
}

/// A member, unless these tests are left out.
async fn member() -> Option<Member> {
    if skipped() {
        return None;
    }
    Some(Member::start().await)
}

async fn cluster() -> Option<Cluster> {
    if skipped() {
        return None;
    }
    Some(Cluster::start().await)
}

/// A registry at this member, as another process would have it.
fn at(member: &Member) -> Etcd {
    with(Config::new([member.endpoint()]))
}

fn with(config: Config) -> Etcd {
    Etcd::new(config, service_names()).unwrap()
}

/// A client for what the registry itself never does.
async fn raw(member: &Member) -> etcd_client::Client {
    let client = etcd_client::Client::connect([member.endpoint()], None);
    client.await.unwrap()
}

/// A node that started at `boot`.
fn booted(node: &str, apps: &[&str], boot: &str) -> Registration {
    let mut what = registration(node, apps);
    what.primary.meta.insert("boot".to_owned(), boot.to_owned());
    what
}

fn short_lived(mut what: Registration, ttl: Duration) -> Registration {
    what.ttl = ttl;
    what
}

async fn register(registry: &Etcd, what: Registration) -> Box<dyn Lease> {
    let lease = registry.register(what).await.unwrap();
    assert_eq!(*lease.state().borrow(), LeaseState::Live);
    lease
}

/// Waits until a lease is in such a state.
async fn becomes(
    state: &mut watch::Receiver<LeaseState>,
    wanted: impl Fn(&LeaseState) -> bool,
) -> LeaseState {
    let found = timeout(LONG, state.wait_for(wanted)).await;
    found.expect("the state in time").unwrap().clone()
}

fn is_live(state: &LeaseState) -> bool {
    *state == LeaseState::Live
}

fn is_retrying(state: &LeaseState) -> bool {
    matches!(state, LeaseState::Retrying { .. })
}

/// Waits for the error that ends a watch.
async fn error_of(watch: &mut crate::bed::Watch) -> RegistryError {
    use futures_util::StreamExt;
    let error = timeout(LONG, async {
        loop {
            if let Err(error) = watch.next().await.expect("an error before the end") {
                return error;
            }
        }
    });
    error.await.expect("an error in time")
}

struct EtcdBed {
    member: Member,
    registry: Etcd,
    leases: Vec<Box<dyn Lease>>,
}

#[async_trait::async_trait]
impl Bed for EtcdBed {
    fn registry(&self) -> &dyn Registry {
        &self.registry
    }

    async fn holds(&mut self, nodes: &[(&str, &[&str])]) {
        for lease in self.leases.drain(..) {
            lease.deregister().await.unwrap();
        }
        for (node, apps) in nodes {
            let lease = register(&self.registry, registration(node, apps)).await;
            self.leases.push(lease);
        }
    }

    async fn breaks(&mut self) {
        self.member.kill();
    }

    async fn mends(&mut self) {
        self.member.restart().await;
    }
}

#[tokio::test]
async fn etcd_conforms() {
    let Some(member) = member().await else { return };
    let registry = at(&member);
    conforms(EtcdBed {
        member,
        registry,
        leases: Vec::new(),
    })
    .await;
}
