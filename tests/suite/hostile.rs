//! Peers that do not behave are cut off, cost next to nothing, and nobody else notices.

use std::{io::Write, net::SocketAddr, time::Duration};

use crate::kit::{
    Cluster, Daemon, Runner, eventually,
    hostile::{Peer, noise},
    processes,
};

/// A stranger that does not shake hands is gone after 10 s; the rest is for a busy machine.
const CUT_OFF: Duration = Duration::from_secs(15);

/// What a daemon may grow by while it is being bothered.
const GROWTH: u64 = 16 * 1024 * 1024;

/// Runs the attack beside a pipe that must not notice, and checks that the daemon stays as small as it was.
#[track_caller]
fn unmoved_by(attack: impl FnOnce(SocketAddr)) {
    let cluster = Cluster::of_three();
    let warm = || {
        cluster
            .dpipes(&["@a seq 1000 | @b cat | @c wc -l"])
            .run()
            .assert_status(0)
            .assert_wrote("1000\n")
            .elapsed
    };
    warm();
    let target = cluster.node("b");
    let before = processes::resident(target.pid());
    let mut running = cluster
        .dpipes(&["@a cat | @b cat | @c cat"])
        .stdin_piped()
        .spawn();
    let mut stdin = running.take_stdin();
    stdin.write_all(b"before\n").unwrap();
    attack(target.address);
    stdin.write_all(b"after\n").unwrap();
    drop(stdin);
    running
        .wait()
        .assert_status(0)
        .assert_wrote("before\nafter\n");
    warm();
    assert_small(target, before);
}

#[track_caller]
fn assert_small(daemon: &Daemon, before: u64) {
    let after = processes::resident(daemon.pid());
    assert!(
        after < before + GROWTH,
        "grew from {before} to {after} bytes"
    );
}

#[track_caller]
fn assert_cut_off(mut peer: Peer) -> Vec<u8> {
    peer.cut_off_within(CUT_OFF)
        .expect("a peer that does not behave is cut off")
}

#[test]
fn random_bytes_are_cut_off() {
    unmoved_by(|address| {
        for seed in 1..=20 {
            assert_cut_off(Peer::saying(address, &noise(5_000, seed)));
        }
    });
}

#[test]
fn a_browser_is_cut_off() {
    unmoved_by(|address| {
        assert_cut_off(Peer::saying(
            address,
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        ));
        assert_cut_off(Peer::saying(
            address,
            b"POST /v1/pipes HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello",
        ));
    });
}

#[test]
fn a_tls_client_is_cut_off() {
    unmoved_by(|address| {
        assert_cut_off(Peer::saying(
            address,
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        ));
    });
}

#[test]
fn a_silent_peer_is_cut_off() {
    unmoved_by(|address| {
        assert_cut_off(Peer::silent(address));
    });
}

#[test]
fn an_echo_of_the_daemons_own_greeting_is_cut_off() {
    unmoved_by(|address| {
        let mut peer = Peer::silent(address);
        let greeting = peer.hear(CUT_OFF);
        peer.say(&greeting);
        peer.say(&greeting);
        assert_cut_off(peer);
    });
}

#[test]
fn half_a_frame_and_then_silence_is_cut_off() {
    unmoved_by(|address| {
        // The greeting's own beginning is the most plausible half of anything.
        let mut peer = Peer::silent(address);
        let greeting = peer.hear(CUT_OFF);
        peer.say(&greeting[..greeting.len() / 2]);
        assert_cut_off(peer);
    });
}

#[test]
fn a_frame_of_4_gigabytes_is_refused_before_it_is_stored() {
    unmoved_by(|address| {
        for position in 0..8 {
            let mut peer = Peer::silent(address);
            let greeting = peer.hear(CUT_OFF);
            peer.say(&greeting);
            // Wherever the length stands in the header, this is the largest there is.
            let mut header = [0_u8; 8];
            header[position.min(4)..(position.min(4) + 4)].fill(0xff);
            peer.say(&header);
            assert_cut_off(peer);
        }
    });
}

#[test]
fn a_flood_is_stopped() {
    unmoved_by(|address| {
        let mut peer = Peer::silent(address);
        let sent = peer
            .flood(&noise(65_536, 9), CUT_OFF)
            .expect("the flood is stopped");
        assert!(
            sent < 64 * 1024 * 1024,
            "{sent} bytes were taken from a stranger"
        );
    });
}

#[test]
fn two_hundred_strangers_at_once_are_cut_off_and_a_real_client_gets_in() {
    let cluster = Cluster::of_three();
    let target = cluster.node("a");
    let descriptors = processes::descriptors(target.pid());
    let before = processes::resident(target.pid());
    let mut strangers: Vec<_> = (0..200).map(|_| Peer::silent(target.address)).collect();
    cluster
        .dpipes(&["@a echo x | @b cat"])
        .run()
        .assert_status(0)
        .assert_wrote("x\n");
    for stranger in &mut strangers {
        stranger
            .cut_off_within(CUT_OFF)
            .expect("a silent stranger is cut off");
    }
    cluster
        .dpipes_over_tcp("a", &["@a echo x | @b cat"])
        .run()
        .assert_status(0)
        .assert_wrote("x\n");
    assert_small(target, before);
    eventually!(
        processes::descriptors(target.pid()) <= descriptors + 8,
        "descriptors are given back"
    );
}

#[test]
fn strangers_that_hang_up_are_forgotten() {
    unmoved_by(|address| {
        for _ in 0..500 {
            drop(Peer::saying(address, b"x"));
        }
    });
}
