//! One suite for every backend. A backend joins it with a [`Bed`].
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::{
    collections::BTreeSet,
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use dpipes_discovery::{
    Abilities, Health, Instance, Lease, LeaseState, Memory, Names, NodeId, Registration, Registry,
    RegistryError, ServiceDef, ServiceName, StaticNodes,
};
use futures_util::{StreamExt, stream::BoxStream};

/// Longest wait for what a registry owes: far beyond the slowest poll, so that only a hang fails.
const PATIENCE: Duration = Duration::from_secs(20);

type Watch = BoxStream<'static, Result<Vec<Instance>, RegistryError>>;

/// How the suite changes what a registry holds.
#[async_trait::async_trait]
trait Bed {
    fn registry(&self) -> &dyn Registry;
    /// Makes exactly these nodes, each with these apps, be known.
    async fn holds(&mut self, nodes: &[(&str, &[&str])]);
    /// Breaks it so that a watch has to fail.
    async fn breaks(&mut self);
    /// Repairs it; it holds what it held.
    async fn mends(&mut self);
}

fn service(name: &str) -> ServiceName {
    ServiceName::new(name).unwrap()
}

async fn next(watch: &mut Watch) -> Result<Vec<Instance>, RegistryError> {
    let item = tokio::time::timeout(PATIENCE, watch.next()).await;
    item.expect("an item in time")
        .expect("no end before an error")
}

/// Waits until a watch tells of exactly these nodes.
async fn until(watch: &mut Watch, nodes: &[&str]) {
    loop {
        if names(&next(watch).await.unwrap()) == nodes {
            return;
        }
    }
}

fn names(set: &[Instance]) -> Vec<&str> {
    let names: BTreeSet<&str> = set.iter().map(|i| i.node.as_str()).collect();
    assert_eq!(names.len(), set.len(), "no node is named twice");
    names.into_iter().collect()
}

/// The suite.
async fn conforms(mut bed: impl Bed) {
    an_unknown_service_is_known_to_be_empty(&mut bed).await;
    every_item_is_the_full_set(&mut bed).await;
    fields_survive(&mut bed).await;
    names_that_begin_alike_are_apart(&mut bed).await;
    look_ups_agree_with_the_watch(&mut bed).await;
    an_error_ends_the_watch_and_a_new_one_works(&mut bed).await;
    dropping_a_watch_and_many_watches_do_no_harm(&mut bed).await;
    registering_does_what_the_abilities_say(&mut bed).await;
}

async fn an_unknown_service_is_known_to_be_empty(bed: &mut impl Bed) {
    bed.holds(&[("n1", &[])]).await;
    let mut watch = bed.registry().watch(&service("app.sort"));
    assert_eq!(next(&mut watch).await.unwrap(), []);
    bed.holds(&[("n1", &["sort"])]).await;
    until(&mut watch, &["n1"]).await;
}

async fn every_item_is_the_full_set(bed: &mut impl Bed) {
    bed.holds(&[("n1", &["sort"]), ("n2", &["sort", "cat"])])
        .await;
    let mut watch = bed.registry().watch(&service("app.sort"));
    assert_eq!(names(&next(&mut watch).await.unwrap()), ["n1", "n2"]);
    bed.holds(&[
        ("n1", &["sort"]),
        ("n2", &["sort", "cat"]),
        ("n3", &["sort"]),
    ])
    .await;
    until(&mut watch, &["n1", "n2", "n3"]).await;
    bed.holds(&[("n2", &["cat"]), ("n3", &["sort"])]).await;
    until(&mut watch, &["n3"]).await;
    bed.holds(&[]).await;
    until(&mut watch, &[]).await;
}

async fn fields_survive(bed: &mut impl Bed) {
    bed.holds(&[("n1", &["g++", "[", "python3.11"])]).await;
    for app in ["g++", "[", "python3.11"] {
        let set = bed.registry().lookup(&service(&format!("app.{app}"))).await;
        let [instance] = &set.unwrap()[..] else {
            panic!("one instance of {app}");
        };
        assert_eq!((instance.host.as_str(), instance.port), ("::1", 4000));
        assert_eq!(instance.weight, 7);
    }
    let primary = bed.registry().lookup(&service("noded")).await.unwrap();
    assert_eq!(primary[0].meta["label_zone"], "ä b");
}

async fn names_that_begin_alike_are_apart(bed: &mut impl Bed) {
    bed.holds(&[("n1", &["log"]), ("n2", &["logger"]), ("n3", &["Log"])])
        .await;
    let set = bed.registry().lookup(&service("app.log")).await.unwrap();
    assert_eq!(names(&set), ["n1"]);
}

async fn look_ups_agree_with_the_watch(bed: &mut impl Bed) {
    bed.holds(&[("n1", &["sort"]), ("n2", &["sort"])]).await;
    let registry = bed.registry();
    let seen = next(&mut registry.watch(&service("app.sort")))
        .await
        .unwrap();
    assert_eq!(registry.lookup(&service("app.sort")).await.unwrap(), seen);
    let node = NodeId::new("n2").unwrap();
    let found = registry.find(&service("app.sort"), &node).await.unwrap();
    assert_eq!(found.map(|i| i.node), Some(node));
    let nobody = NodeId::new("nobody").unwrap();
    assert_eq!(
        registry.find(&service("app.sort"), &nobody).await.unwrap(),
        None
    );
    let listed = registry.services().await;
    match registry.abilities().lists_services {
        true => assert!(listed.unwrap().contains(&service("app.sort"))),
        false => assert!(matches!(listed, Err(RegistryError::Unsupported { .. }))),
    }
}

async fn an_error_ends_the_watch_and_a_new_one_works(bed: &mut impl Bed) {
    bed.holds(&[("n1", &["sort"])]).await;
    let mut watch = bed.registry().watch(&service("app.sort"));
    until(&mut watch, &["n1"]).await;
    bed.breaks().await;
    let error = loop {
        if let Err(error) = next(&mut watch).await {
            break error;
        }
    };
    assert!(
        matches!(error, RegistryError::Unavailable { .. }),
        "{error}"
    );
    assert!(
        !error.to_string().contains(bed.registry().name()),
        "{error}"
    );
    let end = tokio::time::timeout(PATIENCE, watch.next()).await;
    assert!(end.expect("the end in time").is_none());
    assert!(bed.registry().lookup(&service("app.sort")).await.is_err());
    bed.mends().await;
    let mut watch = bed.registry().watch(&service("app.sort"));
    assert_eq!(names(&next(&mut watch).await.unwrap()), ["n1"]);
}

async fn dropping_a_watch_and_many_watches_do_no_harm(bed: &mut impl Bed) {
    bed.holds(&[("n1", &["sort"])]).await;
    let registry = bed.registry();
    let mut watches: Vec<Watch> = (0..250)
        .map(|_| registry.watch(&service("app.sort")))
        .collect();
    for watch in &mut watches {
        assert_eq!(names(&next(watch).await.unwrap()), ["n1"]);
    }
    watches.truncate(1);
    bed.holds(&[("n2", &["sort"])]).await;
    until(&mut watches[0], &["n2"]).await;
}

async fn registering_does_what_the_abilities_say(bed: &mut impl Bed) {
    bed.holds(&[]).await;
    let registry = bed.registry();
    let lease = registry
        .register(registration("new", &["sort"]))
        .await
        .unwrap();
    assert_eq!(*lease.state().borrow(), LeaseState::Live);
    let Abilities {
        registers,
        reports_health,
        ..
    } = registry.abilities();
    let mut watch = registry.watch(&service("app.sort"));
    let set = next(&mut watch).await.unwrap();
    assert_eq!(names(&set).len(), usize::from(registers));
    lease.set_health(Health::Warning, "draining").await.unwrap();
    if registers && reports_health {
        assert_eq!(next(&mut watch).await.unwrap()[0].health, Health::Warning);
    }
    lease
        .update(vec![ServiceDef::new(service("app.cat"))])
        .await
        .unwrap();
    if registers {
        until(&mut watch, &[]).await;
        assert_eq!(
            names(&registry.lookup(&service("app.cat")).await.unwrap()),
            ["new"]
        );
    }
    lease.deregister().await.unwrap();
    for gone in ["app.cat", "noded"] {
        assert_eq!(registry.lookup(&service(gone)).await.unwrap(), []);
    }
}

fn registration(node: &str, apps: &[&str]) -> Registration {
    let def = |name: String| ServiceDef {
        weight: 7,
        ..ServiceDef::new(service(&name))
    };
    let mut primary = def("noded".to_owned());
    primary
        .meta
        .insert("label_zone".to_owned(), "ä b".to_owned());
    Registration {
        node: NodeId::new(node).unwrap(),
        host: "::1".to_owned(),
        port: 4000,
        primary,
        services: apps.iter().map(|app| def(format!("app.{app}"))).collect(),
        ttl: Duration::from_secs(15),
    }
}

// === Memory ===

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
    let booted = |boot: &str| {
        let mut what = registration("n1", &["sort"]);
        what.primary.meta.insert("boot".to_owned(), boot.to_owned());
        what
    };
    let old = memory.register(booted("1")).await.unwrap();
    let new = memory.register(booted("2")).await.unwrap();
    let late = memory.register(booted("1")).await;
    assert!(matches!(late, Err(RegistryError::Conflict { .. })));
    let told = old.set_health(Health::Critical, "").await;
    assert!(matches!(told, Err(RegistryError::Conflict { .. })));
    old.deregister().await.unwrap();
    let set = memory.lookup(&service("app.sort")).await.unwrap();
    assert_eq!(
        set[0].health,
        Health::Passing,
        "the old lease touches nothing"
    );
    new.deregister().await.unwrap();
}

