//! The launcher: shims at hand, stages under way, and the keeper that knows them.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    io,
    os::fd::{AsFd, OwnedFd},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use thiserror::Error;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest},
    net::UnixStream,
    runtime::Handle,
    signal::unix::{SignalKind, signal},
};

use super::{
    cgroup::{Cgroup, Tree},
    children::{Child, on_spawner, reap_strangers},
    keeper_link::{self, Keeper},
    nursery::Nursery,
    process::{Prepared, Stage},
    socket::{self, HEADER},
    spec::{Credentials, Report, Spec, Stdio, Style, Task, Text},
};

/// Longest time from the task to the report of a shim. It looks up file names and users, which may wait for a server.
const PREPARE_TIMEOUT: Duration = Duration::from_secs(30);

/// Strangers are reaped this long after the first of them ended, so that many cost one look at the process table.
const REAP_PAUSE: Duration = Duration::from_millis(50);

/// How long after a spare was taken the next one is started. Starting it costs some of the very machine, and of the lock over births and
/// deaths, that the stage which took it is about to use; a short pipe is over by then.
const REFILL_PAUSE: Duration = Duration::from_millis(10);

/// The next look at strangers that could not be judged, since a child of our own hid them.
const REAP_AGAIN: Duration = Duration::from_secs(1);

/// How a launcher works.
#[derive(Clone, Debug)]
pub struct LauncherSettings {
    /// The program that is started as nursery and keeper: one whose `main` begins with [`early_main`](super::early_main). The default is
    /// this very program, even if its file was replaced since.
    pub exe: PathBuf,
    /// Shims that are started in advance, so that a stage need not wait for one. Each is a process with some 200 KiB of its own.
    pub spare_shims: usize,
    /// Whether to use control groups where there are any.
    pub cgroups: bool,
    /// Whether to start a keeper.
    pub keeper: bool,
}

/// How the processes of a stage are kept together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// By a control group: nothing escapes it.
    Cgroup,
    /// By process group, session and environment.
    ProcessGroup,
}

/// Starts apps. Clones are handles to the same launcher.
#[derive(Clone, Debug)]
pub struct Launcher {
    pub(super) shared: Arc<Shared>,
}

/// Why an app could not be made ready.
#[derive(Debug, Error)]
pub enum SpawnError {
    /// A step of the shim failed.
    #[error("{step}: {}", io::Error::from_raw_os_error(*errno))]
    Step {
        /// Which.
        step: String,
        /// The error number, as in errno(3).
        errno: i32,
    },
    /// No shim could be started, or it could not be spoken to.
    #[error("starting a process failed")]
    Shim(#[source] io::Error),
    /// The report of the shim did not come in time.
    #[error("the process was not ready within {} s", PREPARE_TIMEOUT.as_secs())]
    TimedOut,
    /// A limit cannot be set here.
    #[error("the limit of {limit} cannot be set on this node")]
    Limit {
        /// Which.
        limit: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The keeper could not take the stage.
    #[error("handing the process to the keeper failed")]
    Keeper(#[source] io::Error),
    /// The launcher is shutting down.
    #[error("no more processes are started")]
    Closed,
}

/// What all handles share.
#[derive(Debug)]
pub(super) struct Shared {
    settings: LauncherSettings,
    tree: Option<Arc<Tree>>,
    keeper: Option<Keeper>,
    nursery: Arc<Nursery>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    closed: bool,
    spares: Vec<Shim>,
    /// Spares that are being started.
    coming: usize,
    stages: BTreeMap<u64, Arc<Stage>>,
}

/// A shim that waits for its task.
#[derive(Debug)]
pub(super) struct Shim {
    child: Child,
    socket: UnixStream,
    cgroup: Option<Cgroup>,
}

// === impl LauncherSettings ===

impl Default for LauncherSettings {
    fn default() -> Self {
        Self {
            exe: PathBuf::from("/proc/self/exe"),
            // Four: few pipes have more stages on one node, and the next ones are ready before the next pipe comes.
            spare_shims: 4,
            cgroups: true,
            keeper: true,
        }
    }
}

// === impl Isolation ===

impl Isolation {
    /// As it stands in an answer: `cgroup` or `pgroup`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cgroup => "cgroup",
            Self::ProcessGroup => "pgroup",
        }
    }
}

// === impl SpawnError ===

impl SpawnError {
    /// Whether the node lacks processes, memory or descriptors for now; another node may have some.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        use rustix::io::Errno;
        let errno = match self {
            Self::Step { errno, .. } => Some(*errno),
            Self::Shim(source) | Self::Keeper(source) => source.raw_os_error(),
            Self::TimedOut | Self::Limit { .. } | Self::Closed => None,
        };
        let scarce = [Errno::AGAIN, Errno::NOMEM, Errno::MFILE, Errno::NFILE];
        errno.is_some_and(|errno| scarce.iter().any(|e| e.raw_os_error() == errno))
    }
}

