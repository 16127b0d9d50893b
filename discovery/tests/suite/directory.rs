//! The directory above registries, under a paused clock.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use dpipes_discovery::{
    Abilities, Directory, FIRST_ANSWER, Instance, Lease, MAX_SERVICES, MAX_WATCHES, Memory, Names,
    NodeId, Probe, RECONNECT_LINGER, Registration, Registry, RegistryError, ServiceDef,
    ServiceName, Snapshot, StaticNodes,
};
use futures_util::{StreamExt, stream, stream::BoxStream};
use tokio::{sync::watch, time::Instant};

fn service() -> ServiceName {
    ServiceName::new("noded").unwrap()
}

fn node(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

async fn register(memory: &Memory, name: &str) -> Box<dyn Lease> {
    let what = Registration {
        node: node(name),
        host: name.to_owned(),
        port: 3747,
        primary: ServiceDef::new(service()),
        services: Vec::new(),
        ttl: Duration::from_secs(15),
    };
    memory.register(what).await.unwrap()
}

fn shown(snapshot: &Snapshot) -> Vec<String> {
    let mark = |candidate: &dpipes_discovery::Candidate| {
        let name = candidate.instance.node.to_string();
        match (candidate.absent, candidate.ejected) {
            (true, _) => format!("{name}?"),
            (_, true) => format!("{name}!"),
            _ => name,
        }
    };
    snapshot.candidates.iter().map(mark).collect()
}

async fn until(receiver: &mut watch::Receiver<Arc<Snapshot>>, nodes: &[&str]) -> Arc<Snapshot> {
    let wait = receiver.wait_for(|snapshot| shown(snapshot) == nodes);
    let patience = Duration::from_secs(300);
    match tokio::time::timeout(patience, wait).await {
        Ok(snapshot) => snapshot.unwrap().clone(),
        Err(_) => panic!("never {nodes:?}"),
    }
}

/// Never answers, and counts who asked.
#[derive(Debug, Default)]
struct Silent {
    asked: std::sync::atomic::AtomicUsize,
}

#[async_trait]
impl Registry for Silent {
    fn name(&self) -> &'static str {
        "silent"
    }

    fn abilities(&self) -> Abilities {
        Abilities::default()
    }

    fn watch(&self, _: &ServiceName) -> BoxStream<'static, Result<Vec<Instance>, RegistryError>> {
        self.asked
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        stream::pending().boxed()
    }

    async fn register(&self, _: Registration) -> Result<Box<dyn Lease>, RegistryError> {
        Err(RegistryError::Unsupported {
            ability: "registration",
        })
    }

    async fn lookup(&self, _: &ServiceName) -> Result<Vec<Instance>, RegistryError> {
        Ok(Vec::new())
    }
}

#[tokio::test(start_paused = true)]
async fn nodes_come_at_once_and_leave_after_a_second() {
    let memory = Memory::new();
    let directory = Directory::new(vec![Arc::new(memory.clone())]);
    let mut seen = directory.subscribe(&service());
    let lease = register(&memory, "a").await;
    until(&mut seen, &["a"]).await;
    let left = Instant::now();
    lease.deregister().await.unwrap();
    until(&mut seen, &["a?"]).await;
    assert_eq!(left.elapsed(), Duration::ZERO);
    until(&mut seen, &[]).await;
    assert!(
        left.elapsed() >= Duration::from_secs(1) && left.elapsed() < Duration::from_millis(1_010)
    );
}

