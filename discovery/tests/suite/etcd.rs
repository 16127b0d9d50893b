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
use tokio::time::timeout;

use crate::bed::{Bed, PATIENCE, conforms, is_left_out, registration, service_names};

/// A TTL that tests can wait out; servers raise shorter ones than two seconds.
const SHORT: Duration = Duration::from_secs(3);

/// Whether these tests are left out.
fn skipped() -> bool {
    is_left_out("DPIPES_SKIP_ETCD")
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

async fn register(registry: &Etcd, what: Registration) -> Box<dyn Lease> {
    let lease = registry.register(what).await.unwrap();
    assert_eq!(*lease.state().borrow(), LeaseState::Live);
    lease
}

/// Waits for the error that ends a watch.
async fn error_of(watch: &mut crate::bed::Watch) -> RegistryError {
    use futures_util::StreamExt;
    let error = timeout(PATIENCE, async {
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
