//! What a registration makes of an agent, and what a lease changes there.

use std::time::{Duration, Instant};

use dpipes_discovery::{
    Health, Registration, Registry, RegistryError, ServiceDef,
    consul::{Config, Layout},
};
use dpipes_testbed::consul::Agent;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{agent, consul, sees, until, with};
use crate::bed::{is_superseded, names, readable, registration, service};

fn get(agent: &Agent, path: &str) -> Value {
    serde_json::from_str(&agent.call(None, "GET", path, "")).unwrap()
}

fn booted(boot: &str, apps: &[&str]) -> Registration {
    crate::bed::booted("n1", apps, boot)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_holds_what_the_manual_says() {
    let Some(agent) = agent() else { return };
    let mut config = Config::new(agent.address());
    config.tags.insert("blue".to_owned());
    let lease = with(config).register(booted("01J", &["sort", "["])).await;
    let services = get(&agent, "/v1/agent/services");
    let primary = &services["noded@n1"];
    assert_eq!(primary["Service"], "noded");
    assert_eq!(primary["Tags"], json!(["[", "blue", "sort"]));
    assert_eq!(
        primary["Meta"],
        json!({ "node": "n1", "boot": "01J", "label_zone": "ä b", "tags": "blue" })
    );
    assert_eq!(primary["Weights"], json!({ "Passing": 7, "Warning": 1 }));
    let app = &services["app.[@n1"];
    assert_eq!(
        (&app["Service"], &app["Port"]),
        (&json!("app.["), &json!(4000))
    );
    assert_eq!(app["Meta"], json!({ "node": "n1", "boot": "01J" }));
    let checks = get(&agent, "/v1/agent/checks");
    let ids: Vec<_> = checks.as_object().unwrap().keys().collect();
    assert_eq!(ids, ["app.[@n1:alias", "app.sort@n1:alias", "noded@n1:ttl"]);
    for (id, kind, name) in [
        ("noded@n1:ttl", "ttl", "noded heartbeat"),
        ("app.sort@n1:alias", "alias", "noded alive"),
    ] {
        let check = &checks[id];
        assert_eq!(
            (&check["Type"], &check["Name"]),
            (&json!(kind), &json!(name))
        );
        assert_eq!(check["Status"], "passing");
    }
    lease.unwrap().deregister().await.unwrap();
    assert_eq!(get(&agent, "/v1/agent/services"), json!({}));
    assert_eq!(get(&agent, "/v1/agent/checks"), json!({}));
    assert_eq!(get(&agent, "/v1/health/service/app.sort"), json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_and_thirty_apps_are_there_once_the_registration_returns() {
    let Some(agent) = agent() else { return };
    let apps: Vec<String> = (0..130).map(|n| format!("a{n}")).collect();
    let apps: Vec<&str> = apps.iter().map(String::as_str).collect();
    let consul = consul(&agent);
    let start = Instant::now();
    let lease = consul.register(registration("n1", &apps)).await.unwrap();
    println!("registered after {:?}", start.elapsed());
    let listed = consul.services().await.unwrap();
    for app in &apps {
        assert!(listed.contains(&service(&format!("app.{app}"))), "{app}");
    }
    let last = sees(&consul, "app.a129").await.unwrap();
    assert_eq!(last[0].health, Health::Passing);
    lease.deregister().await.unwrap();
    let left = consul.services().await.unwrap();
    assert!(
        !left.iter().any(|name| name.as_str().starts_with("app.")),
        "{left:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_touches_no_other_app() {
    let Some(agent) = agent() else { return };
    let consul = consul(&agent);
    let lease = consul.register(registration("n1", &["cat", "sort"])).await;
    let lease = lease.unwrap();
    let before = agent.call(None, "GET", "/v1/health/service/app.cat", "");
    let apps = registration("n1", &["cat", "uniq"]).services;
    lease.update(apps).await.unwrap();
    assert_eq!(names(&sees(&consul, "app.uniq").await.unwrap()), ["n1"]);
    assert_eq!(sees(&consul, "app.sort").await.unwrap(), []);
    let after = agent.call(None, "GET", "/v1/health/service/app.cat", "");
    assert_eq!(before, after, "the index of its last change included");
    let primary = &sees(&consul, "noded").await.unwrap()[0];
    let tags: Vec<_> = primary.tags.iter().collect();
    assert_eq!(tags, ["cat", "uniq"]);
    lease.deregister().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn health_reaches_all_apps_and_its_note_the_operator() {
    let Some(agent) = agent() else { return };
    let consul = consul(&agent);
    let lease = consul.register(registration("n1", &["cat", "sort"])).await;
    let lease = lease.unwrap();
    for health in [Health::Warning, Health::Critical, Health::Passing] {
        lease
            .set_health(health, "draining since noon")
            .await
            .unwrap();
        for name in ["noded", "app.cat", "app.sort"] {
            until(async || sees(&consul, name).await.unwrap()[0].health == health).await;
        }
        // A new app is no better than its node.
        lease
            .update(registration("n1", &["cat", "sort", "tac"]).services)
            .await
            .unwrap();
        assert_eq!(sees(&consul, "app.tac").await.unwrap()[0].health, health);
        lease
            .update(registration("n1", &["cat", "sort"]).services)
            .await
            .unwrap();
    }
    let checks = get(&agent, "/v1/agent/checks");
    assert_eq!(checks["noded@n1:ttl"]["Output"], "draining since noon");
    lease.deregister().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newer_start_of_a_node_wins_and_the_older_one_is_told() {
    let Some(agent) = agent() else { return };
    let consul = consul(&agent);
    let old = consul
        .register(booted("1", &["sort", "cat"]))
        .await
        .unwrap();
    let mut what = booted("2", &["sort"]);
    what.port = 4001;
    let new = consul.register(what).await.unwrap();
    // No twin, the new port, and no app that only the older start had.
    let set = sees(&consul, "app.sort").await.unwrap();
    assert_eq!((names(&set), set[0].port), (vec!["n1"], 4001));
    assert_eq!(sees(&consul, "app.cat").await.unwrap(), []);
    let late = consul.register(booted("1", &["sort"])).await;
    let Err(RegistryError::Conflict { node, holder }) = late else {
        panic!("{late:?}");
    };
    assert_eq!((node.as_str(), holder.as_str()), ("n1", "::1:4001"));
    let told = old.set_health(Health::Critical, "").await;
    assert!(
        matches!(told, Err(RegistryError::Conflict { .. })),
        "{told:?}"
    );
    assert!(is_superseded(&*old), "{:?}", old.state());
    let told = old.update(vec![ServiceDef::new(service("app.tac"))]).await;
    assert!(
        matches!(told, Err(RegistryError::Conflict { .. })),
        "{told:?}"
    );
    old.deregister().await.unwrap();
    let set = sees(&consul, "app.sort").await.unwrap();
    assert_eq!(
        set[0].health,
        Health::Passing,
        "the old lease touches nothing"
    );
    new.deregister().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_older_start_notices_by_itself_that_it_was_replaced() {
    let Some(agent) = agent() else { return };
    let consul = consul(&agent);
    let mut what = booted("1", &["sort"]);
    what.ttl = Duration::from_secs(3);
    let old = consul.register(what).await.unwrap();
    let new = consul.register(booted("2", &["sort"])).await.unwrap();
    until(async || is_superseded(&*old)).await;
    new.deregister().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_would_refuse_is_refused_before_anything_is_registered() {
    let Some(agent) = agent() else { return };
    let consul = consul(&agent);
    for (key, value) in [
        ("label.zone", "a".to_owned()),
        ("label_zone", "ä".repeat(257)),
    ] {
        let mut what = registration("n1", &["sort"]);
        what.services[0].meta.insert(key.to_owned(), value);
        let Err(RegistryError::Rejected { detail }) = consul.register(what).await else {
            panic!("{key} was accepted");
        };
        assert!(
            detail.contains("app.sort") && detail.contains(key),
            "{detail}"
        );
        assert_eq!(get(&agent, "/v1/agent/services"), json!({}));
    }
    // As much as is possible.
    let mut what = registration("n1", &["sort"]);
    for n in 0..63 {
        what.services[0]
            .meta
            .insert(format!("k{n}"), "x".repeat(512));
    }
    consul
        .register(what)
        .await
        .unwrap()
        .deregister()
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_layout_of_nodes_apps_are_tags() {
    let Some(agent) = agent() else { return };
    let mut config = Config::new(agent.address());
    config.layout = Layout::Node;
    let consul = with(config);
    let lease = consul
        .register(registration("n1", &["sort", "g++", "["]))
        .await;
    let lease = lease.unwrap();
    let other = consul.register(registration("n2", &["cat"])).await.unwrap();
    let services = get(&agent, "/v1/agent/services");
    assert_eq!(services.as_object().unwrap().len(), 2);
    for app in ["app.sort", "app.g++", "app.["] {
        let set = sees(&consul, app).await.unwrap();
        assert_eq!(names(&set), ["n1"], "{app}");
        assert_eq!(set[0].service, service(app));
    }
    let node = dpipes_discovery::NodeId::new("n2").unwrap();
    assert!(
        consul
            .find(&service("app.cat"), &node)
            .await
            .unwrap()
            .is_some()
    );
    assert!(
        consul
            .find(&service("app.sort"), &node)
            .await
            .unwrap()
            .is_none()
    );
    let listed = consul.services().await.unwrap();
    assert!(listed.contains(&service("app.g++")), "{listed:?}");
    let mut watch = consul.watch(&service("app.tac"));
    crate::bed::until(&mut watch, &[]).await;
    lease
        .update(registration("n1", &["tac"]).services)
        .await
        .unwrap();
    crate::bed::until(&mut watch, &["n1"]).await;
    assert_eq!(sees(&consul, "app.sort").await.unwrap(), []);
    lease.deregister().await.unwrap();
    other.deregister().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_instance_stays_drained() {
    let Some(agent) = agent() else { return };
    let consul = consul(&agent);
    let mut what = registration("n1", &["sort"]);
    what.services[0].weight = 0;
    let lease = consul.register(what).await.unwrap();
    let set = sees(&consul, "app.sort").await.unwrap();
    assert_eq!((set[0].weight, set[0].health), (0, Health::Passing));
    assert_eq!(set[0].meta.get("weight"), None);
    lease.deregister().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_dials_the_node_notices_a_closed_port() {
    let Some(agent) = agent() else { return };
    let mut config = Config::new(agent.address());
    config.tcp_check = true;
    let dialling = with(config);
    let consul = consul(&agent);
    let listener = TcpListener::bind("[::1]:0").await.unwrap();
    let mut what = registration("n1", &["sort"]);
    what.port = listener.local_addr().unwrap().port();
    let lease = dialling.register(what.clone()).await.unwrap();
    until(async || sees(&consul, "app.sort").await.unwrap()[0].health == Health::Passing).await;
    drop(listener);
    until(async || sees(&consul, "app.sort").await.unwrap()[0].health == Health::Critical).await;
    // The next start does not want to be dialled.
    drop(lease);
    let lease = consul.register(what).await.unwrap();
    until(async || sees(&consul, "app.sort").await.unwrap()[0].health == Health::Passing).await;
    lease.deregister().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_names_no_host_has_the_address_of_its_agent() {
    let Some(agent) = agent() else { return };
    let consul = consul(&agent);
    let mut what = booted("1", &["sort"]);
    // Short, so that what is there is looked at, and put back if it is not as it was sent.
    (what.host, what.ttl) = (String::new(), Duration::from_secs(1));
    let lease = consul.register(what).await.unwrap();
    readable(&consul, "app.sort", &["n1"]).await;
    let set = sees(&consul, "app.sort").await.unwrap();
    assert!(
        agent.address().starts_with(&format!("{}:", set[0].host)),
        "{}",
        set[0].host
    );
    let before = agent.call(None, "GET", "/v1/agent/service/app.sort@n1", "");
    let looked = Instant::now();
    while looked.elapsed() < Duration::from_secs(6) {
        assert_eq!(
            agent.call(None, "GET", "/v1/agent/service/app.sort@n1", ""),
            before
        );
        tokio::time::sleep(crate::bed::ASK).await;
    }
    let late = consul.register(booted("0", &[])).await.unwrap_err();
    assert!(late.to_string().contains(&set[0].host), "{late}");
    lease.deregister().await.unwrap();
}
