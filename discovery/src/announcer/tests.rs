use super::*;
use crate::{Memory, NodeId, ServiceDef, ServiceName};

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

async fn offered(memory: &Memory, name: &str) -> Vec<crate::Instance> {
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
    use futures_util::StreamExt as _;
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
