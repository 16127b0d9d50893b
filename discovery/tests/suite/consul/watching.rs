//! What a watch makes of what an agent says.

use std::time::{Duration, Instant};

use dpipes_discovery::{Health, LeaseState, Registration, Registry};
use dpipes_testbed::{consul::Agent, sockets::connections_to};

use super::{agent, consul, sees, until};
use crate::bed::{names, next, registration, service};

fn put(agent: &Agent, body: &str) {
    agent.call(None, "PUT", "/v1/agent/service/register", body);
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_entries_of_others_hide_nobody() {
    let Some(agent) = agent() else { return };
    let consul = consul(&agent);
    let lease = consul
        .register(registration("n1", &["sort"]))
        .await
        .unwrap();
    for body in [
        r#"{"ID": "app.sort@n2", "Name": "app.sort", "Address": "10.0.0.1", "Port": 70000, "Meta": {"node": "n2"}}"#,
        r#"{"ID": "app.sort@n3", "Name": "app.sort", "Address": "10.0.0.1", "Meta": {"node": "n3"}}"#,
        r#"{"ID": "app.sort@n4", "Name": "app.sort", "Address": "10.0.0.1", "Port": 1, "Meta": {"node": "a b/c"}}"#,
    ] {
        put(&agent, body);
    }
    assert_eq!(names(&sees(&consul, "app.sort").await.unwrap()), ["n1"]);
    // What says less than it could is taken as it is: the address and the name are the agent's.
    put(&agent, r#"{"Name": "app.sort", "Port": 1}"#);
    let set = sees(&consul, "app.sort").await.unwrap();
    assert_eq!(names(&set), ["agent", "n1"]);
    assert_eq!((set[0].health, set[0].weight), (Health::Unknown, 1));
    assert!(agent.address().starts_with(&set[0].host), "{}", set[0].host);
    let node = dpipes_discovery::NodeId::new("agent").unwrap();
    assert!(
        consul
            .find(&service("app.sort"), &node)
            .await
            .unwrap()
            .is_some()
    );
    lease.deregister().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_differ_in_case_or_length_are_apart() {
    let Some(agent) = agent() else { return };
    let consul = consul(&agent);
    let lease = consul
        .register(registration("n1", &["sort", "Sort", "log"]))
        .await;
    let lease = lease.unwrap();
    let other = consul
        .register(registration("n2", &["Sort", "logger"]))
        .await;
    let other = other.unwrap();
    for (app, nodes) in [
        ("app.sort", &["n1"][..]),
        ("app.Sort", &["n1", "n2"]),
        ("app.SORT", &[]),
        ("app.log", &["n1"]),
        ("app.logger", &["n2"]),
    ] {
        assert_eq!(names(&sees(&consul, app).await.unwrap()), nodes, "{app}");
    }
    // News of one is none of the other.
    let mut watch = consul.watch(&service("app.sort"));
    assert_eq!(names(&next(&mut watch).await.unwrap()), ["n1"]);
    other.deregister().await.unwrap();
    let news = tokio::time::timeout(Duration::from_secs(1), next(&mut watch)).await;
    assert!(news.is_err(), "{news:?}");
    lease.deregister().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn maintenance_takes_the_weight_of_what_it_is_declared_for() {
    let Some(agent) = agent() else { return };
    let consul = consul(&agent);
    let lease = consul.register(registration("n1", &["sort", "cat"])).await;
    let lease = lease.unwrap();
    let weights = async || {
        let mut weights = Vec::new();
        for name in ["noded", "app.sort", "app.cat"] {
            weights.push(sees(&consul, name).await.unwrap()[0].weight);
        }
        weights
    };
    for (path, expected) in [
        ("service/maintenance/app.sort%40n1", [7, 0, 7]),
        ("service/maintenance/noded%40n1", [0, 0, 0]),
        ("maintenance", [0, 0, 0]),
    ] {
        for (enable, expected) in [(true, expected), (false, [7, 7, 7])] {
            let path = format!("/v1/agent/{path}?enable={enable}&reason=test");
            agent.call(None, "PUT", &path, "");
            until(async || weights().await == expected).await;
        }
    }
    lease.deregister().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn maintenance_outlives_changes_and_restarts_of_the_node() {
    let Some(agent) = agent() else { return };
    let consul = consul(&agent);
    let mut what = registration("n1", &["sort"]);
    what.primary.meta.insert("boot".to_owned(), "1".to_owned());
    let lease = consul.register(what.clone()).await.unwrap();
    for id in ["noded%40n1", "app.sort%40n1"] {
        let path = format!("/v1/agent/service/maintenance/{id}?enable=true");
        agent.call(None, "PUT", &path, "");
    }
    let drained = async || {
        let node = sees(&consul, "noded").await.unwrap()[0].weight;
        let app = sees(&consul, "app.sort").await.unwrap()[0].weight;
        (node, app) == (0, 0)
    };
    until(async || drained().await).await;
    let mut changed = registration("n1", &["sort", "cat"]).services;
    changed[0].weight = 9;
    lease.update(changed).await.unwrap();
    assert!(drained().await, "an update");
    drop(lease);
    what.primary.meta.insert("boot".to_owned(), "2".to_owned());
    let lease = consul.register(what).await.unwrap();
    assert!(drained().await, "a restart");
    lease.deregister().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_and_fifty_watches_leave_room_for_heartbeats() {
    let Some(agent) = agent() else { return };
    let consul = consul(&agent);
    let ttl = Duration::from_secs(3);
    let what = registration("n1", &["a0"]);
    let lease = consul.register(Registration { ttl, ..what }).await.unwrap();
    let mut watches = tokio::task::JoinSet::new();
    let (seen, mut all) = tokio::sync::mpsc::channel(1000);
    for n in 0..250 {
        let mut watch = consul.watch(&service(&format!("app.a{n}")));
        let seen = seen.clone();
        watches.spawn(async move {
            loop {
                let set = next_ever(&mut watch).await;
                seen.send((n, set)).await.unwrap();
            }
        });
    }
    let mut first = std::collections::BTreeSet::new();
    while first.len() < 250 {
        let (n, set) = all.recv().await.unwrap();
        assert_eq!(set, usize::from(n == 0), "{n}");
        first.insert(n);
    }
    let open = connections(&agent);
    assert!(open < 120, "{open} connections");
    // Through all of this the node stays well, and news comes to every watch, waiting or not.
    let start = Instant::now();
    let apps: Vec<String> = (0..250).map(|n| format!("a{n}")).collect();
    let apps: Vec<&str> = apps.iter().map(String::as_str).collect();
    lease
        .update(registration("n1", &apps).services)
        .await
        .unwrap();
    let mut told = std::collections::BTreeSet::from([0]);
    while told.len() < 250 {
        let news = tokio::time::timeout(crate::bed::PATIENCE, all.recv()).await;
        let (n, set) = news.unwrap().unwrap();
        if set == 1 {
            told.insert(n);
        }
        assert_eq!(*lease.state().borrow(), LeaseState::Live);
    }
    println!("news came to all after {:?}", start.elapsed());
    assert_eq!(
        sees(&consul, "noded").await.unwrap()[0].health,
        Health::Passing
    );
    // Dropping a watch hangs up.
    watches.shutdown().await;
    until(async || connections(&agent) < 20).await;
    drop(lease);
}

/// The size of the next set, however long it takes.
async fn next_ever(watch: &mut crate::bed::Watch) -> usize {
    let item = futures_util::StreamExt::next(watch).await;
    item.expect("no end").expect("no error").len()
}

/// Connections of this host to an agent.
fn connections(agent: &Agent) -> usize {
    connections_to(agent.address().parse().unwrap())
}
