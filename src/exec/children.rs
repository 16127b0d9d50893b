//! All children of this process: born on one thread, each watched by one task, none left as a zombie.
//!
//! Who is whose child is a property of the process, so the thread and the list are the process's too, however many launchers it has.

use std::{
    collections::BTreeSet,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    process::Command,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Sender, channel},
    },
    time::{Duration, Instant},
};

use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, pidfd_open,
    pidfd_send_signal, waitid,
};
use tokio::{
    io::unix::AsyncFd,
    sync::{oneshot, watch},
};

use super::{kernel, proc};

/// Numbers of the children that have a task to reap them. The lock covers every spawn and every reaping, so that a number on the list is
/// always the child that was put there.
static KNOWN: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// Whether nothing but [`spawn`] starts children in this process, so that every other child is somebody's orphan.
static ALONE: AtomicBool = AtomicBool::new(false);

type Job = Box<dyn FnOnce() + Send>;

/// How an app ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitKind {
    /// By itself, with this status.
    Code(u8),
    /// By this signal.
    Signal(i32),
}

/// What is known of a child that has been reaped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Death {
    pub(super) exit: ExitKind,
    pub(super) user: Duration,
    pub(super) system: Duration,
    pub(super) at: Instant,
    /// In ticks since boot: from then on the number may be another's.
    pub(super) ticks: u64,
}

/// A child and the news of its end. Its task reaps it, whoever drops this.
#[derive(Clone, Debug)]
pub(super) struct Child {
    pid: Pid,
    descriptor: Arc<AsyncFd<OwnedFd>>,
    death: watch::Receiver<Option<Death>>,
}

/// Runs a job on the thread that starts all children and never ends: the parent-death signal of a child is tied to the thread that
/// started it.
pub(super) fn on_spawner<T: Send + 'static>(
    job: impl FnOnce() -> T + Send + 'static,
) -> io::Result<oneshot::Receiver<T>> {
    static JOBS: OnceLock<Sender<Job>> = OnceLock::new();
    // The channel needs no bound: every job has somebody who waits for it.
    let jobs = match JOBS.get() {
        Some(jobs) => jobs,
        None => {
            let (sender, receiver) = channel::<Job>();
            std::thread::Builder::new()
                .name("dpipes-spawner".into())
                .spawn(move || receiver.into_iter().for_each(|job| job()))?;
            // Of two threads that a race may make, one ends at once, before it has started anything.
            JOBS.get_or_init(|| sender)
        }
    };
    let (done, result) = oneshot::channel();
    jobs.send(Box::new(move || {
        let _ = done.send(job());
    }))
    .map_err(|_| io::Error::other("the spawner thread is gone"))?;
    Ok(result)
}

/// Starts a child and puts it on the list. Only for the spawner thread.
pub(super) fn spawn(command: &mut Command) -> io::Result<(Pid, OwnedFd)> {
    let mut known = known();
    let mut child = command.spawn()?;
    let pid = Pid::from_child(&child);
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(descriptor) => {
            known.insert(pid.as_raw_nonzero().get());
            Ok((pid, descriptor))
        }
        Err(error) => {
            child.kill()?;
            child.wait()?;
            Err(error.into())
        }
    }
}

/// Puts a child on the list that a helper makes for this process. Only for the spawner thread: its number is the parent-death signal's
/// concern, and until it is on the list nobody else may look for it.
pub(super) fn adopt(make: impl FnOnce() -> io::Result<Pid>) -> io::Result<(Pid, OwnedFd)> {
    let mut known = known();
    let pid = make()?;
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(descriptor) => {
            known.insert(pid.as_raw_nonzero().get());
            Ok((pid, descriptor))
        }
        Err(error) => {
            kill_process(pid, Signal::KILL)?;
            waitid(WaitId::Pid(pid), WaitIdOptions::EXITED)?;
            Err(error.into())
        }
    }
}

/// Promises that no other part of this program starts a process.
pub(super) fn claim_all() {
    ALONE.store(true, Ordering::Relaxed);
}

