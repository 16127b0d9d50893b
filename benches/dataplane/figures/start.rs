//! How long a short pipe takes, and how quickly a long one ends.

use std::{fs::File, io::Write as _};

use crate::{
    hop,
    kit::{Cluster, Invocation, Local, Runner, Scratch, bash, processes},
    measure::{
        contest::{Contest, Must, Side},
        series::{Series, rounds},
    },
    peers::{KEPT_SSH, missing},
    ssh::{HOST, Sshd},
};

/// Rounds of each figure here, unless said otherwise. Milliseconds are noisy.
const ROUNDS: usize = 15;

/// Runs in each round, of which the median counts.
const RUNS: usize = 7;

const BASH: &str = "bash";
const WARM: &str = "dpipes, warm";
const PIPELINE: &str = "@a /bin/echo hi | @b cat | @c cat";
const SCRIPT: &str = "/bin/echo hi | cat | cat";

/// Bytes that a daemon keeps in memory because of its configuration, in the comparison of small with large ones.
const LARGE: usize = 128 << 20;

/// Three stages on three nodes, from the start of the client to its end.
pub(super) fn short_pipe() -> Vec<Contest> {
    const TCP: &str = "dpipes, warm, client over TCP";
    const COLD: &str = "dpipes, first pipe of three daemons";
    const NEW_SSH: &str = "ssh, three connections";
    const PDSH: &str = "pdsh -R ssh, one echo";
    const PARALLEL: &str = "GNU parallel -S, one echo";
    const ONE_NODE: &str = "dpipes, warm, three stages on one node";
    const NO_DAEMON: &str = "dpipes without a daemon";
    let cluster = hop::cluster(&["a", "b", "c"]);
    let local = Local::new();
    let scratch = cluster.scratch();
    let shell = |script: &str| bash(scratch, script);
    let mut sides: Vec<Side<'_>> = vec![
        (BASH, Box::new(|| often(RUNS, &|| shell(SCRIPT)))),
        (
            WARM,
            Box::new(|| often(RUNS, &|| cluster.dpipes(&["-n", PIPELINE]))),
        ),
        (
            TCP,
            Box::new(|| often(RUNS, &|| cluster.dpipes_over_tcp("a", &["-n", PIPELINE]))),
        ),
        (
            ONE_NODE,
            Box::new(|| {
                often(RUNS, &|| {
                    cluster.dpipes(&["-n", "@a /bin/echo hi | @a cat | @a cat"])
                })
            }),
        ),
        (
            NO_DAEMON,
            Box::new(|| often(RUNS, &|| local.dpipes(&["-n", SCRIPT]))),
        ),
        (COLD, Box::new(first_pipe)),
    ];
    let mut notes = Vec::new();
    let sshd = Sshd::start();
    match &sshd {
        Err(note) => notes.push(note.clone()),
        Ok(sshd) => {
            let ssh = format!("ssh -F {} {HOST}", sshd.config());
            let kept = format!("ssh -F {} -S {} {HOST}", sshd.config(), sshd.control());
            let three = |ssh: &str| format!("{ssh} /bin/echo hi | {ssh} cat | {ssh} cat");
            let (new, kept) = (three(&ssh), three(&kept));
            sides.push((KEPT_SSH, Box::new(move || often(RUNS, &|| shell(&kept)))));
            sides.push((NEW_SSH, Box::new(move || often(1, &|| shell(&new)))));
            match missing("pdsh", "pdsh") {
                Some(note) => notes.push(note),
                None => {
                    let pdsh = format!(
                        "PDSH_SSH_ARGS_APPEND='-F {}' pdsh -N -R ssh -w {HOST} /bin/echo hi",
                        sshd.config()
                    );
                    sides.push((PDSH, Box::new(move || often(1, &|| shell(&pdsh)))));
                }
            }
            match missing("parallel", "parallel") {
                Some(note) => notes.push(note),
                None => {
                    let parallel = format!(
                        "parallel --will-cite --ssh 'ssh -F {}' -S {HOST} /bin/echo ::: hi",
                        sshd.config()
                    );
                    sides.push((PARALLEL, Box::new(move || often(1, &|| shell(&parallel)))));
                }
            }
        }
    }
    let title = "`/bin/echo hi | cat | cat`, from start to exit";
    let contest = Contest::hold(title, &["ms"], rounds(ROUNDS), &mut sides)
        .bar(WARM, BASH, 0, Must::BeAtMostTimes(1.25))
        .bar(COLD, BASH, 0, Must::BeAtMostTimes(1.6))
        .bar(WARM, KEPT_SSH, 0, Must::BeAtMostTimes(0.35));
    vec![notes.into_iter().fold(contest, Contest::note)]
}

