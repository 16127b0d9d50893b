//! Random pipelines over three nodes, random faults, and bash as the judge. What went wrong is named with its seed, and the seed brings
//! it back: `DPIPES_TEST_SOAK_SEED`. `DPIPES_TEST_SOAK_SECONDS` lets it run for longer.

use std::{
    collections::hash_map::RandomState,
    fmt::Write as _,
    fs,
    hash::BuildHasher as _,
    time::{Duration, Instant},
};

use crate::kit::{
    Cluster, Invocation, Run, Runner, Signal, bash, heavy, holds_within, hostile::noise, patience,
    pause, processes,
};

/// How long the soak runs among the other tests.
const DEFAULT_TIME: Duration = Duration::from_secs(60);

/// What ends a pipe that lost a node is bounded by these two, set below, and by how busy this machine is.
const LEASE: &str = "3s";
const BOUND: Duration = Duration::from_secs(4);
const AIR: Duration = Duration::from_secs(15);

/// The nodes.
const NODES: [&str; 3] = ["a", "b", "c"];

/// What a pipe may end with when it cannot do as bash does.
const LOUD: [i32; 7] = [124, 125, 126, 127, 130, 137, 143];

/// Apps that make something.
const SOURCES: [&str; 9] = [
    "seq 1 200000",
    "cat big",
    "head -c 3000000 big",
    "dd if=big bs=1 count=3000 status=none",
    "sh -c 'for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.04; done'",
    "sh -c 'head -c 200000 big; sleep 0.2; head -c 300000 big; exit 3'",
    "sleep 0.2",
    "true",
    "false",
];

/// Apps that never end by themselves.
const ENDLESS: [&str; 3] = ["yes", "cat /dev/zero", "yes something longer than a y"];

/// Apps that read all there is.
const WHOLE: [&str; 7] = [
    "cat",
    "sort",
    "tr 0-9 a-j",
    "sed s/1/one/",
    "sh -c 'cat; sleep 0.1'",
    "sh -c 'cat; exit 5'",
    "sh -c 'tee copy-# > /dev/null; cat copy-#'",
];

/// Apps that may leave early.
const EARLY: [&str; 6] = [
    "head -n 1000",
    "head -c 70001",
    "dd bs=1 count=2000 status=none",
    "head -c 1",
    "true",
    "sh -c 'head -c 1000; exec <&-; sleep 0.1'",
];

/// Apps that sum up.
const SUMS: [&str; 4] = ["sha256sum", "wc -c", "wc", "md5sum"];

/// An app that keeps a copy of what it read as complete, but only if it has seen its end.
const MARKER: &str = "sh -c 'tee part-# && mv part-# whole-#'";

/// Splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }
}

/// What happens in the middle of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Nothing,
    Crash(&'static str),
    Freeze(&'static str),
    KilledApp,
    Client(Signal),
}

impl Fault {
    fn random(random: &mut Random) -> Self {
        match random.below(20) {
            0..=8 => Self::Nothing,
            9..=12 => Self::Crash(random.pick(&NODES)),
            13 => Self::Freeze(random.pick(&NODES)),
            14..=16 => Self::KilledApp,
            17 => Self::Client(Signal::KILL),
            18 => Self::Client(Signal::INT),
            _ => Self::Client(Signal::TERM),
        }
    }

    const fn node(self) -> Option<&'static str> {
        match self {
            Self::Crash(node) | Self::Freeze(node) => Some(node),
            Self::Nothing | Self::KilledApp | Self::Client(_) => None,
        }
    }
}

/// A pipeline. In its commands `#` stands for what tells the files of one run from those of another.
struct Pipeline {
    stages: Vec<(&'static str, String)>,
    /// Whether every stage reads all that it is given, so that no status depends on chance.
    is_whole: bool,
    /// The stages that keep a copy of what they read, but only if they saw its end.
    markers: Vec<usize>,
}

impl Pipeline {
    fn random(random: &mut Random) -> Self {
        let endless = random.one_in(4);
        let mut commands = vec![if endless {
            random.pick(&ENDLESS).to_owned()
        } else {
            random.pick(&SOURCES).to_owned()
        }];
        let mut is_whole = !endless;
        if endless {
            commands.push("head -c 2000000".to_owned());
        }
        let mut markers = Vec::new();
        for _ in 0..random.below(4) {
            if random.one_in(3) {
                markers.push(commands.len());
                commands.push(MARKER.to_owned());
            } else if random.one_in(4) {
                is_whole = false;
                commands.push(random.pick(&EARLY).to_owned());
            } else {
                commands.push(random.pick(&WHOLE).to_owned());
            }
        }
        match random.below(3) {
            0 => {
                markers.push(commands.len());
                commands.push(MARKER.to_owned());
            }
            1 => commands.push(random.pick(&SUMS).to_owned()),
            _ => {}
        }
        // Often several neighbours on one node, so that kernel pipes and links both occur.
        let mut node = random.pick(&NODES);
        let stages = commands.into_iter().map(|command| {
            if random.one_in(2) {
                node = random.pick(&NODES);
            }
            (node, command)
        });
        Self {
            stages: stages.collect(),
            is_whole,
            markers,
        }
    }

