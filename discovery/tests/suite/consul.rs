//! Consul, against real agents. `DPIPES_SKIP_CONSUL=1` leaves these tests out; without it a missing server is a failure.

mod nodes;
mod outages;
mod registration;
mod requests;
mod rights;
mod servers;
mod watching;

use std::time::{Duration, Instant};

use dpipes_discovery::{
    Instance, Lease, Registry,
    consul::{Config, Consul},
};
use dpipes_testbed::consul::Agent;

use crate::bed::{ASK, Bed, PATIENCE, conforms, is_left_out, registration, service, service_names};

struct ConsulBed {
    agent: Agent,
    consul: Consul,
    leases: Vec<Box<dyn Lease>>,
}

#[async_trait::async_trait]
impl Bed for ConsulBed {
    fn registry(&self) -> &dyn Registry {
        &self.consul
    }

    async fn holds(&mut self, nodes: &[(&str, &[&str])]) {
        for lease in self.leases.drain(..) {
            lease.deregister().await.unwrap();
        }
        for (node, apps) in nodes {
            let lease = self.consul.register(registration(node, apps)).await;
            self.leases.push(lease.unwrap());
        }
    }

    async fn breaks(&mut self) {
        self.agent.kill();
    }

    async fn mends(&mut self) {
        self.agent.restart();
        while sees(&self.consul, "noded")
            .await
            .is_none_or(|set| set.is_empty())
        {
            tokio::time::sleep(ASK).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn consul_conforms() {
    let Some(agent) = agent() else { return };
    conforms(ConsulBed {
        consul: consul(&agent),
        agent,
        leases: Vec::new(),
    })
    .await;
}

/// Whether these tests are left out.
fn skipped() -> bool {
    is_left_out("DPIPES_SKIP_CONSUL")
}

fn agent() -> Option<Agent> {
    (!skipped()).then(Agent::start)
}

fn consul(agent: &Agent) -> Consul {
    with(Config::new(agent.address()))
}

fn with(config: Config) -> Consul {
    Consul::new(config, service_names()).unwrap()
}

/// The present set; `None` when there is no answer.
async fn sees(consul: &Consul, name: &str) -> Option<Vec<Instance>> {
    consul.lookup(&service(name)).await.ok()
}

/// Waits until something holds.
async fn until(holds: impl AsyncFnMut() -> bool) {
    until_within(PATIENCE, holds).await;
}

async fn until_within(limit: Duration, mut holds: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !holds().await {
        assert!(start.elapsed() < limit, "it never happened");
        tokio::time::sleep(ASK).await;
    }
}
