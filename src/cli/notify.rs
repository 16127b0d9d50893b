//! What a service manager is told, as in sd_notify(3): that the daemon is ready, reads its configuration, leaves, and is alive.
//!
//! The protocol is a datagram of `NAME=value` lines. It is spoken here and not by a library for two reasons: a socket in the abstract
//! namespace must do, and a manager that does not read must hold up nobody.

use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, warn};

use super::{healthcheck::missing, render::text::plural};
use crate::{
    config::Surroundings,
    wire::message::{Phase, StateView},
};

/// What a service manager sets, and no process is to inherit that it did not start itself.
pub(super) const VARIABLES: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];

/// How long a manager that does not read its socket may hold up the daemon, for each message. systemd reads within microseconds.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);

/// How often the status line is looked at: often enough for a person with `systemctl status`, and half a wake-up a second.
const STATUS_EVERY: Duration = Duration::from_secs(2);

/// Signs of life in one period of the watchdog: systemd asks for two, and with three one that is late on a busy machine is no death.
const SIGNS_OF_LIFE: u32 = 3;

/// How much longer a manager is asked to wait for a daemon that drains, each time: several times the pause between two requests, so that
/// one that hangs is ended a quarter of a minute later. The drain itself ends with `drain-timeout`.
const EXTENSION: Duration = Duration::from_secs(15);

/// What answers only if the runtime and the tasks of a daemon do.
pub(crate) trait Health {
    /// How the daemon is; `None` when it does not answer in time.
    fn ask(&mut self) -> impl Future<Output = Option<StateView>>;
}

/// The way to a service manager.
#[derive(Debug)]
pub(crate) struct Manager {
    socket: UnixDatagram,
    address: SocketAddr,
    /// Within which time it wants a sign of life.
    watchdog: Option<Duration>,
}

/// Tells the service manager how the daemon is, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Teller {
    manager: Option<Manager>,
    addresses: Vec<String>,
    /// Whether the daemon may be called ready.
    is_ready: Cell<bool>,
    /// Whether the configuration on the disk is wrong, so that an older one is in force.
    is_outdated: Cell<bool>,
    /// The status line that was sent last.
    status: RefCell<String>,
}

/// One line for the manager.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    Ready,
    /// The time by the monotonic clock, in microseconds: systemd tells by it an answer to its signal from an older one.
    Reloading(u64),
    Stopping,
    Status(String),
    Alive,
    Extend(Duration),
}

// === impl Manager ===

impl Manager {
    /// The manager that the environment names. One that cannot be spoken to is none, and the log says so.
    pub(crate) fn of(surroundings: &Surroundings) -> Option<Self> {
        let name = surroundings.variable("NOTIFY_SOCKET")?;
        let opened = address(name).and_then(|address| {
            let socket = UnixDatagram::unbound()?;
            socket.set_write_timeout(Some(SEND_TIMEOUT))?;
            Ok((socket, address))
        });
        match opened {
            Ok((socket, address)) => Some(Self {
                socket,
                address,
                watchdog: watchdog(surroundings, std::process::id()),
            }),
            Err(error) => {
                warn!(
                    "the service manager at NOTIFY_SOCKET={name} cannot be told anything: {error}"
                );
                None
            }
        }
    }

    fn send(&self, words: &[Word]) {
        let lines: String = words.iter().map(Word::to_line).collect();
        if let Err(error) = self.socket.send_to_addr(lines.as_bytes(), &self.address) {
            debug!(%error, lines, "the service manager was not told");
        }
    }

    /// How often it hears of the daemon at least.
    fn every(&self) -> Duration {
        let sign = self.watchdog.map(|within| within / SIGNS_OF_LIFE);
        // A period must not be zero.
        sign.map_or(STATUS_EVERY, |sign| {
            sign.clamp(Duration::from_millis(1), STATUS_EVERY)
        })
    }
}

/// A path, or `@NAME` in the abstract namespace.
fn address(name: &str) -> io::Result<SocketAddr> {
    match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None if name.starts_with('/') => SocketAddr::from_pathname(name),
        None => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "it is neither a path nor a name that begins with @",
        )),
    }
}

/// Within which time a sign of life is wanted, if it is wanted of the process with this number.
fn watchdog(surroundings: &Surroundings, own: u32) -> Option<Duration> {
    let whose = surroundings.variable("WATCHDOG_PID");
    let is_ours = whose.is_none_or(|pid| pid.parse() == Ok(own));
    let period = surroundings.variable("WATCHDOG_USEC")?.parse().ok()?;
    Some(Duration::from_micros(period)).filter(|period| is_ours && !period.is_zero())
}

// === impl Word ===

impl Word {
    fn reloading() -> Self {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let now = Duration::try_from(now).unwrap_or_default();
        Self::Reloading(u64::try_from(now.as_micros()).unwrap_or(u64::MAX))
    }

    fn to_line(&self) -> String {
        match self {
            Self::Ready => "READY=1\n".to_owned(),
            Self::Reloading(now) => format!("RELOADING=1\nMONOTONIC_USEC={now}\n"),
            Self::Stopping => "STOPPING=1\n".to_owned(),
            // Registries are quoted in it, and a line of theirs must not become a word of ours.
            Self::Status(text) => format!("STATUS={}\n", super::caret::printable(text)),
            Self::Alive => "WATCHDOG=1\n".to_owned(),
            Self::Extend(by) => format!("EXTEND_TIMEOUT_USEC={}\n", by.as_micros()),
        }
    }
}

// === impl Teller ===

impl Teller {
    /// Tells this manager of a daemon that listens here.
    pub(crate) fn new(manager: Option<Manager>, addresses: &[String]) -> Self {
        Self {
            manager,
            addresses: addresses.to_vec(),
            ..Self::default()
        }
    }

