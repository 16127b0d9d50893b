use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::{StreamExt, stream, stream::BoxStream};
use tokio::time::{Instant, timeout};

use super::*;
use crate::{Abilities, Instance, Lease, Memory, NodeId, RegistryError, ServiceDef, ServiceName};

fn service(name: &str) -> ServiceName {
    ServiceName::new(name).unwrap()
}

fn node(boot: &str, apps: &[&str]) -> Registration {
    let mut primary = ServiceDef::new(service("noded"));
    primary.meta.insert("boot".to_owned(), boot.to_owned());
    Registration {
        node: NodeId::new("n1").unwrap(),
        host: "::1".to_owned(),
        port: 1,
        primary,
        services: apps
            .iter()
            .map(|app| ServiceDef::new(service(app)))
            .collect(),
        ttl: Duration::from_secs(15),
    }
}

fn registries(memory: &Memory) -> Vec<Arc<dyn Registry>> {
    vec![Arc::new(memory.clone())]
}

async fn becomes(announcer: &Announcer, wanted: impl Fn(&LeaseState) -> bool) {
    let mut states = announcer.states();
    let reached = states.wait_for(|all| all.iter().all(|one| wanted(&one.state)));
    timeout(Duration::from_secs(600), reached)
        .await
        .unwrap()
        .unwrap();
}

async fn offered(memory: &Memory, name: &str) -> Vec<Instance> {
    memory.lookup(&service(name)).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_node_is_announced_changed_and_taken_back() {
    let memory = Memory::new();
    let announcer = Announcer::new(&registries(&memory), node("1", &["a"]));
    becomes(&announcer, |state| *state == LeaseState::Live).await;
    assert_eq!(offered(&memory, "a").await.len(), 1);

    let mut watch = memory.watch(&service("noded"));
    announcer.announce(node("1", &["b"]));
    announcer.set_health(Health::Warning, "draining");
    while offered(&memory, "b").await.first().map(|one| one.health) != Some(Health::Warning) {
        tokio::task::yield_now().await;
    }
    assert!(offered(&memory, "a").await.is_empty());

    let mut labelled = node("1", &["b"]);
    labelled
        .primary
        .meta
        .insert("label_zone".to_owned(), "z".to_owned());
    announcer.announce(labelled);
    while offered(&memory, "noded").await[0].meta.len() != 2 {
        tokio::task::yield_now().await;
    }
    while offered(&memory, "noded").await[0].health != Health::Warning {
        tokio::task::yield_now().await;
    }

    announcer.withdraw().await;
    assert!(offered(&memory, "noded").await.is_empty());
    let mut last = watch.next().await.unwrap().unwrap();
    while !last.is_empty() {
        assert_eq!(
            last.len(),
            1,
            "never gone and never there twice before the end"
        );
        last = watch.next().await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_fails_is_tried_until_it_works() {
    let memory = Memory::new();
    memory.break_with(RegistryError::unavailable("unplugged"));
    let announcer = Announcer::new(&registries(&memory), node("1", &[]));
    becomes(
        &announcer,
        |state| matches!(state, LeaseState::Retrying { detail, .. } if detail == "unplugged"),
    )
    .await;
    memory.mend();
    becomes(&announcer, |state| *state == LeaseState::Live).await;
}

#[tokio::test(start_paused = true)]
async fn an_older_start_waits_until_the_newer_one_has_left() {
    let memory = Memory::new();
    let newer = Announcer::new(&registries(&memory), node("2", &[]));
    becomes(&newer, |state| *state == LeaseState::Live).await;
    let older = Announcer::new(&registries(&memory), node("1", &[]));
    becomes(&older, |state| {
        matches!(state, LeaseState::Retrying { detail, .. } if detail.contains("another live node"))
    })
    .await;
    newer.withdraw().await;
    becomes(&older, |state| *state == LeaseState::Live).await;
}

#[tokio::test(start_paused = true)]
async fn a_withdrawal_does_not_wait_for_a_registry_that_never_accepted() {
    let memory = Memory::new();
    memory.break_with(RegistryError::unavailable("unplugged"));
    let announcer = Announcer::new(&registries(&memory), node("1", &[]));
    timeout(Duration::from_secs(1), announcer.withdraw())
        .await
        .unwrap();
}

/// Accepts everybody, and hands out leases that do as they are told here.
#[derive(Debug)]
struct Scripted {
    registrations: AtomicUsize,
    answer: fn(usize) -> Result<(), RegistryError>,
    lease: fn(usize) -> ScriptedLease,
}

#[derive(Debug)]
struct ScriptedLease {
    state: watch::Receiver<LeaseState>,
    /// What changes the state, if anything still does.
    _task: Option<watch::Sender<LeaseState>>,
    told: Option<Result<(), RegistryError>>,
}

/// A lease that does what it is told.
fn good(_: usize) -> ScriptedLease {
    standing(LeaseState::Live)
}

fn standing(state: LeaseState) -> ScriptedLease {
    let (task, state) = watch::channel(state);
    ScriptedLease {
        state,
        _task: Some(task),
        told: Some(Ok(())),
    }
}

fn scripted(
    answer: fn(usize) -> Result<(), RegistryError>,
    lease: fn(usize) -> ScriptedLease,
) -> Arc<Scripted> {
    Arc::new(Scripted {
        registrations: AtomicUsize::new(0),
        answer,
        lease,
    })
}

fn announcer(registry: &Arc<Scripted>) -> Announcer {
    let registry: Arc<dyn Registry> = registry.clone();
    Announcer::new(&[registry], node("1", &["a"]))
}

#[async_trait]
impl Registry for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            registers: true,
            ..Abilities::default()
        }
    }

    fn watch(&self, _: &ServiceName) -> BoxStream<'static, Result<Vec<Instance>, RegistryError>> {
        stream::pending().boxed()
    }

    async fn register(&self, _: Registration) -> Result<Box<dyn Lease>, RegistryError> {
        let number = self.registrations.fetch_add(1, Ordering::Relaxed);
        (self.answer)(number)?;
        Ok(Box::new((self.lease)(number)))
    }
}

