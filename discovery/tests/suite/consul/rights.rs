//! Tokens and TLS.

use std::{path::Path, time::Duration};

use dpipes_discovery::{
    LeaseState, NodeId, Registration, Registry, RegistryError, Secret,
    consul::{Config, Consul, Token},
};
use dpipes_testbed::consul::Agent;

use super::{sees, skipped, until, with};
use crate::bed::{ASK, names, next, registration, service, service_names};

const ACL: &str =
    r#"acl { enabled = true  default_policy = "deny"  enable_token_persistence = true }"#;
/// What the manual says a node needs.
const POLICY: &str = r#"service "noded" { policy = "write" } service_prefix "app." { policy = "write" } node_prefix "" { policy = "read" } agent_prefix "" { policy = "read" }"#;

fn short_lived() -> Registration {
    Registration {
        ttl: Duration::from_secs(3),
        ..registration("n1", &["sort"])
    }
}

fn holding(agent: &Agent, token: &str) -> Consul {
    let mut config = Config::new(agent.address());
    config.token = Token::Value(Secret::new(token));
    with(config)
}

/// With a new token it takes a moment until every part of the agent knows it.
async fn register(consul: &Consul) -> Box<dyn dpipes_discovery::Lease> {
    let start = std::time::Instant::now();
    loop {
        match consul.register(short_lived()).await {
            Ok(lease) => return lease,
            Err(error) => assert!(
                matches!(error, RegistryError::Denied { .. })
                    && start.elapsed() < crate::bed::PATIENCE,
                "{error}"
            ),
        }
        tokio::time::sleep(ASK).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_of_the_manual_is_enough_and_less_is_not() {
    if skipped() {
        return;
    }
    let agent = Agent::start_with(ACL);
    let management = agent.bootstrap_acl();
    let consul = holding(&agent, &agent.make_token(&management, "node", POLICY));
    let lease = register(&consul).await;
    assert_eq!(names(&sees(&consul, "app.sort").await.unwrap()), ["n1"]);
    let n1 = NodeId::new("n1").unwrap();
    assert!(consul.find(&service("noded"), &n1).await.unwrap().is_some());
    assert!(
        consul
            .services()
            .await
            .unwrap()
            .contains(&service("app.sort"))
    );

    // Without a right to read, a registry is empty and says nothing about it.
    let blind =
        r#"service "noded" { policy = "write" } service_prefix "app." { policy = "write" }"#;
    let blind = holding(&agent, &agent.make_token(&management, "blind", blind));
    let unseen = register(&blind).await;
    assert_eq!(sees(&blind, "app.sort").await, Some(vec![]));
    assert_eq!(blind.find(&service("noded"), &n1).await.unwrap(), None);
    assert_eq!(*unseen.state().borrow(), LeaseState::Live);
    drop(unseen);

    // Not the right to write apps: denied, and what is missing is named.
    let apart = r#"service "noded" { policy = "write" } node_prefix "" { policy = "read" }"#;
    let apart = holding(&agent, &agent.make_token(&management, "apart", apart));
    let denied = apart.register(short_lived()).await;
    assert!(
        matches!(denied, Err(RegistryError::Denied { .. })),
        "{denied:?}"
    );
    lease.deregister().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_is_denied_and_repaired_by_its_file() {
    if skipped() {
        return;
    }
    let agent = Agent::start_with(ACL);
    let management = agent.bootstrap_acl();
    let file = agent.dir().join("token");
    let wrong = "6a5b1c1e-0000-4000-8000-00000badf00d";
    std::fs::write(&file, wrong).unwrap();
    let mut config = Config::new(agent.address());
    config.token = Token::File(file.clone());
    let consul = with(config);
    let denied = consul.register(short_lived()).await.unwrap_err();
    assert!(matches!(denied, RegistryError::Denied { .. }), "{denied}");
    let mut watch = consul.watch(&service("app.sort"));
    let denied = next(&mut watch).await.unwrap_err();
    assert!(matches!(denied, RegistryError::Denied { .. }), "{denied}");
    for text in [format!("{denied} {denied:?}"), format!("{consul:?}")] {
        assert!(!text.contains(wrong), "{text}");
    }

    let token = agent.make_token(&management, "node", POLICY);
    std::fs::write(&file, &token).unwrap();
    let lease = register(&consul).await;
    assert!(!format!("{consul:?} {lease:?}").contains(&token));

    // Revoked at run time, and another one put into the file.
    let old: serde_json::Value =
        serde_json::from_str(&agent.call(Some(&token), "GET", "/v1/acl/token/self", "")).unwrap();
    let path = format!("/v1/acl/token/{}", old["AccessorID"].as_str().unwrap());
    agent.call(Some(&management), "DELETE", &path, "");
    let denied = |state: &LeaseState| format!("{state:?}").contains("denied");
    until(async || denied(&lease.state().borrow())).await;
    std::fs::write(&file, agent.make_token(&management, "node2", POLICY)).unwrap();
    until(async || *lease.state().borrow() == LeaseState::Live).await;
    assert_eq!(names(&sees(&consul, "app.sort").await.unwrap()), ["n1"]);
    lease.deregister().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_right_authority_is_believed_and_mixed_up_ports_are_named() {
    if skipped() {
        return;
    }
    let agent = Agent::start_with_tls();
    let file = |name: &str| Some(agent.dir().join(name));
    let mut good = Config::new(format!("https://{}", agent.tls_address()));
    good.tls.ca = file("ca.pem");
    (good.tls.cert, good.tls.key) = (file("client.pem"), file("client.key"));
    let lease = with(good.clone()).register(short_lived()).await.unwrap();
    assert_eq!(
        names(&sees(&with(good.clone()), "noded").await.unwrap()),
        ["n1"]
    );
    lease.deregister().await.unwrap();

    let fails = async |config: Config| {
        let error = with(config).lookup(&service("noded")).await.unwrap_err();
        (
            matches!(error, RegistryError::Rejected { .. }),
            error.to_string(),
        )
    };
    let mut other = good.clone();
    other.tls.ca = file("other.pem");
    let (rejected, text) = fails(other.clone()).await;
    assert!(rejected && text.contains("certificate"), "{text}");
    // Looked at by nobody, anyone's will do.
    other.tls.verify = false;
    assert_eq!(sees(&with(other), "noded").await, Some(vec![]));

    let mut nobody = good.clone();
    (nobody.tls.cert, nobody.tls.key) = (None, None);
    // Whether the agent's reason arrives before the end of the connection is a matter of luck; the advice is not.
    for _ in 0..10 {
        let (_, text) = fails(nobody.clone()).await;
        assert!(text.to_lowercase().contains("certificate"), "{text}");
    }

    let mut named = good.clone();
    named.tls.server_name = Some("server.dc1.consul".to_owned());
    assert_eq!(sees(&with(named.clone()), "noded").await, Some(vec![]));
    named.tls.server_name = Some("server.dc2.consul".to_owned());
    let (rejected, text) = fails(named).await;
    assert!(rejected && text.contains("certificate"), "{text}");

    let (rejected, text) = fails(Config::new(agent.tls_address())).await;
    assert!(
        rejected && text.contains("is it meant to be https://"),
        "{text}"
    );
    let mut plain = good;
    plain.address = format!("https://{}", agent.address());
    let (rejected, text) = fails(plain).await;
    assert!(
        rejected && text.contains("is it meant to be http://"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_reached_by_its_socket() {
    if skipped() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("consul.sock");
    let agent = Agent::start_listening_on(&socket);
    let consul = with(Config::new(format!("unix://{}", socket.display())));
    let lease = consul.register(short_lived()).await.unwrap();
    assert_eq!(names(&sees(&consul, "noded").await.unwrap()), ["n1"]);
    lease.deregister().await.unwrap();
    drop(agent);
    let error = consul.lookup(&service("noded")).await.unwrap_err();
    assert!(error.to_string().contains("consul.sock"), "{error}");
}

#[test]
fn files_that_are_no_certificates_are_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("text.pem"), "not PEM").unwrap();
    let refuse = |change: &dyn Fn(&mut Config, &Path)| {
        let mut config = Config::new("https://127.0.0.1:1");
        change(&mut config, dir.path());
        let error = Consul::new(config, service_names()).unwrap_err();
        assert!(matches!(error, RegistryError::Rejected { .. }), "{error}");
        error.to_string()
    };
    let text = refuse(&|config, dir| config.tls.ca = Some(dir.join("missing.pem")));
    assert!(text.contains("missing.pem"), "{text}");
    let text = refuse(&|config, dir| config.tls.ca = Some(dir.join("text.pem")));
    assert!(text.contains("text.pem"), "{text}");
    let text = refuse(&|config, dir| config.tls.cert = Some(dir.join("text.pem")));
    assert!(text.contains("key"), "{text}");
    let text = refuse(&|config, _| config.tls.server_name = Some("10.0.0.1".to_owned()));
    assert!(text.contains("10.0.0.1"), "{text}");
}
