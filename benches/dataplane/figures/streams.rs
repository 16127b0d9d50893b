//! Several hops one after the other, and many streams at once.

use std::process::Command;

use crate::{
    crowd::{Crowd, growth_by_a_stalled_stream},
    hop::{self, CPU, Load, METRICS, RATE, Relays, connection, through_pipeline},
    kit::{Runner, bash},
    measure::{
        contest::{Contest, Must, Side},
        series::rounds,
    },
    peers::{DPIPES, REFERENCE, relay},
    work,
};

use super::{GIBIBYTE, MEBIBYTE};

/// Rounds of each figure here, unless said otherwise.
const ROUNDS: usize = 7;

/// Four programs on three nodes.
pub(super) fn three_hops() -> Vec<Contest> {
    const BASH: &str = "bash, local pipes";
    let cluster = hop::cluster(&["a", "b", "c"]);
    let load = Load::of(GIBIBYTE, 128 << 10);
    let (source, sink) = (work::stage(&load.source), work::stage(&load.sink));
    let pipeline = format!("@a {source} | @b cat | @c cat | @a {sink}");
    let script = format!("{source} | cat | cat | {sink}");
    let local = || {
        let run = bash(cluster.scratch(), &script).run();
        run.assert_status(0);
        let said = run.text().to_owned();
        let cpu = f64::NAN;
        hop::Ended { said, cpu }.figures(&load)
    };
    // What no relay can do better on this machine, be the programs between them what they are.
    let relays = || {
        let programs = vec![
            work::command(&load.source),
            Command::new("cat"),
            Command::new("cat"),
            work::command(&load.sink),
        ];
        let connections = vec![connection(), connection(), connection()];
        let relays = Relays::between(programs, &relay, connections);
        relays.end().figures(&load)
    };
    let mut sides: Vec<Side<'_>> = vec![
        (BASH, Box::new(local)),
        (REFERENCE, Box::new(relays)),
        (
            DPIPES,
            Box::new(|| through_pipeline(&cluster, &pipeline).figures(&load)),
        ),
    ];
    let title = "three hops over three nodes, two of them to `cat`";
    let contest = Contest::hold(title, &METRICS, rounds(ROUNDS), &mut sides);
    vec![contest.bar(DPIPES, BASH, RATE, Must::BeTimes(1.1))]
}

/// Streams on one session beside as many connections.
pub(super) fn many_streams() -> Vec<Contest> {
    let cluster = hop::cluster(&["a", "b"]);
    let contest = |streams: usize| {
        let crowd = Crowd {
            streams,
            bytes: 2 * GIBIBYTE / streams as u64,
            one_stalls: false,
        };
        let mut sides: Vec<Side<'_>> = vec![
            (REFERENCE, Box::new(|| crowd.through_relays().figures())),
            (
                DPIPES,
                Box::new(|| crowd.through_dpipes(&cluster).figures()),
            ),
        ];
        let title = format!("{streams} streams at once");
        Contest::hold(&title, &METRICS, rounds(ROUNDS), &mut sides)
            .bar(DPIPES, REFERENCE, RATE, Must::BeTimes(0.85))
            .bar(DPIPES, REFERENCE, CPU, Must::BeAtMostTimes(1.5))
    };
    vec![contest(8), contest(64)]
}

/// One of 64 streams has a reader that does not read.
pub(super) fn one_stalls() -> Vec<Contest> {
    const ALONE: &str = "63 streams";
    const BESIDE: &str = "63 streams beside one that nobody reads";
    /// Such a stream costs at most the largest window that it may have had by then.
    const KIBIBYTES: f64 = 1024.0;
    let cluster = hop::cluster(&["a", "b"]);
    let crowd = |one_stalls| Crowd {
        streams: 63,
        bytes: 32 * MEBIBYTE,
        one_stalls,
    };
    let of = |one_stalls| crowd(one_stalls).through_dpipes(&cluster).figures();
    let mut sides: Vec<Side<'_>> = vec![
        (ALONE, Box::new(|| of(false))),
        (BESIDE, Box::new(|| of(true))),
    ];
    let rate = Contest::hold(
        "one stalled reader among 64",
        &METRICS,
        rounds(ROUNDS),
        &mut sides,
    )
    .bar(BESIDE, ALONE, RATE, Must::BeTimes(0.95));
    let grown = || {
        let cluster = hop::cluster(&["a", "b"]);
        // What the first stream of all costs is not this one's.
        hop::through_dpipes(&cluster, &Load::of(64 * MEBIBYTE, 128 << 10));
        vec![growth_by_a_stalled_stream(&cluster, 64 * MEBIBYTE)]
    };
    let mut sides: Vec<Side<'_>> = vec![(DPIPES, Box::new(grown))];
    let memory = Contest::hold(
        "memory of a stream that nobody reads, both nodes",
        &["KiB more"],
        rounds(ROUNDS),
        &mut sides,
    )
    .bar(DPIPES, DPIPES, 0, Must::BeAtMost(KIBIBYTES));
    vec![rate, memory]
}
