//! Apps as processes: found, made ready behind a barrier, started, watched, and killed with everything they started.
//!
//! ```text
//! resolve --> Launcher::prepare --(shim: everything but execve)--> Prepared --go--> Process --wait--> Ended
//!                                                                     |                |--signal, kill, sweep
//!                                                                     drop: nothing has run
//! ```
//!
//! Four processes take part. The *daemon* starts all children on one thread that never ends. The *nursery* is the same program once more,
//! small and single-threaded; it makes shims for the daemon by copying itself. A *shim* changes user and limits, takes its standard streams,
//! expands its words, and waits at the barrier; so errors are answers before anything has started anywhere. The *keeper*, too the same
//! program, holds what must not be let go of when the daemon is killed, and kills the stages then, last one first. Nursery and keeper begin
//! in [`early_main`], before any runtime.
//!
//! The program is executed by its path, not by a descriptor: scripts could not be executed otherwise, since their interpreter has to open
//! them again.

mod cgroup;
mod children;
pub mod environment;
mod expand;
mod keeper;
mod keeper_link;
mod kernel;
mod launcher;
mod nursery;
mod pattern;
mod proc;
mod process;
mod resolve;
mod shim;
mod socket;
mod spec;
mod user;

use std::{io, os::fd::OwnedFd, sync::OnceLock};

use rustix::process::{DumpableBehavior, Resource, Rlimit};

pub use self::{
    children::ExitKind,
    launcher::{Isolation, Launcher, LauncherSettings, SpawnError},
    process::{Ended, ExecError, Prepared, Process, ProcessHandle},
    resolve::{ResolveError, Search, resolve, resolve_in},
    spec::{Key, Limits, Spec, Stdio, Style},
    user::{RunAs, UserError, current_user, lookup_user},
};

/// The first argument that makes this program a nursery.
const NURSERY: &str = "__nursery";

/// The first argument that makes this program a keeper.
const KEEPER: &str = "__keeper";

/// The limit of open descriptors that this process was started with, once it has raised it.
static OPEN_FILES: OnceLock<u64> = OnceLock::new();

/// Takes over if this program was started as a nursery or a keeper. First thing in `main` of every binary that uses a [`Launcher`], before any
/// thread exists; returns only if this is an ordinary start.
pub fn early_main() {
    let mut args = std::env::args_os().skip(1);
    match args.next() {
        Some(role) if role == NURSERY => nursery::run(),
        Some(role) if role == KEEPER => keeper::run(args.next()),
        _ => {}
    }
}

/// Makes this process fit to be a daemon, before any thread exists: what it inherited is not passed on, there are as many descriptors as
/// the hard limit allows (apps get the old limit back), memory that was used once goes back, and no core dump shows its keys. Every child
/// that a [`Launcher`] did not start counts as an orphan from now on, and is reaped.
///
/// # Errors
///
/// When `/proc` cannot be read, or a limit within its bounds cannot be set.
pub fn harden_daemon() -> io::Result<()> {
    children::claim_all();
    kernel::give_large_buffers_back();
    kernel::close_inherited_on_exec()?;
    let limit = rustix::process::getrlimit(Resource::Nofile);
    if let Some(soft) = limit.current
        && limit.current != limit.maximum
    {
        rustix::process::setrlimit(
            Resource::Nofile,
            Rlimit {
                current: limit.maximum,
                maximum: limit.maximum,
            },
        )?;
        let _ = OPEN_FILES.set(soft);
    }
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// A pipe that is not passed on by accident: its read end and its write end.
///
/// # Errors
///
/// When there are no descriptors left.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?)
}

fn original_open_files() -> Option<u64> {
    OPEN_FILES.get().copied()
}