    fn for_bash(&self, run: &str) -> String {
        self.joined(run, |_| String::new())
    }

    fn for_dpipes(&self, run: &str) -> String {
        self.joined(run, |node| format!("@{node} "))
    }

    fn joined(&self, run: &str, prefix: impl Fn(&str) -> String) -> String {
        let mut text = String::new();
        for (index, (node, command)) in self.stages.iter().enumerate() {
            let bar = if index == 0 { "" } else { " | " };
            let command = command.replace('#', &format!("{run}-{index}"));
            write!(text, "{bar}{}{command}", prefix(node)).unwrap();
        }
        text
    }
}

/// One soak: its cluster, and what it has seen.
struct Soak {
    cluster: Cluster,
    random: Random,
    /// Bytes and status that a pipe gave in spite of a fault, pipes that failed loudly, and rounds without a fault.
    survived: u32,
    loud: u32,
    undisturbed: u32,
}

impl Soak {
    fn round(&mut self, number: u32) {
        let pipeline = Pipeline::random(&mut self.random);
        let fault = Fault::random(&mut self.random);
        // A killed app is an end of input for its reader, as in bash; only pipefail tells of it then.
        let pipefail = fault == Fault::KilledApp || self.random.one_in(3);
        let entry = self.random.pick(&NODES);
        let over_tcp = self.random.one_in(4);
        let share = self.random.below(1_000);
        let what = format!(
            "round {number}: entry {entry}{}, {}{fault:?} at {share}/1000 of\n  {}",
            if over_tcp { " over TCP" } else { "" },
            if pipefail { "pipefail, " } else { "" },
            pipeline.for_dpipes("x")
        );
        if std::env::var_os("DPIPES_TEST_SOAK_VERBOSE").is_some() {
            eprintln!("{what}");
        }
        let set = if pipefail { "set -o pipefail; " } else { "" };
        let wanted = bash(
            self.cluster.scratch(),
            &format!("{set}{}", pipeline.for_bash("bash")),
        )
        .run();

        let calm = self
            .dpipes(entry, over_tcp, pipefail, &pipeline.for_dpipes("calm"))
            .run();
        assert!(
            same(&pipeline, pipefail, &calm, &wanted),
            "{what}\nnot as bash without any fault\ngot    {calm:?}\nwanted {wanted:?}"
        );
        self.check_markers(&pipeline, "calm", &what);
        if fault == Fault::Nothing {
            self.undisturbed += 1;
        } else {
            let after = calm.elapsed.mul_f64(share as f64 / 1_000.0);
            self.disturbed(
                &pipeline,
                fault,
                (entry, over_tcp, pipefail),
                after,
                &calm,
                &wanted,
                &what,
            );
        }
        for file in fs::read_dir(self.cluster.scratch().work())
            .unwrap()
            .flatten()
        {
            if file.file_name() != "big" {
                let _removed = fs::remove_file(file.path());
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "all that one round is made of")]
    fn disturbed(
        &mut self,
        pipeline: &Pipeline,
        fault: Fault,
        (entry, over_tcp, pipefail): (&'static str, bool, bool),
        after: Duration,
        calm: &Run,
        wanted: &Run,
        what: &str,
    ) {
        let running = self
            .dpipes(entry, over_tcp, pipefail, &pipeline.for_dpipes("torn"))
            .spawn();
        pause(after);
        match fault {
            Fault::Nothing => {}
            Fault::Crash(node) => self.cluster.node_mut(node).crash(),
            Fault::Freeze(node) => self.cluster.node(node).signal(Signal::STOP),
            Fault::KilledApp => {
                // Of stages. What a shell within one makes of the death of its child is the shell's business, here as in bash: `cat; sleep 0.1`
                // is a success whatever becomes of `cat`.
                let mut apps = self.cluster.apps();
                let inner = apps.iter().flat_map(|&app| processes::children_of(app));
                let inner: Vec<u32> = inner.collect();
                apps.retain(|app| !inner.contains(app));
                if !apps.is_empty() {
                    processes::send(self.random.pick(&apps), Signal::KILL);
                }
            }
            Fault::Client(signal) => running.signal(signal),
        }
        let run = running.wait();
        if let Fault::Freeze(node) = fault {
            self.cluster.node(node).signal(Signal::CONT);
        }

        let as_bash = same(pipeline, pipefail, &run, wanted);
        if as_bash {
            self.survived += 1;
        } else {
            self.loud += 1;
            // What the user or a killed app brings about is a status of the apps; a lost node is one of dpipes.
            let is_loud = match fault {
                Fault::Crash(_) | Fault::Freeze(_) => run.status == 125 && !run.stderr.is_empty(),
                Fault::Client(_) => LOUD.contains(&run.status),
                Fault::KilledApp | Fault::Nothing => run.status != 0,
            };
            assert!(
                is_loud,
                "{what}\nneither as bash nor loud\ngot    {run:?}\nwanted {wanted:?}"
            );
        }
        if let (Some(node), false) = (fault.node(), as_bash) {
            let name = &self.cluster.node(node).name;
            assert!(
                run.stderr.contains(name.as_str()) || node == entry,
                "{what}\nthe lost node is not named\ngot    {run:?}"
            );
        }
        let bound = calm.elapsed + BOUND + AIR;
        assert!(
            run.elapsed < bound,
            "{what}\ntook longer than {bound:?}: {run:?}"
        );
        assert!(
            holds_within(patience(), || self.cluster.apps().is_empty()),
            "{what}\napps are left: {}\n{run:?}",
            processes::describe(&self.cluster.apps())
        );
        if fault != Fault::KilledApp {
            self.check_markers(pipeline, "torn", &format!("{what}\n{run:?}"));
        }
        if let Fault::Crash(node) = fault {
            self.cluster.restart(node);
        }
        if let Some(node) = fault.node() {
            // The others may keep off the node for some seconds.
            let works = || {
                NODES.iter().all(|entry| {
                    let pipeline = format!("@{node} echo x");
                    self.dpipes(entry, false, false, &pipeline).run().status == 0
                })
            };
            assert!(
                holds_within(patience(), works),
                "{what}\n{node} is not used again"
            );
        }
    }

    /// Whoever kept what it read as complete has read all of it.
    fn check_markers(&self, pipeline: &Pipeline, run: &str, what: &str) {
        for &at in &pipeline.markers {
            let kept = |run: &str| {
                fs::read(
                    self.cluster
                        .scratch()
                        .work()
                        .join(format!("whole-{run}-{at}")),
                )
            };
            if let (Ok(got), Ok(wanted)) = (kept(run), kept("bash")) {
                assert!(
                    got == wanted,
                    "{what}\nstage {} took the loss for the end of its input: {} bytes of {}",
                    at + 1,
                    got.len(),
                    wanted.len()
                );
            }
        }
    }

    fn dpipes(&self, entry: &str, over_tcp: bool, pipefail: bool, pipeline: &str) -> Invocation {
        let options: &[&str] = if pipefail { &["-o", "pipefail"] } else { &[] };
        let arguments = [options, &["-c", pipeline]].concat();
        if over_tcp {
            self.cluster.dpipes_over_tcp(entry, &arguments)
        } else {
            self.cluster.dpipes_at(entry, &arguments)
        }
    }
}

/// Whether bytes and status are bash's. Where a stage leaves early, whether its writer has ended before is chance, in bash too.
fn same(pipeline: &Pipeline, pipefail: bool, got: &Run, wanted: &Run) -> bool {
    let by_chance = pipefail && !pipeline.is_whole;
    got.stdout == wanted.stdout
        && (got.status == wanted.status || by_chance && [got.status, wanted.status].contains(&141))
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn random_pipes_under_random_faults_do_as_bash_or_fail_loudly() {
    let _turn = heavy();
    let seed = number("DPIPES_TEST_SOAK_SEED").unwrap_or_else(|| RandomState::new().hash_one(0));
    let time = number("DPIPES_TEST_SOAK_SECONDS").map_or(DEFAULT_TIME, Duration::from_secs);
    // Shown when the test fails.
    eprintln!("DPIPES_TEST_SOAK_SEED={seed}");
    let cluster = Cluster::builder()
        .node("a")
        .node("b")
        .node("c")
        .run("lease", LEASE)
        .start();
    cluster.scratch().file("big", noise(5_000_000, 11));
    let mut soak = Soak {
        cluster,
        random: Random(seed),
        survived: 0,
        loud: 0,
        undisturbed: 0,
    };
    let began = Instant::now();
    let mut rounds = 0;
    while began.elapsed() < time {
        rounds += 1;
        soak.round(rounds);
    }
    eprintln!(
        "{rounds} rounds: {} without a fault; of the others {} did as bash, {} failed loudly",
        soak.undisturbed, soak.survived, soak.loud
    );
}
