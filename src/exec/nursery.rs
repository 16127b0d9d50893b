//! The nursery: a tiny process next to the daemon that makes shims, by copying itself.
//!
//! It is the same program, started as `__nursery` when the daemon is, single-threaded, and it does nothing else. To start this program anew
//! for every stage takes most of what a short stage takes, nearly all of it the work of the dynamic linker; to copy a process that is
//! small takes a fifth of that, and as long however large the daemon has become. Its copies are children of the daemon, not its own: so
//! the daemon reaps them, and their parent-death signal is about the daemon.
//!
//! ```text
//! daemon --(one byte) + the shim's socket [+ its cgroup]--> nursery
//!        <--Born{pid, in_cgroup} or Failed{errno}----------
//!        --(socket closed)  the daemon is gone: exit------>
//! ```

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use nix::{sys::prctl, unistd};
use rustix::{
    net::{RecvFlags, SocketType, sockopt},
    process::Pid,
    stdio::dup2_stdin,
};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use super::{
    cgroup::Cgroup,
    children::{self, Child},
    kernel::{self, Copied},
    launcher::role_command,
    shim,
    socket::{self, receive},
};

/// A nursery that has not answered for so long hangs, and is replaced. It copies a small process, which takes well below a millisecond.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often a shim is asked for: once more than a nursery may have died, or been killed, since the last one.
const ATTEMPTS: usize = 2;

/// Longest answer: two short words and two numbers.
const MAX_ANSWER: usize = 128;

/// What the nursery answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    /// A shim was made.
    Born {
        /// Its process.
        pid: i32,
        /// Whether it was born into its cgroup; an old kernel, and some sandboxes, know only how to move it there.
        in_cgroup: bool,
    },
    /// None could be made.
    Failed {
        /// The error number, as in errno(3).
        errno: i32,
    },
}

/// A shim that was just made, on the list of children.
#[derive(Debug)]
pub(super) struct Newborn {
    pub(super) pid: Pid,
    /// Its process descriptor.
    pub(super) descriptor: OwnedFd,
    /// Whether it is in its cgroup already.
    pub(super) in_cgroup: bool,
}

/// The daemon's end. Whoever asks it blocks, so only the spawner thread does.
#[derive(Debug)]
pub(super) struct Nursery {
    exe: PathBuf,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    socket: OwnedFd,
    child: Child,
}

/// Makes shims until the daemon is gone, and does not return.
pub(super) fn run() -> ! {
    shim::leave(match serve() {
        Ok(()) => 0,
        Err(_) => 1,
    })
}

