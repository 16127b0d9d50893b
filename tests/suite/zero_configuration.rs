//! Daemons that nobody told of each other: multicast DNS finds them. Without root these tests say that they were not run.

use crate::kit::{
    eventually,
    lan::{Lan, lan_or_return},
};

/// Three nodes that are told nothing but to use multicast DNS.
fn three(lan: &mut Lan) {
    for host in 1..=3 {
        lan.start(host, &lan.node(host), "mdns: {}");
    }
    for entry in 1..=3 {
        eventually!(
            lan.dpipes(entry, &["@n1 echo x | @n2 cat | @n3 cat"])
                .run()
                .status
                == 0,
            "node {entry} has found the others"
        );
    }
}

#[test]
fn nodes_find_each_other_and_let_each_other_in() {
    let mut lan = lan_or_return!();
    three(&mut lan);
    lan.dpipes(2, &["@n3 printf 'b\\na\\n' | @n1 sort | @n2 cat"])
        .run()
        .assert_status(0)
        .assert_wrote("a\nb\n");
}

#[test]
fn a_client_on_a_node_needs_no_daemon_of_its_own() {
    let mut lan = lan_or_return!();
    three(&mut lan);
    lan.dpipes_on(
        3,
        &[
            "--no-daemon",
            "--registry",
            "mdns:",
            "@n1 seq 3 | @n2 sort -r",
        ],
    )
    .run()
    .assert_status(0)
    .assert_wrote("3\n2\n1\n");
}

#[test]
fn a_node_that_dies_without_a_goodbye_is_avoided_and_used_again_when_it_is_back() {
    let mut lan = lan_or_return!();
    three(&mut lan);
    lan.crash(2);
    for _ in 0..5 {
        lan.dpipes(1, &["echo x | cat | cat | cat"])
            .run()
            .assert_status(0)
            .assert_wrote("x\n");
    }
    let run = lan.dpipes(1, &["@n2 echo x"]).run();
    assert_ne!(run.status, 0, "{run:?}");
    lan.start(2, &lan.node(2), "mdns: {}");
    eventually!(
        lan.dpipes(1, &["@n2 echo x"]).run().status == 0,
        "a node that is back is used again"
    );
}

#[test]
fn a_node_that_is_cut_off_from_the_link_is_loud_and_comes_back() {
    let mut lan = lan_or_return!();
    three(&mut lan);
    let endless = "@n2 sh -c 'while echo x; do sleep 0.1; done' | @n1 sh -c 'cat > /dev/null && touch committed'";
    let running = lan.dpipes(1, &[endless]).spawn();
    eventually!(
        !lan.apps(1).is_empty() && !lan.apps(2).is_empty(),
        "both stages run"
    );
    lan.net.cut(2);
    running.wait().assert_status(125).assert_says(&lan.node(2));
    lan.assert_gone_without_commit();
    lan.net.heal(2);
    eventually!(
        lan.dpipes(1, &["@n2 echo x"]).run().status == 0,
        "the node is used again"
    );
}
