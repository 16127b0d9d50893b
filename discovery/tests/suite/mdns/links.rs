//! Interfaces and addresses.

use std::process::Command;

use dpipes_testbed::net::Net;

use super::hosts::{Host, config, net_or_return, node};

/// Gives two hosts a second link, `eth1`, without the bridge.
fn second_link(net: &Net) {
    let (one, two) = (net.namespace(1), net.namespace(2));
    let words = format!("link add name eth1 netns {one} type veth peer name eth1 netns {two}");
    let made = Command::new("ip").args(words.split_whitespace()).status();
    assert!(made.unwrap().success());
    for host in [1, 2] {
        net.ip(host, &format!("addr add 10.78.0.{host}/24 dev eth1"));
        net.ip(host, "link set eth1 up");
    }
}

/// What a host has sent by UDP multicast on an interface: whoever counts sees every packet that comes out at the other end.
fn heard(net: &Net, host: u8, interface: &str) -> std::net::UdpSocket {
    let entrance = net.entrance(host);
    let address: std::net::Ipv4Addr = match interface {
        "eth0" => [10, 77, 0, host].into(),
        _ => [10, 78, 0, host].into(),
    };
    std::thread::spawn(move || {
        entrance();
        let group = "224.0.0.251".parse().unwrap();
        let socket = std::net::UdpSocket::bind((group, 5353));
        let socket = socket.expect("nobody else speaks on this host");
        socket.join_multicast_v4(&group, &address).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket
    })
    .join()
    .unwrap()
}

#[tokio::test]
async fn other_interfaces_than_the_chosen_ones_stay_quiet() {
    let net = net_or_return!(2);
    second_link(&net);
    let here = Host::new(&net, 1);
    let wire = heard(&net, 2, "eth1");
    let _lease = here.register(node("n1", "1", &["sort"])).await;
    assert!(!here.lookup("app.sort").await.unwrap().is_empty());
    let received = wire.recv_from(&mut [0; 1500]);
    assert_eq!(
        received.unwrap_err().kind(),
        std::io::ErrorKind::WouldBlock,
        "nothing was sent on eth1"
    );
    // And what is sent on it is heard: that the silence means something.
    let other = Host::with(&net, 1, config(&["eth1"]));
    let _other = other.register(node("n2", "1", &["sort"])).await;
    assert!(wire.recv_from(&mut [0; 1500]).is_ok());
}

#[tokio::test]
async fn a_node_with_two_links_is_reached_by_the_one_that_is_shared() {
    let net = net_or_return!(2);
    second_link(&net);
    let here = Host::with(&net, 1, config(&["eth1"]));
    let there = Host::with(&net, 2, config(&[]));
    let _lease = there.register(node("n2", "1", &["sort"])).await;
    let mut sort = here.watch("app.sort").await;
    sort.until(|set| set.len() == 1 && set[0].host == "10.78.0.2")
        .await;
    let mut own = there.watch("app.sort").await;
    own.until(|set| set.len() == 1 && set[0].host == "10.77.0.2")
        .await;
}

#[tokio::test]
async fn a_link_local_address_keeps_its_scope_and_comes_after_ipv4() {
    let net = net_or_return!(2);
    let (here, there) = (Host::new(&net, 1), Host::new(&net, 2));
    let lease = there.register(node("n2", "1", &["sort"])).await;
    let mut nodes = here.watch("noded").await;
    nodes
        .until(|set| set.len() == 1 && set[0].meta.contains_key("addrs"))
        .await;
    assert_eq!(nodes.now[0].host, "10.77.0.2");
    let other = &nodes.now[0].meta["addrs"];
    assert!(
        other.starts_with("fe80::") && other.ends_with("%eth0"),
        "{other}"
    );
    lease.deregister().await.unwrap();
    for host in [1, 2] {
        net.ip(host, "-4 addr flush dev eth0");
    }
    let (here, there) = (Host::new(&net, 1), Host::new(&net, 2));
    let _lease = there.register(node("n3", "1", &["sort"])).await;
    let mut sort = here.watch("app.sort").await;
    sort.until_nodes(&["n3"]).await;
    let host = &sort.now[0].host;
    assert!(
        host.starts_with("fe80::") && host.ends_with("%eth0"),
        "{host}"
    );
}

#[tokio::test]
async fn the_loopback_interface_alone_will_do() {
    let net = net_or_return!(1);
    let hosts = [0, 1].map(|_| Host::with(&net, 1, config(&["lo"])));
    let _lease = hosts[0].register(node("n1", "1", &["sort"])).await;
    let mut sort = hosts[1].watch("app.sort").await;
    sort.until_nodes(&["n1"]).await;
    assert_eq!(sort.now[0].host, "127.0.0.1");
}
