//! The keeper, when the daemon dies.
//!
//! The daemon that dies here is this very test program, started anew with one environment variable and one test to run; it is killed with
//! SIGKILL while its stages run.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio as StdStdio},
    time::Duration,
};

use dpipes::{
    exec::{Launcher, LauncherSettings, Stdio, pipe},
    id::StageNumber,
};

use super::kit::*;

/// Rounds of each kill; without a keeper an end of file was seen in 1 to 10 of 100.
const ROUNDS: usize = 50;

/// Says to the started test program where the markers go.
const ROLE: &str = "DPIPES_TEST_DOOMED";

/// The doomed daemon: three pipes, the last of them with two stages, all with their inputs open. Not a test unless it is started as one.
#[tokio::test(flavor = "multi_thread")]
async fn doomed_daemon() {
    let Some(directory) = std::env::var_os(ROLE).map(PathBuf::from) else {
        return;
    };
    let launcher = Launcher::start(LauncherSettings {
        cgroups: std::env::var_os("DPIPES_TEST_NO_CGROUPS").is_none(),
        ..settings()
    })
    .unwrap();
    let mut writers = Vec::new();
    let mut processes = Vec::new();
    for name in ["a", "b"] {
        let (stdin, writer) = pipe().unwrap();
        let stdio = Stdio {
            stdin,
            stdin_writer: Some(writer.try_clone().unwrap()),
            ..silent()
        };
        processes.push(start(&launcher, marker(&directory, name), stdio).await);
        writers.push(writer);
    }
    let (stdin, writer) = pipe().unwrap();
    let (read, write) = pipe().unwrap();
    let first = spec("/bin/cat", &[]);
    let mut second = marker(&directory, "c");
    second.key.pipe = first.key.pipe;
    second.key.stage = StageNumber::new(2);
    let upstream = Stdio {
        stdin,
        stdout: write,
        stdin_writer: Some(writer.try_clone().unwrap()),
        ..silent()
    };
    processes.push(start(&launcher, first, upstream).await);
    processes.push(
        start(
            &launcher,
            second,
            Stdio {
                stdin: read,
                ..silent()
            },
        )
        .await,
    );
    writers.push(writer);
    let pids: Vec<String> = processes
        .iter()
        .map(|process| process.pid().to_string())
        .collect();
    println!("\nready {}", pids.join(" "));
    std::future::pending::<()>().await;
}

/// An app that leaves a mark when it sees the end of its input.
fn marker(directory: &Path, name: &str) -> dpipes::exec::Spec {
    shell(&format!("read x; touch {}/{name}", directory.display()))
}

/// A started daemon; killed on drop, so that a test that fails leaves none.
struct Doomed(Child);

impl Doomed {
    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Doomed {
    fn drop(&mut self) {
        self.kill();
    }
}

fn start_doomed(directory: &Path, cgroups: bool) -> (Doomed, Vec<u32>) {
    start_role("doomed_daemon", directory, cgroups)
}

fn start_role(test: &str, directory: &Path, cgroups: bool) -> (Doomed, Vec<u32>) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([
        "--exact",
        &format!("exec::keeper::{test}"),
        "--nocapture",
        "--test-threads=1",
    ]);
    command
        .env(ROLE, directory)
        .stdout(StdStdio::piped())
        .stderr(StdStdio::null());
    if !cgroups {
        command.env("DPIPES_TEST_NO_CGROUPS", "1");
    }
    let mut child = command.spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready = lines
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("ready ").map(str::to_owned));
    let pids = ready
        .expect("the doomed daemon is ready")
        .split(' ')
        .map(|pid| pid.parse().unwrap())
        .collect();
    (Doomed(child), pids)
}

async fn no_end_of_file_is_seen(cgroups: bool) {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..ROUNDS {
        let at = directory.path().to_owned();
        let (mut daemon, pids) = tokio::task::spawn_blocking(move || start_doomed(&at, cgroups))
            .await
            .unwrap();
        daemon.kill();
        eventually("all stages are dead", || {
            !pids.iter().any(|pid| is_alive(*pid))
        })
        .await;
        let marks: Vec<_> = std::fs::read_dir(directory.path())
            .unwrap()
            .flatten()
            .collect();
        assert!(marks.is_empty(), "round {round}: {marks:?}");
    }
}