fn serve() -> io::Result<()> {
    shim::close_inherited()?;
    unistd::setsid()?;
    prctl::set_name(c"dpipes-nursery")?;
    // Once, for all that are born here: what is ignored or blocked is inherited.
    kernel::default_signals()?;
    let requests = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    // A copy of this socket in a shim would hide the nursery's death from the daemon.
    dup2_stdin(rustix::stdio::stdout())?;
    loop {
        let mut request = [0];
        let (got, descriptors) = receive(&requests, &mut request)?;
        if got == 0 {
            return Ok(());
        }
        let mut descriptors = descriptors.into_iter();
        let (Some(socket), cgroup) = (descriptors.next(), descriptors.next()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let answer = match copy(cgroup.as_ref()) {
            Ok((Copied::Copy, _)) => {
                drop((requests, cgroup));
                shim::run(socket);
            }
            Ok((Copied::Original { pid }, in_cgroup)) => Answer::Born { pid, in_cgroup },
            Err(error) => Answer::Failed {
                errno: error.raw_os_error().unwrap_or_default(),
            },
        };
        socket::send(&requests, &serde_json::to_vec(&answer)?, &[])?;
    }
}

/// Copies this process, into the cgroup if the kernel can. What it cannot is tried without, and then says what is really wrong.
fn copy(cgroup: Option<&OwnedFd>) -> io::Result<(Copied, bool)> {
    if let Some(cgroup) = cgroup
        && let Ok(copied) = kernel::copy_into(cgroup.as_fd())
    {
        return Ok((copied, true));
    }
    Ok((kernel::copy()?, false))
}

// === impl Nursery ===

impl Nursery {
    pub(super) fn new(exe: PathBuf) -> Self {
        Self {
            exe,
            running: Mutex::default(),
        }
    }

    /// Makes a shim, and returns the socket at whose other end it is. Only for the spawner thread.
    pub(super) fn bear(
        &self,
        cgroup: Option<&Cgroup>,
        runtime: &Handle,
    ) -> io::Result<(OwnedFd, Newborn)> {
        let cgroup = cgroup.map(Cgroup::open).transpose()?;
        let mut running = self.running();
        let mut failed = io::ErrorKind::NotConnected.into();
        for _ in 0..ATTEMPTS {
            // A pair for each try: a nursery that failed may have made a shim all the same, and two must not share a socket.
            let (ours, theirs) = socket::pair(SocketType::STREAM)?;
            let nursery = match running.take() {
                Some(nursery) => nursery,
                None => self.start(runtime)?,
            };
            match nursery.bear(&theirs, cgroup.as_ref()) {
                Ok(said) => {
                    *running = Some(nursery);
                    return said.map(|newborn| (ours, newborn));
                }
                Err(error) => {
                    nursery.child.kill();
                    failed = error;
                }
            }
        }
        Err(failed)
    }

    fn start(&self, runtime: &Handle) -> io::Result<Running> {
        let (socket, theirs) = socket::pair(SocketType::SEQPACKET)?;
        for direction in [sockopt::Timeout::Send, sockopt::Timeout::Recv] {
            sockopt::set_socket_timeout(&socket, direction, Some(PATIENCE))?;
        }
        let mut command = role_command(&self.exe, super::NURSERY, theirs);
        let (pid, descriptor) = children::spawn(&mut command)?;
        let _inside = runtime.enter();
        let child = Child::watch(pid, descriptor)?;
        Ok(Running { socket, child })
    }

    /// Lets the nursery go; it leaves by itself.
    pub(super) async fn stop(&self) {
        let running = self.running().take();
        if let Some(Running { socket, child }) = running {
            drop(socket);
            child.ended().await;
        }
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Running ===

impl Running {
    /// The outer error is of the nursery, the inner one what it says.
    fn bear(&self, socket: &OwnedFd, cgroup: Option<&OwnedFd>) -> io::Result<io::Result<Newborn>> {
        let mut descriptors = vec![socket.as_fd()];
        descriptors.extend(cgroup.map(AsFd::as_fd));
        let mut answer = Err(io::ErrorKind::NotConnected.into());
        let adopted = children::adopt(|| {
            answer = self.ask(&descriptors);
            match answer {
                Ok(Answer::Born { pid, .. }) => {
                    Pid::from_raw(pid).ok_or_else(|| io::ErrorKind::InvalidData.into())
                }
                Ok(Answer::Failed { errno }) => Err(io::Error::from_raw_os_error(errno)),
                Err(_) => Err(io::ErrorKind::NotConnected.into()),
            }
        });
        let in_cgroup = matches!(
            answer?,
            Answer::Born {
                in_cgroup: true,
                ..
            }
        );
        Ok(adopted.map(|(pid, descriptor)| Newborn {
            pid,
            descriptor,
            in_cgroup,
        }))
    }

    fn ask(&self, descriptors: &[std::os::fd::BorrowedFd<'_>]) -> io::Result<Answer> {
        socket::send(&self.socket, b"s", descriptors)?;
        let mut answer = [0; MAX_ANSWER];
        // With a timeout, a signal that is handled on this thread ends the call whatever its handler says about restarts.
        let (got, _) = rustix::io::retry_on_intr(|| {
            rustix::net::recv(&self.socket, &mut answer, RecvFlags::empty())
        })?;
        if got == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(serde_json::from_slice(&answer[..got])?)
    }
}