/// The same with daemons that have much in memory, which a `fork` would have to copy the tables of.
pub(super) fn large_daemons() -> Vec<Contest> {
    const BIG: &str = "dpipes, warm, daemons with 128 MiB of configuration";
    let small = hop::cluster(&["a", "b", "c"]);
    let text = "x".repeat(LARGE);
    let apps = format!("{{ others: allow, unused: {{ env: {{ set: {{ A: {text} }} }} }} }}");
    let big = ["a", "b", "c"]
        .iter()
        .fold(Cluster::builder(), |builder, name| {
            builder.node_with(name, |node| node.apps(&apps))
        })
        .start();
    let held = processes::resident(big.node("a").pid()) >> 20;
    let mut sides: Vec<Side<'_>> = vec![
        (
            WARM,
            Box::new(|| often(RUNS, &|| small.dpipes(&["-n", PIPELINE]))),
        ),
        (
            BIG,
            Box::new(|| often(RUNS, &|| big.dpipes(&["-n", PIPELINE]))),
        ),
    ];
    let title = "`/bin/echo hi | cat | cat` with large daemons";
    let contest = Contest::hold(title, &["ms"], rounds(ROUNDS), &mut sides)
        .bar(BIG, WARM, 0, Must::BeAtMostTimes(1.1))
        .note(format!("Resident memory of each large daemon: {held} MiB."));
    vec![contest]
}

/// A reader that has seen enough ends a writer that has ten gigabytes left.
pub(super) fn early_exit() -> Vec<Contest> {
    const DPIPES: &str = "dpipes, three nodes";
    const BYTES: u64 = 10_000_000_000;
    let cluster = hop::cluster(&["a", "b", "c"]);
    ten_gigabytes(cluster.scratch(), BYTES);
    let script = "cat large | grep -a -m1 x | head -n 1";
    let pipeline = "@a cat large | @b grep -a -m1 x | @c head -n 1";
    let mut sides: Vec<Side<'_>> = vec![
        (
            BASH,
            Box::new(|| often(RUNS, &|| bash(cluster.scratch(), script))),
        ),
        (
            DPIPES,
            Box::new(|| often(RUNS, &|| cluster.dpipes(&["-n", pipeline]))),
        ),
    ];
    let title = "`cat 10GB | grep -m1 x | head -n 1`, from start to exit";
    let contest = Contest::hold(title, &["ms"], rounds(ROUNDS), &mut sides).bar(
        DPIPES,
        BASH,
        0,
        Must::ExceedByAtMost(20.0),
    );
    vec![contest]
}

/// Text at the beginning, and nothing behind it that a disk would have to hold.
fn ten_gigabytes(scratch: &Scratch, bytes: u64) {
    let mut file = File::create(scratch.work().join("large")).expect("our folder");
    file.write_all(&b"hi\n".repeat(1 << 14))
        .expect("our folder");
    file.write_all(b"x\n").expect("our folder");
    file.set_len(bytes).expect("a sparse file");
}

/// Milliseconds of the first pipe of daemons that were just started.
fn first_pipe() -> Vec<f64> {
    let cluster = hop::cluster(&["a", "b", "c"]);
    often(1, &|| cluster.dpipes(&["-n", PIPELINE]))
}

/// Milliseconds from start to exit, the median of some runs.
fn often(runs: usize, start: &dyn Fn() -> Invocation) -> Vec<f64> {
    let once = |_| {
        let run = start().run();
        run.assert_status(0);
        run.elapsed.as_secs_f64() * 1e3
    };
    let all: Series = (0..runs).map(once).collect();
    vec![all.at(0.5)]
}