// === impl Launcher ===

impl Launcher {
    /// Makes a launcher: its cgroup, its keeper, its first shims. This process becomes the one to which orphans of its stages are handed.
    ///
    /// # Errors
    ///
    /// When a thread cannot be started or signals cannot be watched.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn start(settings: LauncherSettings) -> io::Result<Self> {
        let own = rustix::process::getpid();
        rustix::process::set_child_subreaper(Some(own))?;
        let tree = if settings.cgroups {
            Tree::create().map(Arc::new)
        } else {
            None
        };
        let keeper = if settings.keeper {
            let directory = tree.as_ref().map(|tree| tree.directory().to_owned());
            Some(Keeper::start(settings.exe.clone(), directory)?)
        } else {
            None
        };
        let nursery = Arc::new(Nursery::new(settings.exe.clone()));
        let shared = Arc::new(Shared {
            settings,
            tree,
            keeper,
            nursery,
            state: Mutex::default(),
        });
        spawn_reaper(Arc::downgrade(&shared))?;
        shared.refill(Duration::ZERO);
        Ok(Self { shared })
    }

    /// How stages are kept together here.
    #[must_use]
    pub fn isolation(&self) -> Isolation {
        match self.shared.tree {
            Some(_) => Isolation::Cgroup,
            None => Isolation::ProcessGroup,
        }
    }

    /// How many stages are prepared or running.
    #[must_use]
    pub fn running(&self) -> usize {
        let state = self.shared.state();
        let lives = |stage: &&Arc<Stage>| stage.child().death().is_none();
        state.stages.values().filter(lives).count()
    }

    /// Does everything for an app but `execve`. Dropping the future undoes it.
    ///
    /// # Errors
    ///
    /// See [`SpawnError`]. Nothing is left behind then.
    pub async fn prepare(&self, spec: Spec, stdio: Stdio) -> Result<Prepared, SpawnError> {
        let shim = self.shared.take_shim().await?;
        self.shared.refill(REFILL_PAUSE);
        let preparing = self.prepare_with(shim, spec, stdio);
        let prepared = tokio::time::timeout(PREPARE_TIMEOUT, preparing).await;
        prepared.unwrap_or(Err(SpawnError::TimedOut))
    }

    async fn prepare_with(
        &self,
        shim: Shim,
        spec: Spec,
        stdio: Stdio,
    ) -> Result<Prepared, SpawnError> {
        let Shim {
            child,
            mut socket,
            cgroup,
        } = shim;
        let key = spec.key;
        let task = task(spec, cgroup.as_ref())?;
        let bytes = socket::encode(&task).map_err(SpawnError::Shim)?;
        let stdout_pipe = pipe_inode(&stdio.stdout);
        send_task(&mut socket, &bytes, &stdio)
            .await
            .map_err(SpawnError::Shim)?;

        // While the shim works, the keeper is told; before the barrier opens, it knows.
        let hold = match &self.shared.keeper {
            None => None,
            Some(keeper) => {
                let stage = keeper_link::Stage {
                    key,
                    pid: child.number(),
                    descriptor: child
                        .descriptor()
                        .try_clone_to_owned()
                        .map_err(SpawnError::Shim)?,
                    cgroup: cgroup.as_ref().map(|cgroup| cgroup.directory().to_owned()),
                    stdin_writer: stdio.stdin_writer,
                    stderr_reader: stdio.stderr_reader,
                };
                Some(keeper.hold(stage).await.map_err(SpawnError::Keeper)?)
            }
        };
        // Ours are copies; the shim has its own now.
        drop((stdio.stdin, stdio.stdout, stdio.stderr));

        let report = read_report(&mut socket).await.map_err(SpawnError::Shim)?;
        let argv = match report {
            Some(Report::Ready { argv }) => argv.into_iter().map(|arg| arg.0).collect(),
            Some(Report::Failed { step, errno }) => return Err(SpawnError::Step { step, errno }),
            None => return Err(SpawnError::Shim(io::ErrorKind::UnexpectedEof.into())),
        };
        let stage = Arc::new(Stage::new(key, child, cgroup, hold, stdout_pipe));
        self.shared.adopt(stage.clone())?;
        Ok(Prepared::new(stage, socket, argv))
    }

    /// Kills what still runs, last stage first, and lets shims and keeper go. Nothing can be prepared afterwards.
    pub async fn shutdown(&self) {
        let (spares, stages) = {
            let mut state = self.shared.state();
            state.closed = true;
            let stages: Vec<_> = state.stages.values().cloned().collect();
            (std::mem::take(&mut state.spares), stages)
        };
        let idle: Vec<Child> = spares.iter().map(|shim| shim.child.clone()).collect();
        drop(spares);
        for child in idle {
            child.ended().await;
        }
        let mut pipes: BTreeMap<_, Vec<Arc<Stage>>> = BTreeMap::new();
        for stage in stages {
            pipes.entry(stage.key().pipe).or_default().push(stage);
        }
        let ends = pipes.into_values().map(|mut stages| async move {
            stages.sort_by_key(|stage| std::cmp::Reverse(stage.key().stage));
            for stage in stages {
                stage.kill(Duration::ZERO).await;
            }
        });
        futures_util::future::join_all(ends).await;
        self.shared.nursery.stop().await;
        if let Some(keeper) = &self.shared.keeper {
            keeper.stop().await;
        }
    }
}