#[tokio::test(start_paused = true)]
async fn an_outage_keeps_the_last_good_set_and_says_so_until_it_ends() {
    let memory = Memory::new();
    let directory = Directory::new(vec![Arc::new(memory.clone())]);
    let mut seen = directory.subscribe(&service());
    let lease = register(&memory, "a").await;
    let answered = until(&mut seen, &["a"]).await.sources[0].updated;
    memory.break_with(RegistryError::unavailable("unplugged"));
    let stale = |s: &Arc<Snapshot>| s.sources[0].stale.as_deref() == Some("unplugged");
    seen.wait_for(stale).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let old = seen.borrow_and_update().clone();
    assert_eq!(
        (shown(&old), old.sources[0].updated),
        (vec!["a".to_owned()], answered)
    );
    memory.mend();
    lease.deregister().await.unwrap();
    let _other = register(&memory, "b").await;
    let back = until(&mut seen, &["a?", "b"]).await;
    let since = Instant::now();
    assert_eq!(back.sources[0].stale, None);
    until(&mut seen, &["b"]).await;
    let lingered = since.elapsed();
    assert!(
        lingered > RECONNECT_LINGER - Duration::from_secs(1),
        "{lingered:?}"
    );
    assert!(
        lingered < RECONNECT_LINGER + Duration::from_secs(1),
        "{lingered:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_broken_file_keeps_the_old_set_and_is_noticed_soon_when_repaired() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("nodes.yaml");
    let names = Names {
        primary: service(),
        app_prefix: "app.".to_owned(),
        port: 3747,
    };
    std::fs::write(&path, "[{name: a, addr: a}]").unwrap();
    let directory = Directory::new(vec![Arc::new(StaticNodes::file(&path, names))]);
    let mut seen = directory.subscribe(&service());
    until(&mut seen, &["a"]).await;
    std::fs::write(&path, "[{name: a, adr: a}]").unwrap();
    let broken = seen
        .wait_for(|s| s.sources[0].stale.is_some())
        .await
        .unwrap()
        .clone();
    let reason = broken.sources[0].stale.as_ref().unwrap();
    assert!(reason.contains("unknown field `adr`"), "{reason}");
    assert_eq!(shown(&broken), ["a"]);
    tokio::time::sleep(Duration::from_secs(600)).await;
    let repaired = Instant::now();
    std::fs::write(&path, "[{name: a, addr: a}, {name: b, addr: b}]").unwrap();
    until(&mut seen, &["a", "b"]).await;
    assert!(repaired.elapsed() <= Duration::from_secs(11));
}

#[tokio::test(start_paused = true)]
async fn a_failed_node_is_left_out_for_five_seconds_and_then_for_ten() {
    let memory = Memory::new();
    let directory = Directory::new(vec![Arc::new(memory.clone())]);
    let mut seen = directory.subscribe(&service());
    let _leases = [register(&memory, "a").await, register(&memory, "b").await];
    until(&mut seen, &["a", "b"]).await;
    for seconds in [5, 10] {
        let failed = Instant::now();
        directory.failed(&node("a"));
        until(&mut seen, &["a!", "b"]).await;
        until(&mut seen, &["a", "b"]).await;
        assert_eq!(failed.elapsed().as_secs(), seconds);
    }
    directory.failed(&node("a"));
    until(&mut seen, &["a!", "b"]).await;
    let forgiven = Instant::now();
    directory.succeeded(&node("a"));
    until(&mut seen, &["a", "b"]).await;
    assert_eq!(forgiven.elapsed(), Duration::ZERO);
    directory.probed(&node("b"), Probe::Refused);
    until(&mut seen, &["a", "b!"]).await;
}

#[tokio::test(start_paused = true)]
async fn one_registry_down_hides_nothing_of_the_other() {
    let (one, two) = (Memory::new(), Memory::new());
    one.break_with(RegistryError::Denied {
        detail: "no token".to_owned(),
    });
    let directory = Directory::new(vec![Arc::new(one), Arc::new(two.clone())]);
    let _lease = register(&two, "a").await;
    let snapshot = directory.snapshot(&service()).await;
    assert_eq!(shown(&snapshot), ["a"]);
    let sources: Vec<_> = snapshot
        .sources
        .iter()
        .map(|s| (&*s.name, s.stale.as_deref()))
        .collect();
    assert_eq!(
        sources,
        [("memory", Some("denied: no token")), ("memory-2", None)]
    );
    assert_eq!(&*snapshot.candidates[0].from[0], "memory-2");
}

#[tokio::test(start_paused = true)]
async fn the_first_use_waits_two_seconds_at_most_and_the_second_one_not_at_all_when_answered() {
    let directory = Directory::new(vec![Arc::new(Silent::default())]);
    let start = Instant::now();
    assert!(!directory.snapshot(&service()).await.is_complete());
    assert_eq!(start.elapsed().as_secs(), FIRST_ANSWER.as_secs());
    let directory = Directory::new(vec![Arc::new(Memory::new())]);
    let start = Instant::now();
    assert!(directory.snapshot(&service()).await.is_complete());
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn services_beyond_the_cap_are_polled() {
    let silent = Arc::new(Silent::default());
    let directory = Directory::new(vec![Arc::clone(&silent) as Arc<dyn Registry>]);
    let all: Vec<_> = (0..=MAX_WATCHES)
        .map(|i| directory.subscribe(&ServiceName::new(format!("app.{i}")).unwrap()))
        .collect();
    let mut last = all.last().unwrap().clone();
    last.wait_for(|snapshot| snapshot.is_complete())
        .await
        .unwrap();
    let asked = silent.asked.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(asked, MAX_WATCHES);
}

#[tokio::test(start_paused = true)]
async fn news_that_are_none_change_nothing() {
    let memory = Memory::new();
    let directory = Directory::new(vec![Arc::new(memory.clone())]);
    let mut seen = directory.subscribe(&service());
    let _a = register(&memory, "a").await;
    let _b = register(&memory, "b").await;
    let before = until(&mut seen, &["a", "b"]).await;
    // Every pipe reports the nodes that it reached: that must wake nobody and build nothing anew.
    directory.succeeded(&node("a"));
    directory.succeeded(&node("stranger"));
    directory.probed(&node("stranger"), Probe::Lost);
    assert!(!seen.has_changed().unwrap());
    assert!(Arc::ptr_eq(&before, &seen.borrow().clone()));
    // An outage and its end leave the same set in the same place.
    memory.break_with(RegistryError::unavailable("unplugged"));
    let stale = |s: &Arc<Snapshot>| s.sources[0].stale.is_some();
    seen.wait_for(stale).await.unwrap();
    memory.mend();
    let mended = seen.wait_for(|s| !stale(s)).await.unwrap().clone();
    assert!(Arc::ptr_eq(&before.candidates, &mended.candidates));
    directory.failed(&node("a"));
    let ejected = until(&mut seen, &["a!", "b"]).await;
    assert!(!Arc::ptr_eq(&before.candidates, &ejected.candidates));
}

#[tokio::test(start_paused = true)]
async fn a_node_is_found_before_any_watch_tells_of_it() {
    let memory = Memory::new();
    let silent = Arc::new(Silent::default());
    let dead = Memory::new();
    dead.break_with(RegistryError::unavailable("unplugged"));
    let registries: Vec<Arc<dyn Registry>> = vec![silent, Arc::new(dead), Arc::new(memory.clone())];
    let directory = Directory::new(registries);
    let limit = Duration::from_secs(1);
    assert!(
        directory
            .find(&service(), &node("a"), limit)
            .await
            .is_empty()
    );
    let _a = register(&memory, "a").await;
    let found = directory.find(&service(), &node("a"), limit).await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].host, "a");
}

