//! Nodes that fail.

use std::time::{Duration, Instant};

use dpipes_discovery::{Health, LeaseState, Registry};

use super::{agent, consul, sees, until};
use crate::bed::{names, next, registration, service};

/// Long enough for a busy machine to miss no more than one of three heartbeats.
const TTL: Duration = Duration::from_secs(5);

fn short_lived(node: &str, apps: &[&str]) -> dpipes_discovery::Registration {
    dpipes_discovery::Registration {
        ttl: TTL,
        ..registration(node, apps)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_heartbeats_a_node_and_all_its_apps_are_critical_together() {
    let Some(agent) = agent() else { return };
    let consul = consul(&agent);
    let apps = ["cat", "sort", "uniq", "wc"];
    let lease = consul.register(short_lived("n1", &apps)).await.unwrap();
    let other = consul.register(short_lived("n2", &apps)).await.unwrap();
    let mut watch = consul.watch(&service("noded"));
    assert_eq!(names(&next(&mut watch).await.unwrap()), ["n1", "n2"]);
    let dropped = Instant::now();
    drop(lease);
    while next(&mut watch).await.unwrap()[0].health != Health::Critical {}
    let after = dropped.elapsed();
    // The last heartbeat may have been a beat ago, and the machine may be busy.
    assert!(
        after > TTL / 2 && after < TTL + crate::bed::PATIENCE,
        "{after:?}"
    );
    for app in apps {
        until(async || {
            let set = sees(&consul, &format!("app.{app}")).await.unwrap();
            set[0].health == Health::Critical && set[1].health == Health::Passing
        })
        .await;
    }
    println!("critical after {after:?}");
    let together = dropped.elapsed() - after;
    assert!(together < Duration::from_secs(20), "{together:?}");
    assert_eq!(*other.state().borrow(), LeaseState::Live);
    other.deregister().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_keeps_its_node_well_beyond_its_ttl() {
    let Some(agent) = agent() else { return };
    let consul = consul(&agent);
    let lease = consul.register(short_lived("n1", &["sort"])).await.unwrap();
    let registered = Instant::now();
    while registered.elapsed() < 2 * TTL + TTL / 2 {
        let set = sees(&consul, "app.sort").await.unwrap();
        assert_eq!(set[0].health, Health::Passing);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    lease.deregister().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_started_again_within_its_ttl_has_no_twin() {
    let Some(agent) = agent() else { return };
    let consul = consul(&agent);
    let mut what = registration("n1", &["sort", "cat"]);
    what.primary.meta.insert("boot".to_owned(), "1".to_owned());
    drop(consul.register(what.clone()).await.unwrap());
    what.primary.meta.insert("boot".to_owned(), "2".to_owned());
    (what.port, what.services) = (4001, registration("n1", &["sort"]).services);
    let lease = consul.register(what).await.unwrap();
    for name in ["noded", "app.sort"] {
        let set = sees(&consul, name).await.unwrap();
        assert_eq!((names(&set), set[0].port), (vec!["n1"], 4001), "{name}");
    }
    // It would be alive as long as the node is, though nobody offers it.
    assert_eq!(sees(&consul, "app.cat").await.unwrap(), []);
    lease.deregister().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_started_again_after_its_ttl_is_well_at_once() {
    let Some(agent) = agent() else { return };
    let consul = consul(&agent);
    drop(consul.register(short_lived("n1", &["sort"])).await.unwrap());
    until(async || sees(&consul, "app.sort").await.unwrap()[0].health == Health::Critical).await;
    let mut what = registration("n1", &["sort"]);
    // Its first regular heartbeat is far away.
    what.ttl = Duration::from_secs(600);
    let lease = consul.register(what).await.unwrap();
    until(async || sees(&consul, "app.sort").await.unwrap()[0].health == Health::Passing).await;
    lease.deregister().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_somebody_removed_is_put_back() {
    let Some(agent) = agent() else { return };
    let consul = consul(&agent);
    let mut what = registration("n1", &["sort"]);
    what.ttl = Duration::from_secs(2);
    let lease = consul.register(what).await.unwrap();
    for id in ["noded%40n1", "app.sort%40n1"] {
        agent.call(
            None,
            "PUT",
            &format!("/v1/agent/service/deregister/{id}"),
            "",
        );
    }
    for name in ["noded", "app.sort"] {
        until(async || sees(&consul, name).await.unwrap().len() == 1).await;
    }
    // One app alone is missed at the next look, four TTLs later at most.
    agent.call(
        None,
        "PUT",
        "/v1/agent/service/deregister/app.sort%40n1",
        "",
    );
    assert_eq!(sees(&consul, "app.sort").await.unwrap(), []);
    until(async || sees(&consul, "app.sort").await.unwrap().len() == 1).await;
    until(async || *lease.state().borrow() == LeaseState::Live).await;
    lease.deregister().await.unwrap();
}
