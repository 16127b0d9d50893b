//! The exec shim: a fresh, single-threaded process that does everything for an app but `execve`, waits at the barrier, and becomes it.
//!
//! The steps are those of the security design, in its order. It is born into its cgroup, or moved there by the spawner before it is told
//! anything; `setsid` happens at once, so that a signal from a terminal does not reach a shim that waits. Its signals are in order since
//! before its birth.

use std::{
    ffi::{CString, OsStr, OsString},
    fs, io,
    os::{
        fd::OwnedFd,
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{Path, PathBuf},
};

use nix::{
    sys::{prctl, signal::Signal},
    unistd::{self, Gid, Uid, User, getresgid, getresuid, setgroups, setresgid, setresuid},
};
use rustix::{
    io::Errno,
    process::{Resource, Rlimit, getppid, setrlimit},
    stdio::{dup2_stderr, dup2_stdin, dup2_stdout},
    thread::{
        CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
        remove_capability_from_bounding_set, set_capabilities,
    },
};

use super::{
    expand::{Homes, expand, expand_homes},
    kernel,
    socket::{read_message, receive, write_message},
    spec::{Credentials, GO, Report, Style, Task, Text},
};

/// The status of a shim whose program could not be executed; nobody reads it, since the report says more.
const FAILED: i32 = 127;

/// Added to the score by which the kernel chooses its victim when memory runs out: apps die before the daemon.
const OOM_SCORE: &str = "500";

/// Longest single argument the kernel takes, with its final NUL: 32 pages.
const MAX_ARGUMENT: usize = 32 * 4096;

/// Most bytes of arguments and environment together that the kernel takes, whatever the stack limit: three quarters of 8 MiB.
const MAX_ARGUMENTS: u64 = 6 << 20;

/// A step that failed.
struct Failed {
    step: &'static str,
    errno: i32,
}

/// Changes the directory of this process, which is about to become the app.
#[expect(
    clippy::disallowed_methods,
    reason = "the directory is the app's, and no other thread is here"
)]
fn enter(directory: &OsStr) -> io::Result<()> {
    std::env::set_current_dir(directory)
}

/// Serves one task, which comes over this socket, and does not return.
pub(super) fn run(socket: OwnedFd) -> ! {
    leave(match serve(socket) {
        Ok(()) => 0,
        Err(_) => FAILED,
    })
}

/// Ends this process. Nothing in a helper process has an end that must be run: the kernel closes what it holds.
#[expect(
    clippy::disallowed_methods,
    reason = "a helper process has no main to return to"
)]
pub(super) fn leave(status: i32) -> ! {
    std::process::exit(status)
}

/// `Ok` when the barrier was closed, which is no error: the shim goes without a word.
fn serve(socket: OwnedFd) -> io::Result<()> {
    unistd::setsid()?;
    prctl::set_name(c"dpipes-exec")?;
    let Some((task, stdio)) = read_message::<Task>(&socket)? else {
        return Ok(());
    };
    let ready = match prepare(&task, stdio) {
        Ok(ready) => ready,
        Err(Failed { step, errno }) => {
            let step = step.to_owned();
            write_message(&socket, &Report::Failed { step, errno })?;
            return Err(io::Error::from_raw_os_error(errno));
        }
    };
    let argv = ready.argv.iter().map(|arg| Text(os_string(arg))).collect();
    write_message(&socket, &Report::Ready { argv })?;

    let mut go = [0];
    if receive(&socket, &mut go)?.0 == 0 || go != [GO] {
        return Ok(());
    }
    let Err(errno) = unistd::execve(&ready.program, &ready.argv, &ready.env);
    let step = "execve".to_owned();
    let errno = errno as i32;
    write_message(&socket, &Report::Failed { step, errno })?;
    // The standard output stays open until the daemon says so: closed now, it would be an end of file for a neighbour on the same pipe.
    let _closed = receive(&socket, &mut go)?;
    Err(io::Error::from_raw_os_error(errno))
}

/// Closes whatever slipped in from the daemon's own parent.
pub(super) fn close_inherited() -> io::Result<()> {
    for number in kernel::open_descriptors()? {
        // The listing's own descriptor is in the list and closed by now; EBADF is what is wanted.
        let _ = unistd::close(number);
    }
    Ok(())
}

