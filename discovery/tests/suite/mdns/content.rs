//! What the records carry, and what is read of those of others.

use std::net::IpAddr;

use dpipes_discovery::mdns::{Config, Mdns};
use dpipes_discovery::{RegistryError, ServiceDef};
use mdns_sd::{ServiceDaemon, ServiceInfo};

use super::hosts::{Host, config, net_or_return, node};
use crate::bed::{names, service, service_names};

/// Name, port and record of an instance.
type Foreign = (&'static str, u16, &'static [(&'static str, &'static str)]);

fn many(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("app{n}")).collect()
}

#[tokio::test]
async fn a_hundred_apps_are_listed_and_four_hundred_are_asked_for() {
    let net = net_or_return!(2);
    let (here, there) = (Host::new(&net, 1), Host::new(&net, 2));
    let (hundred, four) = (many(100), many(400));
    let apps: Vec<&str> = hundred.iter().map(String::as_str).collect();
    let lease = there.register(node("n2", "1", &apps)).await;
    let mut last = here.watch("app.app99").await;
    last.until_nodes(&["n2"]).await;
    let mut nodes = here.watch("noded").await;
    assert_eq!(nodes.now[0].tags, hundred.iter().cloned().collect());
    let def = |app: &String| ServiceDef::new(service(&format!("app.{app}")));
    lease.update(four.iter().map(def).collect()).await.unwrap();
    last.until_nodes(&[]).await;
    nodes
        .until(|set| set[0].meta.get("apps").is_some_and(|apps| apps == "ask"))
        .await;
    assert!(nodes.now[0].tags.is_empty());
    // And back.
    lease
        .update(hundred.iter().map(def).collect())
        .await
        .unwrap();
    last.until_nodes(&["n2"]).await;
}

#[tokio::test]
async fn names_with_dots_brackets_and_capitals_are_told_apart() {
    let net = net_or_return!(2);
    let (here, there) = (Host::new(&net, 1), Host::new(&net, 2));
    let wanted = ["[a", "a.b.c", "a-b-c", "A.b.c"];
    let mut leases = Vec::new();
    for name in wanted {
        leases.push(there.register(node(name, "1", &["g++", "["])).await);
    }
    let mut sorted = wanted;
    sorted.sort_unstable();
    for app in ["app.g++", "app.["] {
        here.watch(app).await.until_nodes(&sorted).await;
    }
    leases.remove(1).deregister().await.unwrap();
    let mut left = sorted.to_vec();
    left.retain(|name| *name != "a.b.c");
    here.watch("app.[").await.until_nodes(&left).await;
}

#[tokio::test]
async fn foreign_instances_hide_no_node() {
    let net = net_or_return!(2);
    let (here, there) = (Host::new(&net, 1), Host::new(&net, 2));
    let foreign: [Foreign; 5] = [
        ("a printer", 631, &[("rp", "queue")]),
        ("of tomorrow", 4000, &[("v", "2"), ("id", "n5")]),
        ("no name", 4000, &[("v", "1"), ("id", "a b")]),
        ("heavy", 4000, &[("v", "1"), ("id", "n6"), ("w", "70000")]),
        ("portless", 0, &[("v", "1"), ("id", "n7")]),
    ];
    let daemon = there
        .run(async move {
            let daemon = ServiceDaemon::new().unwrap();
            for (name, port, record) in foreign {
                let (kind, host) = ("_noded._tcp.local.", "foreign.local.");
                let address = IpAddr::from([10, 77, 0, 2]);
                let info = ServiceInfo::new(kind, name, host, address, port, record);
                daemon.register(info.unwrap()).unwrap();
            }
            let (kind, name) = ("_noded._tcp.local.", "witness");
            let address = IpAddr::from([10, 77, 0, 2]);
            let record = &[
                ("v", "1"),
                ("id", "witness"),
                ("p", "app."),
                ("a0", "a b,sort"),
            ][..];
            let info = ServiceInfo::new(kind, name, "foreign.local.", address, 4000, record);
            daemon.register(info.unwrap()).unwrap();
            daemon
        })
        .await;
    let _lease = here.register(node("n1", "1", &["sort"])).await;
    let mut sort = here.watch("app.sort").await;
    sort.until_nodes(&["n1", "witness"]).await;
    let all = here.lookup("noded").await.unwrap();
    assert_eq!(names(&all), ["n1", "witness"]);
    daemon.shutdown().unwrap();
}

#[tokio::test]
async fn addresses_off_the_link_are_not_believed() {
    let net = net_or_return!(2);
    let (here, there) = (Host::new(&net, 1), Host::new(&net, 2));
    // On the same wire, in a subnet that the reader has no part in.
    net.ip(2, "addr add 192.0.2.2/24 dev eth0");
    let announced = |name: &str, address: &str| {
        let mut what = node(name, "1", &["sort"]);
        what.host = address.to_owned();
        there.register(what)
    };
    let _stranger = announced("stranger", "192.0.2.2").await;
    let _neighbour = announced("neighbour", "10.77.0.2").await;
    let mut nodes = here.watch("noded").await;
    nodes.until_nodes(&["neighbour"]).await;
    let elsewhere = there.try_register({
        let mut what = node("elsewhere", "1", &[]);
        what.host = "198.51.100.1".to_owned();
        what
    });
    let error = elsewhere.await.unwrap_err();
    assert!(error.to_string().contains("198.51.100.1"), "{error}");
}

#[tokio::test]
async fn what_cannot_be_announced_is_rejected_with_a_sentence() {
    let rejected = |error: RegistryError, word: &str| {
        assert!(matches!(error, RegistryError::Rejected { .. }), "{error}");
        assert!(error.to_string().contains(word), "{error}");
    };
    let mut long = service_names();
    long.primary = service("sixteen-letters-x");
    let error = Mdns::new(Config::default(), long).unwrap_err();
    rejected(error, "`sixteen-letters-x` is no service type");
    let net = net_or_return!(1);
    let host = Host::with(&net, 1, config(&["eth9"]));
    let error = host.lookup("noded").await.unwrap_err();
    rejected(error, "no network interface `eth9`");
    let host = Host::new(&net, 1);
    let mut named = node("n1", "1", &[]);
    named.host = "n1.example.org".to_owned();
    rejected(
        host.try_register(named).await.unwrap_err(),
        "`n1.example.org` is no address",
    );
}