/// P6.
#[tokio::test(flavor = "multi_thread")]
async fn no_stage_sees_the_daemons_death_as_the_end_of_its_input() {
    no_end_of_file_is_seen(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_without_cgroups() {
    no_end_of_file_is_seen(false).await;
}

/// The keepers of this process, by their names.
fn keepers(tree_of: u32) -> Vec<u32> {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid: &u32| {
            let read = |file: &str| {
                std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default()
            };
            let parent = read("stat")
                .rsplit(')')
                .next()
                .and_then(|rest| rest.split_whitespace().nth(1).map(str::to_owned));
            read("comm") == "dpipes-keeper\n" && parent == Some(tree_of.to_string())
        })
        .collect()
}

/// P7.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_keeper_takes_over_what_a_dead_one_kept() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().to_owned();
    let (mut daemon, pids) = tokio::task::spawn_blocking(move || start_doomed(&at, true))
        .await
        .unwrap();
    let daemon_pid = daemon.0.id();
    let [first] = keepers(daemon_pid)[..] else {
        panic!("one keeper")
    };
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(first.cast_signed()).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    eventually(
        "there is another keeper",
        || matches!(keepers(daemon_pid)[..], [other] if other != first),
    )
    .await;
    // It has been told everything when it holds the three inputs, the four pidfds, and its own three.
    let [second] = keepers(daemon_pid)[..] else {
        panic!("one keeper")
    };
    eventually("it was told", || {
        std::fs::read_dir(format!("/proc/{second}/fd")).is_ok_and(|fds| fds.count() == 10)
    })
    .await;
    assert!(pids.iter().all(|pid| is_alive(*pid)), "the pipes go on");
    daemon.kill();
    eventually("all stages are dead", || {
        !pids.iter().any(|pid| is_alive(*pid))
    })
    .await;
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    eventually("the keeper is gone", || !is_alive(second)).await;
}

/// The true end of the input still reaches the app.
#[tokio::test(flavor = "multi_thread")]
async fn an_input_that_has_finished_ends_although_the_keeper_held_it() {
    let launcher = launcher();
    let (stdin, writer) = pipe().unwrap();
    let (mut stdio, read) = captured();
    stdio.stdin = stdin;
    stdio.stdin_writer = Some(writer.try_clone().unwrap());
    let mut process = start(&launcher, spec("/bin/cat", &[]), stdio).await;
    rustix::io::write(&writer, b"all of it").unwrap();
    drop(writer);
    let waited = tokio::time::timeout(Duration::from_millis(100), process.wait()).await;
    assert!(waited.is_err(), "the keeper still holds its input");
    process.stdin_finished();
    assert_eq!(read_all(read).await, b"all of it");
    process.wait().await;
    launcher.shutdown().await;
}

/// Not a test unless it is started as one: a daemon without a keeper, whose app runs as another user where there is one to become.
#[tokio::test(flavor = "multi_thread")]
async fn doomed_daemon_without_keeper() {
    if std::env::var_os(ROLE).is_none() {
        return;
    }
    let launcher = Launcher::start(LauncherSettings {
        keeper: false,
        ..settings()
    })
    .unwrap();
    let mut spec = spec("/bin/sleep", &["600"]);
    spec.die_with_parent = true;
    if rustix::process::geteuid().is_root() {
        spec.run_as = Some(dpipes::exec::lookup_user("nobody").unwrap());
    }
    let process = start(&launcher, spec, silent()).await;
    println!("\nready {}", process.pid());
    std::future::pending::<()>().await;
}

/// The signal is tied to a thread and cleared by a change of user: the thread that started it is there as long as the daemon, and the change of user has not cleared the signal.
#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_dies_with_its_parent_needs_no_keeper_for_it() {
    let starting = || start_role("doomed_daemon_without_keeper", Path::new("/"), true);
    let (mut daemon, pids) = tokio::task::spawn_blocking(starting).await.unwrap();
    assert!(is_alive(pids[0]));
    daemon.kill();
    eventually("the app is dead", || !is_alive(pids[0])).await;
}
