//! One hop from a program to a program, through dpipes and through others.

use std::{
    io::Read as _,
    iter,
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::fd::OwnedFd,
    process::{Child, ChildStdout, Command, Stdio},
};

use rustix::net::sockopt::set_tcp_congestion;

use crate::{
    kit::{Cluster, Daemon, Runner},
    measure::cpu,
    work::{self, Flow},
};

/// What is measured of a hop, as [`Ended::figures`] has it.
pub(crate) const METRICS: [&str; 2] = ["MB/s", "CPU s/GB"];
pub(crate) const RATE: usize = 0;
pub(crate) const CPU: usize = 1;

/// How programs at both ends of a hop ended.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    /// What the one that read said in the end.
    pub(crate) said: String,
    /// Seconds that those between the two took of a processor.
    pub(crate) cpu: f64,
}

/// What goes through a hop.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// The work of the program that writes, and of the one that reads.
    pub(crate) source: String,
    pub(crate) sink: String,
    pub(crate) bytes: u64,
}

/// Programs joined by pipes as a shell makes them. Killed when dropped.
pub(crate) struct Chain {
    programs: Vec<Child>,
    output: Option<ChildStdout>,
}

// === impl Ended ===

impl Ended {
    /// What came through, checked.
    #[track_caller]
    pub(crate) fn flow(&self, load: &Load) -> Flow {
        let flow = Flow::parse(&self.said);
        assert_eq!(flow.bytes, load.bytes, "what came through");
        flow
    }

    /// A figure for each of [`METRICS`].
    #[track_caller]
    pub(crate) fn figures(&self, load: &Load) -> Vec<f64> {
        let flow = self.flow(load);
        vec![flow.rate(), self.cpu * 1e9 / flow.bytes as f64]
    }
}

// === impl Load ===

impl Load {
    /// A program that writes so many bytes in blocks of this size, and one that reads them as quickly as it can.
    pub(crate) fn of(bytes: u64, block: usize) -> Self {
        Self {
            source: format!("source {block} {bytes}"),
            sink: "sink".to_owned(),
            bytes,
        }
    }

    /// The pipeline from one node to another.
    pub(crate) fn pipeline(&self) -> String {
        let (source, sink) = (work::stage(&self.source), work::stage(&self.sink));
        format!("@a {source} | @b {sink}")
    }

    /// Lets the reader take only so many bytes in a second.
    pub(crate) fn limited_to(mut self, rate: u64) -> Self {
        self.sink = format!("sink limit {rate}");
        self
    }

    /// Lines that carry the time, so many of them, this many microseconds apart, to one that says how late they were.
    pub(crate) fn of_lines(lines: u64, apart: u64) -> Self {
        Self {
            source: format!("ticker {lines} {apart}"),
            sink: "listener".to_owned(),
            bytes: 0,
        }
    }
}

// === impl Chain ===

impl Chain {
    /// Starts the programs: the first reads from there, and what the last one writes goes there, or is kept for [`end`](Self::end).
    pub(crate) fn start(
        from: impl Into<Stdio>,
        commands: impl IntoIterator<Item = Command>,
        to: Option<Stdio>,
    ) -> Self {
        let mut commands = commands.into_iter().peekable();
        let mut chain = Self {
            programs: Vec::new(),
            output: None,
        };
        let (mut next, mut to): (Stdio, _) = (from.into(), to);
        while let Some(mut command) = commands.next() {
            let is_last = commands.peek().is_none();
            let stdout = to.take_if(|_| is_last).unwrap_or_else(Stdio::piped);
            let child = command.stdin(next).stdout(stdout).spawn();
            let mut child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
            let stdout = child.stdout.take();
            chain.programs.push(child);
            if is_last {
                chain.output = stdout;
                break;
            }
            next = stdout.map_or_else(Stdio::null, Stdio::from);
        }
        chain
    }

    /// Waits for the end of all, which all have to end well: what the last one wrote, and what each took of a processor.
    #[track_caller]
    pub(crate) fn end(mut self) -> (String, Vec<f64>) {
        let mut text = String::new();
        if let Some(mut output) = self.output.take() {
            output.read_to_string(&mut text).expect("text");
        }
        let end = |program: &mut Child| {
            let (seconds, well) = cpu::wait(program).expect("a child of ours");
            assert!(well, "a program beside dpipes failed");
            seconds
        };
        let seconds = self.programs.iter_mut().map(end).collect();
        self.programs.clear();
        (text, seconds)
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        for child in &mut self.programs {
            let _it_ended = child.kill();
            let _it_was_reaped = child.wait();
        }
    }
}

