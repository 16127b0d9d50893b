//! Memory, descriptors and fairness.

use std::{net::SocketAddr, ops::Range, time::Duration};

use dpipes_testbed::sockets::connections_to;

use crate::kit::{
    Cluster, Daemon, Local, Runner, Running, Signal, eventually, heavy, holds_within, pause,
    processes,
};

const MEBIBYTE: u64 = 1024 * 1024;

/// What a daemon may grow by while one consumer does not read: a stream's window of at most 16 MiB on either side, and some air.
const STALLED_STREAM: u64 = 40 * MEBIBYTE;

/// Pipes run one after another to find what each leaves behind. `DPIPES_TEST_PIPES` runs more of them.
const SHORT_PIPES: Range<usize> = 0..200;

/// What daemons and client hold in memory together.
fn resident(cluster: &Cluster, client: &Running) -> Vec<u64> {
    let daemons = cluster.nodes().iter().map(Daemon::pid);
    daemons
        .chain([client.pid()])
        .map(processes::resident)
        .collect()
}

/// Watches a pipe that does not move for a while, with another one passing on the same daemons.
#[track_caller]
fn holds_memory_flat(cluster: &Cluster, pipeline: &str, stalled: impl FnMut() -> bool) {
    let running = cluster.dpipes(&[pipeline]).count_stdout().spawn();
    assert!(
        holds_within(Duration::from_secs(20), stalled),
        "the pipe runs"
    );
    let before = resident(cluster, &running);
    let other = cluster
        .dpipes(&["@a head -c 300000000 /dev/zero | @b cat | @c wc -c"])
        .run();
    other.assert_status(0).assert_wrote("300000000\n");
    pause(Duration::from_secs(1));
    let after = resident(cluster, &running);
    for (before, after) in before.iter().zip(&after) {
        assert!(
            *after < before + STALLED_STREAM,
            "grew from {before} to {after} bytes"
        );
    }
    running.signal(Signal::TERM);
    running.wait().assert_status(143);
}

#[test]
fn a_consumer_that_never_reads_holds_memory_flat_and_stops_nobody_else() {
    let _turn = heavy();
    let cluster = Cluster::of_three();
    let runs = || cluster.node("a").runs_app("cat") && cluster.node("b").runs_app("sleep");
    holds_memory_flat(&cluster, "@a cat /dev/zero | @b sleep 300", runs);
}

#[test]
fn a_stopped_consumer_at_the_end_of_a_chain_holds_memory_flat() {
    let _turn = heavy();
    let cluster = Cluster::of_three();
    let runs = || {
        let consumer = cluster.node("c").app("wc");
        consumer.is_some_and(|pid| {
            processes::send(pid, Signal::STOP);
            true
        })
    };
    // SIGTERM reaches a stopped process when it goes on, so its end here is the kill after the grace.
    holds_memory_flat(&cluster, "@a cat /dev/zero | @b cat | @c wc -c", runs);
}

#[test]
fn an_output_that_nobody_reads_holds_memory_flat() {
    let _turn = heavy();
    let cluster = Cluster::of_three();
    let (unread, full) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let running = cluster
        .dpipes(&["@b cat /dev/zero"])
        .stdout_to(full)
        .spawn();
    eventually!(cluster.node("b").runs_app("cat"), "the stage runs");
    let before = resident(&cluster, &running);
    pause(Duration::from_secs(3));
    let after = resident(&cluster, &running);
    for (before, after) in before.iter().zip(&after) {
        assert!(
            *after < before + STALLED_STREAM,
            "grew from {before} to {after} bytes"
        );
    }
    drop(unread);
    running.wait().assert_status(141);
}