// === impl Shared ===

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A shim that lives, from the spares or a new one.
    async fn take_shim(&self) -> Result<Shim, SpawnError> {
        loop {
            let spare = {
                let mut state = self.state();
                if state.closed {
                    return Err(SpawnError::Closed);
                }
                state.spares.pop()
            };
            match spare {
                Some(shim) if shim.child.death().is_none() => return Ok(shim),
                Some(_) => {}
                None => {
                    return start_shim(self.nursery.clone(), self.tree.clone())
                        .await
                        .map_err(SpawnError::Shim);
                }
            }
        }
    }

    /// Starts spares in the background, after a pause. One that cannot be started is not missed until a stage needs it, and then it is an answer.
    fn refill(self: &Arc<Self>, pause: Duration) {
        loop {
            {
                let mut state = self.state();
                if state.closed || state.spares.len() + state.coming >= self.settings.spare_shims {
                    return;
                }
                state.coming += 1;
            }
            let (shared, nursery, tree) = (
                Arc::downgrade(self),
                self.nursery.clone(),
                self.tree.clone(),
            );
            tokio::spawn(async move {
                tokio::time::sleep(pause).await;
                let closed = |shared: Arc<Self>| shared.state().closed;
                if shared.upgrade().is_none_or(closed) {
                    return;
                }
                let started = start_shim(nursery, tree).await;
                if let Some(shared) = shared.upgrade() {
                    let mut state = shared.state();
                    state.coming -= 1;
                    if !state.closed {
                        state.spares.extend(started);
                    }
                }
            });
        }
    }

    /// Keeps a stage on the list until its process has ended, whoever drops its handles.
    fn adopt(self: &Arc<Self>, stage: Arc<Stage>) -> Result<(), SpawnError> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        {
            let mut state = self.state();
            if state.closed {
                return Err(SpawnError::Closed);
            }
            state.stages.insert(number, stage.clone());
        }
        let shared = Arc::downgrade(self);
        tokio::spawn(async move {
            stage.child().ended().await;
            if let Some(shared) = shared.upgrade() {
                shared.state().stages.remove(&number);
            }
        });
        Ok(())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(keeper) = &self.keeper {
            keeper.release();
        }
    }
}

/// A command that starts this program in a role, with one end of a socket as its standard input and nothing else of ours. No user, no
/// group, no closure: so the standard library starts it without copying this process.
pub(super) fn role_command(exe: &Path, role: &str, socket: OwnedFd) -> Command {
    let mut command = Command::new(exe);
    command
        .arg0(OsStr::new("dpipes"))
        .arg(role)
        .env_clear()
        .stdin(socket)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    command
}

/// Has a shim made, in a cgroup of its own long before it could fork.
async fn start_shim(nursery: Arc<Nursery>, tree: Option<Arc<Tree>>) -> io::Result<Shim> {
    let runtime = Handle::current();
    // All of it in the job: whoever gives up waiting for it leaves no child without its task.
    let job = move || -> io::Result<_> {
        let cgroup = tree.map(|tree| tree.stage()).transpose()?;
        let (socket, born) = nursery.bear(cgroup.as_ref(), &runtime)?;
        let _inside = runtime.enter();
        let child = Child::watch(born.pid, born.descriptor)?;
        let joined = match &cgroup {
            Some(cgroup) if !born.in_cgroup => cgroup.join(child.number()),
            Some(_) | None => Ok(()),
        };
        Ok((child, socket, cgroup, joined))
    };
    let (child, socket, cgroup, joined) = on_spawner(job)?.await.map_err(io::Error::other)??;
    // With the socket gone, the shim goes as well.
    joined?;
    let socket = std::os::unix::net::UnixStream::from(socket);
    socket.set_nonblocking(true)?;
    let socket = UnixStream::from_std(socket)?;
    Ok(Shim {
        child,
        socket,
        cgroup,
    })
}

