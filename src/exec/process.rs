//! One stage: made ready, running, killed.

use std::{
    ffi::OsString,
    fmt,
    path::Path,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use rustix::process::Signal;
use thiserror::Error;
use tokio::{io::AsyncWriteExt, net::UnixStream};

use super::{
    cgroup::{self, Cgroup},
    children::{Child, ExitKind, signal_group, signal_process},
    keeper_link::Hold,
    launcher::read_report,
    proc::{self, Mark},
    spec::{GO, Key, Report},
};

/// The first pause between two looks at processes that are being killed, and the longest. There is no event for the end of a process
/// group, and a look at `/proc` costs about a millisecond.
const FIRST_LOOK: Duration = Duration::from_millis(1);
const LAST_LOOK: Duration = Duration::from_millis(50);

/// How long a cgroup may take to freeze. A process that hangs in the kernel does not freeze, and does not see an end of file either.
const FREEZE_TIMEOUT: Duration = Duration::from_millis(500);

/// How long the dead may take to go before they are killed once more: something may have joined late.
const KILL_AGAIN: Duration = Duration::from_millis(500);

/// How a process ended and what it used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How.
    pub exit: ExitKind,
    /// User time of it and the children it waited for.
    pub user: Duration,
    /// System time, likewise.
    pub system: Duration,
    /// From the opening of the barrier to its end.
    pub elapsed: Duration,
}

/// Why an app that was ready could not be executed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{step}: {}", std::io::Error::from_raw_os_error(*errno))]
pub struct ExecError {
    /// What failed.
    pub step: String,
    /// The error number, as in errno(3).
    pub errno: i32,
}

/// A stage whose app has everything but its `execve`. Dropped, it goes without a word.
#[must_use = "dropping it undoes the preparation"]
pub struct Prepared {
    stage: Arc<Stage>,
    socket: UnixStream,
    argv: Vec<OsString>,
}

/// A running app. Dropping it does not end the app: [`kill`](Self::kill) does.
#[derive(Debug)]
pub struct Process {
    stage: Arc<Stage>,
}

/// Another hand on a [`Process`], for use while somebody else waits for its end.
#[derive(Clone, Debug)]
pub struct ProcessHandle {
    stage: Arc<Stage>,
}

/// What is known of a stage. Dropped when its process has ended and nobody is interested any more; then the keeper forgets it and its
/// cgroup is removed.
#[derive(Debug)]
pub(super) struct Stage {
    key: Key,
    child: Child,
    cgroup: Option<Cgroup>,
    hold: Option<Hold>,
    stdout_pipe: Option<u64>,
    started: OnceLock<Instant>,
}

// === impl Prepared ===

impl Prepared {
    pub(super) fn new(stage: Arc<Stage>, socket: UnixStream, argv: Vec<OsString>) -> Self {
        Self {
            stage,
            socket,
            argv,
        }
    }

    /// The arguments after expansion, the app's own name first.
    #[must_use]
    pub fn argv(&self) -> &[OsString] {
        &self.argv
    }

    /// The process that waits at the barrier and becomes the app.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.stage.child.number().unsigned_abs()
    }

    /// Opens the barrier, and returns when the app has been executed. Called once.
    ///
    /// The future is not to be dropped: the barrier may be open by then. Who wants an end of it kills by the [`handle`](Self::handle);
    /// a process that was killed before its `execve` is a [`Process`] that ended by that signal.
    ///
    /// # Errors
    ///
    /// [`ExecError`] when `execve` failed; nothing of the app has run then. The process stays, and holds its standard output open, until
    /// it is killed or this is dropped: a neighbour on the same pipe must not take the failure for an end of file.
    pub async fn go(&mut self) -> Result<Process, ExecError> {
        self.stage.started.get_or_init(Instant::now);
        let failed = |error: std::io::Error| ExecError {
            step: "barrier".into(),
            errno: error.raw_os_error().unwrap_or_default(),
        };
        self.socket.write_all(&[GO]).await.map_err(failed)?;
        match read_report(&mut self.socket).await.map_err(failed)? {
            // The socket is closed by a successful execve.
            None => Ok(Process {
                stage: self.stage.clone(),
            }),
            Some(Report::Failed { step, errno }) => Err(ExecError { step, errno }),
            Some(Report::Ready { .. }) => Err(ExecError {
                step: "barrier".into(),
                errno: rustix::io::Errno::PROTO.raw_os_error(),
            }),
        }
    }

    /// A hand on the process, by which it can be killed at the barrier.
    #[must_use]
    pub fn handle(&self) -> ProcessHandle {
        ProcessHandle {
            stage: self.stage.clone(),
        }
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared")
            .field("key", &self.stage.key)
            .field("pid", &self.pid())
            .finish_non_exhaustive()
    }
}