#[test]
fn short_pipes_leave_nothing_behind() {
    let _turn = heavy();
    let cluster = Cluster::of_three();
    let pipe = || {
        cluster
            .dpipes(&["@a echo x | @b cat | @c cat"])
            .run()
            .assert_status(0)
            .assert_wrote("x\n")
            .elapsed
    };
    for _ in 0..50 {
        pipe();
    }
    let held = |node: &Daemon| {
        (
            processes::descriptors(node.pid()),
            processes::resident(node.pid()),
        )
    };
    let before: Vec<_> = cluster.nodes().iter().map(held).collect();
    let more = std::env::var("DPIPES_TEST_PIPES")
        .ok()
        .and_then(|count| count.parse().ok());
    for _ in 0..more.unwrap_or(SHORT_PIPES.end) {
        pipe();
    }
    for (node, (descriptors, memory)) in cluster.nodes().iter().zip(before) {
        eventually!(
            processes::descriptors(node.pid()) <= descriptors + 2,
            "{} gives descriptors back",
            node.alias
        );
        let now = processes::resident(node.pid());
        assert!(
            now < memory + 8 * MEBIBYTE,
            "{} grew from {memory} to {now} bytes",
            node.alias
        );
    }
}

#[test]
fn thirty_pipes_at_once_all_end_right() {
    let _turn = heavy();
    let cluster = Cluster::of_three();
    let start = |number: usize| {
        let entry = ["a", "b", "c"][number % 3];
        cluster
            .dpipes_at(
                entry,
                &[&format!(
                    "seq {number} 20000 | sort -n | cat | tail -n 1 | sed 's/$/ {number}/'"
                )],
            )
            .spawn()
    };
    let running: Vec<_> = (0..30).map(start).collect();
    for (number, pipe) in running.into_iter().enumerate() {
        pipe.wait()
            .assert_status(0)
            .assert_wrote(&format!("20000 {number}\n"));
    }
}

#[test]
fn a_hundred_and_fifty_clients_at_one_moment_are_all_let_in() {
    let _turn = heavy();
    let cluster = Cluster::of_one();
    let daemon = cluster.node("a");
    let SocketAddr::V4(address) = daemon.address else {
        panic!("the tests' nodes listen on 127.0.0.1");
    };
    daemon.signal(Signal::STOP);
    let running: Vec<_> = (0..150)
        .map(|number| {
            cluster
                .dpipes_over_tcp("a", &["-n", &format!("echo {number} | cat")])
                .spawn()
        })
        .collect();
    eventually!(
        connections_to(address) == 150,
        "all of them wait at the door"
    );
    daemon.signal(Signal::CONT);
    for (number, pipe) in running.into_iter().enumerate() {
        pipe.wait()
            .assert_status(0)
            .assert_wrote(&format!("{number}\n"));
    }
}

#[test]
fn a_pipe_of_64_stages_beside_others_does_not_deadlock() {
    let _turn = heavy();
    let cluster = Cluster::of_three();
    let long = format!(
        "head -c 20000000 /dev/zero | {} | wc -c",
        vec!["cat"; 62].join(" | ")
    );
    let running: Vec<_> = (0..3).map(|_| cluster.dpipes(&[&long]).spawn()).collect();
    for pipe in running {
        pipe.wait().assert_status(0).assert_wrote("20000000\n");
    }
}

#[test]
fn an_app_sees_its_three_descriptors_and_no_other() {
    let cluster = Cluster::of_three();
    // `ls` itself opens the folder as 3.
    for runner in [&cluster as &dyn Runner, &Local::new()] {
        runner
            .dpipes(&["cat /dev/null | ls /proc/self/fd | cat"])
            .run()
            .assert_status(0)
            .assert_wrote("0\n1\n2\n3\n");
    }
}

#[test]
fn an_app_starts_with_the_signals_of_a_fresh_shell() {
    let cluster = Cluster::of_three();
    for runner in [&cluster as &dyn Runner, &Local::new()] {
        let run = runner
            .dpipes(&["true | grep -E '^Sig(Blk|Ign)' /proc/self/status | cat"])
            .run();
        run.assert_status(0)
            .assert_wrote("SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
    }
}
