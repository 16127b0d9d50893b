//! Reading `/proc`: who belongs to a stage, who holds a pipe, how much time a process used.

use std::{fs, os::unix::ffi::OsStrExt, os::unix::fs::MetadataExt, time::Duration};

use super::Key;

/// Ticks per second in `/proc/PID/stat`. `USER_HZ` is part of the kernel's interface and 100 on every architecture that Rust's standard
/// library supports on Linux.
pub(super) const TICKS_PER_SECOND: u64 = 100;

/// The fields of `/proc/PID/stat` that matter here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stat {
    pub(super) is_dead: bool,
    pub(super) session: i32,
    pub(super) group: i32,
    /// User time, children that were waited for included.
    pub(super) user: Duration,
    /// System time, likewise.
    pub(super) system: Duration,
    /// When it started, in ticks since boot.
    pub(super) started: u64,
}

/// Which processes are a stage's, when there is no cgroup that knows.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    /// The stage's first process, which led its session and group.
    pub(super) leader: i32,
    /// When the leader was reaped, in ticks since boot; `None` while it is there and its number cannot be another's.
    pub(super) reaped: Option<u64>,
    /// `DP_PIPE=…`, as in an environment.
    pipe: Vec<u8>,
    /// `DP_STAGE=…`.
    stage: Vec<u8>,
}

// === impl Mark ===

impl Mark {
    pub(super) fn new(key: Key, leader: i32, reaped: Option<u64>) -> Self {
        Self {
            leader,
            reaped,
            pipe: format!("DP_PIPE={}", key.pipe).into_bytes(),
            stage: format!("DP_STAGE={}", key.stage).into_bytes(),
        }
    }

    /// All living processes of the stage. One that left the session is known by its environment; one that changed its environment, by
    /// its session, as long as that number cannot have been given to anybody else.
    pub(super) fn members(&self) -> Vec<i32> {
        processes().filter(|pid| self.is_member(*pid)).collect()
    }

    /// Whether this process is the stage's and lives.
    pub(super) fn is_member(&self, pid: i32) -> bool {
        let Some(stat) = stat(pid).filter(|stat| !stat.is_dead) else {
            return false;
        };
        let in_session = stat.session == self.leader || stat.group == self.leader;
        let number_is_ours = self.reaped.is_none_or(|reaped| stat.started < reaped);
        (in_session && number_is_ours) || self.is_in_environment(pid)
    }

    fn is_in_environment(&self, pid: i32) -> bool {
        let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else {
            return false;
        };
        let has = |wanted: &[u8]| environment.split(|b| *b == 0).any(|entry| entry == wanted);
        has(&self.pipe) && has(&self.stage)
    }
}

/// All process numbers.
pub(super) fn processes() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Reads `/proc/PID/stat`; `None` if there is no such process.
pub(super) fn stat(pid: i32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Whether the process has ended, be it reaped or not.
pub(super) fn is_dead(pid: i32) -> bool {
    stat(pid).is_none_or(|stat| stat.is_dead)
}

fn parse_stat(text: &str) -> Option<Stat> {
    // The name in parentheses may hold anything, parentheses and spaces included; the fields behind it are numbers.
    let fields: Vec<&str> = text[text.rfind(')')? + 1..]
        .split_ascii_whitespace()
        .collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    let time = |own, children| Some(ticks(number(own)?.saturating_add(number(children)?)));
    Some(Stat {
        is_dead: matches!(*fields.first()?, "Z" | "X" | "x"),
        group: fields.get(2)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        user: time(11, 13)?,
        system: time(12, 14)?,
        started: number(19)?,
    })
}

fn ticks(count: u64) -> Duration {
    Duration::from_millis(count.saturating_mul(1000 / TICKS_PER_SECOND))
}

/// Now, in ticks since boot.
pub(super) fn now_in_ticks() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    let nanoseconds = u64::try_from(now.tv_nsec).unwrap_or_default();
    seconds * TICKS_PER_SECOND + nanoseconds * TICKS_PER_SECOND / 1_000_000_000
}

/// Who but this process can still write to the pipe with this inode, as `pid 4711 (sleep)`.
pub(super) fn writers_of_pipe(inode: u64) -> Vec<String> {
    let own = std::process::id();
    let target = format!("pipe:[{inode}]");
    let mut holders = Vec::new();
    for pid in processes().filter(|pid| u32::try_from(*pid) != Ok(own)) {
        let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else {
            continue;
        };
        let holds = descriptors.flatten().any(|descriptor| {
            let path = descriptor.path();
            let is_pipe = fs::read_link(&path)
                .is_ok_and(|link| link.as_os_str().as_bytes() == target.as_bytes());
            // The permissions of the link are the direction of the descriptor; the pipe's reader is no holder.
            is_pipe && fs::symlink_metadata(&path).is_ok_and(|link| link.mode() & 0o200 != 0)
        });
        if holds {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            holders.push(format!("pid {pid} ({})", name.trim_end()));
        }
    }
    holders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let text = "7 (a) b (c) S 1 5 6 0 -1 4194560 1 2 3 4 150 250 50 60 20 0 1 0 4242 1 2\n";
        let stat = parse_stat(text).unwrap();
        assert_eq!((stat.group, stat.session, stat.started), (5, 6, 4242));
        assert_eq!(stat.user, Duration::from_millis(2000));
        assert_eq!(stat.system, Duration::from_millis(3100));
        assert!(!stat.is_dead);
    }

    #[test]
    fn this_process_started_before_now() {
        let own = i32::try_from(std::process::id()).unwrap();
        let stat = stat(own).unwrap();
        assert!(stat.started <= now_in_ticks());
        assert!(!is_dead(own));
        assert!(is_dead(i32::MAX));
    }

    #[test]
    fn the_writer_of_a_pipe_is_found_and_its_reader_is_not() {
        let (read, write) = std::io::pipe().unwrap();
        let inode = rustix::fs::fstat(&read).unwrap().st_ino;
        let mut reader = std::process::Command::new("cat")
            .stdin(read)
            .spawn()
            .unwrap();
        let mut writer = std::process::Command::new("sleep")
            .arg("60")
            .stdout(write)
            .spawn()
            .unwrap();
        let holders = writers_of_pipe(inode);
        writer.kill().unwrap();
        writer.wait().unwrap();
        reader.wait().unwrap();
        assert_eq!(holders, [format!("pid {} (sleep)", writer.id())]);
    }
}
