//! Nodes that cannot be dialled, in all the ways a network has for it.

use std::time::Duration;

use dpipes_testbed::net::{Net, Says};

use crate::kit::lan::{AIR, Lan, lan_or_return};

/// How long one try to connect may take.
const CONNECT: Duration = Duration::from_secs(3);

/// Pipes whose stages may run anywhere, while host 2 cannot be dialled, and one that insists on it.
#[track_caller]
fn the_next_node_is_taken_when(fault: fn(&Lan), says: &str) {
    let mut lan = lan_or_return!(4);
    fault(&lan);
    // It listens, and would take stages.
    lan.start_listed(&[1, 2, 3]);
    let anywhere = [(); 3].map(|()| lan.dpipes(1, &["seq 3 | cat | cat | cat"]).spawn());
    let there = lan.dpipes(1, &["@n2 seq 3"]).spawn();
    for running in anywhere {
        let run = running.wait();
        run.assert_status(0).assert_wrote("1\n2\n3\n");
        assert!(run.elapsed < 2 * CONNECT + AIR, "{run:?}");
    }
    let run = there.wait();
    run.assert_status(125)
        .assert_wrote("")
        .assert_says("10.77.0.2:3747")
        .assert_says(says);
    assert!(run.elapsed < CONNECT + AIR, "{run:?}");
    lan.net.mend();
    lan.net.plug(2);
    lan.net.ip(1, "route flush type blackhole");
    lan.assert_work_together(&[1, 2]);
}

/// N2.
#[test]
fn a_node_that_swallows_dials_is_passed_over() {
    the_next_node_is_taken_when(|lan| lan.net.swallow_dials(2), "timed out");
}

/// N2: there is nobody on the network who would take the packets.
#[test]
fn a_node_without_a_cable_is_passed_over() {
    the_next_node_is_taken_when(|lan| lan.net.unplug(2), "10.77.0.2");
}

/// N2: the answer does not come back. The dial is given up after 3 s, and about then the kernel finds that nobody has the address.
#[test]
fn a_node_that_is_not_heard_is_passed_over() {
    the_next_node_is_taken_when(|lan| lan.net.drop_from(2, 1), "10.77.0.2:3747");
}

/// N2.
#[test]
fn a_node_to_which_the_route_leads_nowhere_is_passed_over() {
    the_next_node_is_taken_when(|lan| lan.net.blackhole(1, 2), "10.77.0.2:3747");
}

/// N1.
#[test]
fn a_node_whose_firewall_resets_is_passed_over() {
    the_next_node_is_taken_when(|lan| lan.net.reject(2, 1, Says::Reset), "refused");
}

/// N1.
#[test]
fn a_node_that_is_said_to_be_unreachable_is_passed_over() {
    the_next_node_is_taken_when(|lan| lan.net.reject(2, 1, Says::Unreachable), "host");
}

/// N2: the client's own dial.
#[test]
fn a_client_says_which_entry_it_could_not_reach() {
    let mut lan = lan_or_return!();
    lan.start_listed(&[1, 3]);
    lan.net.swallow_dials(1);
    let run = lan
        .dpipes_on(
            3,
            &["--connect", &format!("{}:3747", Net::address(1)), "seq 3"],
        )
        .run();
    run.assert_status(125).assert_says("10.77.0.1:3747");
    assert!(run.elapsed < CONNECT + AIR, "{run:?}");
}
