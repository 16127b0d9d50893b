//! Three servers, of which some fail.

use std::time::{Duration, Instant};

use dpipes_discovery::{Health, LeaseState, Registration, Registry, RegistryError, consul::Config};
use dpipes_testbed::consul::Cluster;

use super::{sees, skipped, until, with};
use crate::bed::{booted, is_superseded, names, next, registration, service};

#[tokio::test(flavor = "multi_thread")]
async fn nodes_stay_known_while_a_leader_is_lost_and_then_the_majority() {
    if skipped() {
        return;
    }
    let mut cluster = Cluster::start(3);
    let leader = cluster.leader(0).unwrap();
    let own = (leader + 1) % 3;
    let third = (leader + 2) % 3;
    let consul = with(Config::new(cluster.servers[own].address()));
    let what = Registration {
        ttl: Duration::from_secs(30),
        ..registration("n1", &["sort"])
    };
    let lease = consul.register(what).await.unwrap();
    // At another agent than the one it registered with.
    let other = with(Config::new(cluster.servers[third].address()));
    until(async || {
        sees(&other, "app.sort")
            .await
            .is_some_and(|set| set.len() == 1)
    })
    .await;

    let mut watch = consul.watch(&service("app.sort"));
    assert_eq!(names(&next(&mut watch).await.unwrap()), ["n1"]);
    let killed = Instant::now();
    cluster.servers[leader].kill();
    until(async || cluster.leader(own).is_some_and(|new| new != leader)).await;
    println!("another leader after {:?}", killed.elapsed());
    assert_eq!(names(&sees(&consul, "app.sort").await.unwrap()), ["n1"]);
    // And a change gets through.
    let services = registration("n1", &["sort", "cat"]).services;
    until(async || lease.update(services.clone()).await.is_ok()).await;
    until(async || {
        sees(&consul, "app.cat")
            .await
            .is_some_and(|set| set.len() == 1)
    })
    .await;

    // One of three is no majority. What was known stays, the node is still well.
    cluster.servers[third].kill();
    until(async || cluster.leader(own).is_none()).await;
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(3) {
        let set = sees(&consul, "app.sort").await.unwrap();
        assert_eq!((names(&set), set[0].health), (vec!["n1"], Health::Passing));
        tokio::time::sleep(crate::bed::ASK).await;
    }

    cluster.servers[third].restart();
    cluster.servers[leader].restart();
    until(async || *lease.state().borrow() == LeaseState::Live).await;
    until(async || {
        let set = sees(&consul, "app.cat").await;
        set.is_some_and(|set| set.first().is_some_and(|i| i.health == Health::Passing))
    })
    .await;
    lease.deregister().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_starts_at_two_agents_the_newer_counts_and_the_older_ends() {
    if skipped() {
        return;
    }
    let cluster = Cluster::start(2);
    let here = with(Config::new(cluster.servers[0].address()));
    let there = with(Config::new(cluster.servers[1].address()));
    let booted = |boot: &str, port| Registration {
        ttl: Duration::from_secs(6),
        port,
        ..booted("n1", &["sort"], boot)
    };
    let old = here.register(booted("1", 4001)).await.unwrap();
    let new = there.register(booted("2", 4002)).await.unwrap();
    // Both are in the catalog, and readers take the newer.
    until(async || {
        let set = sees(&here, "app.sort").await;
        set.is_some_and(|set| names(&set) == ["n1"] && set[0].port == 4002)
    })
    .await;
    until(async || is_superseded(&*old)).await;
    let late = here.register(booted("1", 4001)).await;
    assert!(
        matches!(late, Err(RegistryError::Conflict { .. })),
        "{late:?}"
    );
    assert_eq!(*new.state().borrow(), LeaseState::Live);
    // It takes back its own and nothing else.
    old.deregister().await.unwrap();
    assert_eq!(sees(&here, "app.sort").await.unwrap()[0].port, 4002);
    new.deregister().await.unwrap();
}
