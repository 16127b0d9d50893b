//! One real `dpipesd`.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use rustix::process::Signal;

use super::{DPIPESD, Scratch, holds_within, invocation::wait_until, patience, processes};

/// Ports given to daemons: below the range from which Linux takes the local ports of outgoing connections, so that no connection of a
/// test running beside this one sits on a port between the look and the start.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// What a daemon says on stderr when it can be used.
const READY: &str = " listening on ";

/// A daemon of a cluster.
pub(crate) struct Daemon {
    /// What the test calls it.
    pub(crate) alias: String,
    /// Its node name, unique on this machine.
    pub(crate) name: String,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Its unix socket.
    pub(crate) socket: PathBuf,
    /// Its configuration.
    pub(crate) config: PathBuf,
    log: PathBuf,
    state: State,
}

/// Whether the kit still answers for the process.
enum State {
    Stopped,
    Running { child: Child, descriptors: usize },
}

impl Daemon {
    /// A daemon that is not started yet.
    pub(super) fn new(scratch: &Scratch, alias: &str, name: String, port: u16) -> Self {
        let beside = |suffix: &str| scratch.root().join(format!("{alias}{suffix}"));
        Self {
            alias: alias.to_owned(),
            name,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            socket: beside(".sock"),
            config: beside(".yaml"),
            log: beside(".log"),
            state: State::Stopped,
        }
    }

    /// Starts it with its configuration and waits until it listens; an error is its status and what it said.
    pub(super) fn start(&mut self, scratch: &Scratch) -> Result<(), (Option<i32>, String)> {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .expect("a log file");
        let said_before = self.log_text().len();
        let mut command: Command = scratch.command(DPIPESD);
        command
            .arg("--foreground")
            .arg("--config")
            .arg(&self.config)
            .current_dir(scratch.root());
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log);
        let mut child = command.spawn().expect("dpipesd is built");
        let mut status = None;
        let decided = holds_within(patience(), || {
            status = child.try_wait().expect("a child of ours");
            status.is_some()
                || self.log_text()[said_before..]
                    .lines()
                    .any(|line| line.contains(READY))
        });
        if status.is_none() && decided {
            let descriptors = processes::descriptors(child.id());
            self.state = State::Running { child, descriptors };
            return Ok(());
        }
        let _it_may_be_gone = child.kill();
        let _reaped = child.wait();
        Err((status.and_then(|status| status.code()), self.log_text()))
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        match &self.state {
            State::Running { child, .. } => child.id(),
            State::Stopped => panic!("{} does not run", self.alias),
        }
    }

    /// Whether the kit started it and the test did not end it.
    pub(crate) fn runs(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    /// What it said so far.
    pub(crate) fn log_text(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        processes::send(self.pid(), signal);
    }

    /// Its apps, and whatever they started: every process that was told this node's name.
    pub(crate) fn apps(&self) -> Vec<u32> {
        let variable = format!("DP_NODE={}", self.name);
        processes::all()
            .into_iter()
            .filter(|&pid| processes::has_variable(pid, &variable))
            .collect()
    }

    /// Whether a program of this name runs on this node.
    pub(crate) fn runs_app(&self, app: &str) -> bool {
        self.app(app).is_some()
    }

    /// The process of a program that runs on this node.
    pub(crate) fn app(&self, app: &str) -> Option<u32> {
        self.apps()
            .into_iter()
            .find(|&pid| processes::name(pid).is_some_and(|name| name == app))
    }

    /// Kills it as a crash would, and waits until it is gone.
    pub(crate) fn crash(&mut self) {
        self.signal(Signal::KILL);
        let State::Running { mut child, .. } = std::mem::replace(&mut self.state, State::Stopped)
        else {
            return;
        };
        let _status = child.wait().expect("a child of ours");
    }

    /// Waits for its end, which the test has brought about.
    pub(crate) fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let State::Running { child, .. } = &mut self.state else {
            return None;
        };
        let status = wait_until(child, limit)?;
        self.state = State::Stopped;
        Some(status)
    }

    /// What is wrong with a daemon that has nothing to do: `sessions` of other nodes may be open.
    pub(super) fn complaints(&self, sessions: usize) -> Vec<String> {
        let State::Running { child, descriptors } = &self.state else {
            return Vec::new();
        };
        let (pid, limit) = (child.id(), descriptors + sessions);
        let mut complaints = Vec::new();
        if !holds_within(patience(), || processes::zombies_of(pid).is_empty()) {
            complaints.push(format!(
                "{}: zombies {:?}",
                self.alias,
                processes::zombies_of(pid)
            ));
        }
        if !holds_within(patience(), || processes::descriptors(pid) <= limit) {
            let targets = processes::descriptor_targets(pid).join("\n    ");
            complaints.push(format!(
                "{}: more than {limit} descriptors:\n    {targets}",
                self.alias
            ));
        }
        complaints
    }
}

/// A port that nobody listens on now.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test processes that run side by side begin far apart; the threads of one take turns.
    let spread = u16::try_from(std::process::id() * 97 % u32::from(PORTS.end - PORTS.start))
        .expect("within the range");
    for _ in PORTS {
        let turn = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = PORTS.start + spread.wrapping_add(turn) % (PORTS.end - PORTS.start);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no free port in {PORTS:?}");
}