/// What `execve` is given.
struct Ready {
    program: CString,
    argv: Vec<CString>,
    env: Vec<CString>,
}

fn prepare(task: &Task, stdio: Vec<OwnedFd>) -> Result<Ready, Failed> {
    let contained = task.style == Style::Contained;
    if let Some(mask) = task.umask {
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(mask & 0o777));
    }
    set_limits(task)?;
    if contained {
        // Best effort: some containers have no such file, and an app that dies later than it should is no reason not to run it.
        let _ = fs::write("/proc/self/oom_score_adj", OOM_SCORE);
    }
    if let Some(user) = &task.user {
        become_user(user)?;
    }
    if let Some(parent) = task.die_with {
        prctl::set_pdeathsig(Signal::SIGKILL).map_err(nix_failed("parent-death signal"))?;
        // The parent may have died before the signal was asked for; then nobody is left to send it.
        if getppid().map_or(0, |pid| pid.as_raw_nonzero().get()) != parent {
            return Err(Failed {
                step: "parent-death signal",
                errno: Errno::SRCH.raw_os_error(),
            });
        }
    }
    if task.no_new_privs {
        prctl::set_no_new_privs().map_err(nix_failed("no-new-privs"))?;
    }
    // As the run user, not before: a directory that only the daemon may enter is none for the app.
    enter(&task.cwd.0).map_err(failed("chdir"))?;

    let mut stdio = stdio.into_iter();
    let (Some(stdin), Some(stdout), Some(stderr)) = (stdio.next(), stdio.next(), stdio.next())
    else {
        return Err(Failed {
            step: "stdio",
            errno: Errno::BADF.raw_os_error(),
        });
    };
    dup2_stdin(stdin).map_err(errno_failed("stdin"))?;
    dup2_stdout(stdout).map_err(errno_failed("stdout"))?;
    dup2_stderr(stderr).map_err(errno_failed("stderr"))?;
    arguments(task)
}

fn arguments(task: &Task) -> Result<Ready, Failed> {
    let homes = Passwd {
        own: task.home.as_ref().map(|home| PathBuf::from(&home.0)),
    };
    let cwd = Path::new(&task.cwd.0);
    let mut argv = vec![task.arg0.0.clone()];
    for word in &task.args {
        argv.extend(expand(word, &homes, cwd));
    }
    let mut env: Vec<(OsString, OsString)> = Vec::new();
    let plain = task
        .env
        .iter()
        .map(|(name, value)| (name.0.clone(), value.0.clone()));
    let words = task
        .env_words
        .iter()
        .map(|(name, word)| (name.0.clone(), expand_homes(word, &homes)));
    for (name, value) in plain.chain(words) {
        env.retain(|(other, _)| *other != name);
        env.push((name, value));
    }
    let env = env.into_iter().map(|(mut name, value)| {
        name.push("=");
        name.push(value);
        name
    });
    let ready = Ready {
        program: c_string(&task.program.0)?,
        argv: argv
            .iter()
            .map(|arg| c_string(arg))
            .collect::<Result<_, _>>()?,
        env: env
            .map(|entry| c_string(&entry))
            .collect::<Result<_, _>>()?,
    };
    check_size(&ready)?;
    Ok(ready)
}

/// What the kernel would refuse at `execve` is refused now, before anything has started anywhere.
fn check_size(ready: &Ready) -> Result<(), Failed> {
    let stack = rustix::process::getrlimit(Resource::Stack).current;
    let room = stack.map_or(MAX_ARGUMENTS, |stack| MAX_ARGUMENTS.min(stack / 4));
    let strings = || ready.argv.iter().chain(&ready.env);
    let longest = strings().map(|s| s.count_bytes() + 1).max().unwrap_or(0);
    let pointer = size_of::<usize>();
    let total: usize = strings().map(|s| s.count_bytes() + 1 + pointer).sum();
    if longest > MAX_ARGUMENT || total as u64 > room {
        return Err(Failed {
            step: "arguments",
            errno: Errno::TOOBIG.raw_os_error(),
        });
    }
    Ok(())
}

