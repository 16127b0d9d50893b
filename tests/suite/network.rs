//! What networks do to the connection of two daemons: rows N of the fault matrix.

use std::time::{Duration, Instant};

use crate::kit::{
    Cluster, Runner, Running, eventually,
    hostile::noise,
    patience, pause, processes,
    proxy::{Fault, Way},
};

/// How long silence counts as life in these tests.
const LEASE: Duration = Duration::from_secs(3);

/// How long a pipe may take to end after the lease: kill-grace, and a busy machine.
const AIR: Duration = Duration::from_secs(12);

/// Two nodes. The stage on `b` keeps what it read if it believes that it was everything.
const PIPELINE: &str = "@a cat big | @b sh -c 'cat > part && mv part whole'";

/// Node `b` is reached through a proxy.
fn cluster() -> Cluster {
    let cluster = Cluster::builder()
        .node("a")
        .node("b")
        .proxied("b")
        .run("lease", &format!("{}s", LEASE.as_secs()))
        .start();
    cluster.scratch().file("big", noise(20_000_000, 3));
    // The session is there: what is counted from here on is a pipe's.
    cluster.dpipes(&["@b true"]).run().assert_status(0);
    cluster
}

#[track_caller]
fn assert_lost_and_not_committed(cluster: &Cluster, running: Running) {
    running
        .wait()
        .assert_status(125)
        .assert_says(&cluster.node("b").name);
    eventually!(
        cluster.apps().is_empty(),
        "every stage is gone; left: {}",
        processes::describe(&cluster.apps())
    );
    assert!(
        !cluster.scratch().has("whole"),
        "a stage took the loss for the end of its input"
    );
    cluster
        .dpipes(&["@a echo x | @b cat"])
        .run()
        .assert_status(0)
        .assert_wrote("x\n");
}

#[track_caller]
fn a_connection_that_ends_by(fault: Fault) {
    for bytes in [700, 5_000, 1_200_000, 19_000_000] {
        let cluster = cluster();
        cluster.proxy("b").after(bytes, Way::In, fault);
        assert_lost_and_not_committed(&cluster, cluster.dpipes(&[PIPELINE]).spawn());
        assert!(cluster.proxy("b").has_happened());
    }
}

/// N3.
#[test]
fn a_reset_in_the_middle_of_data_is_loud_and_no_end_of_input() {
    a_connection_that_ends_by(Fault::Reset);
}

/// N4.
#[test]
fn a_fin_in_the_middle_of_data_is_loud_and_no_end_of_input() {
    a_connection_that_ends_by(Fault::Cut);
}

/// N5, N6, N7.
#[test]
fn a_silence_longer_than_the_lease_is_a_loss() {
    for (ways, pipeline) in [
        (&[Way::In, Way::Out][..], PIPELINE),
        (&[Way::In], PIPELINE),
        (&[Way::Out], PIPELINE),
        (
            &[Way::In, Way::Out],
            "@a sleep 300 | @b sh -c 'cat > part && mv part whole'",
        ),
    ] {
        let cluster = cluster();
        // Held up until somebody has it in hand, so that the loss falls into the middle.
        let slow = pipeline.replace("cat big", "sh -c 'cat big; sleep 300'");
        let running = cluster.dpipes(&[&slow]).spawn();
        eventually!(cluster.node("b").runs_app("cat"), "the pipe runs");
        cluster.proxy("b").stall(ways);
        let since = Instant::now();
        let run = running.wait();
        run.assert_status(125).assert_says(&cluster.node("b").name);
        assert!(since.elapsed() < LEASE + AIR, "{ways:?}: {run:?}");
        eventually!(
            cluster.apps().is_empty(),
            "both ends end; left: {}",
            processes::describe(&cluster.apps())
        );
        assert!(
            since.elapsed() < LEASE + AIR,
            "{ways:?}: its own stage took too long"
        );
        assert!(!cluster.scratch().has("whole"), "{ways:?}");
        cluster.proxy("b").go_on();
    }
}

/// N9.
#[test]
fn a_silence_shorter_than_the_lease_changes_nothing() {
    let cluster = cluster();
    let running = cluster.dpipes(&[PIPELINE]).spawn();
    let before = cluster.proxy("b").passed(Way::In);
    eventually!(
        cluster.proxy("b").passed(Way::In) > before + 10_000,
        "the pipe runs"
    );
    for _ in 0..2 {
        cluster.proxy("b").stall(&[Way::In, Way::Out]);
        pause(LEASE.mul_f64(0.5));
        let before = [Way::In, Way::Out].map(|way| cluster.proxy("b").passed(way));
        cluster.proxy("b").go_on();
        // Two silences with nothing between them would be one that is as long as the lease.
        for (way, before) in [Way::In, Way::Out].into_iter().zip(before) {
            eventually!(
                cluster.proxy("b").passed(way) > before,
                "they are heard again"
            );
        }
    }
    running.wait().assert_status(0);
    let whole = std::fs::read(cluster.scratch().work().join("whole")).unwrap();
    assert!(whole == noise(20_000_000, 3), "the same bytes");
}

/// N13: without a digest the content is TCP's to keep, but a frame's header is looked at. A flip is either of no consequence for the
/// shape of the stream, and then every byte arrives, or it is a loss, or nothing arrives any more, as when it took credit away.
#[test]
fn a_flipped_bit_never_makes_a_stream_shorter() {
    let mut loud = 0;
    let cluster = cluster();
    for round in 0..40_u64 {
        // Headers of control messages and of the link's first frames lie here.
        cluster.proxy("b").after(
            round * 23,
            if round % 3 == 2 { Way::Out } else { Way::In },
            Fault::Flip(u8::try_from(round % 8).unwrap()),
        );
        let run = cluster
            .dpipes(&["--timeout", "6s", "@a head -c 3000000 big | @b wc -c"])
            .within(patience() * 3)
            .run();
        if run.status == 0 {
            // The flip may have hit what `wc` wrote.
            assert_eq!(run.stdout.len(), "3000000\n".len(), "{run:?}");
        } else {
            loud += 1;
        }
    }
    assert!(loud > 0, "no flip has hit anything that matters");
}

/// N14.
#[test]
fn segments_of_one_byte_change_nothing() {
    let cluster = cluster();
    cluster.proxy("b").slice();
    for pipeline in [
        "seq 20000 | cat | tail -n 3",
        "head -c 100000 big | sha256sum",
    ] {
        let wanted = crate::kit::bash(cluster.scratch(), pipeline).run();
        let placed = format!("@a {}", pipeline.replacen("| ", "| @b ", 1));
        let run = cluster.dpipes(&[&placed]).run();
        run.assert_status(0).assert_wrote(wanted.text());
    }
}

/// N16, in small: both ends close while the other's last bytes are on their way.
#[test]
fn ends_that_cross_on_the_wire_lose_nothing() {
    let cluster = cluster();
    for round in 0..60 {
        let count = 20_000 + round;
        let run = cluster
            .dpipes(&[&format!(
                "@a head -c {count} big | @b sh -c 'head -c {count}; exec <&-' | @a wc -c"
            )])
            .run();
        run.assert_status(0).assert_wrote(&format!("{count}\n"));
    }
}