/// Daemons of these names that start this program, too.
pub(crate) fn cluster(nodes: &[&str]) -> Cluster {
    let program = work::program();
    let folder = program.parent().expect("a file lies in a folder");
    let path = format!("[/usr/bin, /bin, {folder:?}]");
    let builder = Cluster::builder().run("path", &path);
    nodes
        .iter()
        .fold(builder, |builder, node| builder.node(node))
        .start()
}

/// Through the daemons of a cluster, from its node `a` to its node `b`.
pub(crate) fn through_dpipes(cluster: &Cluster, load: &Load) -> Ended {
    through_pipeline(cluster, &load.pipeline())
}

/// Through the daemons of a cluster, however the pipeline has it.
pub(crate) fn through_pipeline(cluster: &Cluster, pipeline: &str) -> Ended {
    let daemons: Vec<_> = cluster.nodes().iter().map(Daemon::pid).collect();
    let (run, cpu) = cpu::of(&daemons, || {
        cluster
            .dpipes(&["-n", "-o", "compress=off", pipeline])
            .run()
    });
    run.assert_status(0);
    let said = run.text().to_owned();
    Ended { said, cpu }
}

/// Through two processes of this program, or of another, that move bytes between a pipe and a connection.
pub(crate) fn through_relays(load: &Load, relay: &dyn Fn() -> Command) -> Ended {
    through_connection(load, relay, connection())
}

/// The same through this connection.
pub(crate) fn through_connection(
    load: &Load,
    relay: &dyn Fn() -> Command,
    connection: (Stdio, Stdio),
) -> Ended {
    Relays::start(load, relay, connection).end()
}

/// Programs between which there are connections, with a relay at each end of each.
pub(crate) struct Relays {
    /// A program each, with a relay before it unless it is the first, and one behind it unless it is the last.
    chains: Vec<Chain>,
}

impl Relays {
    /// Starts two programs, and what is between them.
    pub(crate) fn start(
        load: &Load,
        relay: &dyn Fn() -> Command,
        connection: (Stdio, Stdio),
    ) -> Self {
        let programs = [work::command(&load.source), work::command(&load.sink)];
        Self::between(programs.into(), relay, [connection].into())
    }

    /// Starts any number of programs, and what is between them.
    pub(crate) fn between(
        programs: Vec<Command>,
        relay: &dyn Fn() -> Command,
        connections: Vec<(Stdio, Stdio)>,
    ) -> Self {
        assert_eq!(programs.len(), connections.len() + 1);
        let (near, far): (Vec<_>, Vec<_>) = connections.into_iter().unzip();
        let from = iter::once(None).chain(far.into_iter().map(Some));
        let to = near.into_iter().map(Some).chain(iter::once(None));
        let start = |(program, (from, to)): (Command, (Option<Stdio>, Option<Stdio>))| {
            let before = from.is_some().then(relay);
            let behind = to.is_some().then(relay);
            let commands = before.into_iter().chain([program]).chain(behind);
            Chain::start(from.unwrap_or_else(Stdio::null), commands, to)
        };
        let chains = programs.into_iter().zip(from.zip(to)).map(start).collect();
        Self { chains }
    }

    /// Waits for the end of all.
    pub(crate) fn end(self) -> Ended {
        let (mut said, mut cpu) = (String::new(), 0.0);
        for (number, chain) in self.chains.into_iter().enumerate() {
            let (text, mut seconds) = chain.end();
            seconds.remove(usize::from(number > 0));
            cpu += seconds.iter().sum::<f64>();
            said = text;
        }
        Ended { said, cpu }
    }
}

/// Through the pipe of a shell.
pub(crate) fn through_a_pipe(load: &Load) -> Ended {
    let programs = [work::command(&load.source), work::command(&load.sink)];
    let (said, _) = Chain::start(Stdio::null(), programs, None).end();
    Ended {
        said,
        cpu: f64::NAN,
    }
}

/// A connection over loopback.
pub(crate) fn connection() -> (Stdio, Stdio) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of loopback");
    let near = TcpStream::connect(listener.local_addr().expect("a bound socket"));
    let (near, (far, _)) = (
        near.expect("a listener"),
        listener.accept().expect("a peer"),
    );
    for end in [&near, &far] {
        // BBR, where it is the system's choice, halves what loopback carries. dpipes does not use it there, and nobody else shall.
        let _it_is_not_there = set_tcp_congestion(end, "cubic");
    }
    (OwnedFd::from(near).into(), OwnedFd::from(far).into())
}
