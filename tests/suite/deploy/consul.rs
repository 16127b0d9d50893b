//! `deploy/consul/`: what the shipped policies allow, with a real Consul that denies everything else.

use dpipes_testbed::consul::Agent;
use serde_json::{Value, json};

use super::text_of;
use crate::kit::{Cluster, Local, Runner, Signal, eventually, patience};

/// An agent that lets nobody do anything without a token.
const DENIES: &str =
    r#"acl { enabled = true  default_policy = "deny"  enable_token_persistence = true }"#;

/// A token with this shipped file as its only policy.
fn token(agent: &Agent, management: &str, file: &str) -> String {
    let rules = text_of(&format!("consul/{file}"));
    let name = file.replace('.', "-");
    let call = |path: &str, body: Value| {
        let answer = agent.call(Some(management), "PUT", path, &body.to_string());
        serde_json::from_str::<Value>(&answer).unwrap()
    };
    call("/v1/acl/policy", json!({ "Name": name, "Rules": rules }));
    let token = call("/v1/acl/token", json!({ "Policies": [{ "Name": name }] }));
    token["SecretID"].as_str().unwrap().to_owned()
}

/// The nodes that are registered, as somebody sees them who may see everything.
fn registered(agent: &Agent, management: &str) -> Vec<String> {
    let answer = agent.call(Some(management), "GET", "/v1/catalog/service/dpipesd", "");
    let services: Vec<Value> = serde_json::from_str(&answer).unwrap();
    let node = |service: &Value| service["ServiceMeta"]["node"].as_str().unwrap().to_owned();
    services.iter().map(node).collect()
}

/// The status of an attempt to register this service.
fn status_of_registering(agent: &Agent, token: &str, service: &str) -> u16 {
    let body = json!({ "ID": format!("{service}@x"), "Name": service, "Port": 1 }).to_string();
    agent
        .request_as(Some(token), "PUT", "/v1/agent/service/register", &body)
        .unwrap()
        .status
}

#[test]
fn the_policy_of_a_node_lets_it_register_be_seen_and_leave_and_no_more() {
    for file in ["dpipesd.policy.hcl", "dpipesd.policy.json"] {
        let agent = Agent::start_with(DENIES);
        let management = agent.bootstrap_acl();
        let token = token(&agent, &management, file);
        let mut cluster = Cluster::builder()
            .registry(&format!(
                "consul: {{ address: {:?}, token: {token:?} }}",
                agent.address()
            ))
            .node_with("a", |node| node.apps("{ echo: {} }"))
            .node_with("b", |node| node.apps("{ sort: {} }"))
            .start();
        eventually!(
            cluster.dpipes(&["echo x | sort"]).run().status == 0,
            "with {file} nodes see each other"
        );
        let b = cluster.node("b").name.clone();
        assert!(registered(&agent, &management).contains(&b), "{file}");

        cluster.node("b").signal(Signal::TERM);
        let status = cluster.node_mut("b").wait(patience());
        assert!(status.is_some_and(|status| status.success()));
        eventually!(
            !registered(&agent, &management).contains(&b),
            "with {file} a node takes its registration back"
        );

        assert_eq!(status_of_registering(&agent, &token, "web"), 403, "{file}");
        assert_eq!(status_of_registering(&agent, &token, "dpipesd-2"), 403);
        let key = agent.request_as(Some(&token), "PUT", "/v1/kv/x", "1");
        assert_eq!(key.unwrap().status, 403, "{file}");
    }
}

#[test]
fn the_policy_of_a_client_lets_it_find_nodes_and_announce_none() {
    let agent = Agent::start_with(DENIES);
    let management = agent.bootstrap_acl();
    let node = token(&agent, &management, "dpipesd.policy.hcl");
    let client = token(&agent, &management, "dpipes-client.policy.hcl");
    let cluster = Cluster::builder()
        .registry(&format!(
            "consul: {{ address: {:?}, token: {node:?} }}",
            agent.address()
        ))
        .node_with("a", |node| node.apps("{ printenv: {} }"))
        .start();
    let machine = Local::new();
    let uri = format!("consul://{}", agent.address());
    let found = || {
        machine
            .plain_dpipes(&["--registry", &uri, "printenv DP_NODE"])
            .env("CONSUL_HTTP_TOKEN", &client)
            .run()
    };
    let name = format!("{}\n", cluster.node("a").name);
    eventually!(found().text() == name, "the client finds the node");
    for service in ["dpipesd", "dp.sort"] {
        assert_eq!(status_of_registering(&agent, &client, service), 403);
    }
}
