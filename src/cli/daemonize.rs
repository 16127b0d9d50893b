//! Starting dpipesd in the background: the program runs itself again in a session of its own and waits until it listens.
//!
//! ```text
//! dpipesd ──spawn──> dpipesd --foreground --detached   stdin: /dev/null   stderr: the log
//!    │                       │                          stdout: a pipe to the parent
//!    │ <── READY addresses ──┤                          then stdout: /dev/null
//!  exit 0                    └── serves
//! ```
//!
//! Nothing forks after threads exist, and no descriptor but the three standard ones is passed on.

use std::{
    ffi::OsString,
    fs,
    io::{self, BufRead, Write},
    path::Path,
    process::{Command, Stdio},
};

use super::{
    exit, notify,
    ready::{Failed, Ready},
    telemetry,
};

/// What became of a background start.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Started {
    /// The daemon's process.
    pub pid: u32,
    /// Where it listens.
    pub addresses: Vec<String>,
}

/// Starts this program again in the background with the same arguments and waits until it listens.
///
/// # Errors
///
/// Returns what the daemon said, or why it said nothing.
pub(crate) fn start(arguments: &[OsString], log: &Path) -> Result<Started, Failed> {
    let failed = |what: String| Failed {
        status: exit::FAILED,
        message: what,
    };
    let program = std::env::current_exe()
        .map_err(|error| failed(format!("cannot find this program: {error}")))?;
    let log_file = telemetry::open(log).map_err(|error| Failed {
        status: exit::NO_PERMISSION,
        message: format!("cannot write the log {}: {error}", log.display()),
    })?;
    let mut command = Command::new(program);
    command.args(["--foreground", "--detached"]).args(arguments);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log_file);
    // A service manager that started this process waits for it and not for another one, or it is that of somebody else's service.
    for name in notify::VARIABLES {
        command.env_remove(name);
    }
    let mut child = command
        .spawn()
        .map_err(|error| failed(format!("cannot start dpipesd: {error}")))?;
    let mut line = String::new();
    let said = child
        .stdout
        .take()
        .map(|stdout| io::BufReader::new(stdout).read_line(&mut line));
    match (said, Ready::from_line(&line)) {
        (Some(Ok(_)), Some(Ready::Listening { addresses })) => Ok(Started {
            pid: child.id(),
            addresses,
        }),
        (Some(Ok(_)), Some(Ready::Failed(why))) => {
            // It is about to exit by itself; reaping it leaves nothing behind.
            let _reaped = child.wait();
            Err(why)
        }
        _ => {
            let ended = child
                .wait()
                .map_or_else(|error| error.to_string(), |status| status.to_string());
            Err(failed(format!(
                "dpipesd said nothing and ended ({ended}); see {}",
                log.display()
            )))
        }
    }
}

/// What the child does first: leave the terminal's session, so that no Ctrl-C of its starter reaches it.
///
/// # Errors
///
/// Returns why not.
pub(crate) fn enter_background() -> io::Result<()> {
    match rustix::process::setsid() {
        // A leader of a process group is one by somebody else's doing, and then in a session of its own already.
        Ok(_) | Err(rustix::io::Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    leave_directory()
}

/// Lets go of the directory where the daemon was started, so that it can be unmounted.
#[expect(
    clippy::disallowed_methods,
    reason = "no other thread exists yet that could rely on the directory"
)]
fn leave_directory() -> io::Result<()> {
    std::env::set_current_dir("/")
}

/// Tells the parent, or the script that reads standard output.
///
/// # Errors
///
/// Returns why it cannot be told.
pub(crate) fn tell(ready: &Ready) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(ready.to_line().as_bytes())?;
    stdout.flush()
}

/// Closes the pipe to the parent, after which nothing that is printed goes anywhere.
///
/// # Errors
///
/// Returns why not.
pub(crate) fn close_stdout() -> io::Result<()> {
    let null = fs::OpenOptions::new().write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(&null)?;
    Ok(())
}
