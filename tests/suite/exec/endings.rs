//! Signals, kills, and what is left afterwards: nothing.

use std::time::{Duration, Instant};

use dpipes::exec::{ExitKind, Launcher, Stdio};

use super::kit::*;

/// The app writes its child's number first.
async fn start_with_child(
    launcher: &Launcher,
    script: &str,
) -> (dpipes::exec::Process, u32, rustix::fd::OwnedFd) {
    let (stdio, read) = captured();
    let process = start(launcher, shell(script), stdio).await;
    let child = read_line(&read).await.parse().unwrap();
    (process, child, read)
}

/// P18: a signal to the group does not reach it. With and without cgroups.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_reaches_a_grandchild_in_a_session_of_its_own() {
    for launcher in [launcher(), launcher_without_cgroups()] {
        let script = "setsid sh -c 'trap \"\" TERM; echo $$; while :; do sleep 0.1; done' & wait";
        let (mut process, child, _read) = start_with_child(&launcher, script).await;
        assert!(is_alive(child));
        let ended = process.kill(Duration::from_millis(200)).await;
        assert_eq!(ended.exit, ExitKind::Signal(15));
        assert!(!is_alive(child), "{:?}", launcher.isolation());
        eventually("the orphan is reaped", || state(child).is_none()).await;
        launcher.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_ends_what_an_app_left_in_the_background() {
    for launcher in [launcher(), launcher_without_cgroups()] {
        let (mut process, child, _read) =
            start_with_child(&launcher, "sleep 600 & echo $!; exit 3").await;
        assert_eq!(process.wait().await.exit, ExitKind::Code(3));
        assert!(is_alive(child));
        let holder = [format!("pid {child} (sleep)")];
        eventually("the sleep holds stdout", || process.holders() == holder).await;
        process.sweep().await;
        assert!(!is_alive(child), "{:?}", launcher.isolation());
        eventually("the orphan is reaped", || state(child).is_none()).await;
        launcher.shutdown().await;
    }
}

/// P20.
#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_ignores_sigterm_dies_after_the_grace() {
    let launcher = launcher();
    let (mut process, _, _read) = start_with_child(
        &launcher,
        "trap '' TERM; echo $$; while :; do sleep 0.1; done",
    )
    .await;
    let grace = Duration::from_millis(300);
    let since = Instant::now();
    assert_eq!(process.kill(grace).await.exit, ExitKind::Signal(9));
    assert!(since.elapsed() >= grace);
    launcher.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_handles_sigterm_ends_in_its_own_way() {
    let launcher = launcher();
    let (mut process, _, _read) = start_with_child(
        &launcher,
        "trap 'exit 7' TERM; echo $$; while :; do sleep 0.05; done",
    )
    .await;
    let since = Instant::now();
    assert_eq!(process.kill(PATIENCE).await.exit, ExitKind::Code(7));
    assert!(since.elapsed() < PATIENCE);
    launcher.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_app_dies_of_sigterm() {
    let launcher = launcher();
    let (mut process, pid, _read) = start_with_child(&launcher, "echo $$; exec sleep 600").await;
    assert!(process.signal(19));
    eventually("it has stopped", || state(pid) == Some('T')).await;
    assert_eq!(process.kill(PATIENCE).await.exit, ExitKind::Signal(15));
    launcher.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_reaches_every_process_of_a_stage_and_another_hand_may_send_it() {
    let launcher = launcher();
    let script = "trap : USR1; sh -c 'trap \"echo child\" USR1; echo $$; while :; do sleep 0.05; done' & wait; wait";
    let (mut process, _, read) = start_with_child(&launcher, script).await;
    let handle = process.handle();
    let waiting = tokio::spawn(async move { process.wait().await });
    assert!(handle.signal(10));
    // The shell also tells that the signal ended its `sleep`.
    while read_line(&read).await != "child" {}
    assert!(!handle.signal(4711));
    handle.kill(Duration::from_millis(100)).await;
    waiting.await.unwrap();
    assert!(!handle.signal(10), "nobody is left");
    launcher.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_may_be_given_up_and_taken_up_again() {
    let launcher = launcher();
    let (stdin, writer) = dpipes::exec::pipe().unwrap();
    let mut process = start(
        &launcher,
        shell("read x; exit 5"),
        Stdio { stdin, ..silent() },
    )
    .await;
    assert!(process.try_wait().is_none());
    tokio::select! {
        biased;
        _ = process.wait() => panic!("it waits for input"),
        () = tokio::task::yield_now() => {}
    }
    drop(writer);
    let ended = process.wait().await;
    assert_eq!(ended.exit, ExitKind::Code(5));
    assert_eq!(process.wait().await, ended);
    assert_eq!(process.try_wait(), Some(ended));
    launcher.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_an_app_used_is_known() {
    let launcher = launcher();
    let script = "i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done";
    let ended = start(&launcher, shell(script), silent()).await.wait().await;
    assert!(ended.user >= Duration::from_millis(20), "{ended:?}");
    assert!(ended.elapsed >= ended.user / 2, "{ended:?}");
    launcher.shutdown().await;
}

/// A process whose handles are all dropped is reaped all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_process_goes_on_and_is_reaped() {
    let launcher = launcher();
    let (stdin, writer) = dpipes::exec::pipe().unwrap();
    let process = start(&launcher, shell("read x"), Stdio { stdin, ..silent() }).await;
    let pid = process.pid();
    drop(process);
    assert!(is_alive(pid));
    assert_eq!(launcher.running(), 1);
    drop(writer);
    eventually("it is reaped", || state(pid).is_none()).await;
    launcher.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_ends_everything_and_starts_nothing_more() {
    let launcher = launcher();
    let (process, child, _read) = start_with_child(&launcher, "sleep 600 & echo $!; wait").await;
    launcher.shutdown().await;
    assert!(!is_alive(process.pid()));
    assert!(!is_alive(child));
    let error = launcher.prepare(shell("true"), silent()).await.unwrap_err();
    assert_eq!(error.to_string(), "no more processes are started");
}
