//! The daemon's end of the keeper: what it was told, so that another can be told the same if it dies.

use std::{
    collections::BTreeMap,
    io,
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    time::Duration,
};

use rustix::net::{SocketType, sockopt};
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
    commands: Sender<Command>,
}

/// How the rest of this process speaks to the keeper: through one thread, that waits for its socket so that nobody else has to.
#[derive(Clone, Debug)]
pub(super) struct Keeper {
    // Without a bound: a stage makes three messages in its life, and the number of stages is limited where they are admitted.
    commands: Sender<Command>,
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

/// The thread's own state.
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
        let mut link = Link {
            exe,
            tree,
            runtime: Handle::current(),
            commands: commands.clone(),
            keeper: None,
            stages: BTreeMap::new(),
        };
        std::thread::Builder::new()
            .name("dpipes-keeper".into())
            .spawn(move || {
                // A keeper that cannot be started now is tried again when there is something to keep; then it is an answer.
                let _ = link.ensure();
                link.serve(&received);
            })?;
        Ok(Self { commands })
    }

    /// Gives a stage into the keeper's care; when this returns, it is, whatever happens to this process.
    pub(super) async fn hold(&self, stage: Stage) -> io::Result<Hold> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let id = NUMBER.fetch_add(1, Ordering::Relaxed);
        let (done, result) = oneshot::channel();
        let gone = || io::Error::other("the keeper's thread is gone");
        self.commands
            .send(Command::Hold(id, stage, done))
            .map_err(|_| gone())?;
        // From here on a drop of the future forgets the stage again.
        let hold = Hold {
            id,
            commands: self.commands.clone(),
        };
        result.await.map_err(|_| gone())??;
        Ok(hold)
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

// === impl Hold ===

impl Hold {
    /// The keeper closes its copy of the write end of the stage's standard input.
    pub(super) fn release(&self) {
        let _ = self.commands.send(Command::Release(self.id));
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let _ = self.commands.send(Command::Forget(self.id));
    }
}

// === impl Link ===

impl Link {
    fn serve(&mut self, commands: &Receiver<Command>) {
        for command in commands {
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
                        continue;
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
                Command::Stop(done) => {
                    let child = self.keeper.take().map(|(_, child)| child);
                    let _ = done.send(child);
                    return;
                }
            }
        }
    }

    /// Adds a stage to the table and tells the keeper, or a new keeper everything.
    fn tell(&mut self, add: impl FnOnce(&mut BTreeMap<u64, Stage>) -> u64) -> io::Result<()> {
        self.ensure()?;
        let id = add(&mut self.stages);
        let mut result = self.send_hold(id);
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
        let sent = match (&self.keeper, serde_json::to_vec(message)) {
            (Some((socket, _)), Ok(text)) => socket::send(socket, &text, &[]).is_ok(),
            _ => false,
        };
        if !sent {
            self.replace();
            let _ = self.ensure();
        }
    }

    fn send_hold(&self, id: u64) -> io::Result<()> {
        let (Some((socket, _)), Some(stage)) = (&self.keeper, self.stages.get(&id)) else {
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
        socket::send(socket, &text, &descriptors)?;
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
            if let Err(error) = self.send_hold(id) {
                self.replace();
                return Err(error);
            }
        }
        Ok(())
    }
}