// === impl Process ===

impl Process {
    /// The process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.stage.child.number().unsigned_abs()
    }

    /// Waits for its end. Cancel safe, and may be called again.
    pub async fn wait(&mut self) -> Ended {
        self.stage.ended().await
    }

    /// How it ended, if it has.
    #[must_use]
    pub fn try_wait(&self) -> Option<Ended> {
        self.stage.child.death().map(|_| self.stage.summary())?
    }

    /// Sends a signal to all its processes. Returns whether it is a signal and somebody was there to get it.
    pub fn signal(&self, signal: i32) -> bool {
        self.stage.forward(signal)
    }

    /// Ends it with all that it started: SIGTERM, and SIGKILL after `grace`. Returns when nobody is left; a process that hangs in the
    /// kernel delays that, so who must go on puts a timeout around it. Dropping the future stops the killing where it is.
    pub async fn kill(&mut self, grace: Duration) -> Ended {
        self.stage.kill(grace).await
    }

    /// After its end: kills what it left running in the background, and waits until that is gone.
    pub async fn sweep(&mut self) {
        self.stage.kill_hard().await;
    }

    /// Its standard input has ended for good: the keeper closes its copy of the write end, so that the app sees the end of file.
    pub fn stdin_finished(&self) {
        if let Some(hold) = &self.stage.hold {
            hold.release();
        }
    }

    /// Another hand on it.
    #[must_use]
    pub fn handle(&self) -> ProcessHandle {
        ProcessHandle {
            stage: self.stage.clone(),
        }
    }

    /// Who can still write to its standard output, as `pid 4711 (sleep)`. Empty unless that is a pipe. It reads all of `/proc`.
    #[must_use]
    pub fn holders(&self) -> Vec<String> {
        self.stage
            .stdout_pipe
            .map(proc::writers_of_pipe)
            .unwrap_or_default()
    }
}

// === impl ProcessHandle ===

impl ProcessHandle {
    /// As [`Process::signal`].
    pub fn signal(&self, signal: i32) -> bool {
        self.stage.forward(signal)
    }

    /// As [`Process::kill`].
    pub async fn kill(&self, grace: Duration) -> Ended {
        self.stage.kill(grace).await
    }

    /// As [`Process::wait`].
    pub async fn wait(&self) -> Ended {
        self.stage.ended().await
    }

    /// As [`Process::stdin_finished`].
    pub fn stdin_finished(&self) {
        if let Some(hold) = &self.stage.hold {
            hold.release();
        }
    }

    /// As [`Process::holders`].
    #[must_use]
    pub fn holders(&self) -> Vec<String> {
        self.stage
            .stdout_pipe
            .map(proc::writers_of_pipe)
            .unwrap_or_default()
    }
}

// === impl Stage ===

impl Stage {
    pub(super) fn new(
        key: Key,
        child: Child,
        cgroup: Option<Cgroup>,
        hold: Option<Hold>,
        stdout_pipe: Option<u64>,
    ) -> Self {
        Self {
            key,
            child,
            cgroup,
            hold,
            stdout_pipe,
            started: OnceLock::new(),
        }
    }

