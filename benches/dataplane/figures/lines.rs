//! Lines of 50 bytes from a program that writes each by itself.

use crate::{
    hop::{self, Ended, Load, through_a_pipe, through_dpipes, through_relays},
    measure::{
        contest::{Contest, Must, Side},
        series::rounds,
    },
    peers::{DPIPES, LARGE_SOCAT, PIPE, REFERENCE, missing, relay, socat},
    work::{LINE, Latencies},
};

/// Rounds of each figure here, unless said otherwise.
const ROUNDS: usize = 7;

/// Lines of a flood.
const MANY: u64 = 1_000_000;

/// Lines whose way is timed, and how far apart they are, in microseconds: each finds everybody asleep.
const SOME: u64 = 1_000;
const APART: u64 = 1_000;

/// As many as there can be in a second.
pub(super) fn flood() -> Vec<Contest> {
    let load = Load::of(MANY * LINE as u64, LINE);
    let figures = |ended: Ended| {
        let lines = ended.flow(&load).rate() * 1e3 / LINE as f64;
        vec![lines, ended.cpu * 1e6 / MANY as f64]
    };
    let contest = compare(
        "a million unbuffered lines of 50 bytes",
        &["thousand lines/s", "CPU us/line"],
        &load,
        &figures,
    );
    vec![contest.bar(DPIPES, PIPE, 0, Must::BeTimes(0.5))]
}

/// One at a time.
pub(super) fn latency() -> Vec<Contest> {
    let load = Load::of_lines(SOME, APART);
    let figures = |ended: Ended| {
        let late = Latencies::parse(&ended.said);
        vec![late.p50, late.p99]
    };
    let contest = compare(
        "a line every millisecond, from its write to its read",
        &["p50 us", "p99 us"],
        &load,
        &figures,
    );
    vec![contest.bar(DPIPES, PIPE, 0, Must::ExceedByAtMost(200.0))]
}

fn compare(
    title: &str,
    metrics: &[&'static str],
    load: &Load,
    figures: &dyn Fn(Ended) -> Vec<f64>,
) -> Contest {
    let cluster = hop::cluster(&["a", "b"]);
    let mut sides: Vec<Side<'_>> = vec![
        (PIPE, Box::new(|| figures(through_a_pipe(load)))),
        (DPIPES, Box::new(|| figures(through_dpipes(&cluster, load)))),
        (
            REFERENCE,
            Box::new(|| figures(through_relays(load, &relay))),
        ),
    ];
    let left_out = missing("socat", "socat");
    if left_out.is_none() {
        let large = || figures(through_relays(load, &|| socat(&["-b", "262144"])));
        sides.push((LARGE_SOCAT, Box::new(large)));
    }
    let contest = Contest::hold(title, metrics, rounds(ROUNDS), &mut sides);
    left_out.into_iter().fold(contest, Contest::note)
}
