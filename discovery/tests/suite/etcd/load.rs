//! Many watches, many nodes, and long silences.

use std::time::Duration;

use dpipes_discovery::{Health, LeaseState, Registry};
use futures_util::{StreamExt, future::join_all};
use tokio::time::{Instant, sleep, timeout};

use super::{at, member, register};
use crate::bed::{PATIENCE, Watch, names, next, registration, service, short_lived, until};

#[tokio::test]
async fn two_hundred_and_fifty_watches_leave_room_for_renewals() {
    let Some(member) = member().await else { return };
    let registry = at(&member);
    let ttl = Duration::from_secs(9);
    let lease = register(&registry, short_lived(registration("n1", &["sort"]), ttl)).await;
    let mut watches: Vec<Watch> = (0..250)
        .map(|_| registry.watch(&service("app.sort")))
        .collect();
    for health in [Health::Passing, Health::Warning, Health::Critical] {
        lease.set_health(health, "").await.unwrap();
        let told =
            join_all(watches.iter_mut().map(|watch| async move {
                while next(watch).await.unwrap()[0].health != health {}
            }));
        told.await;
    }
    let mut state = lease.state();
    let changed = timeout(ttl, state.changed()).await;
    assert!(changed.is_err(), "{:?}", state.borrow());
}

#[tokio::test]
async fn dropped_watches_and_leases_leave_nothing_running_at_the_server() {
    let Some(member) = member().await else { return };
    let registry = at(&member);
    let lease = register(&registry, registration("n1", &["sort"])).await;
    let mut watches: Vec<Watch> = (0..20)
        .map(|_| registry.watch(&service("app.sort")))
        .collect();
    lease.set_health(Health::Warning, "").await.unwrap();
    // Each one waits for news, so that it is open at the server.
    let waiting = join_all(watches.iter_mut().map(|watch| async move {
        next(watch).await.unwrap();
        watch.next().await
    }));
    assert!(timeout(Duration::from_secs(1), waiting).await.is_err());
    let open = "etcd_debugging_mvcc_watcher_total";
    let before = member.metric(open).await;
    assert!(before >= 20.0, "{before}");
    drop((watches, lease));
    let gone = timeout(PATIENCE, async {
        while member.metric(open).await > before - 20.0 {
            sleep(Duration::from_millis(50)).await;
        }
    });
    gone.await.expect("the server notices");
}

#[tokio::test]
async fn an_idle_connection_is_not_thrown_off() {
    let Some(member) = member().await else { return };
    // Its own connection: renewals are traffic, and make servers forget the probes before.
    let lease = register(&at(&member), registration("n1", &["sort"])).await;
    let mut watch = at(&member).watch(&service("app.sort"));
    until(&mut watch, &["n1"]).await;
    // Who probes every three or four seconds is thrown off after 12 or 16.
    let silence = timeout(Duration::from_secs(25), watch.next()).await;
    assert!(silence.is_err(), "{silence:?}");
    lease.set_health(Health::Warning, "").await.unwrap();
    assert_eq!(next(&mut watch).await.unwrap()[0].health, Health::Warning);
    assert_eq!(*lease.state().borrow(), LeaseState::Live);
}

#[tokio::test]
async fn fifty_nodes_with_twenty_apps_register_at_once() {
    let Some(member) = member().await else { return };
    let apps: Vec<_> = (0..20).map(|i| format!("a{i}")).collect();
    let apps: Vec<_> = apps.iter().map(String::as_str).collect();
    let started = Instant::now();
    let leases = join_all((0..50).map(|i| {
        let (registry, apps) = (at(&member), &apps);
        async move { register(&registry, registration(&format!("n{i:02}"), apps)).await }
    }))
    .await;
    let took = started.elapsed();
    println!("50 nodes of 21 keys: {took:?}");
    assert!(took < PATIENCE, "{took:?}");
    let registry = at(&member);
    let set = registry.lookup(&service("app.a7")).await.unwrap();
    assert_eq!(names(&set).len(), 50);
    assert_eq!(registry.services().await.unwrap().len(), 21);
    for lease in leases {
        lease.deregister().await.unwrap();
    }
    assert!(registry.services().await.unwrap().is_empty());
}
