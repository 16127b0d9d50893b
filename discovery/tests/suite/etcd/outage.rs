//! Members that die, hang, forget, or lose their majority.

use std::time::Duration;

use dpipes_discovery::{Health, Registry, RegistryError, etcd::Config};
use tokio::time::{Instant, sleep, timeout};

use super::{SHORT, at, cluster, error_of, member, raw, register, with};
use crate::bed::{
    PATIENCE, becomes, is_live, is_retrying, names, next, registration, service, short_lived, until,
};

fn assert_unavailable<T: std::fmt::Debug>(result: Result<T, RegistryError>) {
    assert!(
        matches!(result, Err(RegistryError::Unavailable { .. })),
        "{result:?}"
    );
}

#[tokio::test]
async fn a_restart_that_keeps_its_data_removes_nobody() {
    let Some(mut member) = member().await else {
        return;
    };
    let registry = at(&member);
    let lease = register(&registry, registration("n1", &["sort"])).await;
    let mut watch = registry.watch(&service("app.sort"));
    until(&mut watch, &["n1"]).await;
    // The watch itself opens only when it is asked for more than the first set.
    lease.set_health(Health::Warning, "").await.unwrap();
    assert_eq!(next(&mut watch).await.unwrap()[0].health, Health::Warning);
    let mut raw = raw(&member).await;
    let key = "/dpipes/v1/services/app.sort/n1";
    let before = raw.get(key, None).await.unwrap().kvs()[0].mod_revision();
    member.restart().await;
    error_of(&mut watch).await;
    let mut watch = registry.watch(&service("app.sort"));
    assert_eq!(names(&next(&mut watch).await.unwrap()), ["n1"]);
    becomes(&*lease, is_live).await;
    let after = raw.get(key, None).await.unwrap().kvs()[0].mod_revision();
    assert_eq!(after, before, "the lease was resumed, nothing was written");
}

#[tokio::test]
async fn a_server_that_forgot_everything_is_told_again_and_a_new_watch_is_not_deaf() {
    let Some(mut member) = member().await else {
        return;
    };
    let registry = at(&member);
    // Revisions that the new store will not reach in this test.
    let lease = register(&registry, registration("n1", &["sort"])).await;
    for health in [Health::Warning, Health::Critical].repeat(20) {
        lease.set_health(health, "").await.unwrap();
    }
    let mut watch = registry.watch(&service("app.sort"));
    until(&mut watch, &["n1"]).await;
    member.wipe();
    becomes(&*lease, is_retrying).await;
    error_of(&mut watch).await;
    let told = lease.set_health(Health::Warning, "").await;
    assert_unavailable(told);
    lease
        .update(registration("n1", &["sort", "cat"]).services)
        .await
        .unwrap_err();
    member.restart().await;
    let mut watch = registry.watch(&service("app.cat"));
    until(&mut watch, &["n1"]).await;
    becomes(&*lease, is_live).await;
    let set = registry.lookup(&service("app.sort")).await.unwrap();
    assert_eq!(set[0].health, Health::Warning, "what was ordered meanwhile");
    lease.update(Vec::new()).await.unwrap();
    until(&mut watch, &[]).await;
}

/// The watch opens when more than the first set is asked for; here the server forgets between the two.
#[tokio::test]
async fn a_watch_that_opens_on_a_server_that_forgot_ends_instead_of_being_deaf() {
    let Some(mut member) = member().await else {
        return;
    };
    let registry = at(&member);
    let lease = register(&registry, registration("n1", &["sort"])).await;
    for health in [Health::Warning, Health::Critical].repeat(20) {
        lease.set_health(health, "").await.unwrap();
    }
    let mut watch = registry.watch(&service("app.sort"));
    assert_eq!(names(&next(&mut watch).await.unwrap()), ["n1"]);
    member.wipe();
    member.restart().await;
    let error = error_of(&mut watch).await.to_string();
    assert!(error.contains("revision"), "{error}");
}

