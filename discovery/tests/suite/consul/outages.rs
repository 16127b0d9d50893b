//! An agent that fails.

use std::time::{Duration, Instant};

use dpipes_discovery::{Health, Registration, Registry, RegistryError};

use super::{agent, consul, sees, until, until_within};
use crate::bed::{
    PATIENCE, Watch, becomes, is_live, is_retrying, names, next, readable, registration, service,
};

fn short_lived() -> Registration {
    Registration {
        ttl: Duration::from_secs(6),
        ..registration("n1", &["sort", "cat"])
    }
}

/// Waits until a watch shows one node, as well as this.
async fn shows(watch: &mut Watch, health: Health) {
    while next(watch).await.unwrap().first().map(|i| i.health) != Some(health) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_lost_everything_is_told_again_and_its_watchers_are_not_deaf() {
    let Some(mut agent) = agent() else { return };
    let consul = consul(&agent);
    // Its index is higher than those the agent begins with anew.
    for n in 0..20 {
        agent.call(None, "PUT", &format!("/v1/kv/{n}"), "x");
    }
    let lease = consul.register(short_lived()).await.unwrap();
    lease
        .update(registration("n1", &["sort", "uniq"]).services)
        .await
        .unwrap();
    lease.set_health(Health::Warning, "draining").await.unwrap();
    let sort = service("app.sort");
    // One that is followed all the while, and one that nobody looks at.
    let (mut followed, mut idle) = (consul.watch(&sort), consul.watch(&sort));
    shows(&mut followed, Health::Warning).await;
    shows(&mut idle, Health::Warning).await;
    let followed = tokio::spawn(async move { while next(&mut followed).await.is_ok() {} });
    let killed = Instant::now();
    agent.wipe();
    followed.await.unwrap();
    let mut again = consul.watch(&sort);
    shows(&mut again, Health::Warning).await;
    println!("registered again {:?} after the kill", killed.elapsed());
    lease.set_health(Health::Passing, "").await.unwrap();
    shows(&mut idle, Health::Passing).await;
    becomes(&*lease, is_live).await;
    // With the last update, and nothing from before it.
    readable(&consul, "app.uniq", &["n1"]).await;
    readable(&consul, "app.cat", &[]).await;
    lease.deregister().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_kept_its_data_finds_the_node_well_at_the_next_heartbeat() {
    let Some(mut agent) = agent() else { return };
    let consul = consul(&agent);
    let lease = consul.register(short_lived()).await.unwrap();
    agent.kill();
    let why = format!("{:?}", becomes(&*lease, is_retrying).await);
    assert!(why.contains("http://127."), "{why}");
    agent.restart();
    becomes(&*lease, is_live).await;
    until(async || {
        let set = sees(&consul, "app.sort").await;
        set.is_some_and(|set| set.first().is_some_and(|i| i.health == Health::Passing))
    })
    .await;
    readable(&consul, "app.cat", &["n1"]).await;
    lease.deregister().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_to_a_frozen_agent_end_and_it_recovers() {
    let Some(agent) = agent() else { return };
    let consul = consul(&agent);
    let lease = consul.register(short_lived()).await.unwrap();
    let mut watch = consul.watch(&service("app.sort"));
    assert_eq!(names(&next(&mut watch).await.unwrap()), ["n1"]);
    agent.freeze();
    let asked = Instant::now();
    let error = consul.lookup(&service("app.sort")).await.unwrap_err();
    assert!(
        matches!(error, RegistryError::Unavailable { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("does not answer"), "{error}");
    let took = asked.elapsed();
    assert!(took < PATIENCE, "{took:?}");
    becomes(&*lease, is_retrying).await;
    agent.thaw();
    becomes(&*lease, is_live).await;
    // The check of an app follows that of its node. An agent that has missed the change looks again after a minute, and tries a report to
    // the catalog that failed, as one does while the leader wakes up, again after up to half of one.
    until_within(PATIENCE * 2, async || {
        let set = sees(&consul, "app.sort").await;
        set.is_some_and(|set| set.first().is_some_and(|i| i.health == Health::Passing))
    })
    .await;
    lease.deregister().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_of_a_lease_while_the_agent_was_away_is_done_later() {
    let Some(mut agent) = agent() else { return };
    let consul = consul(&agent);
    let lease = consul.register(short_lived()).await.unwrap();
    agent.kill();
    let refused = lease.update(registration("n1", &["tac"]).services).await;
    assert!(
        matches!(refused, Err(RegistryError::Unavailable { .. })),
        "{refused:?}"
    );
    let refused = lease.set_health(Health::Warning, "busy").await;
    assert!(
        matches!(refused, Err(RegistryError::Unavailable { .. })),
        "{refused:?}"
    );
    agent.restart();
    until(async || {
        let set = sees(&consul, "app.tac").await;
        set.is_some_and(|set| set.first().is_some_and(|i| i.health == Health::Warning))
    })
    .await;
    until(async || {
        sees(&consul, "app.sort")
            .await
            .is_some_and(|set| set.is_empty())
    })
    .await;
    lease.deregister().await.unwrap();
}
