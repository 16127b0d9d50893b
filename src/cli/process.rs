//! Processes that outlive the command that started them: pid files, and signals that reach the right process or none.

use std::{
    fs, io,
    io::Write,
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{FlockOperation, flock},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};

/// A pid file that this process holds. It is locked for as long as the process lives, so a number in a file without a lock is nobody's.
#[derive(Debug)]
#[must_use = "dropping it removes the file"]
pub(crate) struct PidFile {
    path: PathBuf,
    _locked: fs::File,
}

/// A process that can be signalled without the danger of hitting another one that got its number.
#[derive(Debug)]
pub(crate) struct Handle {
    /// Its number.
    pub pid: i32,
    descriptor: OwnedFd,
}

// === impl PidFile ===

impl PidFile {
    /// Takes the file for this process; `None` when a living process holds it.
    ///
    /// # Errors
    ///
    /// Returns why it cannot be written.
    pub(crate) fn take(path: &Path) -> io::Result<Option<Self>> {
        let mut file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            .open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        file.set_len(0)?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Some(Self {
            path: path.to_owned(),
            _locked: file,
        }))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // A file that is gone already is as good as one that is removed.
        let _gone = fs::remove_file(&self.path);
    }
}

/// The living process that holds this pid file and is a dpipesd; `None` when there is none.
///
/// # Errors
///
/// Returns why that cannot be known.
pub(crate) fn holder(path: &Path) -> io::Result<Option<Handle>> {
    let mut file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        // Nobody holds it: the lock was free, and is so again when the file is closed.
        Ok(()) => return Ok(None),
        Err(rustix::io::Errno::WOULDBLOCK) => {}
        Err(error) => return Err(error.into()),
    }
    let text = io::read_to_string(&mut file)?;
    let Ok(pid) = text.trim().parse() else {
        return Ok(None);
    };
    let Some(handle) = Handle::open(pid)? else {
        return Ok(None);
    };
    Ok(is_daemon(pid).then_some(handle))
}

/// Whether this process is a dpipesd, by the name of its program.
fn is_daemon(pid: i32) -> bool {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.trim_end() == "dpipesd"
}

// === impl Handle ===

impl Handle {
    /// Takes hold of a process; `None` when it is gone.
    ///
    /// # Errors
    ///
    /// Returns why that is not possible.
    pub(crate) fn open(pid: i32) -> io::Result<Option<Self>> {
        let Some(number) = Some(pid).filter(|pid| *pid > 0).and_then(Pid::from_raw) else {
            return Ok(None);
        };
        match pidfd_open(number, PidfdFlags::empty()) {
            Ok(descriptor) => Ok(Some(Self { pid, descriptor })),
            Err(rustix::io::Errno::SRCH) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends a signal. A process that is gone needs none.
    ///
    /// # Errors
    ///
    /// Returns why it may not be sent.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(&self.descriptor, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until the process is gone, at most this long; returns whether it is.
    ///
    /// # Errors
    ///
    /// Returns why it cannot be watched.
    pub(crate) fn wait(&self, patience: Duration) -> io::Result<bool> {
        let timeout = Timespec::try_from(patience).map_err(io::Error::other)?;
        let mut watched = [PollFd::new(&self.descriptor, PollFlags::IN)];
        loop {
            match poll(&mut watched, Some(&timeout)) {
                Ok(ready) => return Ok(ready > 0),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// When a process started, in clock ticks since boot: with the boot's name, what tells it from a later one of the same number.
pub(crate) fn start_time(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses, which may itself hold any of them.
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// The name of this boot.
pub(crate) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .unwrap_or_default()
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_is_held_by_one_process_and_removed_at_its_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("d.pid");
        fs::write(&path, "1\n").unwrap();
        assert!(
            holder(&path).unwrap().is_none(),
            "a file without a lock is stale"
        );
        let held = PidFile::take(&path).unwrap().unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            format!("{}\n", std::process::id())
        );
        assert!(PidFile::take(&path).unwrap().is_none());
        assert!(holder(&path).unwrap().is_none(), "the test is no dpipesd");
        drop(held);
        assert!(!path.exists());
        assert!(holder(&path).unwrap().is_none());
    }

    #[test]
    fn a_handle_reaches_its_process_and_sees_its_end() {
        let mut child = std::process::Command::new("sleep")
            .arg("600")
            .spawn()
            .unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let handle = Handle::open(pid).unwrap().unwrap();
        assert!(start_time(pid).is_some());
        assert!(!handle.wait(Duration::ZERO).unwrap());
        handle.signal(Signal::TERM).unwrap();
        assert!(handle.wait(Duration::from_secs(30)).unwrap());
        child.wait().unwrap();
        handle.signal(Signal::TERM).unwrap();
        assert!(Handle::open(-1).unwrap().is_none());
    }
}
