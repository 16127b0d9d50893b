//! Many streams at once, all of which begin at one moment.

use std::{
    fs::{self, File},
    path::PathBuf,
    time::Duration,
};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::{
    hop::{Load, Relays, connection},
    kit::{Cluster, Daemon, Runner, Running, holds_within, patience, pause, processes},
    measure::cpu,
    peers::relay,
    work::Flow,
};

/// A number of equal streams, and perhaps one more that nobody reads until the others are over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crowd {
    pub(crate) streams: usize,
    /// Bytes of each.
    pub(crate) bytes: u64,
    pub(crate) one_stalls: bool,
}

/// What came of a crowd.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Of those that were read.
    flows: Vec<Flow>,
    cpu: f64,
}

/// Where programs say that they are ready, and the named pipes that they wait for.
struct Gate {
    folder: tempfile::TempDir,
}

// === impl Crowd ===

impl Crowd {
    /// Over the one session of two daemons.
    pub(crate) fn through_dpipes(self, cluster: &Cluster) -> Outcome {
        let daemons: Vec<_> = cluster.nodes().iter().map(Daemon::pid).collect();
        let gate = Gate::new();
        let start = |load: &Load| {
            cluster
                .dpipes(&["-n", "-o", "compress=off", &load.pipeline()])
                .spawn()
        };
        let end = |running: Running| {
            let run = running.wait();
            run.assert_status(0);
            (Flow::parse(run.text()), 0.0)
        };
        self.run(&gate, &start, &end, &daemons)
    }

    /// Over a connection for each.
    pub(crate) fn through_relays(self) -> Outcome {
        let gate = Gate::new();
        let start = |load: &Load| Relays::start(load, &relay, connection());
        let end = |relays: Relays| {
            let ended = relays.end();
            (Flow::parse(&ended.said), ended.cpu)
        };
        self.run(&gate, &start, &end, &[])
    }

    fn run<T>(
        self,
        gate: &Gate,
        start: &dyn Fn(&Load) -> T,
        end: &dyn Fn(T) -> (Flow, f64),
        daemons: &[u32],
    ) -> Outcome {
        let load = |number| Load {
            source: format!("source 131072 {} {}", self.bytes, gate.words("go", number)),
            sink: "sink".to_owned(),
            bytes: self.bytes,
        };
        let stalled = self.one_stalls.then(|| {
            let load = Load {
                sink: format!("sink stall {}", gate.words("end", self.streams)),
                ..load(self.streams)
            };
            start(&load)
        });
        let streams: Vec<T> = (0..self.streams)
            .map(|number| start(&load(number)))
            .collect();
        let ready = self.streams + 2 * usize::from(self.one_stalls);
        assert!(
            holds_within(patience(), || gate.ready() >= ready),
            "not all streams are there"
        );
        let ((flows, seconds), of_daemons) = cpu::of(daemons, || {
            let _open = gate.open("go");
            streams.into_iter().map(end).unzip::<_, _, Vec<_>, Vec<_>>()
        });
        if let Some(stalled) = stalled {
            let _open = gate.open("end");
            let (flow, _) = end(stalled);
            assert_eq!(
                flow.bytes, self.bytes,
                "what the stalled one read in the end"
            );
        }
        assert!(
            flows.iter().all(|flow| flow.bytes == self.bytes),
            "what came through"
        );
        Outcome {
            flows,
            cpu: of_daemons + seconds.iter().sum::<f64>(),
        }
    }
}

// === impl Outcome ===

impl Outcome {
    /// As of a hop: megabytes in a second, all together, and seconds of a processor for each gigabyte.
    pub(crate) fn figures(&self) -> Vec<f64> {
        let bytes: u64 = self.flows.iter().map(|flow| flow.bytes).sum();
        vec![Flow::rate_of(&self.flows), self.cpu * 1e9 / bytes as f64]
    }
}

// === impl Gate ===

impl Gate {
    fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("dpgate").tempdir();
        let gate = Self {
            folder: folder.expect("a folder"),
        };
        for name in ["go", "end"] {
            let mode = Mode::RUSR | Mode::WUSR;
            mknodat(CWD, gate.path(name), FileType::Fifo, mode, 0).expect("a named pipe");
        }
        fs::create_dir(gate.path("ready")).expect("a folder of ours");
        gate
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What a program is told: where to say that it is ready, and what to wait for.
    fn words(&self, gate: &str, number: usize) -> String {
        let ready = self.path("ready").join(format!("{gate}-{number}"));
        format!("{} {}", ready.display(), self.path(gate).display())
    }

    fn ready(&self) -> usize {
        let entries = fs::read_dir(self.path("ready"));
        entries.map_or(0, Iterator::count)
    }

    /// Lets those go on that wait, and who comes later, as long as it is open.
    fn open(&self, gate: &str) -> File {
        let file = File::options().write(true).open(self.path(gate));
        file.expect("a named pipe")
    }
}

/// How much the memory of the daemons grows by a stream that nobody reads, in KiB.
pub(crate) fn growth_by_a_stalled_stream(cluster: &Cluster, bytes: u64) -> f64 {
    let resident = || {
        let of = |node: &Daemon| processes::resident(node.pid());
        cluster.nodes().iter().map(of).sum::<u64>()
    };
    let gate = Gate::new();
    let load = Load {
        source: format!("source 131072 {bytes}"),
        sink: format!("sink stall {}", gate.words("end", 0)),
        bytes,
    };
    let before = resident();
    let running = cluster
        .dpipes(&["-n", "-o", "compress=off", &load.pipeline()])
        .spawn();
    assert!(
        holds_within(patience(), || gate.ready() == 1),
        "the reader is there"
    );
    // Windows fill within milliseconds; what would grow beyond them has time to.
    pause(Duration::from_secs(1));
    let grown = resident().saturating_sub(before);
    let _open = gate.open("end");
    running.wait().assert_status(0);
    grown as f64 / 1024.0
}