    pub(super) fn key(&self) -> Key {
        self.key
    }

    pub(super) fn child(&self) -> &Child {
        &self.child
    }

    async fn ended(&self) -> Ended {
        self.child.ended().await;
        self.summary().expect("a child that has ended has a death")
    }

    fn summary(&self) -> Option<Ended> {
        let death = self.child.death()?;
        let started = self.started.get().copied().unwrap_or(death.at);
        Some(Ended {
            exit: death.exit,
            user: death.user,
            system: death.system,
            elapsed: death.at.saturating_duration_since(started),
        })
    }

    fn forward(&self, signal: i32) -> bool {
        match Signal::from_named_raw(signal) {
            Some(signal) => self.signal_all(signal),
            None => false,
        }
    }

    /// Ends it: softly, then hard.
    pub(super) async fn kill(&self, grace: Duration) -> Ended {
        if grace > Duration::ZERO && self.signal_all(Signal::TERM) {
            // A stopped process handles nothing until it continues.
            self.signal_all(Signal::CONT);
            self.emptied_within(grace).await;
        }
        self.kill_hard().await;
        self.ended().await
    }

    /// SIGKILL to everybody, until nobody is left.
    async fn kill_hard(&self) {
        while !self.is_empty() {
            match &self.cgroup {
                Some(cgroup) => {
                    let directory = cgroup.directory();
                    cgroup::freeze(directory);
                    let frozen =
                        || cgroup::is_frozen(directory) || !cgroup::is_populated(directory);
                    happened_within(FREEZE_TIMEOUT, frozen).await;
                    cgroup::kill(directory);
                }
                None => {
                    self.signal_all(Signal::KILL);
                }
            }
            if self.child.death().is_none() {
                // It may have been moved out of its cgroup.
                self.child.kill();
            }
            self.emptied_within(KILL_AGAIN).await;
        }
    }

    /// Sends to the process group, and to each process that has left it. Returns whether anybody was there.
    fn signal_all(&self, signal: Signal) -> bool {
        let leader = self.child.pid();
        let mut sent = signal_group(leader, signal);
        let leader = self.child.number();
        let mark = self.mark();
        let in_cgroup = self.cgroup.as_ref().map(Cgroup::members);
        for pid in in_cgroup.clone().unwrap_or_else(|| mark.members()) {
            // Whom the group's signal reached does not get a second one.
            let in_group = proc::stat(pid).is_some_and(|stat| stat.group == leader);
            if sent && in_group {
                continue;
            }
            let directory = self.cgroup.as_ref().map(Cgroup::directory);
            signal_process(pid, signal, |pid| match directory {
                Some(directory) => is_in(directory, pid),
                None => mark.is_member(pid),
            });
            sent = true;
        }
        sent
    }

    fn is_empty(&self) -> bool {
        self.child.death().is_some()
            && match &self.cgroup {
                Some(cgroup) => !cgroup::is_populated(cgroup.directory()),
                None => self.mark().members().is_empty(),
            }
    }

    async fn emptied_within(&self, limit: Duration) {
        happened_within(limit, || self.is_empty()).await;
    }

    fn mark(&self) -> Mark {
        let reaped = self.child.death().map(|death| death.ticks);
        Mark::new(self.key, self.child.number(), reaped)
    }
}

fn is_in(directory: &Path, pid: i32) -> bool {
    let text = std::fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
    text.lines().any(|line| line.parse() == Ok(pid))
}

/// Looks, with growing pauses, until it is so or the time is over.
async fn happened_within(limit: Duration, is_so: impl Fn() -> bool) {
    let until = tokio::time::Instant::now() + limit;
    let mut pause = FIRST_LOOK;
    while !is_so() && tokio::time::Instant::now() < until {
        tokio::time::sleep(pause.min(until.saturating_duration_since(tokio::time::Instant::now())))
            .await;
        pause = LAST_LOOK.min(pause * 2);
    }
}
