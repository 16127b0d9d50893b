//! What bytes cost on their way, counted and not timed: system calls are as many on a busy machine, seconds are not.

use std::{
    collections::BTreeSet,
    fs,
    process::{Child, Command, Stdio},
};

use crate::kit::{Cluster, Daemon, Runner, Signal, eventually, heavy, processes};

/// Bytes that are moved: a quarter of a gibibyte, so that what a pipe costs by itself is little beside it.
const MEBIBYTES: u64 = 256;

/// System calls of both daemons for a gigabyte at most: twice what splicing took, about 60,000, on idle and on busy machines. What is to be
/// noticed is one that went to small pieces, or to a wait for each of them.
const CALLS_PER_GIGABYTE: f64 = 120_000.0;

/// What the counting stops with: it is told to.
const INTERRUPTED: Signal = Signal::INT;

#[test]
fn a_gigabyte_takes_no_more_system_calls_than_it_used_to() {
    if Command::new("strace")
        .arg("-V")
        .stdout(Stdio::null())
        .status()
        .is_err()
    {
        return eprintln!("not run: it takes strace (apt install strace)");
    }
    if !rustix::process::geteuid().is_root() {
        return eprintln!("not run: looking at daemons takes root on many machines");
    }
    let _turn = heavy();
    let cluster = Cluster::builder().node("a").node("b").start();
    let pipeline = format!(
        "@a dd if=/dev/zero bs=1M count={MEBIBYTES} status=none | @b dd of=/dev/null bs=1M status=none"
    );
    let run = || cluster.dpipes(&["-n", &pipeline]).run();
    // Threads and sessions are there afterwards.
    run().assert_status(0);
    let daemons: Vec<_> = cluster.nodes().iter().map(Daemon::pid).collect();
    let log = cluster.scratch().root().join("calls");
    let mut threads = threads_of(&daemons);
    let mut command = Command::new("strace");
    command
        .args(["-f", "-s", "0", "-e", "signal=none", "-o"])
        .arg(&log);
    for pid in &daemons {
        command.arg("-p").arg(pid.to_string());
    }
    let strace = Watching(command.stderr(Stdio::null()).spawn().unwrap());
    eventually!(
        threads_of(&daemons)
            .iter()
            .all(|&thread| is_watched(thread)),
        "strace watches every thread"
    );
    run().assert_status(0);
    threads.extend(threads_of(&daemons));
    drop(strace);
    let calls = calls_of(&threads, &fs::read_to_string(&log).unwrap());
    let per_gigabyte = calls as f64 * 1e9 / (MEBIBYTES << 20) as f64;
    eprintln!("{per_gigabyte:.0} system calls for a gigabyte, at most {CALLS_PER_GIGABYTE:.0}");
    assert!(
        per_gigabyte <= CALLS_PER_GIGABYTE,
        "{per_gigabyte:.0} system calls for a gigabyte through two daemons, {CALLS_PER_GIGABYTE:.0} are the most there may be"
    );
    assert!(
        calls as u64 > MEBIBYTES / 16,
        "the calls were not seen: {calls}"
    );
}

/// strace, which lets go of what it watches when it ends.
struct Watching(Child);

impl Drop for Watching {
    fn drop(&mut self) {
        processes::send(self.0.id(), INTERRUPTED);
        let _status = self.0.wait();
    }
}

/// The threads of some processes.
fn threads_of(pids: &[u32]) -> BTreeSet<u32> {
    let of = |pid: &u32| {
        fs::read_dir(format!("/proc/{pid}/task"))
            .into_iter()
            .flatten()
    };
    let threads = pids.iter().flat_map(of).flatten();
    threads
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// Whether somebody traces a thread, or it is gone.
fn is_watched(thread: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{thread}/status")).unwrap_or_default();
    let tracer = status
        .lines()
        .find_map(|line| line.strip_prefix("TracerPid:"));
    tracer.is_none_or(|tracer| tracer.trim() != "0")
}

/// Counts the calls of some threads. Other processes are in the log, too: those that the daemons start meanwhile.
fn calls_of(threads: &BTreeSet<u32>, log: &str) -> usize {
    let is_call = |line: &&str| {
        let Some((thread, call)) = line.split_once(' ') else {
            return false;
        };
        // The second half of a call that another thread interrupted begins with `<`, an exit with `+`.
        let begins = call
            .trim_start()
            .starts_with(|first: char| first.is_ascii_lowercase());
        begins && thread.parse().is_ok_and(|thread| threads.contains(&thread))
    };
    log.lines().filter(is_call).count()
}

#[test]
fn calls_of_other_processes_and_second_halves_are_not_counted() {
    let log = "1 read(3, \"\"..., 10) = 10\n2 epoll_wait(5,  <unfinished ...>\n1 write(4, \"\"..., 10) = 10\n\
               2 <... epoll_wait resumed>[], 16, 5) = 0\n9 read(0, \"\"..., 10) = 0\n2 +++ exited with 0 +++\n";
    assert_eq!(calls_of(&BTreeSet::from([1, 2]), log), 3);
}
