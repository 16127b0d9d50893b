//! Routers and firewalls between hosts: connections that are forgotten, packets that are too long.

use dpipes_testbed::net::Net;

use crate::kit::{
    eventually,
    hostile::noise,
    lan::{LEASE, Lan, USUAL_LEASE, lan_or_return},
    pause,
};

/// Hosts 1 and 2 on both sides of a router, with a daemon on each.
fn over_a_router(lan: Lan) -> Lan {
    lan.net.behind_a_router(&[2]);
    lan.place(2, Net::far_address(2)).with_two_listed()
}

/// A firewall forgets what was silent for two seconds. Pings come three times within a lease, so that no session ever is.
#[test]
fn a_firewall_that_forgets_idle_connections_forgets_none_of_ours() {
    let lan = lan_or_return!(2);
    lan.net.stateful_router(2);
    let lan = over_a_router(lan);
    let mut idle = lan.dpipes(1, &["@n2 cat | @n1 cat"]).stdin_piped().spawn();
    let mut stdin = idle.take_stdin();
    lan.assert_runs_on(&[1, 2]);
    pause(LEASE * 2);
    assert!(!idle.is_over(), "an idle pipe was cut off");
    std::io::Write::write_all(&mut stdin, b"still here\n").unwrap();
    drop(stdin);
    idle.wait().assert_status(0).assert_wrote("still here\n");
}

/// N5: it was started again, and drops what it does not know.
#[test]
fn a_firewall_that_forgets_everything_is_a_loss_and_the_next_pipe_dials_anew() {
    let lan = lan_or_return!(2);
    lan.net.stateful_router(60);
    let lan = over_a_router(lan);
    let running = lan.running(
        1,
        "@n2 sh -c 'while echo x; do sleep 0.1; done' | @n1 sh -c 'cat && touch committed'",
        &[1, 2],
    );
    lan.net.forget_connections();
    running.wait().assert_status(125).assert_says(&lan.node(2));
    lan.assert_gone_without_commit();
    lan.assert_work_together(&[1, 2]);
}

/// N17.
#[test]
fn a_narrow_way_is_learned_of_and_used() {
    let lan = over_a_router(lan_or_return!(2));
    lan.net.narrow(600);
    assert_whole(&lan);
}

/// N17: nobody is told that a packet was too long. The handshake is short and passes; what is long never arrives, and everything behind it
/// waits with it, so that the other side hears nothing any more.
#[test]
fn a_way_that_swallows_long_packets_is_a_loss() {
    let lan = over_a_router(lan_or_return!(2));
    lan.net.narrow(600);
    lan.net.hide_too_long();
    let big = noise(300_000, 7);
    lan.scratch.file("big", &big);
    let run = lan
        .dpipes(
            1,
            &["@n1 cat big | @n2 sh -c 'cat > /dev/null && touch committed'"],
        )
        .run();
    run.assert_status(125).assert_says(&lan.node(2));
    lan.assert_gone_without_commit();
}

/// N17: the same way, where the kernel looks for the length that passes.
#[test]
fn a_way_that_swallows_long_packets_is_no_matter_where_the_kernel_probes_it() {
    let lan = lan_or_return!(2).lease(USUAL_LEASE);
    for host in [1, 2] {
        let mut probe = lan.net.command(host, "sh");
        probe.args(["-c", "echo 1 > /proc/sys/net/ipv4/tcp_mtu_probing"]);
        assert!(probe.status().unwrap().success());
    }
    let lan = over_a_router(lan);
    lan.net.narrow(600);
    lan.net.hide_too_long();
    assert_whole(&lan);
}

#[track_caller]
fn assert_whole(lan: &Lan) {
    let big = noise(300_000, 7);
    lan.scratch.file("big", &big);
    let wanted = crate::kit::bash(&lan.scratch, "sha256sum < big").run();
    // Both directions at once: each has a length of its own to be found.
    let ways = ["@n1 cat big | @n2 sha256sum", "@n2 cat big | @n1 sha256sum"];
    for running in ways.map(|pipeline| lan.dpipes(1, &[pipeline]).spawn()) {
        let run = running.wait();
        run.assert_status(0).assert_wrote(wanted.text());
    }
    eventually!(lan.apps(2).is_empty(), "the stages are gone");
}
