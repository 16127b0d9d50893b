//! Leases and the keys on them.

use std::time::Duration;

use dpipes_discovery::{Health, LeaseState, Registry, RegistryError, ServiceDef};
use tokio::time::Instant;

use super::{SHORT, at, member, raw, register};
use crate::bed::{becomes, booted, names, next, registration, service, short_lived, until};

/// How much later than its TTL a node may vanish: servers look twice a second, and this machine is busy.
const MARGIN: Duration = Duration::from_secs(20);

#[tokio::test]
async fn more_apps_than_a_transaction_takes_are_registered_and_reached_by_health() {
    let Some(member) = member().await else { return };
    let registry = at(&member);
    let apps: Vec<_> = (0..250).map(|i| format!("a{i}")).collect();
    let apps: Vec<_> = apps.iter().map(String::as_str).collect();
    let lease = register(&registry, registration("n1", &apps)).await;
    let services = registry.services().await.unwrap();
    assert_eq!(services.len(), 251);
    lease.set_health(Health::Critical, "").await.unwrap();
    for name in services {
        let set = registry.lookup(&name).await.unwrap();
        assert_eq!(set[0].health, Health::Critical, "{name}");
    }
    lease.deregister().await.unwrap();
    assert!(registry.services().await.unwrap().is_empty());
}

#[tokio::test]
async fn an_update_touches_no_key_that_stays() {
    let Some(member) = member().await else { return };
    let registry = at(&member);
    let lease = register(&registry, registration("n1", &["cat", "sort"])).await;
    let mut raw = raw(&member).await;
    let mut revision = async |key: &str| {
        let key = format!("/dpipes/v1/services/{key}/n1");
        let found = raw.get(key, None).await.unwrap();
        found.kvs().first().map(etcd_client::KeyValue::mod_revision)
    };
    let (primary, cat) = (revision("noded").await, revision("app.cat").await);
    let mut kept = registration("n1", &["cat"]).services;
    kept.push(ServiceDef::new(service("app.wc")));
    lease.update(kept.clone()).await.unwrap();
    assert_eq!(revision("noded").await, primary);
    assert_eq!(revision("app.cat").await, cat);
    assert_eq!(revision("app.sort").await, None);
    let wc = revision("app.wc").await;
    assert!(wc.is_some());
    // The same once more writes nothing at all.
    lease.update(kept).await.unwrap();
    lease.set_health(Health::Passing, "").await.unwrap();
    assert_eq!(revision("app.wc").await, wc);
    lease.deregister().await.unwrap();
}