fn set_limits(task: &Task) -> Result<(), Failed> {
    let set = |resource, current, maximum, step| {
        setrlimit(resource, Rlimit { current, maximum }).map_err(errno_failed(step))
    };
    if task.style == Style::Contained {
        set(Resource::Core, Some(0), Some(0), "core limit")?;
    }
    if let Some((soft, hard)) = task.open_files {
        let hard = hard.or_else(|| rustix::process::getrlimit(Resource::Nofile).maximum);
        set(Resource::Nofile, Some(soft), hard, "open files limit")?;
    }
    if let Some(bytes) = task.address_space {
        set(Resource::As, Some(bytes), Some(bytes), "memory limit")?;
    }
    if let Some(seconds) = task.cpu_seconds {
        // SIGXCPU at the first, SIGKILL a second later.
        set(
            Resource::Cpu,
            Some(seconds),
            Some(seconds.saturating_add(1)),
            "cpu time limit",
        )?;
    }
    Ok(())
}

/// Becomes another user for good, and proves it. Nothing is done if the shim already is exactly that unprivileged user.
fn become_user(user: &Credentials) -> Result<(), Failed> {
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    let privileged = unistd::geteuid().is_root();
    if !privileged && unistd::geteuid() == uid && unistd::getegid() == gid {
        return Ok(());
    }
    if !uid.is_root() {
        drop_bounding_set();
    }
    let groups: Vec<Gid> = user.groups.iter().copied().map(Gid::from_raw).collect();
    setgroups(&groups).map_err(nix_failed("setgroups"))?;
    setresgid(gid, gid, gid).map_err(nix_failed("setresgid"))?;
    setresuid(uid, uid, uid).map_err(nix_failed("setresuid"))?;

    let not_permitted = Failed {
        step: "verify user",
        errno: Errno::PERM.raw_os_error(),
    };
    let (uids, gids) = (
        getresuid().map_err(nix_failed("verify user"))?,
        getresgid().map_err(nix_failed("verify user"))?,
    );
    let is_user = [uids.real, uids.effective, uids.saved] == [uid; 3];
    let is_group = [gids.real, gids.effective, gids.saved] == [gid; 3];
    let root = Uid::from_raw(0);
    let way_back = !uid.is_root() && setresuid(root, root, root).is_ok();
    if !is_user || !is_group || way_back {
        return Err(not_permitted);
    }
    if !uid.is_root() {
        // A kernel without ambient capabilities has none to clear.
        let _ = clear_ambient_capability_set();
        let held = capabilities(None).map_err(errno_failed("capabilities"))?;
        let none = CapabilitySets {
            effective: CapabilitySet::empty(),
            permitted: CapabilitySet::empty(),
            inheritable: CapabilitySet::empty(),
        };
        if held != none {
            set_capabilities(None, none).map_err(errno_failed("capabilities"))?;
        }
    }
    Ok(())
}

/// Without the bounding set not even a file with capabilities gives any. It needs CAP_SETPCAP, which a daemon with only the right to
/// change users need not have; the change of user empties the other sets in any case.
fn drop_bounding_set() {
    for capability in CapabilitySet::all().iter() {
        let _ = remove_capability_from_bounding_set(capability);
    }
}

/// Homes by the user database. The shim is a fresh process without threads, so that asking it is safe.
struct Passwd {
    own: Option<PathBuf>,
}

impl Homes for Passwd {
    fn home(&self, user: Option<&str>) -> Option<PathBuf> {
        match user {
            None => self.own.clone(),
            Some(name) => User::from_name(name).ok().flatten().map(|user| user.dir),
        }
    }
}

fn c_string(text: &OsStr) -> Result<CString, Failed> {
    CString::new(text.as_bytes()).map_err(|_| Failed {
        step: "arguments",
        errno: Errno::INVAL.raw_os_error(),
    })
}

fn os_string(text: &CString) -> OsString {
    OsString::from_vec(text.as_bytes().to_vec())
}

fn failed(step: &'static str) -> impl Fn(io::Error) -> Failed {
    move |error| Failed {
        step,
        errno: error.raw_os_error().unwrap_or_default(),
    }
}

fn nix_failed(step: &'static str) -> impl Fn(nix::Error) -> Failed {
    move |error| Failed {
        step,
        errno: error as i32,
    }
}

fn errno_failed(step: &'static str) -> impl Fn(Errno) -> Failed {
    move |errno| Failed {
        step,
        errno: errno.raw_os_error(),
    }
}