#[tokio::test(start_paused = true)]
async fn names_that_somebody_made_up_are_forgotten_for_newer_ones() {
    let silent = Arc::new(Silent::default());
    let asked = || silent.asked.load(std::sync::atomic::Ordering::Relaxed);
    let directory = Directory::new(vec![Arc::clone(&silent) as Arc<dyn Registry>]);
    let _read = directory.subscribe(&service());
    let name = |number: usize| ServiceName::new(format!("made-up.{number}")).unwrap();
    for number in 0..MAX_SERVICES * 2 {
        drop(directory.subscribe(&name(number)));
        tokio::task::yield_now().await;
    }
    // Watches ended and made room for others.
    assert!(asked() > MAX_WATCHES, "{}", asked());
    // The one that is read is still the same watch.
    let before = asked();
    let _again = directory.subscribe(&service());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(asked(), before);
}

#[tokio::test(start_paused = true)]
async fn a_service_nobody_reads_is_watched_for_ten_minutes_more() {
    let silent = Arc::new(Silent::default());
    let asked = || silent.asked.load(std::sync::atomic::Ordering::Relaxed);
    let directory = Directory::new(vec![Arc::clone(&silent) as Arc<dyn Registry>]);
    drop(directory.subscribe(&service()));
    tokio::time::sleep(Duration::from_secs(300)).await;
    drop(directory.subscribe(&service()));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(asked(), 1, "the same watch");
    tokio::time::sleep(Duration::from_secs(720)).await;
    drop(directory.subscribe(&service()));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(asked(), 2, "a new one");
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_is_dropped_ends_its_tasks() {
    let silent = Arc::new(Silent::default());
    let directory = Directory::new(vec![Arc::clone(&silent) as Arc<dyn Registry>]);
    let mut seen = directory.subscribe(&service());
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(directory);
    assert!(seen.changed().await.is_err(), "the sender is gone");
    while Arc::strong_count(&silent) > 1 {
        tokio::task::yield_now().await;
    }
}

/// Answers every watch, and ends it at once.
#[derive(Debug, Default)]
struct Curt {
    asked: std::sync::atomic::AtomicUsize,
}

#[async_trait]
impl Registry for Curt {
    fn name(&self) -> &'static str {
        "curt"
    }

    fn abilities(&self) -> Abilities {
        Abilities::default()
    }

    fn watch(&self, _: &ServiceName) -> BoxStream<'static, Result<Vec<Instance>, RegistryError>> {
        self.asked
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        stream::iter([Ok(Vec::new()), Err(RegistryError::unavailable("cut off"))]).boxed()
    }

    async fn register(&self, _: Registration) -> Result<Box<dyn Lease>, RegistryError> {
        Err(RegistryError::Unsupported {
            ability: "registration",
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_answers_and_ends_at_once_is_begun_ever_more_slowly() {
    let curt = Arc::new(Curt::default());
    let directory = Directory::new(vec![curt.clone()]);
    let _reader = directory.subscribe(&service());
    tokio::time::sleep(Duration::from_secs(120)).await;
    let asked = curt.asked.load(std::sync::atomic::Ordering::Relaxed);
    // Eight times while the wait grows to ten seconds, and then every five to ten seconds.
    assert!((15..=35).contains(&asked), "{asked}");
}
