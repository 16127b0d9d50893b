//! The keeper: a tiny process next to the daemon that outlives its death by SIGKILL, kills its stages in the right order, and only then
//! lets go of their standard inputs, so that none of them takes the death of the daemon for the end of its input.
//!
//! It is the same program, started as `__keeper`, in a session of its own, and it parses nothing but what its daemon says:
//!
//! ```text
//! daemon --Hold{id, key, pid, cgroup} + pidfd [+ stdin write end] [+ stderr read end]--> keeper
//!        --Release{id}   its copy of the stdin write end is closed: a true end of file-->
//!        --Forget{id}    the stage is over--------------------------------------------->
//!        --(socket closed)  the daemon is gone: kill, wait, let go, exit---------------->
//! ```
//!
//! The socket keeps messages apart and in order, also across the daemon's death: what was sent is read before the end is.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsString,
    fs,
    os::fd::OwnedFd,
    path::PathBuf,
    time::{Duration, Instant},
};

use nix::sys::{prctl, signal::SigSet};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, Signal, kill_process_group, pidfd_send_signal},
};
use serde::{Deserialize, Serialize};

use super::{
    cgroup, children,
    proc::{self, Mark},
    shim,
    socket::receive,
    spec::{Key, Text},
};

/// Longest message: a path and some numbers.
pub(super) const MAX_MESSAGE: usize = 8192;

/// The keeper is the last that should die when memory runs out. Lowering the score takes a privilege; without it the default stays.
const OOM_SCORE: &str = "-900";

/// How long to wait for the stage after before killing the one before it all the same: a process that hangs in the kernel does not see
/// an end of file either.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two looks at processes that are being killed and have no descriptor to wait on.
const LOOK: Duration = Duration::from_millis(5);

/// How long the directories of shims that were idle are waited for.
const TIDY: Duration = Duration::from_secs(2);

/// What the daemon says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ToKeeper {
    /// Keep this stage: the descriptors that come along are its pidfd, then what the flags say.
    Hold {
        id: u64,
        key: Key,
        pid: i32,
        cgroup: Option<Text>,
        has_stdin: bool,
        has_stderr: bool,
    },
    /// Close the write end of its standard input.
    Release { id: u64 },
    /// It is over.
    Forget { id: u64 },
}

/// A stage that is kept.
struct Held {
    key: Key,
    pid: Pid,
    descriptor: OwnedFd,
    cgroup: Option<PathBuf>,
    stdin: Option<OwnedFd>,
    _stderr: Option<OwnedFd>,
    /// When the kill began, and until when (in ticks since boot) the leader's number certainly was its own.
    since: Option<(Instant, u64)>,
}

/// Keeps until the daemon is gone, and does not return.
pub(super) fn run(tree: Option<OsString>) -> ! {
    let _ = rustix::process::setsid();
    // Blocked is as good as ignored, and takes no handler: only SIGKILL ends a keeper.
    let _ = SigSet::all().thread_block();
    let _ = prctl::set_name(c"dpipes-keeper");
    let _ = fs::write("/proc/self/oom_score_adj", OOM_SCORE);
    let _ = shim::close_inherited();

    let held = listen();
    // Descriptors of standard inputs live in here until everything is dead.
    kill_all(held);
    if let Some(tree) = tree {
        remove_tree(&PathBuf::from(tree));
    }
    shim::leave(0)
}

/// Keeps the table until the socket is closed.
fn listen() -> HashMap<u64, Held> {
    let mut held: HashMap<u64, Held> = HashMap::new();
    let mut buffer = vec![0; MAX_MESSAGE];
    loop {
        let (length, descriptors) = match receive(rustix::stdio::stdin(), &mut buffer) {
            Ok((0, _)) | Err(_) => return held,
            Ok(received) => received,
        };
        match serde_json::from_slice(&buffer[..length]) {
            Ok(ToKeeper::Release { id }) => {
                if let Some(stage) = held.get_mut(&id) {
                    stage.stdin = None;
                }
            }
            Ok(ToKeeper::Forget { id }) => {
                held.remove(&id);
            }
            Ok(message @ ToKeeper::Hold { .. }) => {
                if let Some((id, stage)) = hold(message, descriptors) {
                    held.insert(id, stage);
                }
            }
            // The daemon is the same program; a message it does not know cannot be.
            Err(_) => {}
        }
    }
}

