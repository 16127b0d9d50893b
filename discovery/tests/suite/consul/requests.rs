//! What is sent, and what is made of answers that are none.

use dpipes_discovery::{
    Registry, RegistryError, Secret,
    consul::{Config, Token},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::{agent, with};
use crate::bed::{registration, service};

/// Asks a server that answers once with this; the head of the request and what became of it.
async fn answered(
    change: impl FnOnce(&mut Config),
    answer: &str,
) -> (String, Result<usize, RegistryError>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut config = Config::new(format!("http://{address}/behind"));
    change(&mut config);
    let consul = with(config);
    let service = service("app.g++");
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        // Who has read enough hangs up.
        let _ = stream.write_all(answer.as_bytes()).await;
        String::from_utf8(head).unwrap()
    };
    let (head, result) = tokio::join!(server, consul.lookup(&service));
    (head, result.map(|set| set.len()))
}

fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nX-Consul-Index: 1\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn what_is_configured_goes_with_every_request() {
    let change = |config: &mut Config| {
        config.token = Token::Value(Secret::new("t0k3n"));
        config.basic_auth = Some(("me".to_owned(), Secret::new("pw")));
        config.datacenter = Some("dc2".to_owned());
        config.namespace = Some("team".to_owned());
        config.partition = Some("part".to_owned());
    };
    let (head, result) = answered(change, &ok("[]")).await;
    assert_eq!(result.unwrap(), 0);
    let line = head.lines().next().unwrap();
    assert!(
        line.starts_with("GET /behind/v1/health/service/app.g%2B%2B?"),
        "{line}"
    );
    for part in ["ns=team", "partition=part", "dc=dc2", "stale"] {
        assert!(line.contains(part), "{line}");
    }
    assert!(!line.contains("t0k3n"), "addresses are written to logs");
    let head = head.to_lowercase();
    assert!(head.contains("x-consul-token: t0k3n"), "{head}");
    assert!(head.contains("authorization: basic bwu6chc="), "{head}");
    // What is not configured is not sent: a server that does not know it would refuse.
    let (head, _) = answered(|_| {}, &ok("[]")).await;
    let head = head.to_lowercase();
    for part in [
        "ns=",
        "partition=",
        "dc=",
        "x-consul-token",
        "authorization",
    ] {
        assert!(!head.contains(part), "{head}");
    }
}

#[tokio::test]
async fn answers_that_are_none_of_consuls_are_errors() {
    for answer in [
        ok("<html>"),
        ok(r#"{"not": "a list"}"#),
        ok(&"[".repeat(100_000)),
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n[".to_owned(),
        "SSH-2.0-OpenSSH_9.2\r\n".to_owned(),
        String::new(),
    ] {
        let (_, result) = answered(|_| {}, &answer).await;
        let unavailable = matches!(result, Err(RegistryError::Unavailable { .. }));
        assert!(unavailable, "{answer:.60}: {result:?}");
    }
    // The token would go along.
    let elsewhere =
        "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
    let (_, result) = answered(|_| {}, elsewhere).await;
    assert!(
        matches!(result, Err(RegistryError::Rejected { .. })),
        "{result:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_datacenter_is_asked_and_not_written_to() {
    let Some(agent) = agent() else { return };
    let mut config = Config::new(agent.address());
    config.datacenter = Some("dc9".to_owned());
    let consul = with(config.clone());
    let lease = consul
        .register(registration("n1", &["sort"]))
        .await
        .unwrap();
    let error = consul.lookup(&service("app.sort")).await.unwrap_err();
    assert!(error.to_string().contains("datacenter"), "{error}");
    lease.deregister().await.unwrap();
    // The free server has no namespaces, and says so.
    config.namespace = Some("team".to_owned());
    let error = with(config).lookup(&service("app.sort")).await.unwrap_err();
    assert!(matches!(error, RegistryError::Rejected { .. }), "{error}");
}
