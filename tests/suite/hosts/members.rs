//! Who is let in, and by which address.

use std::fs;

use dpipes_testbed::net::Net;

use crate::kit::{eventually, lan::lan_or_return};

#[test]
fn members_are_known_by_their_addresses_and_strangers_are_told_so() {
    let lan = lan_or_return!().with_two_listed();
    lan.dpipes(1, &["@n1 seq 5 | @n2 sort -r | @n1 head -n 2"])
        .run()
        .assert_status(0)
        .assert_wrote("5\n4\n");
    lan.dpipes_on(2, &["--connect", "10.77.0.1:3747", "seq 2"])
        .run()
        .assert_status(0)
        .assert_wrote("1\n2\n");
    lan.dpipes_on(3, &["--connect", "10.77.0.1:3747", "seq 2"])
        .run()
        .assert_status(125)
        .assert_says("10.77.0.3 is not a member (2 known)")
        .assert_wrote("");
}

/// A daemon looks at its list every two seconds. Whoever is listed a moment ago is let in nevertheless, for the list is read again when
/// an unknown node says its name; and a name alone opens nothing.
#[test]
fn a_node_listed_a_moment_ago_is_let_in_and_a_borrowed_name_is_not() {
    let mut lan = lan_or_return!();
    let file = lan
        .scratch
        .file("nodes.yaml", format!("- {}\n", lan.entry(1)));
    lan.start(1, &lan.node(1), &format!("static: {{ file: {file:?} }}"));
    let both = format!(
        "static: {{ nodes: [ {}, {} ] }}",
        lan.entry(1),
        lan.entry(2)
    );
    lan.start(2, &lan.node(2), &both);
    lan.dpipes(2, &["@n1 seq 1"])
        .run()
        .assert_status(125)
        .assert_says("10.77.0.2 is not a member (1 known), and the registries do not list");
    let list = format!("- {}\n- {}\n", lan.entry(1), lan.entry(2));
    fs::write(&file, list).unwrap();
    eventually!(
        lan.dpipes(2, &["@n1 seq 1"]).run().status == 0,
        "who is listed may connect"
    );
    // The same name from another host.
    lan.start(3, &lan.node(2), &both);
    lan.dpipes(3, &["@n1 seq 1"])
        .run()
        .assert_status(125)
        .assert_says("10.77.0.3 is not a member")
        .assert_says("the registries list")
        .assert_says("at another address");
}

#[test]
fn eight_hosts_run_one_pipe_and_all_of_them_run_pipes_of_their_own_at_once() {
    let lan = lan_or_return!(8).with_listed(8);
    let hosts = 1..=8_u8;
    let through = |first: u8| {
        let stages = (0..8_u8).map(|step| format!(" | @n{} cat", (first + step) % 8 + 1));
        format!("@n{first} seq 2000{}", stages.collect::<String>())
    };
    let running: Vec<_> = hosts
        .map(|host| lan.dpipes(host, &[&through(host)]).spawn())
        .collect();
    let wanted: String = (1..=2000).map(|line| format!("{line}\n")).collect();
    for running in running {
        running.wait().assert_status(0).assert_wrote(&wanted);
    }
}

#[test]
fn members_are_known_by_their_addresses_of_ipv6_too() {
    let mut lan = lan_or_return!().listen("[::]:3747");
    lan.net.with_ipv6();
    for host in 1..=3 {
        lan.net.without_ipv4(host);
        lan = lan.place(host, format!("[{}]", Net::address_v6(host)));
    }
    let lan = lan.with_two_listed();
    lan.assert_work_together(&[1, 2]);
    lan.assert_work_together(&[2, 1]);
    lan.dpipes_on(3, &["--connect", "[fd77::1]:3747", "seq 2"])
        .run()
        .assert_status(125)
        .assert_says("fd77::3 is not a member (2 known)");
}

/// N18: a node is replaced by another host that takes over its name and address, as a failover does.
#[test]
fn an_address_that_moves_to_another_host_is_followed() {
    let mut lan = lan_or_return!().with_listed(2);
    let list = lan.list(&[1, 2]);
    let running = lan.running(
        1,
        "@n2 sh -c 'while echo x; do sleep 0.1; done' | @n1 sh -c 'cat && touch committed'",
        &[1, 2],
    );
    lan.net.ip(3, "addr del 10.77.0.3/24 dev eth0");
    lan.net.move_address(2, 3);
    lan.start(3, &lan.node(2), &list);
    running.wait().assert_status(125).assert_says(&lan.node(2));
    lan.assert_gone_without_commit();
    lan.assert_work_together(&[1, 2]);
    // It is the other host that works there.
    let here = lan
        .net
        .command(3, "readlink")
        .arg("/proc/self/ns/net")
        .output()
        .unwrap();
    lan.dpipes(1, &["@n2 readlink /proc/self/ns/net"])
        .run()
        .assert_wrote(std::str::from_utf8(&here.stdout).unwrap());
}

/// N18: another node answers at the address, and says its own name.
#[test]
fn an_address_with_another_node_behind_it_is_refused_by_name() {
    let mut lan = lan_or_return!();
    let list = format!(
        "static: {{ nodes: [ {}, {{ name: {}, addr: '10.77.0.3:3747' }} ] }}",
        lan.entry(1),
        lan.node(2)
    );
    lan.start(1, &lan.node(1), &list);
    let all = lan.list(&[1, 3]);
    lan.start(3, &lan.node(3), &all);
    lan.dpipes(1, &["@n2 seq 1"])
        .run()
        .assert_status(125)
        .assert_says("10.77.0.3:3747")
        .assert_says(&format!("it says it is {}", lan.node(3)));
}

/// Two hosts that share two networks are listed in the second, and come from the first unless they are told not to.
#[test]
fn hosts_on_two_networks_work_over_the_one_that_they_advertise() {
    let mut lan = lan_or_return!();
    lan.net.second_link(&[1, 2, 3]);
    for host in 1..=3 {
        let address = Net::second_address(host);
        lan = lan
            .place(host, address)
            .section(host, &format!("advertise: '{address}:3747'"));
    }
    let lan = lan.with_listed(3);
    lan.assert_work_together(&[3, 1, 2]);
    // The first network is not needed for any of it.
    for host in 1..=3 {
        lan.net.unplug(host);
    }
    lan.assert_work_together(&[2, 3, 1]);
}

/// The same hosts, found by multicast on both networks: whichever way they come, they are let in, also where the answer goes another way,
/// and while one of the networks is broken.
#[test]
fn hosts_on_two_networks_let_each_other_in_whichever_way_they_come() {
    let mut lan = lan_or_return!();
    lan.net.second_link(&[1, 2, 3]);
    for host in 1..=3 {
        lan.start(host, &lan.node(host), "mdns: {}");
    }
    lan.assert_work_together(&[1, 2, 3]);
    // Pulled on one side: the other side still takes its network for whole.
    lan.net.unplug(2);
    lan.assert_work_together(&[1, 2, 3]);
    lan.assert_work_together(&[2, 1, 3]);
    lan.net.plug(2);
    // What host 1 sends to the first network of host 2 leaves by the second, with an address of the first.
    lan.crash(1);
    lan.net.ip(
        1,
        "route add 10.77.0.2/32 dev eth1 via 10.78.0.2 src 10.77.0.1",
    );
    lan.start_again(1);
    lan.assert_work_together(&[1, 2, 3]);
    lan.assert_work_together(&[2, 1, 3]);
}