#[tokio::test]
async fn a_dropped_lease_takes_all_keys_with_it_in_one_moment_and_not_before_its_ttl() {
    let Some(member) = member().await else { return };
    let registry = at(&member);
    let lease = register(
        &registry,
        short_lived(registration("n1", &["a", "b"]), SHORT),
    )
    .await;
    let mut watch = registry.watch(&service("app.a"));
    until(&mut watch, &["n1"]).await;
    drop(lease);
    let dropped = Instant::now();
    until(&mut watch, &[]).await;
    let taken = dropped.elapsed();
    // The last renewal was up to a third of the TTL ago.
    assert!(
        taken >= SHORT * 2 / 3 && taken <= SHORT + MARGIN,
        "{taken:?}"
    );
    assert!(registry.services().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_renewed_lease_outlives_its_ttl() {
    let Some(member) = member().await else { return };
    let registry = at(&member);
    // Long enough for a busy machine to miss none of three renewals.
    let ttl = SHORT * 2;
    let _lease = register(&registry, short_lived(registration("n1", &[]), ttl)).await;
    let mut watch = registry.watch(&service("noded"));
    until(&mut watch, &["n1"]).await;
    let change = tokio::time::timeout(ttl * 2 + SHORT, next(&mut watch)).await;
    assert!(change.is_err(), "{change:?}");
}

#[tokio::test]
async fn a_restart_within_the_ttl_makes_no_twin_and_the_new_port_wins() {
    let Some(member) = member().await else { return };
    let registry = at(&member);
    drop(register(&registry, booted("n1", &["cat", "sort"], "1")).await);
    let mut watch = registry.watch(&service("app.sort"));
    until(&mut watch, &["n1"]).await;
    let mut again = booted("n1", &["sort"], "2");
    again.port = 4001;
    let lease = register(&registry, again).await;
    loop {
        let set = next(&mut watch).await.unwrap();
        assert_eq!(names(&set), ["n1"], "it never vanished");
        if set[0].port == 4001 {
            break;
        }
    }
    // What it no longer offers is gone at once, without waiting for the TTL of the earlier start.
    assert_eq!(registry.lookup(&service("app.cat")).await.unwrap(), []);
    lease.deregister().await.unwrap();
}

#[tokio::test]
async fn of_two_nodes_with_one_name_the_newer_wins_and_the_older_is_told() {
    let Some(member) = member().await else { return };
    let (here, there) = (at(&member), at(&member));
    let old = register(&here, short_lived(booted("n1", &["sort"], "1"), SHORT)).await;
    let mut newer = booted("n1", &["sort"], "2");
    newer.port = 4001;
    let new = register(&there, newer).await;
    becomes(&*old, |state| {
        matches!(state, LeaseState::Superseded { .. })
    })
    .await;
    // It learns from its own renewal that it lost the keys; who holds them it learns when it tries to take them back.
    let told = loop {
        match old.set_health(Health::Critical, "").await {
            Err(RegistryError::Unavailable { .. }) => tokio::task::yield_now().await,
            other => break other,
        }
    };
    let Err(RegistryError::Conflict { holder, .. }) = told else {
        panic!("{told:?}");
    };
    assert_eq!(holder, "::1:4001");
    let late = here.register(booted("n1", &["sort"], "1")).await;
    assert!(
        matches!(late, Err(RegistryError::Conflict { .. })),
        "{late:?}"
    );
    old.deregister().await.unwrap();
    let set = here.lookup(&service("app.sort")).await.unwrap();
    assert_eq!((set[0].port, set[0].health), (4001, Health::Passing));
    new.deregister().await.unwrap();
}

#[tokio::test]
async fn keys_that_somebody_deletes_are_put_back() {
    let Some(member) = member().await else { return };
    let registry = at(&member);
    let _lease = register(&registry, short_lived(registration("n1", &["sort"]), SHORT)).await;
    let mut raw = raw(&member).await;
    for gone in ["app.sort", "noded"] {
        let mut watch = registry.watch(&service(gone));
        until(&mut watch, &["n1"]).await;
        let key = format!("/dpipes/v1/services/{gone}/n1");
        raw.delete(key, None).await.unwrap();
        until(&mut watch, &[]).await;
        until(&mut watch, &["n1"]).await;
    }
}

#[tokio::test]
async fn two_prefixes_do_not_see_each_other() {
    use dpipes_discovery::etcd::Config;
    let Some(member) = member().await else { return };
    let tenant = |prefix: &str| {
        super::with(Config {
            prefix: prefix.to_owned(),
            ..Config::new([member.endpoint()])
        })
    };
    let (a, ab) = (tenant("/a"), tenant("/a/b/"));
    let _one = register(&a, registration("n1", &["sort"])).await;
    let _two = register(&ab, registration("n2", &["cat"])).await;
    for (registry, node, app) in [(&a, "n1", "app.sort"), (&ab, "n2", "app.cat")] {
        let set = registry.lookup(&service("noded")).await.unwrap();
        assert_eq!(names(&set), [node]);
        let services = registry.services().await.unwrap();
        let services: Vec<_> = services.iter().map(ToString::to_string).collect();
        assert_eq!(services, [app, "noded"]);
    }
}

#[tokio::test]
async fn a_node_that_names_no_host_is_found_at_an_address_that_others_can_dial() {
    let Some(member) = member().await else { return };
    let registry = at(&member);
    let mut what = registration("n1", &["sort"]);
    what.host = String::new();
    let lease = register(&registry, what).await;
    for name in ["noded", "app.sort"] {
        let set = registry.lookup(&service(name)).await.unwrap();
        assert_eq!(names(&set), ["n1"]);
        let host: std::net::IpAddr = set[0].host.parse().unwrap();
        assert!(!host.is_unspecified(), "{host}");
        // It is an address of this machine: something can listen there.
        std::net::TcpListener::bind((host, 0)).unwrap();
        let own = nix::ifaddrs::getifaddrs().unwrap();
        let leads_away = own.filter_map(|i| Some(i.address?.as_sockaddr_in()?.ip()));
        let leads_away = leads_away.filter(|ip| !ip.is_loopback() && !ip.is_link_local());
        // The member is on this machine, and its address would be another machine for everybody else.
        assert!(leads_away.count() == 0 || !host.is_loopback(), "{host}");
    }
    lease.deregister().await.unwrap();
}
