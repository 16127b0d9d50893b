//! The registry in memory.

use dpipes_discovery::{Health, Lease, LeaseState, Memory, Registry, RegistryError};

use crate::bed::{Bed, booted, conforms, registration, service, until};

#[derive(Default)]
struct MemoryBed {
    memory: Memory,
    leases: Vec<Box<dyn Lease>>,
}

#[async_trait::async_trait]
impl Bed for MemoryBed {
    fn registry(&self) -> &dyn Registry {
        &self.memory
    }

    async fn holds(&mut self, nodes: &[(&str, &[&str])]) {
        for lease in self.leases.drain(..) {
            lease.deregister().await.unwrap();
        }
        for (node, apps) in nodes {
            let lease = self.memory.register(registration(node, apps)).await;
            self.leases.push(lease.unwrap());
        }
    }

    async fn breaks(&mut self) {
        self.memory
            .break_with(RegistryError::unavailable("unplugged"));
    }

    async fn mends(&mut self) {
        self.memory.mend();
    }
}

#[tokio::test]
async fn memory_conforms() {
    conforms(MemoryBed::default()).await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_lease_lets_the_node_vanish_after_its_ttl_and_not_before() {
    let memory = Memory::new();
    let lease = memory
        .register(registration("n1", &["sort"]))
        .await
        .unwrap();
    let mut watch = memory.watch(&service("app.sort"));
    until(&mut watch, &["n1"]).await;
    let dropped = tokio::time::Instant::now();
    drop(lease);
    until(&mut watch, &[]).await;
    assert_eq!(dropped.elapsed().as_secs(), 15);
}

#[tokio::test]
async fn a_lease_puts_its_node_back_into_a_registry_that_forgot_it() {
    let memory = Memory::new();
    let lease = memory
        .register(registration("n1", &["sort"]))
        .await
        .unwrap();
    lease.set_health(Health::Warning, "").await.unwrap();
    let mut watch = memory.watch(&service("app.sort"));
    until(&mut watch, &["n1"]).await;
    memory.wipe();
    loop {
        // The moment without the node may or may not be seen.
        let set = memory.lookup(&service("app.sort")).await.unwrap();
        if let [instance] = &set[..] {
            assert_eq!(instance.health, Health::Warning);
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_newer_start_of_a_node_wins_and_the_older_lease_is_told() {
    let memory = Memory::new();
    let booted = |boot: &str| booted("n1", &["sort"], boot);
    let old = memory.register(booted("1")).await.unwrap();
    let new = memory.register(booted("2")).await.unwrap();
    let late = memory.register(booted("1")).await;
    assert!(matches!(late, Err(RegistryError::Conflict { .. })));
    let told = old.set_health(Health::Critical, "").await;
    assert!(matches!(told, Err(RegistryError::Conflict { .. })));
    let mut state = old.state();
    let told = state.wait_for(|state| matches!(state, LeaseState::Superseded { .. }));
    told.await.unwrap();
    old.deregister().await.unwrap();
    let set = memory.lookup(&service("app.sort")).await.unwrap();
    assert_eq!(
        set[0].health,
        Health::Passing,
        "the old lease touches nothing"
    );
    new.deregister().await.unwrap();
}

#[tokio::test]
async fn what_a_lease_was_told_while_the_registry_was_broken_is_done_once_it_works() {
    let memory = Memory::new();
    let lease = memory
        .register(registration("n1", &["sort"]))
        .await
        .unwrap();
    memory.break_with(RegistryError::unavailable("unplugged"));
    let cat = registration("n1", &["cat"]).services;
    lease.update(cat).await.unwrap_err();
    memory.mend();
    crate::bed::readable(&memory, "app.cat", &["n1"]).await;
    lease.deregister().await.unwrap();
}
