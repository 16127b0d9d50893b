//! Hosts with addresses of their own, a daemon on each. Without root these tests say that they were not run.

use std::fs;

use crate::kit::{eventually, lan::lan_or_return};

/// A producer that goes on, and a consumer behind it that tells if it ever sees the end.
const ENDLESS: &str =
    "@n2 sh -c 'while echo x; do sleep 0.1; done' | @n1 sh -c 'cat > /dev/null && touch committed'";

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
fn a_host_that_vanishes_without_a_word_is_noticed_within_the_lease() {
    let lan = lan_or_return!().with_two_listed();
    let running = lan.dpipes(1, &[ENDLESS]).spawn();
    eventually!(
        !lan.apps(1).is_empty() && !lan.apps(2).is_empty(),
        "both stages run"
    );
    lan.net.unplug(2);
    running.wait().assert_status(125).assert_says(&lan.node(2));
    lan.assert_gone_without_commit();
    lan.net.plug(2);
    eventually!(
        lan.dpipes(1, &["@n2 seq 1"]).run().status == 0,
        "the node is used again"
    );
}

#[test]
fn a_host_that_is_heard_but_cannot_hear_ends_the_pipe_on_both_sides() {
    let lan = lan_or_return!().with_two_listed();
    let running = lan.dpipes(1, &[ENDLESS]).spawn();
    eventually!(
        !lan.apps(1).is_empty() && !lan.apps(2).is_empty(),
        "both stages run"
    );
    // Host 1 no longer reaches host 2, while everything host 2 sends would still arrive.
    lan.net.ip(1, "route add blackhole 10.77.0.2/32");
    running.wait().assert_status(125);
    lan.assert_gone_without_commit();
}
