//! One suite for every backend. A backend joins it with a [`Bed`].

use std::{collections::BTreeSet, time::Duration};

use dpipes_discovery::{
    Abilities, Health, Instance, Lease, LeaseState, Names, NodeId, Registration, Registry,
    RegistryError, ServiceDef, ServiceName,
};
use futures_util::{StreamExt, stream::BoxStream};

/// Longest wait for what a registry owes: far beyond the slowest poll, so that only a hang fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How often something is asked that is waited for.
pub(crate) const ASK: Duration = Duration::from_millis(50);

pub(crate) type Watch = BoxStream<'static, Result<Vec<Instance>, RegistryError>>;

/// How the suite changes what a registry holds.
#[async_trait::async_trait]
pub(crate) trait Bed {
    fn registry(&self) -> &dyn Registry;
    /// The host of every node, for registries that do not take any.
    fn host(&self) -> &'static str {
        "::1"
    }
    /// Makes exactly these nodes, each with these apps, be known.
    async fn holds(&mut self, nodes: &[(&str, &[&str])]);
    /// Breaks it so that a watch has to fail.
    async fn breaks(&mut self);
    /// Repairs it; it holds what it held.
    async fn mends(&mut self);
}

pub(crate) fn service(name: &str) -> ServiceName {
    ServiceName::new(name).unwrap()
}

pub(crate) async fn next(watch: &mut Watch) -> Result<Vec<Instance>, RegistryError> {
    let item = tokio::time::timeout(PATIENCE, watch.next()).await;
    item.expect("an item in time")
        .expect("no end before an error")
}

/// Waits until a watch tells of exactly these nodes.
pub(crate) async fn until(watch: &mut Watch, nodes: &[&str]) {
    loop {
        if names(&next(watch).await.unwrap()) == nodes {
            return;
        }
    }
}

/// Waits until look-ups show exactly these nodes: what was accepted may take a moment to be readable.
pub(crate) async fn readable(registry: &dyn Registry, name: &str, nodes: &[&str]) {
    let shown = async {
        loop {
            let set = registry.lookup(&service(name)).await;
            if set.is_ok_and(|set| names(&set) == nodes) {
                return;
            }
            tokio::time::sleep(ASK).await;
        }
    };
    let shown = tokio::time::timeout(PATIENCE, shown).await;
    shown.unwrap_or_else(|_| panic!("{name} is never offered by {nodes:?}"));
}

pub(crate) fn names(set: &[Instance]) -> Vec<&str> {
    let names: BTreeSet<&str> = set.iter().map(|i| i.node.as_str()).collect();
    assert_eq!(names.len(), set.len(), "no node is named twice");
    names.into_iter().collect()
}

/// The suite.
pub(crate) async fn conforms(mut bed: impl Bed) {
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
    readable(bed.registry(), "app.sort", &["n1", "n2"]).await;
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
        readable(bed.registry(), &format!("app.{app}"), &["n1"]).await;
        let set = bed.registry().lookup(&service(&format!("app.{app}"))).await;
        let [instance] = &set.unwrap()[..] else {
            panic!("one instance of {app}");
        };
        assert_eq!((instance.host.as_str(), instance.port), (bed.host(), 4000));
        assert_eq!(instance.weight, 7);
    }
    let primary = bed.registry().lookup(&service("noded")).await.unwrap();
    assert_eq!(primary[0].meta["label_zone"], "ä b");
}

async fn names_that_begin_alike_are_apart(bed: &mut impl Bed) {
    bed.holds(&[("n1", &["log"]), ("n2", &["logger"]), ("n3", &["Log"])])
        .await;
    readable(bed.registry(), "app.logger", &["n2"]).await;
    readable(bed.registry(), "app.Log", &["n3"]).await;
    let set = bed.registry().lookup(&service("app.log")).await.unwrap();
    assert_eq!(names(&set), ["n1"]);
}

async fn look_ups_agree_with_the_watch(bed: &mut impl Bed) {
    bed.holds(&[("n1", &["sort"]), ("n2", &["sort"])]).await;
    let registry = bed.registry();
    readable(registry, "app.sort", &["n1", "n2"]).await;
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
    until(&mut watch, &["n1"]).await;
}

async fn dropping_a_watch_and_many_watches_do_no_harm(bed: &mut impl Bed) {
    bed.holds(&[("n1", &["sort"])]).await;
    let registry = bed.registry();
    readable(registry, "app.sort", &["n1"]).await;
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
    let mut new = registration("new", &["sort"]);
    new.host = bed.host().to_owned();
    let lease = registry.register(new).await.unwrap();
    assert_eq!(*lease.state().borrow(), LeaseState::Live);
    let Abilities {
        registers,
        reports_health,
        ..
    } = registry.abilities();
    let mut watch = registry.watch(&service("app.sort"));
    until(&mut watch, if registers { &["new"] } else { &[] }).await;
    lease.set_health(Health::Warning, "draining").await.unwrap();
    if registers && reports_health {
        while next(&mut watch).await.unwrap()[0].health != Health::Warning {}
    }
    lease
        .update(vec![ServiceDef::new(service("app.cat"))])
        .await
        .unwrap();
    if registers {
        until(&mut watch, &[]).await;
        readable(registry, "app.cat", &["new"]).await;
    }
    lease.deregister().await.unwrap();
    for gone in ["app.cat", "noded"] {
        readable(registry, gone, &[]).await;
    }
}

pub(crate) fn registration(node: &str, apps: &[&str]) -> Registration {
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

/// A node that started at `boot`.
pub(crate) fn booted(node: &str, apps: &[&str], boot: &str) -> Registration {
    let mut what = registration(node, apps);
    what.primary.meta.insert("boot".to_owned(), boot.to_owned());
    what
}

/// The same with another TTL.
pub(crate) fn short_lived(what: Registration, ttl: Duration) -> Registration {
    Registration { ttl, ..what }
}

/// Waits until a lease is in such a state.
pub(crate) async fn becomes(
    lease: &dyn Lease,
    wanted: impl FnMut(&LeaseState) -> bool,
) -> LeaseState {
    let mut state = lease.state();
    let found = tokio::time::timeout(PATIENCE, state.wait_for(wanted)).await;
    let found = found.unwrap_or_else(|_| panic!("it stays {:?}", *lease.state().borrow()));
    found.unwrap().clone()
}

pub(crate) fn is_live(state: &LeaseState) -> bool {
    *state == LeaseState::Live
}

pub(crate) fn is_retrying(state: &LeaseState) -> bool {
    matches!(state, LeaseState::Retrying { .. })
}

/// Whether the tests of a backend are left out by this variable, which is said.
pub(crate) fn is_left_out(variable: &str) -> bool {
    let left_out = std::env::var_os(variable).is_some_and(|value| value == "1");
    if left_out {
        println!("left out: {variable}=1");
    }
    left_out
}

/// Whether a lease knows that another start of its node has taken over.
pub(crate) fn is_superseded(lease: &dyn Lease) -> bool {
    matches!(*lease.state().borrow(), LeaseState::Superseded { .. })
}

/// What services are called in these tests.
pub(crate) fn service_names() -> Names {
    Names {
        primary: service("noded"),
        app_prefix: "app.".to_owned(),
        port: 3747,
    }
}