/// Reaps children of others that were handed to this process: as a subreaper, as process 1, or by a script that had children before it
/// became this program. Those of stages come from sessions of their own. One in the session of this process is left alone, unless nobody
/// here can have started it.
pub(super) fn reap_strangers() {
    let known = known();
    // 0 where the session leader is outside this PID namespace, as below `unshare --pid` or `docker run`.
    let own_session =
        proc::stat(rustix::process::getpid().as_raw_nonzero().get()).map_or(0, |stat| stat.session);
    let is_alone = ALONE.load(Ordering::Relaxed);
    let is_stranger = |pid: i32| {
        !known.contains(&pid)
            && proc::stat(pid)
                .is_some_and(|stat| stat.is_dead && (is_alone || stat.session != own_session))
    };
    loop {
        // A look first: it costs nothing when nobody has ended, and usually finds the very child.
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let Ok(Some(_)) = waitid(WaitId::All, look) else {
            return;
        };
        // rustix does not tell who it was, and a known one may hide others behind it; so all are looked at.
        let strangers: Vec<i32> = proc::processes().filter(|pid| is_stranger(*pid)).collect();
        let mut reaped = false;
        for pid in strangers.into_iter().filter_map(Pid::from_raw) {
            let reap = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
            reaped |= matches!(waitid(WaitId::Pid(pid), reap), Ok(Some(_)));
        }
        if !reaped {
            return;
        }
    }
}

/// Signals the process group of a child that has not been reaped, so that its number cannot be another's. Returns whether it was sent.
pub(super) fn signal_group(leader: Pid, signal: Signal) -> bool {
    let known = known();
    known.contains(&leader.as_raw_nonzero().get()) && kill_process_group(leader, signal).is_ok()
}

/// Signals one process that is no child, unless it has ended meanwhile.
pub(super) fn signal_process(pid: i32, signal: Signal, is_meant: impl Fn(i32) -> bool) {
    let Some(number) = Pid::from_raw(pid) else {
        return;
    };
    // The descriptor first, then the look: what is signalled is what was looked at.
    if let Ok(descriptor) = pidfd_open(number, PidfdFlags::empty())
        && is_meant(pid)
    {
        let _ = pidfd_send_signal(descriptor, signal);
    }
}

/// Kills and reaps a child that cannot be watched.
fn abandon(pid: Pid) {
    let mut known = known();
    let _ = kill_process(pid, Signal::KILL);
    let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED);
    known.remove(&pid.as_raw_nonzero().get());
}

fn known() -> MutexGuard<'static, BTreeSet<i32>> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn reap(pid: Pid, descriptor: BorrowedFd<'_>) -> Option<Death> {
    let mut known = known();
    // While it is a zombie, its times can still be read.
    let stat = proc::stat(pid.as_raw_nonzero().get());
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    let exit = match waitid(WaitId::PidFd(descriptor), options) {
        Ok(None) => return None,
        Ok(Some(status)) => match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => ExitKind::Code(u8::try_from(code & 0xff).unwrap_or(u8::MAX)),
            (None, Some(signal)) => ExitKind::Signal(signal),
            (None, None) => return None,
        },
        // Somebody ignores SIGCHLD for this process or has stolen the child: it is gone, and only SIGKILL is as unspecific.
        Err(_) => ExitKind::Signal(Signal::KILL.as_raw()),
    };
    known.remove(&pid.as_raw_nonzero().get());
    Some(Death {
        exit,
        user: stat.map_or(Duration::ZERO, |stat| stat.user),
        system: stat.map_or(Duration::ZERO, |stat| stat.system),
        at: Instant::now(),
        ticks: proc::now_in_ticks(),
    })
}

// === impl Child ===

impl Child {
    /// Watches a child from [`spawn`]. To be called inside the runtime.
    pub(super) fn watch(pid: Pid, descriptor: OwnedFd) -> io::Result<Self> {
        let descriptor = match kernel::watch(descriptor) {
            Ok(descriptor) => Arc::new(descriptor),
            Err(error) => {
                abandon(pid);
                return Err(error);
            }
        };
        let (sender, death) = watch::channel(None);
        let watched = descriptor.clone();
        tokio::spawn(async move {
            loop {
                let Ok(mut ready) = watched.readable().await else {
                    return;
                };
                if let Some(death) = reap(pid, watched.get_ref().as_fd()) {
                    sender.send_replace(Some(death));
                    return;
                }
                ready.clear_ready();
            }
        });
        Ok(Self {
            pid,
            descriptor,
            death,
        })
    }

    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    pub(super) fn number(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.descriptor.get_ref().as_fd()
    }

    /// How it ended, if it has.
    pub(super) fn death(&self) -> Option<Death> {
        *self.death.borrow()
    }

    /// Waits for its end.
    pub(super) async fn ended(&self) -> Death {
        let mut death = self.death.clone();
        let known = death
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|death| *death);
        match known {
            Some(death) => death,
            // The runtime is going down and took the task with it; whoever still waits is about to be dropped as well.
            None => std::future::pending().await,
        }
    }

    /// Kills just this process.
    pub(super) fn kill(&self) {
        let _ = pidfd_send_signal(self.descriptor(), Signal::KILL);
    }
}
