//! What /proc tells about processes. Everything returns "gone" as `None` or empty: processes end while they are looked at.

use std::{fs, path::Path};

use rustix::process::{Pid, Signal, kill_process};

/// The numbers of all processes.
pub(crate) fn all() -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("/proc is mounted");
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// Whether the environment it was started with has this `NAME=value`.
pub(crate) fn has_variable(pid: u32, variable: &str) -> bool {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment
        .split(|&byte| byte == 0)
        .any(|entry| entry == variable.as_bytes())
}

/// The command line, for messages and for telling apps from shims.
pub(crate) fn command_line(pid: u32) -> String {
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&arguments)
        .trim_end_matches('\0')
        .replace('\0', " ")
}

/// The name of the running program: the first field after the number in `stat`.
pub(crate) fn name(pid: u32) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/comm"))
        .ok()
        .map(|name| name.trim_end().to_owned())
}

/// State letter and parent.
fn state_and_parent(pid: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold anything, brackets and blanks included.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// Whether the process runs, so is there and no zombie.
pub(crate) fn is_alive(pid: u32) -> bool {
    state_and_parent(pid).is_some_and(|(state, _)| state != 'Z')
}

/// Whether the process is stopped by a signal.
pub(crate) fn is_stopped(pid: u32) -> bool {
    state_and_parent(pid).is_some_and(|(state, _)| state == 'T')
}

/// Children that ended and that nobody asked for.
pub(crate) fn zombies_of(parent: u32) -> Vec<u32> {
    all()
        .into_iter()
        .filter(|&pid| state_and_parent(pid) == Some(('Z', parent)))
        .collect()
}

/// Children.
pub(crate) fn children_of(parent: u32) -> Vec<u32> {
    all()
        .into_iter()
        .filter(|&pid| state_and_parent(pid).is_some_and(|(_, of)| of == parent))
        .collect()
}

/// Resident memory in bytes.
pub(crate) fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes =
        kilobytes.and_then(|text| text.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// Open descriptors.
pub(crate) fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// What the open descriptors are, for messages.
pub(crate) fn descriptor_targets(pid: u32) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .flatten();
    let mut targets: Vec<_> = entries
        .filter_map(|entry| Some(fs::read_link(entry.path()).ok()?.display().to_string()))
        .collect();
    targets.sort();
    targets
}

/// Whether a process works in a folder or below it.
pub(crate) fn works_in(pid: u32, folder: &Path) -> bool {
    fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(folder))
}

/// Sends a signal; a process that is gone is no error.
pub(crate) fn send(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .expect("a process number");
    let _gone_is_fine = kill_process(pid, signal);
}

/// The processes with their command lines, for messages.
pub(crate) fn describe(pids: &[u32]) -> String {
    let line = |pid: &u32| format!("{pid} ({})", command_line(*pid));
    pids.iter().map(line).collect::<Vec<_>>().join(", ")
}
