//! One hop from program to program.

use super::{GIBIBYTE, MEBIBYTE};
use crate::{
    hop::{self, CPU, Load, METRICS, RATE, through_a_pipe, through_dpipes, through_relays},
    kit::Runner,
    measure::{
        contest::{Contest, Must, Side},
        series::rounds,
    },
    peers::{
        DPIPES, KEPT_SSH, LARGE_SOCAT, PARALLEL, PARALLEL_SSH, PIPE, REFERENCE, SOCAT, SSH,
        missing, relay, socat, through_parallel,
    },
    ssh::{HOST, Sshd},
};

/// What is not compared.
const DUMBPIPE: &str =
    "`dumbpipe` is left out: it is not packaged, and its QUIC takes some hundred crates to build.";

/// Rounds of each figure here, unless said otherwise.
const ROUNDS: usize = 7;

/// Sizes of blocks that programs with stdio and shells write.
const SMALL: [usize; 3] = [4 << 10, 8 << 10, 32 << 10];

/// What a slow reader takes in a second, and all that it takes.
const SLOW: u64 = 100_000_000;
const SLOW_BYTES: u64 = 256 * MEBIBYTE;

/// Programs that write a mebibyte at a time.
pub(super) fn large_blocks() -> Vec<Contest> {
    let cluster = hop::cluster(&["a", "b"]);
    let load = Load::of(GIBIBYTE, 1 << 20);
    // Slow ones are given less, for the figures are rates.
    let less = Load::of(GIBIBYTE / 4, 1 << 20);
    let least = Load::of(GIBIBYTE / 16, 1 << 20);
    let sshd = Sshd::start();
    let mut sides: Vec<Side<'_>> = vec![
        (
            REFERENCE,
            Box::new(|| through_relays(&load, &relay).figures(&load)),
        ),
        (
            DPIPES,
            Box::new(|| through_dpipes(&cluster, &load).figures(&load)),
        ),
        (PIPE, Box::new(|| through_a_pipe(&load).figures(&load))),
    ];
    let mut notes = Vec::new();
    match missing("socat", "socat") {
        Some(note) => notes.push(note),
        None => {
            let large = || through_relays(&load, &|| socat(&["-b", "262144"])).figures(&load);
            sides.push((LARGE_SOCAT, Box::new(large)));
            sides.push((
                SOCAT,
                Box::new(|| through_relays(&less, &|| socat(&[])).figures(&less)),
            ));
        }
    }
    match &sshd {
        Err(note) => notes.push(note.clone()),
        Ok(sshd) => {
            sides.push((SSH, Box::new(|| sshd.carry(&load, false).figures(&load))));
            sides.push((
                KEPT_SSH,
                Box::new(|| sshd.carry(&load, true).figures(&load)),
            ));
        }
    }
    match missing("parallel", "parallel") {
        Some(note) => notes.push(note),
        None => {
            let scratch = cluster.scratch();
            let here = || through_parallel(scratch, "", &less).figures(&less);
            sides.push((PARALLEL, Box::new(here)));
            if let Ok(sshd) = &sshd {
                let options = format!("--ssh 'ssh -F {}' -S {HOST}", sshd.config());
                let over_ssh = move || through_parallel(scratch, &options, &least).figures(&least);
                sides.push((PARALLEL_SSH, Box::new(over_ssh)));
            }
        }
    }
    notes.push(DUMBPIPE.to_owned());
    let contest = Contest::hold(
        "one hop, blocks of 1 MiB",
        &METRICS,
        rounds(ROUNDS),
        &mut sides,
    )
    .bar(DPIPES, REFERENCE, RATE, Must::BeTimes(0.9))
    .bar(DPIPES, REFERENCE, CPU, Must::BeAtMostTimes(1.5))
    .bar(DPIPES, LARGE_SOCAT, RATE, Must::BeTimes(1.3))
    .bar(DPIPES, LARGE_SOCAT, CPU, Must::BeAtMostTimes(0.5))
    .bar(DPIPES, SSH, RATE, Must::BeTimes(3.5))
    .bar(DPIPES, KEPT_SSH, RATE, Must::BeTimes(3.5));
    vec![notes.into_iter().fold(contest, Contest::note)]
}

/// Programs that write little at a time.
pub(super) fn small_blocks() -> Vec<Contest> {
    let cluster = hop::cluster(&["a", "b"]);
    let contest = |block: usize| {
        let load = Load::of(512 * MEBIBYTE, block);
        let mut sides: Vec<Side<'_>> = vec![
            (
                REFERENCE,
                Box::new(|| through_relays(&load, &relay).figures(&load)),
            ),
            (
                DPIPES,
                Box::new(|| through_dpipes(&cluster, &load).figures(&load)),
            ),
        ];
        let left_out = missing("socat", "socat");
        if left_out.is_none() {
            let large = || through_relays(&load, &|| socat(&["-b", "262144"])).figures(&load);
            sides.push((LARGE_SOCAT, Box::new(large)));
        }
        let title = format!("one hop, blocks of {} KiB", block >> 10);
        let contest = Contest::hold(&title, &METRICS, rounds(ROUNDS), &mut sides)
            .bar(DPIPES, LARGE_SOCAT, RATE, Must::BeTimes(1.0))
            .bar(DPIPES, LARGE_SOCAT, CPU, Must::BeAtMostTimes(0.7));
        left_out.into_iter().fold(contest, Contest::note)
    };
    SMALL.map(contest).into()
}

/// A reader that takes less than comes.
pub(super) fn slow_reader() -> Vec<Contest> {
    let cluster = hop::cluster(&["a", "b"]);
    let load = Load::of(SLOW_BYTES, 1 << 20).limited_to(SLOW);
    let mut sides: Vec<Side<'_>> = vec![
        (
            REFERENCE,
            Box::new(|| through_relays(&load, &relay).figures(&load)),
        ),
        (
            DPIPES,
            Box::new(|| through_dpipes(&cluster, &load).figures(&load)),
        ),
    ];
    let contest = Contest::hold(
        "a reader that takes 100 MB/s",
        &METRICS,
        rounds(ROUNDS),
        &mut sides,
    );
    vec![
        contest
            .bar(DPIPES, REFERENCE, CPU, Must::BeAtMostTimes(1.5))
            .bar(DPIPES, REFERENCE, RATE, Must::BeTimes(0.95)),
    ]
}