fn hold(message: ToKeeper, descriptors: Vec<OwnedFd>) -> Option<(u64, Held)> {
    let ToKeeper::Hold {
        id,
        key,
        pid,
        cgroup,
        has_stdin,
        has_stderr,
    } = message
    else {
        return None;
    };
    let mut descriptors = descriptors.into_iter();
    let descriptor = descriptors.next()?;
    let stdin = if has_stdin { descriptors.next() } else { None };
    let stage = Held {
        key,
        pid: Pid::from_raw(pid)?,
        descriptor,
        cgroup: cgroup.map(|path| path.0.into()),
        stdin,
        _stderr: if has_stderr { descriptors.next() } else { None },
        since: None,
    };
    Some((id, stage))
}

/// Kills every pipe from its last stage to its first, all pipes side by side. Returns when nobody is left.
fn kill_all(held: HashMap<u64, Held>) {
    let mut pipes: BTreeMap<_, Vec<Held>> = BTreeMap::new();
    for stage in held.into_values() {
        pipes.entry(stage.key.pipe).or_default().push(stage);
    }
    for stages in pipes.values_mut() {
        stages.sort_by_key(|stage| stage.key.stage);
    }
    // The dead ones keep their descriptors to the very end.
    let mut dead = Vec::new();
    loop {
        for stages in pipes.values_mut() {
            while let Some(last) = stages.last_mut() {
                if !last.kill() {
                    break;
                }
                dead.extend(stages.pop());
            }
        }
        pipes.retain(|_, stages| !stages.is_empty());
        if pipes.is_empty() {
            return;
        }
        let mut waiting: Vec<PollFd<'_>> = pipes
            .values()
            .filter_map(|stages| stages.last())
            .filter(|stage| !stage.leader_is_dead())
            .map(|stage| PollFd::new(&stage.descriptor, PollFlags::IN))
            .collect();
        let look = Timespec::try_from(LOOK).expect("a few milliseconds fit");
        let _ = poll(&mut waiting, Some(&look));
    }
}

/// Kills what nobody held and removes the directories; shims that were idle need a moment to go.
fn remove_tree(tree: &std::path::Path) {
    let until = Instant::now() + TIDY;
    cgroup::kill(tree);
    while !cgroup::remove(tree) && Instant::now() < until {
        let _ = poll(
            &mut [],
            Some(&Timespec::try_from(LOOK).expect("a few milliseconds fit")),
        );
    }
}

// === impl Held ===

impl Held {
    /// Kills what is still there. Returns whether nothing is, or nothing can be done about it.
    fn kill(&mut self) -> bool {
        let leader_was_dead = self.leader_is_dead();
        let (since, ours_until) = *self.since.get_or_insert_with(|| {
            // Of a leader that was dead before, nobody here knows since when.
            let until = if leader_was_dead {
                0
            } else {
                proc::now_in_ticks() + 1
            };
            (Instant::now(), until)
        });
        if Instant::now() > since + PATIENCE {
            return true;
        }
        let populated = |directory: &PathBuf| cgroup::is_populated(directory);
        let rest = self.cgroup.as_ref().is_some_and(populated);
        if let Some(directory) = self.cgroup.as_ref().filter(|_| rest) {
            // Frozen first, so that none of them sees what the death of another does to their pipes. The wait is short: who does not
            // freeze hangs in the kernel.
            cgroup::freeze(directory);
            let frozen = Instant::now() + LOOK * 4;
            while !cgroup::is_frozen(directory) && Instant::now() < frozen {
                std::thread::yield_now();
            }
            cgroup::kill(directory);
        }
        // Besides the cgroup, for a process may have been moved out of it.
        if !leader_was_dead {
            let _ = kill_process_group(self.pid, Signal::KILL);
            let _ = pidfd_send_signal(&self.descriptor, Signal::KILL);
        }
        let mut strays = 0;
        if self.cgroup.is_none() && leader_was_dead {
            // Its number may be another's by now; hence only who started before that could be, or has our environment.
            let leader = self.pid.as_raw_nonzero().get();
            let mark = Mark::new(self.key, leader, Some(ours_until));
            for pid in mark.members() {
                strays += 1;
                children::signal_process(pid, Signal::KILL, |pid| mark.is_member(pid));
            }
        }
        leader_was_dead && !rest && strays == 0
    }

    fn leader_is_dead(&self) -> bool {
        let mut poll_fd = [PollFd::new(&self.descriptor, PollFlags::IN)];
        let now = Timespec::default();
        poll(&mut poll_fd, Some(&now)).is_ok_and(|ready| ready > 0)
    }
}
