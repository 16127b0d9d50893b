//! Daemons that find each other by multicast DNS, on links that do not carry all of it.

use crate::kit::{
    eventually,
    lan::{Lan, lan_or_return},
};

const MDNS: &str = "mdns: {}";

/// A producer that goes on, and a consumer behind it that tells if it ever sees the end.
const ENDLESS: &str =
    "@n2 sh -c 'while echo x; do sleep 0.1; done' | @n1 sh -c 'cat > /dev/null && touch committed'";

fn start(lan: &mut Lan, hosts: &[u8]) {
    for &host in hosts {
        lan.start(host, &lan.node(host), MDNS);
    }
}

fn knows(lan: &Lan, host: u8, other: u8) -> bool {
    let listed = lan.dpipes(host, &["nodes"]).run();
    listed.text().contains(&lan.node(other))
}

#[test]
fn a_node_that_leaves_in_order_is_forgotten_and_one_that_comes_is_found() {
    let mut lan = lan_or_return!();
    start(&mut lan, &[1, 2]);
    lan.assert_work_together(&[1, 2]);
    start(&mut lan, &[3]);
    lan.assert_work_together(&[1, 3, 2]);
    lan.assert_work_together(&[3, 2, 1]);
    lan.leave(2);
    for host in [1, 3] {
        eventually!(!knows(&lan, host, 2), "host {host} forgets who has left");
    }
    lan.assert_work_together(&[1, 3]);
    lan.start_again(2);
    lan.assert_work_together(&[1, 2, 3]);
}

/// A switch that looks for memberships and forgets them: multicast stops, everything else goes on.
#[test]
fn nodes_that_are_known_go_on_working_where_multicast_is_filtered() {
    let mut lan = lan_or_return!();
    start(&mut lan, &[1, 2]);
    lan.assert_work_together(&[1, 2]);
    lan.assert_work_together(&[2, 1]);
    let running = lan.running(1, ENDLESS, &[1, 2]);
    lan.net.filter_mdns(2);
    // Host 2 does not hear of host 3, nor host 3 of it; host 1 hears of both.
    start(&mut lan, &[3]);
    lan.assert_work_together(&[1, 3]);
    assert!(!knows(&lan, 3, 2) && !knows(&lan, 2, 3));
    lan.assert_work_together(&[1, 2]);
    lan.net.mend();
    lan.assert_work_together(&[3, 2]);
    lan.assert_work_together(&[2, 3]);
    running.signal(crate::kit::Signal::TERM);
    running.wait().assert_status(143);
}

/// N5 for nodes that nobody wrote down.
#[test]
fn a_host_that_vanishes_from_the_link_is_lost_within_the_lease_and_found_again() {
    let mut lan = lan_or_return!();
    start(&mut lan, &[1, 2, 3]);
    lan.assert_work_together(&[1, 2, 3]);
    let running = lan.running(1, ENDLESS, &[1, 2]);
    lan.net.unplug(2);
    running.wait().assert_status(125).assert_says(&lan.node(2));
    lan.assert_gone_without_commit();
    lan.assert_work_together(&[1, 3]);
    lan.net.plug(2);
    lan.assert_work_together(&[1, 2, 3]);
    lan.assert_work_together(&[2, 3, 1]);
}

#[test]
fn two_lans_know_nothing_of_each_other_and_a_list_joins_them() {
    let mut lan = lan_or_return!(4);
    lan.net.behind_a_router(&[3, 4]);
    start(&mut lan, &[1, 2, 3, 4]);
    lan.assert_work_together(&[1, 2]);
    lan.assert_work_together(&[3, 4]);
    for (host, other) in [(1, 3), (2, 4), (3, 1), (4, 2)] {
        assert!(
            !knows(&lan, host, other),
            "host {host} sees over the router"
        );
    }
    for host in 1..=4 {
        lan.leave(host);
    }
    for host in [3, 4] {
        lan = lan.place(host, dpipes_testbed::net::Net::far_address(host));
    }
    lan = lan.with_listed(4);
    lan.assert_work_together(&[1, 3, 2, 4]);
    lan.assert_work_together(&[4, 2, 3, 1]);
}

/// Nothing but what every interface of IPv6 gives itself.
#[test]
fn hosts_without_any_address_of_their_own_work_over_link_local_ones() {
    let mut lan = lan_or_return!().listen("[::]:3747");
    for host in 1..=3 {
        lan.net.without_ipv4(host);
    }
    start(&mut lan, &[1, 2, 3]);
    lan.assert_work_together(&[1, 2, 3]);
    lan.assert_work_together(&[3, 1, 2]);
}

/// N2: a node has addresses of both families, and those of IPv6 swallow whoever dials.
#[test]
fn an_address_that_swallows_dials_is_followed_by_the_next_one() {
    let mut lan = lan_or_return!().listen("[::]:3747");
    lan.net.with_ipv6();
    lan.net.swallow_dials_v6(2);
    start(&mut lan, &[1, 2]);
    lan.assert_work_together(&[1, 2]);
    lan.assert_work_together(&[2, 1]);
}