fn task(spec: Spec, cgroup: Option<&Cgroup>) -> Result<Task, SpawnError> {
    let text = |(name, value)| (Text(name), Text(value));
    let mut env: Vec<(Text, Text)> = spec.env.into_iter().map(text).collect();
    let own = [
        ("DP_PIPE", spec.key.pipe.to_string()),
        ("DP_STAGE", spec.key.stage.to_string()),
    ];
    for (name, value) in own {
        if !env.iter().any(|(other, _)| other.0 == name) {
            env.push((Text(name.into()), Text(value.into())));
        }
    }
    let limits = spec.limits;
    let mut address_space = None;
    if let Some(bytes) = limits.memory {
        match cgroup.map(|cgroup| cgroup.limit("memory.max", bytes)) {
            Some(Ok(())) => cgroup.into_iter().for_each(Cgroup::end_together),
            Some(Err(_)) | None => address_space = Some(bytes),
        }
    }
    if let Some(count) = limits.processes {
        let no_cgroup = || Err(io::ErrorKind::Unsupported.into());
        cgroup
            .map_or_else(no_cgroup, |cgroup| cgroup.limit("pids.max", count))
            .map_err(|source| SpawnError::Limit {
                limit: "processes",
                source,
            })?;
    }
    let cpu_seconds = limits
        .cpu_time
        .map(|time| time.as_secs() + u64::from(time.subsec_nanos() > 0));
    let open_files = match limits.open_files {
        Some(count) => Some((count, Some(count))),
        // This process may have raised its own; apps that use select(2) break beyond what they were started with.
        None => super::original_open_files().map(|soft| (soft, None)),
    };
    Ok(Task {
        program: Text(spec.program.into()),
        arg0: Text(spec.arg0),
        args: spec.args,
        env,
        env_words: spec
            .env_words
            .into_iter()
            .map(|(name, word)| (Text(name), word))
            .collect(),
        cwd: Text(spec.cwd.into()),
        home: spec.home.map(|home| Text(home.into())),
        user: spec
            .run_as
            .filter(|_| spec.style == Style::Contained)
            .map(|user| Credentials {
                uid: user.uid,
                gid: user.gid,
                groups: user.groups,
            }),
        umask: spec.umask,
        style: spec.style,
        no_new_privs: spec.no_new_privs,
        die_with: spec
            .die_with_parent
            .then(|| rustix::process::getpid().as_raw_nonzero().get()),
        open_files,
        address_space,
        cpu_seconds,
    })
}

/// Sends the task; the descriptors go with its first bytes.
async fn send_task(socket: &mut UnixStream, bytes: &[u8], stdio: &Stdio) -> io::Result<()> {
    let descriptors = [
        stdio.stdin.as_fd(),
        stdio.stdout.as_fd(),
        stdio.stderr.as_fd(),
    ];
    let sent = socket
        .async_io(Interest::WRITABLE, || {
            Ok(socket::send(&*socket, &bytes[..HEADER], &descriptors)?)
        })
        .await?;
    socket.write_all(&bytes[sent..]).await
}

/// The next report; `None` when the socket was closed without one.
pub(super) async fn read_report(socket: &mut UnixStream) -> io::Result<Option<Report>> {
    let mut header = [0; HEADER];
    let closed = |error: &io::Error| {
        matches!(
            error.kind(),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
        )
    };
    match socket.read_exact(&mut header).await {
        Ok(_) => {}
        Err(error) if closed(&error) => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut text = vec![0; socket::decode_header(header)?];
    socket.read_exact(&mut text).await?;
    Ok(Some(serde_json::from_slice(&text)?))
}

/// The inode of a pipe, by which its other holders are found.
fn pipe_inode(descriptor: &OwnedFd) -> Option<u64> {
    let stat = rustix::fs::fstat(descriptor).ok()?;
    rustix::fs::FileType::from_raw_mode(stat.st_mode)
        .is_fifo()
        .then_some(stat.st_ino)
}

/// Reaps orphans that were handed to this process, as long as the launcher lives.
fn spawn_reaper(shared: Weak<Shared>) -> io::Result<()> {
    let mut news = signal(SignalKind::child())?;
    tokio::spawn(async move {
        while shared.strong_count() > 0 {
            // Without news the wait ends all the same, to see whether the launcher is gone, and to look again at strangers that a child
            // of our own had hidden.
            let _ = tokio::time::timeout(REAP_AGAIN, news.recv()).await;
            tokio::time::sleep(REAP_PAUSE).await;
            let _ = tokio::task::spawn_blocking(reap_strangers).await;
        }
    });
    Ok(())
}
