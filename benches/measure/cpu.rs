//! How much of a processor other processes took.
//!
//! A process's own clock counts in nanoseconds all of its threads, those that ended too, and can be read until the process is reaped.
//! `/proc/PID/stat` has the same in hundredths of a second, which is a tenth of what a gibibyte costs.

use std::{io, process::Child};

use nix::{
    time::{ClockId, clock_gettime},
    unistd::Pid,
};
use rustix::process::{WaitId, WaitIdOptions, waitid};

/// Seconds of user and system time that a process took until now, without its children.
pub(crate) fn seconds(pid: u32) -> f64 {
    let read = || {
        let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(pid.cast_signed()))?;
        clock_gettime(clock)
    };
    let time = read().unwrap_or_else(|error| panic!("the clock of process {pid}: {error}"));
    time.tv_sec() as f64 + time.tv_nsec() as f64 / 1e9
}

/// Waits for the end of a child, and says what it took and whether it went well.
pub(crate) fn wait(child: &mut Child) -> io::Result<(f64, bool)> {
    let pid = rustix::process::Pid::from_child(child);
    // Seen but not reaped, it keeps its clock.
    waitid(
        WaitId::Pid(pid),
        WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
    )?;
    let seconds = seconds(child.id());
    Ok((seconds, child.wait()?.success()))
}

/// What some processes take while something is done.
pub(crate) fn of<T>(pids: &[u32], work: impl FnOnce() -> T) -> (T, f64) {
    let all = || pids.iter().map(|&pid| seconds(pid)).sum::<f64>();
    let before = all();
    let done = work();
    (done, all() - before)
}

/// What a process and all of its children that it has reaped took until now, in steps of a hundredth of a second.
pub(crate) fn with_children(pid: u32) -> f64 {
    /// `USER_HZ`, which is this on every platform that `/proc` is read on here.
    const HERTZ: f64 = 100.0;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in brackets may hold anything. Behind it, the eleventh to fourteenth fields from the state on.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks = fields.split_ascii_whitespace().skip(11).take(4);
    ticks
        .filter_map(|field| field.parse::<f64>().ok())
        .sum::<f64>()
        / HERTZ
}
