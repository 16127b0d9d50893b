//! The daemon's end of the keeper: what it was told, so that another can be told the same if it dies.

use std::{
    collections::BTreeMap,
    io,
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    time::Duration,
};

use rustix::net::{SendFlags, SocketType, sockopt};
use tokio::{runtime::Handle, sync::oneshot};

use super::{
    children::{Child, on_spawner, spawn},
    keeper::{MAX_MESSAGE, ToKeeper},
    launcher::role_command,
    socket,
    spec::{Key, Text},
};

/// A keeper that takes no message for so long hangs, and is replaced. It does nothing but read.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often a keeper is replaced for one message.
const ATTEMPTS: usize = 2;

/// What the keeper is to keep of a stage.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) key: Key,
    pub(super) pid: i32,
    pub(super) descriptor: OwnedFd,
    pub(super) cgroup: Option<PathBuf>,
    pub(super) stdin_writer: Option<OwnedFd>,
    pub(super) stderr_reader: Option<OwnedFd>,
}

/// A stage in the keeper's care, until this is dropped.
#[derive(Debug)]
#[must_use = "the keeper forgets the stage when this is dropped"]
pub(super) struct Hold {
    id: u64,
    keeper: Keeper,
}

/// How the rest of this process speaks to the keeper: at once where its socket has room, as it nearly always has, and otherwise through a
/// thread that waits for it so that nobody else has to.
#[derive(Clone, Debug)]
pub(super) struct Keeper {
    // Without a bound: a stage makes three messages in its life, and the number of stages is limited where they are admitted.
    commands: Sender<Command>,
    link: Arc<Mutex<Link>>,
}

#[derive(Debug)]
enum Command {
    Hold(u64, Stage, oneshot::Sender<io::Result<()>>),
    Release(u64),
    Forget(u64),
    /// The keeper with this process number has died.
    Died(i32),
    Stop(oneshot::Sender<Option<Child>>),
}

/// Whether a message may wait for room in the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    No,
    Yes,
}

/// What is known of the keeper. The thread holds the lock while it waits; nobody waits for the lock but the thread.
#[derive(Debug)]
struct Link {
    exe: PathBuf,
    tree: Option<PathBuf>,
    runtime: Handle,
    commands: Sender<Command>,
    keeper: Option<(OwnedFd, Child)>,
    stages: BTreeMap<u64, Stage>,
}

// === impl Keeper ===

impl Keeper {
    /// Starts the thread and the keeper. To be called inside the runtime.
    pub(super) fn start(exe: PathBuf, tree: Option<PathBuf>) -> io::Result<Self> {
        let (commands, received) = channel();
        let link = Arc::new(Mutex::new(Link {
            exe,
            tree,
            runtime: Handle::current(),
            commands: commands.clone(),
            keeper: None,
            stages: BTreeMap::new(),
        }));
        let threads = link.clone();
        std::thread::Builder::new()
            .name("dpipes-keeper".into())
            .spawn(move || {
                // A keeper that cannot be started now is tried again when there is something to keep; then it is an answer.
                let _ = lock(&threads).ensure();
                serve(&threads, &received);
            })?;
        Ok(Self { commands, link })
    }

    /// Gives a stage into the keeper's care; when this returns, it is, whatever happens to this process.
    pub(super) async fn hold(&self, stage: Stage) -> io::Result<Hold> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let id = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mut stage = Some(stage);
        if self.at_once(|link| link.hold_at_once(id, &mut stage)) {
            return Ok(Hold {
                id,
                keeper: self.clone(),
            });
        }
        let stage = stage.expect("it is taken only by a keeper that was told");
        let (done, result) = oneshot::channel();
        let gone = || io::Error::other("the keeper's thread is gone");
        self.commands
            .send(Command::Hold(id, stage, done))
            .map_err(|_| gone())?;
        // From here on a drop of the future forgets the stage again.
        let hold = Hold {
            id,
            keeper: self.clone(),
        };
        result.await.map_err(|_| gone())??;
        Ok(hold)
    }

    /// Does this if it can be done without waiting, and returns whether it could.
    fn at_once(&self, act: impl FnOnce(&mut Link) -> bool) -> bool {
        self.link.try_lock().is_ok_and(|mut link| act(&mut link))
    }

    /// Lets the keeper go without waiting.
    pub(super) fn release(&self) {
        let _ = self.commands.send(Command::Stop(oneshot::channel().0));
    }

    /// Lets the keeper go and waits for its end. What it still keeps it kills.
    pub(super) async fn stop(&self) {
        let (done, result) = oneshot::channel();
        if self.commands.send(Command::Stop(done)).is_ok()
            && let Ok(Some(child)) = result.await
        {
            child.ended().await;
        }
    }
}

// === impl Wait ===

impl Wait {
    const fn flags(self) -> SendFlags {
        match self {
            Self::No => SendFlags::NOSIGNAL.union(SendFlags::DONTWAIT),
            Self::Yes => SendFlags::NOSIGNAL,
        }
    }
}

// === impl Hold ===

