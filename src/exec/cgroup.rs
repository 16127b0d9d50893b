//! Control groups: every process of a stage, wherever it went, in one directory.
//!
//! Three kinds of hosts: *unified* (version 2 with controllers), *hybrid* (controllers in version 1, but a version 2 tree that can freeze
//! and kill), and *none*, where process groups must do.

use std::{
    fs, io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// Begins the name of every directory a daemon makes.
const PREFIX: &str = "dpipes-";

/// Numbers this process's trees, and the stages in them.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// The directory of one launcher, below the cgroup of this process.
#[derive(Debug)]
pub(super) struct Tree {
    directory: PathBuf,
    /// Directories that could not be removed yet, since something still lives in them.
    leftover: Mutex<Vec<PathBuf>>,
}

/// The directory of one stage. Removed on drop, or later by its tree if something is still in it.
#[derive(Debug)]
#[must_use = "the directory is removed on drop"]
pub(super) struct Cgroup {
    directory: PathBuf,
    tree: std::sync::Arc<Tree>,
}

// === impl Tree ===

impl Tree {
    /// Makes the directory, after removing those of dead daemons; `None` where there is no version 2 tree that can kill.
    pub(super) fn create() -> Option<Self> {
        // One at a time: the sweep takes what it does not know for a predecessor's.
        static CREATING: Mutex<()> = Mutex::new(());
        let _creating = CREATING.lock().unwrap_or_else(PoisonError::into_inner);
        let parent = own_directory()?;
        sweep_dead(&parent);
        // Where there are controllers, children have them only if every level says so. It fails on hybrid hosts (there are none), and
        // where processes live beside the children; then limits cannot be set, and say so when they are asked for.
        let _ = fs::write(parent.join("cgroup.subtree_control"), "+memory +pids");
        let directory = parent.join(format!(
            "{}{}.{}",
            own_prefix()?,
            std::process::id(),
            NUMBER.fetch_add(1, Ordering::Relaxed)
        ));
        fs::create_dir(&directory).ok()?;
        if !directory.join("cgroup.kill").exists() || !directory.join("cgroup.freeze").exists() {
            let _ = fs::remove_dir(&directory);
            return None;
        }
        let _ = fs::write(directory.join("cgroup.subtree_control"), "+memory +pids");
        let leftover = Mutex::default();
        Some(Self {
            directory,
            leftover,
        })
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Makes the directory of a stage that has no name yet.
    pub(super) fn stage(self: &std::sync::Arc<Self>) -> io::Result<Cgroup> {
        self.tidy();
        let name = format!("stage-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let directory = self.directory.join(name);
        fs::create_dir(&directory)?;
        Ok(Cgroup {
            directory,
            tree: self.clone(),
        })
    }

    /// Removes what could not be removed before.
    pub(super) fn tidy(&self) {
        let mut leftover = self.leftover.lock().unwrap_or_else(PoisonError::into_inner);
        leftover.retain(|directory| !remove(directory));
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        self.tidy();
        remove(&self.directory);
    }
}

// === impl Cgroup ===

impl Cgroup {
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The directory, for processes that are born into it.
    pub(super) fn open(&self) -> io::Result<OwnedFd> {
        Ok(fs::File::open(&self.directory)?.into())
    }

    /// Moves a process in.
    pub(super) fn join(&self, pid: i32) -> io::Result<()> {
        fs::write(self.directory.join("cgroup.procs"), pid.to_string())
    }

    /// Sets a limit; `Err` where the controller is missing.
    pub(super) fn limit(&self, file: &str, value: u64) -> io::Result<()> {
        // Never create: on a file system that is no cgroup tree that would look like success.
        let mut file = fs::OpenOptions::new()
            .write(true)
            .open(self.directory.join(file))?;
        io::Write::write_all(&mut file, value.to_string().as_bytes())
    }

    /// Lets the kernel end all of the group's processes together if memory runs out. Best effort.
    pub(super) fn end_together(&self) {
        let _ = self.limit("memory.oom.group", 1);
    }

    /// The processes directly in the group.
    pub(super) fn members(&self) -> Vec<i32> {
        let text = fs::read_to_string(self.directory.join("cgroup.procs")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        if !remove(&self.directory) {
            let mut leftover = self
                .tree
                .leftover
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            leftover.push(std::mem::take(&mut self.directory));
        }
    }
}

/// Whether a living process is in the group or below it.
pub(super) fn is_populated(directory: &Path) -> bool {
    event(directory, "populated 1")
}

/// Stops every process of the group. What is frozen cannot see an end of file between the first death and the last.
pub(super) fn freeze(directory: &Path) {
    let _ = fs::write(directory.join("cgroup.freeze"), "1");
}

/// Whether all processes have stopped.
pub(super) fn is_frozen(directory: &Path) -> bool {
    event(directory, "frozen 1")
}

/// Kills every process of the group and lets it go, so that it can die.
pub(super) fn kill(directory: &Path) {
    let _ = fs::write(directory.join("cgroup.kill"), "1");
    let _ = fs::write(directory.join("cgroup.freeze"), "0");
}

/// Removes a tree and what is below it, without waiting. Returns whether it is gone.
pub(super) fn remove(directory: &Path) -> bool {
    if let Ok(entries) = fs::read_dir(directory) {
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                remove(&entry.path());
            }
        }
    }
    match fs::remove_dir(directory) {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

fn event(directory: &Path, wanted: &str) -> bool {
    fs::read_to_string(directory.join("cgroup.events"))
        .is_ok_and(|text| text.lines().any(|line| line == wanted))
}

/// The directory of this process's own cgroup in the version 2 tree.
fn own_directory() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    find_own(&mounts, &own)
}

fn find_own(mounts: &str, own: &str) -> Option<PathBuf> {
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        if after.split(' ').next()? != "cgroup2" {
            return None;
        }
        let mut fields = before.split(' ').skip(3);
        let (root, mount_point) = (fields.next()?, fields.next()?);
        let below = Path::new(path).strip_prefix(root).ok()?;
        Some(Path::new(mount_point).join(below))
    })
}

/// The beginning of our names: the namespace of process numbers is part of it, for the number of a daemon in another container says
/// nothing here about whether it lives.
fn own_prefix() -> Option<String> {
    let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    let digits: String = namespace
        .to_str()?
        .chars()
        .filter(char::is_ascii_digit)
        .collect();
    Some(format!("{PREFIX}{digits}-"))
}

/// Removes the directories of daemons that are gone, and kills what is left in them.
fn sweep_dead(parent: &Path) {
    let (Some(prefix), Ok(entries)) = (own_prefix(), fs::read_dir(parent)) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| {
            let (pid, _) = name.strip_prefix(&prefix)?.split_once('.')?;
            pid.parse::<i32>().ok()
        });
        // A directory with our own number is from a predecessor that had it too (process 1 of a container), unless it is from this run.
        let own = i32::try_from(std::process::id()).ok();
        let is_first = NUMBER.load(Ordering::Relaxed) == 0;
        if pid.is_some_and(|pid| super::proc::is_dead(pid) || (Some(pid) == own && is_first)) {
            let directory = entry.path();
            kill(&directory);
            remove(&directory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_cgroup_is_found_on_all_kinds_of_hosts() {
        let unified = "25 1 0:22 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n";
        let own = "0::/system.slice/dpipesd.service\n";
        let expected = Path::new("/sys/fs/cgroup/system.slice/dpipesd.service");
        assert_eq!(find_own(unified, own).as_deref(), Some(expected));

        let hybrid = "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let own = "4:memory:/x\n0::/\n";
        let expected = Path::new("/sys/fs/cgroup/unified/");
        assert_eq!(find_own(hybrid, own).as_deref(), Some(expected));

        let container = "41 31 0:38 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
        let expected = Path::new("/sys/fs/cgroup/x");
        assert_eq!(
            find_own(container, "0::/docker/abc/x\n").as_deref(),
            Some(expected)
        );

        assert_eq!(find_own("", "0::/\n"), None);
        assert_eq!(find_own(hybrid, "4:memory:/x\n"), None);
    }
}