#[async_trait]
impl Lease for ScriptedLease {
    fn state(&self) -> watch::Receiver<LeaseState> {
        self.state.clone()
    }

    async fn set_health(&self, _: Health, _: &str) -> Result<(), RegistryError> {
        self.update(Vec::new()).await
    }

    async fn update(&self, _: Vec<ServiceDef>) -> Result<(), RegistryError> {
        match &self.told {
            Some(told) => told.clone(),
            None => std::future::pending().await,
        }
    }

    async fn deregister(self: Box<Self>) -> Result<(), RegistryError> {
        Ok(())
    }
}

fn since(state: &LeaseState) -> Option<Instant> {
    match state {
        LeaseState::Retrying { since, .. } => Some(*since),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_lasts_since_its_first_failure() {
    let start = Instant::now();
    let registry = scripted(
        |number| Err(RegistryError::unavailable(format!("failure {number}"))),
        good,
    );
    let announcer = announcer(&registry);
    becomes(
        &announcer,
        |state| matches!(state, LeaseState::Retrying { detail, .. } if detail == "failure 9"),
    )
    .await;
    let state = announcer.states().borrow()[0].state.clone();
    assert_eq!(since(&state), Some(start));
}

#[tokio::test(start_paused = true)]
async fn a_registry_in_trouble_is_not_asked_at_every_change() {
    let registry = scripted(
        |_| {
            Err(RegistryError::Denied {
                detail: "no".to_owned(),
            })
        },
        good,
    );
    let announcer = announcer(&registry);
    for round in 0..100 {
        announcer.set_health(Health::Warning, &round.to_string());
        announcer.announce(node("1", &[&format!("a{round}")]));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // At once, after 2.5 to 5 s, and after 5 to 10 s more.
    let asked = registry.registrations.load(Ordering::Relaxed);
    assert!((2..=3).contains(&asked), "{asked}");
}

#[tokio::test(start_paused = true)]
async fn a_registration_that_was_rejected_is_tried_at_once_when_it_is_another_one() {
    let registry = scripted(
        |number| match number {
            0 => Err(RegistryError::Rejected {
                detail: "too long".to_owned(),
            }),
            _ => Ok(()),
        },
        good,
    );
    let announcer = announcer(&registry);
    becomes(&announcer, |state| since(state).is_some()).await;
    let start = Instant::now();
    announcer.announce(node("1", &["b"]));
    becomes(&announcer, |state| *state == LeaseState::Live).await;
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_lease_whose_task_has_ended_is_replaced() {
    let registry = scripted(
        |_| Ok(()),
        |number| match number {
            // As after a panic of its task.
            0 => ScriptedLease {
                _task: None,
                ..good(0)
            },
            _ => good(number),
        },
    );
    let announcer = announcer(&registry);
    becomes(
        &announcer,
        |state| matches!(state, LeaseState::Retrying { detail, .. } if detail.contains("has ended")),
    )
    .await;
    becomes(&announcer, |state| *state == LeaseState::Live).await;
    assert_eq!(registry.registrations.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn two_nodes_that_take_one_name_from_each_other_do_so_ever_more_slowly() {
    let superseded = |_| {
        standing(LeaseState::Superseded {
            holder: "another".to_owned(),
        })
    };
    let registry = scripted(|_| Ok(()), superseded);
    let announcer = announcer(&registry);
    tokio::time::sleep(Duration::from_secs(600)).await;
    // Doubling from 5 s to a minute: some 16 times in ten minutes, and not 160 times.
    let registered = registry.registrations.load(Ordering::Relaxed);
    assert!((10..=26).contains(&registered), "{registered}");
    drop(announcer);
}

#[tokio::test(start_paused = true)]
async fn what_a_lease_rejects_is_said_and_tried_again_slowly() {
    let rejecting = |_| ScriptedLease {
        told: Some(Err(RegistryError::Rejected {
            detail: "too many apps".to_owned(),
        })),
        ..good(0)
    };
    let registry = scripted(|_| Ok(()), rejecting);
    let announcer = announcer(&registry);
    becomes(&announcer, |state| *state == LeaseState::Live).await;
    announcer.set_health(Health::Warning, "draining");
    becomes(
        &announcer,
        |state| matches!(state, LeaseState::Retrying { detail, .. } if detail.contains("too many apps")),
    )
    .await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    let registered = registry.registrations.load(Ordering::Relaxed);
    assert!((10..=26).contains(&registered), "{registered}");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_slow_to_take_something_keeps_no_news_and_no_withdrawal() {
    let slow = |_| ScriptedLease {
        told: None,
        ..good(0)
    };
    let registry = scripted(|_| Ok(()), slow);
    let announcer = announcer(&registry);
    becomes(&announcer, |state| *state == LeaseState::Live).await;
    announcer.announce(node("1", &["b"]));
    tokio::time::sleep(Duration::from_secs(1)).await;
    timeout(Duration::from_secs(1), announcer.withdraw())
        .await
        .unwrap();
}