#[tokio::test]
async fn an_outage_of_three_ttls_ends_with_everybody_back() {
    let Some(mut member) = member().await else {
        return;
    };
    let registry = at(&member);
    let lease = register(&registry, short_lived(registration("n1", &["sort"]), SHORT)).await;
    member.kill();
    becomes(&*lease, is_retrying).await;
    assert_unavailable(registry.lookup(&service("app.sort")).await);
    sleep(SHORT * 3).await;
    member.restart().await;
    becomes(&*lease, is_live).await;
    let set = registry.lookup(&service("app.sort")).await.unwrap();
    assert_eq!(names(&set), ["n1"]);
}

#[tokio::test]
async fn a_frozen_server_lets_calls_time_out_and_ends_watches_and_all_recovers() {
    let Some(member) = member().await else { return };
    let registry = at(&member);
    let lease = register(&registry, short_lived(registration("n1", &["sort"]), SHORT)).await;
    let mut watch = registry.watch(&service("app.sort"));
    until(&mut watch, &["n1"]).await;
    // The watch itself, not only the range before it, has to be there when the server freezes.
    lease.set_health(Health::Warning, "").await.unwrap();
    assert_eq!(next(&mut watch).await.unwrap()[0].health, Health::Warning);
    member.freeze();
    let frozen = Instant::now();
    assert_unavailable(registry.lookup(&service("app.sort")).await);
    let took = frozen.elapsed();
    assert!(took < PATIENCE, "{took:?}");
    becomes(&*lease, is_retrying).await;
    let error = error_of(&mut watch).await;
    assert!(
        matches!(error, RegistryError::Unavailable { .. }),
        "{error}"
    );
    println!("the watch ended after {:?}: {error}", frozen.elapsed());
    member.thaw();
    becomes(&*lease, is_live).await;
    let mut watch = registry.watch(&service("app.sort"));
    until(&mut watch, &["n1"]).await;
}

#[tokio::test]
async fn a_member_without_a_majority_ends_watches_and_answers_nothing() {
    let Some(mut cluster) = cluster().await else {
        return;
    };
    let alone = with(Config::new([cluster.members[0].endpoint()]));
    let lease = register(&alone, short_lived(registration("n1", &["sort"]), SHORT)).await;
    let mut watch = alone.watch(&service("app.sort"));
    until(&mut watch, &["n1"]).await;
    lease.set_health(Health::Warning, "").await.unwrap();
    assert_eq!(next(&mut watch).await.unwrap()[0].health, Health::Warning);
    cluster.members[1].kill();
    cluster.members[2].kill();
    let lost = Instant::now();
    let error = error_of(&mut watch).await;
    println!("the watch ended after {:?}: {error}", lost.elapsed());
    assert!(
        matches!(error, RegistryError::Unavailable { .. }),
        "{error}"
    );
    becomes(&*lease, is_retrying).await;
    assert_unavailable(alone.lookup(&service("app.sort")).await);
    assert_unavailable(alone.register(registration("n2", &[])).await);
    cluster.members[1].spawn();
    becomes(&*lease, is_live).await;
    let set = alone.lookup(&service("app.sort")).await.unwrap();
    assert_eq!(names(&set), ["n1"]);
}

#[tokio::test]
async fn one_member_of_three_can_be_spared() {
    let Some(mut cluster) = cluster().await else {
        return;
    };
    let registry = with(Config::new(cluster.endpoints()));
    let lease = register(&registry, short_lived(registration("n1", &["sort"]), SHORT)).await;
    for dead in 0..3 {
        cluster.members[dead].kill();
        // An election takes a while; afterwards nothing fails, though every third try meets a dead member.
        let elected = timeout(PATIENCE, async {
            while registry.lookup(&service("app.sort")).await.is_err() {
                sleep(Duration::from_millis(50)).await;
            }
        });
        elected.await.unwrap();
        let mut failed = 0;
        for _ in 0..100 {
            let set = registry.lookup(&service("app.sort")).await;
            failed += usize::from(!set.is_ok_and(|set| names(&set) == ["n1"]));
        }
        // All three tries of a call meet the dead member with 1/27.
        println!("{failed} of 100 failed");
        assert!(failed <= 15, "{failed} of 100 failed");
        becomes(&*lease, is_live).await;
        cluster.members[dead].restart().await;
    }
}