impl Hold {
    /// The keeper closes its copy of the write end of the stage's standard input.
    pub(super) fn release(&self) {
        let id = self.id;
        if !self.keeper.at_once(|link| link.release_at_once(id)) {
            let _ = self.keeper.commands.send(Command::Release(id));
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let id = self.id;
        if !self.keeper.at_once(|link| link.forget_at_once(id)) {
            let _ = self.keeper.commands.send(Command::Forget(id));
        }
    }
}

/// Serves what could not be done at once, until it is told to stop.
fn serve(link: &Mutex<Link>, commands: &Receiver<Command>) {
    for command in commands {
        if let Command::Stop(done) = command {
            let child = lock(link).keeper.take().map(|(_, child)| child);
            let _ = done.send(child);
            return;
        }
        lock(link).follow(command);
    }
}

fn lock(link: &Mutex<Link>) -> MutexGuard<'_, Link> {
    link.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Link ===

impl Link {
    fn follow(&mut self, command: Command) {
        match command {
            Command::Hold(id, stage, done) => {
                let result = self.tell(|stages| {
                    stages.insert(id, stage);
                    id
                });
                let _ = done.send(result);
            }
            Command::Release(id) => {
                let Some(stage) = self.stages.get_mut(&id) else {
                    return;
                };
                stage.stdin_writer = None;
                self.say(&ToKeeper::Release { id });
            }
            Command::Forget(id) => {
                if self.stages.remove(&id).is_some() {
                    self.say(&ToKeeper::Forget { id });
                }
            }
            Command::Died(pid) => {
                let current = self.keeper.as_ref().map(|(_, child)| child.number());
                if current == Some(pid) {
                    self.keeper = None;
                    // Until there is another, a death of this process may show an end of file that is none; the next stage
                    // reports it if none can be started.
                    let _ = self.ensure();
                }
            }
            Command::Stop(_) => {}
        }
    }

    /// Takes the stage, if the keeper can be told at once.
    fn hold_at_once(&mut self, id: u64, stage: &mut Option<Stage>) -> bool {
        let told = match stage {
            Some(stage) => self.send_hold(id, stage, Wait::No).is_ok(),
            None => false,
        };
        if told {
            self.stages.extend(stage.take().map(|stage| (id, stage)));
        }
        told
    }

    /// A stage that is not in the table is on its way through the thread, which must hear of this behind it.
    fn release_at_once(&mut self, id: u64) -> bool {
        let told =
            self.stages.contains_key(&id) && self.send(&ToKeeper::Release { id }, Wait::No).is_ok();
        if told && let Some(stage) = self.stages.get_mut(&id) {
            stage.stdin_writer = None;
        }
        told
    }

    fn forget_at_once(&mut self, id: u64) -> bool {
        let told =
            self.stages.contains_key(&id) && self.send(&ToKeeper::Forget { id }, Wait::No).is_ok();
        if told {
            self.stages.remove(&id);
        }
        told
    }

    /// Adds a stage to the table and tells the keeper, or a new keeper everything.
    fn tell(&mut self, add: impl FnOnce(&mut BTreeMap<u64, Stage>) -> u64) -> io::Result<()> {
        self.ensure()?;
        let id = add(&mut self.stages);
        let mut result = self.send_held(id);
        for _ in 0..ATTEMPTS {
            if result.is_ok() {
                return Ok(());
            }
            self.replace();
            result = self.ensure();
        }
        if result.is_err() {
            self.stages.remove(&id);
        }
        result
    }

    /// Tells the keeper something that a new one would not need to hear, as it is in the table.
    fn say(&mut self, message: &ToKeeper) {
        if self.send(message, Wait::Yes).is_err() {
            self.replace();
            let _ = self.ensure();
        }
    }

    fn send(&self, message: &ToKeeper, wait: Wait) -> io::Result<()> {
        let Some((socket, _)) = &self.keeper else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        socket::send_with(socket, &serde_json::to_vec(message)?, &[], wait.flags())?;
        Ok(())
    }

    fn send_held(&self, id: u64) -> io::Result<()> {
        match self.stages.get(&id) {
            Some(stage) => self.send_hold(id, stage, Wait::Yes),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn send_hold(&self, id: u64, stage: &Stage, wait: Wait) -> io::Result<()> {
        let Some((socket, _)) = &self.keeper else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let text = serde_json::to_vec(&ToKeeper::Hold {
            id,
            key: stage.key,
            pid: stage.pid,
            cgroup: stage.cgroup.as_ref().map(|path| Text(path.into())),
            has_stdin: stage.stdin_writer.is_some(),
            has_stderr: stage.stderr_reader.is_some(),
        })?;
        if text.len() > MAX_MESSAGE {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut descriptors = vec![stage.descriptor.as_fd()];
        descriptors.extend(stage.stdin_writer.as_ref().map(AsFd::as_fd));
        descriptors.extend(stage.stderr_reader.as_ref().map(AsFd::as_fd));
        socket::send_with(socket, &text, &descriptors, wait.flags())?;
        Ok(())
    }

    /// Kills a keeper that does not work. It must not act on the closing socket, for this process lives.
    fn replace(&mut self) {
        if let Some((socket, child)) = self.keeper.take() {
            child.kill();
            self.runtime.block_on(child.ended());
            drop(socket);
        }
    }

    /// Sees to it that there is a keeper that knows everything.
    fn ensure(&mut self) -> io::Result<()> {
        if self.keeper.is_some() {
            return Ok(());
        }
        let (ours, theirs) = socket::pair(SocketType::SEQPACKET)?;
        sockopt::set_socket_timeout(&ours, sockopt::Timeout::Send, Some(PATIENCE))?;
        let mut command = role_command(&self.exe, super::KEEPER, theirs);
        command.args(&self.tree);
        let spawned = on_spawner(move || spawn(&mut command))?.blocking_recv();
        let (pid, descriptor) = spawned.map_err(io::Error::other)??;
        let _inside = self.runtime.enter();
        let child = Child::watch(pid, descriptor)?;
        let (watched, commands) = (child.clone(), self.commands.clone());
        tokio::spawn(async move {
            watched.ended().await;
            let _ = commands.send(Command::Died(watched.number()));
        });
        self.keeper = Some((ours, child));
        for id in self.stages.keys().copied().collect::<Vec<_>>() {
            if let Err(error) = self.send_held(id) {
                self.replace();
                return Err(error);
            }
        }
        Ok(())
    }
}