    /// The daemon may be used.
    pub(crate) fn ready(&self) {
        self.is_ready.set(true);
        self.send(&[Word::Ready]);
    }

    /// The configuration is about to be read again. A daemon that is not ready yet must not become it by this.
    pub(crate) fn reloading(&self) {
        if self.is_ready.get() {
            self.send(&[Word::reloading()]);
        }
    }

    /// The configuration was read again, or is wrong and the old one stays.
    pub(crate) fn reloaded(&self, is_new: bool) {
        self.is_outdated.set(!is_new);
        if self.is_ready.get() {
            let status = self.outdated().trim_start_matches("; ").to_owned();
            // An empty one would stay for as long as nothing else changes.
            if status.is_empty() {
                self.send(&[Word::Ready]);
            } else {
                self.status.borrow_mut().clone_from(&status);
                self.send(&[Word::Ready, Word::Status(status)]);
            }
        }
    }

    /// The daemon leaves.
    pub(crate) fn stopping(&self) {
        self.send(&[Word::Stopping, Word::Extend(EXTENSION)]);
    }

    /// Keeps the manager informed: what the daemon does, and that it is alive, which only its own answer proves.
    pub(crate) async fn keep(&self, mut daemon: impl Health) -> Infallible {
        let Some(manager) = &self.manager else {
            return std::future::pending().await;
        };
        let mut tick = interval(manager.every());
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let Some(state) = daemon.ask().await else {
                warn!(
                    "the daemon does not answer itself; the service manager is not told that it lives"
                );
                continue;
            };
            let mut words = Vec::new();
            words.extend(manager.watchdog.map(|_| Word::Alive));
            words.extend((state.phase == Phase::Draining).then_some(Word::Extend(EXTENSION)));
            let status = self.line(&state);
            if *self.status.borrow() != status {
                self.status.borrow_mut().clone_from(&status);
                words.push(Word::Status(status));
            }
            if !words.is_empty() {
                manager.send(&words);
            }
        }
    }

    fn send(&self, words: &[Word]) {
        if let Some(manager) = &self.manager {
            manager.send(words);
        }
    }

    /// The status line.
    fn line(&self, state: &StateView) -> String {
        let pipes = plural(state.pipes, "pipe");
        let said = match state.phase {
            Phase::Starting => {
                let missing: Vec<_> = state.sources.iter().filter_map(missing).collect();
                format!("waiting for its registries: {}", missing.join("; "))
            }
            Phase::Ready | Phase::Other => {
                let known = plural(state.nodes, "node");
                let at = self.addresses.join(" and ");
                format!("listening on {at}; {known} known, {pipes} running")
            }
            Phase::Draining => format!("leaving: no new pipes are taken, {pipes} running"),
        };
        said + self.outdated()
    }

    fn outdated(&self) -> &'static str {
        if self.is_outdated.get() {
            "; the configuration is wrong and the old one stays: dpipesd config check"
        } else {
            ""
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::render::samples, wire::message::SourceView};

    #[test]
    fn signs_of_life_are_given_to_who_asked_this_very_process() {
        let period = |variables: &[_]| watchdog(&Surroundings::of_a_user(variables), 42);
        let second = Some(Duration::from_secs(1));
        assert_eq!(period(&[("WATCHDOG_USEC", "1000000")]), second);
        assert_eq!(
            period(&[("WATCHDOG_USEC", "1000000"), ("WATCHDOG_PID", "42")]),
            second
        );
        assert_eq!(
            period(&[("WATCHDOG_USEC", "1000000"), ("WATCHDOG_PID", "41")]),
            None
        );
        for nonsense in ["0", "", "-1", "soon"] {
            assert_eq!(period(&[("WATCHDOG_USEC", nonsense)]), None, "{nonsense}");
        }
        assert_eq!(period(&[]), None);
    }

    #[test]
    fn a_manager_is_a_path_or_an_abstract_name_and_else_there_is_none() {
        assert!(address("/run/systemd/notify").is_ok());
        assert!(address("@manager").is_ok());
        for bad in ["relative", "vsock:2:1234"] {
            assert!(address(bad).is_err(), "{bad}");
            assert!(Manager::of(&Surroundings::of_a_user(&[("NOTIFY_SOCKET", bad)])).is_none());
        }
        assert!(Manager::of(&Surroundings::of_a_user(&[])).is_none());
    }

    #[test]
    fn the_status_is_one_line_whatever_a_registry_says() {
        let teller = Teller::new(None, &["127.0.0.1:1".to_owned(), "unix:/x".to_owned()]);
        let mut state = StateView {
            node: samples::node("node-a"),
            version: "1.2.3".to_owned(),
            phase: Phase::Starting,
            uptime_ms: 1,
            pipes: 2,
            nodes: 1,
            sources: vec![SourceView {
                name: "consul".to_owned(),
                age_ms: None,
                stale: Some("no\nREADY=1".to_owned()),
                unannounced: None,
            }],
        };
        let line = |state: &StateView| Word::Status(teller.line(state)).to_line();
        insta::assert_snapshot!(line(&state), @r"STATUS=waiting for its registries: consul has not answered yet (no\nREADY=1)");
        state.phase = Phase::Ready;
        teller.reloaded(false);
        insta::assert_snapshot!(line(&state), @"STATUS=listening on 127.0.0.1:1 and unix:/x; 1 node known, 2 pipes running; the configuration is wrong and the old one stays: dpipesd config check");
        teller.reloaded(true);
        state.phase = Phase::Draining;
        insta::assert_snapshot!(line(&state), @"STATUS=leaving: no new pipes are taken, 2 pipes running");
    }
}