// === StaticNodes ===

struct FileBed {
    dir: tempfile::TempDir,
    registry: StaticNodes,
    text: String,
}

fn static_names() -> Names {
    Names {
        primary: service("noded"),
        app_prefix: "app.".to_owned(),
        port: 3747,
    }
}

impl FileBed {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let registry = StaticNodes::file(dir.path().join("nodes.yaml"), static_names());
        Self {
            dir,
            registry,
            text: String::new(),
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("nodes.yaml")
    }

    fn write(&self, text: &str) {
        replace(&self.path(), text);
    }
}

/// Replaces a file by renaming another one over it, as editors do.
fn replace(path: &Path, text: &str) {
    let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap()).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.persist(path).unwrap();
}

#[async_trait::async_trait]
impl Bed for FileBed {
    fn registry(&self) -> &dyn Registry {
        &self.registry
    }

    async fn holds(&mut self, nodes: &[(&str, &[&str])]) {
        use std::fmt::Write as _;
        self.text = String::from("version: 1\nnodes: [\n");
        for (node, apps) in nodes {
            let apps: Vec<_> = apps.iter().map(|app| format!("'{app}'")).collect();
            let apps = apps.join(", ");
            writeln!(
                self.text,
                "  {{ name: {node}, addr: '[::1]:4000', apps: [{apps}], weight: 7, labels: {{ zone: 'ä b' }} }},"
            )
            .unwrap();
        }
        self.text.push_str("]\n");
        self.write(&self.text);
    }

    async fn breaks(&mut self) {
        self.write(&self.text[..self.text.len() / 2]);
    }

    async fn mends(&mut self) {
        self.write(&self.text);
    }
}

#[tokio::test(start_paused = true)]
async fn a_static_file_conforms() {
    conforms(FileBed::new()).await;
}

#[tokio::test(start_paused = true)]
async fn a_missing_file_is_an_error_and_not_an_empty_set() {
    let bed = FileBed::new();
    let error = bed.registry.lookup(&service("noded")).await.unwrap_err();
    assert!(error.to_string().contains("nodes.yaml"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_file_rewritten_in_place_with_the_same_size_is_noticed() {
    let bed = FileBed::new();
    std::fs::write(bed.path(), "[{name: a, addr: a}]").unwrap();
    let mut watch = bed.registry.watch(&service("noded"));
    until(&mut watch, &["a"]).await;
    std::fs::write(bed.path(), "[{name: b, addr: b}]").unwrap();
    until(&mut watch, &["b"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_swapped_symlink_is_noticed() {
    let bed = FileBed::new();
    for (file, text) in [
        ("one", "[{name: a, addr: a}]"),
        ("two", "[{name: b, addr: b}]"),
    ] {
        std::fs::write(bed.dir.path().join(file), text).unwrap();
    }
    std::os::unix::fs::symlink("one", bed.path()).unwrap();
    let mut watch = bed.registry.watch(&service("noded"));
    until(&mut watch, &["a"]).await;
    std::os::unix::fs::symlink("two", bed.dir.path().join("next")).unwrap();
    std::fs::rename(bed.dir.path().join("next"), bed.path()).unwrap();
    until(&mut watch, &["b"]).await;
}

#[tokio::test(start_paused = true)]
async fn the_place_of_a_mistake_is_in_the_error() {
    let bed = FileBed::new();
    bed.write("version: 1\nnodes:\n- {name: a, addr: a}\n- {name: a, addr: b}\n");
    let error = bed.registry.lookup(&service("noded")).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("a second node `a`") && text.contains("line 4"),
        "{text}"
    );
}

#[tokio::test]
async fn an_inline_list_answers_once_and_stays() {
    let nodes = "[{name: a, addr: a, apps: [sort]}]".parse().unwrap();
    let registry = StaticNodes::inline(nodes, static_names());
    let mut watch = registry.watch(&service("app.sort"));
    until(&mut watch, &["a"]).await;
    assert!(futures_util::FutureExt::now_or_never(watch.next()).is_none());
}
