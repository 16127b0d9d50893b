//! What becomes of a pipe when something happens to its client.

use std::{fs::File, io::Write, os::fd::OwnedFd, time::Duration};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::kit::{
    Cluster, Invocation, Local, Runner, Running, Signal, eventually, hostile::noise, pause,
    processes,
};

/// A pipe that moves data for ever and whose last stage would commit at the end of its input.
const ENDLESS: &str = "@b yes | @c sh -c 'cat > /dev/null && touch committed'";

#[track_caller]
fn running_endless(cluster: &Cluster) -> Running {
    let running = cluster.dpipes(&[ENDLESS]).spawn();
    eventually!(
        cluster.node("b").runs_app("yes") && cluster.node("c").runs_app("cat"),
        "both stages run"
    );
    running
}

#[track_caller]
fn assert_gone_without_commit(cluster: &Cluster) {
    eventually!(
        cluster.apps().is_empty(),
        "every stage is gone; left: {}",
        processes::describe(&cluster.apps())
    );
    assert!(
        !cluster.scratch().has("committed"),
        "a stage took the end of a killed pipe for the end of its input"
    );
}

#[test]
fn a_killed_client_takes_its_pipe_with_it() {
    let cluster = Cluster::of_three();
    let running = running_endless(&cluster);
    running.signal(Signal::KILL);
    running.wait().assert_status(137);
    assert_gone_without_commit(&cluster);
}

#[test]
fn a_killed_client_on_tcp_takes_its_pipe_with_it() {
    let cluster = Cluster::of_three();
    let running = cluster.dpipes_over_tcp("a", &[ENDLESS]).spawn();
    eventually!(cluster.node("c").runs_app("cat"), "the last stage runs");
    running.signal(Signal::KILL);
    running.wait().assert_status(137);
    assert_gone_without_commit(&cluster);
}

#[test]
fn a_killed_client_without_daemon_takes_its_stages_with_it() {
    let local = Local::new();
    let running = local
        .dpipes(&["yes | sh -c 'cat > /dev/null && touch committed'"])
        .spawn();
    let stages = || {
        processes::all()
            .into_iter()
            .filter(|&pid| processes::works_in(pid, &local.scratch().work()))
            .count()
    };
    // The client, `yes`, `sh` and `cat`.
    eventually!(stages() >= 4, "the stages run");
    running.signal(Signal::KILL);
    running.wait().assert_status(137);
    eventually!(stages() == 0, "every stage is gone");
    assert!(!local.scratch().has("committed"));
}

#[test]
fn ctrl_c_interrupts_every_stage() {
    let cluster = Cluster::of_three();
    let running = cluster.dpipes(&["@b sleep 100 | @c sleep 100"]).spawn();
    eventually!(
        cluster.node("b").runs_app("sleep") && cluster.node("c").runs_app("sleep"),
        "both stages run"
    );
    running.signal(Signal::INT);
    running.wait().assert_status(130);
    assert_gone_without_commit(&cluster);
}

#[test]
fn an_app_may_end_in_its_own_way_after_ctrl_c() {
    let cluster = Cluster::of_three();
    // The reader ignores the signal: one that dies of it takes with it what it has read and not written yet, as in bash.
    let running = cluster.dpipes(&["@b sh -c 'trap \"echo cleaned; exit 0\" INT; echo ready; while :; do sleep 0.05; done' | @c sh -c 'trap \"\" INT; cat'"]).spawn();
    eventually!(
        cluster.node("b").runs_app("sleep") && cluster.node("c").runs_app("cat"),
        "both stages run"
    );
    running.signal(Signal::INT);
    let run = running.wait();
    assert!(run.text().starts_with("ready\ncleaned"), "{run:?}");
}

#[test]
fn an_output_that_was_cut_short_by_ctrl_c_is_no_success() {
    let cluster = Cluster::of_three();
    let running = cluster
        .dpipes(&["@b sleep 100 | @c sh -c 'trap \"\" INT; cat'"])
        .spawn();
    eventually!(
        cluster.node("b").runs_app("sleep") && cluster.node("c").runs_app("cat"),
        "both stages run"
    );
    running.signal(Signal::INT);
    running.wait().assert_status(130);
}

#[test]
fn a_second_ctrl_c_kills_what_ignored_the_first() {
    let cluster = Cluster::of_three();
    let running = cluster
        .dpipes(&["@b sh -c 'trap \"\" INT TERM; sleep 100; sleep 100' | @c cat"])
        .spawn();
    eventually!(
        cluster.node("b").runs_app("sleep") && cluster.node("c").runs_app("cat"),
        "both stages run"
    );
    running.signal(Signal::INT);
    // `cat` dies of it, `sh` and its `sleep` do not.
    eventually!(
        !cluster.node("c").runs_app("cat"),
        "the first signal arrives"
    );
    assert!(cluster.node("b").runs_app("sleep"));
    running.signal(Signal::INT);
    running.wait().assert_status(130);
    assert_gone_without_commit(&cluster);
}

#[test]
fn a_terminated_client_reports_143() {
    let cluster = Cluster::of_three();
    let running = running_endless(&cluster);
    running.signal(Signal::TERM);
    running.wait().assert_status(143);
    assert_gone_without_commit(&cluster);
}

#[test]
fn a_client_that_was_hung_up_on_reports_129() {
    let cluster = Cluster::of_three();
    let running = running_endless(&cluster);
    running.signal(Signal::HUP);
    running.wait().assert_status(129);
    assert_gone_without_commit(&cluster);
}

#[test]
fn a_closed_terminal_ends_the_pipe() {
    let cluster = Cluster::of_three();
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new())
        .unwrap()
        .into_string()
        .unwrap();
    let side = || -> OwnedFd {
        File::options()
            .read(true)
            .write(true)
            .open(&name)
            .unwrap()
            .into()
    };
    let socket = format!("unix:{}", cluster.node("a").socket.display());
    let mut command = cluster.scratch().command("setsid");
    command.args([
        "--ctty",
        "--wait",
        "dpipes",
        "--connect",
        &socket,
        &cluster.with_full_names(ENDLESS),
    ]);
    let running = Invocation::new(command)
        .stdin_from(side())
        .stdout_to(side())
        .stderr_to(side())
        .spawn();
    eventually!(
        cluster.node("b").runs_app("yes") && cluster.node("c").runs_app("cat"),
        "both stages run"
    );
    drop(terminal);
    assert_ne!(running.wait().status, 0);
    assert_gone_without_commit(&cluster);
}

#[test]
fn a_stopped_client_on_the_unix_socket_goes_on_where_it_was() {
    // On the unix socket there is no lease: the socket itself tells.
    goes_on_after(Signal::STOP, Cluster::dpipes);
}

#[test]
fn a_client_on_tcp_that_is_suspended_from_its_terminal_goes_on_where_it_was() {
    // It says so before it stops, and its lease is frozen.
    goes_on_after(Signal::TSTP, |cluster, arguments| {
        cluster.dpipes_over_tcp("a", arguments)
    });
}

/// Stops a client for longer than the lease, continues it, and looks whether every byte came once.
fn goes_on_after(signal: Signal, client: impl Fn(&Cluster, &[&str]) -> Invocation) {
    let cluster = Cluster::builder()
        .node("a")
        .node("b")
        .node("c")
        .run("lease", "1s")
        .start();
    let (first, second) = (noise(2_000_000, 1), noise(2_000_000, 2));
    let mut running = client(&cluster, &["@b cat | @c cat"]).stdin_piped().spawn();
    let mut stdin = running.take_stdin();
    stdin.write_all(&first).unwrap();
    running.signal(signal);
    eventually!(
        processes::is_stopped(running.pid()),
        "the client is stopped"
    );
    pause(Duration::from_secs(3));
    running.signal(Signal::CONT);
    stdin.write_all(&second).unwrap();
    drop(stdin);
    let run = running.wait();
    run.assert_status(0);
    assert!(
        run.stdout == [first, second].concat(),
        "bytes were lost or came twice: {run:?}"
    );
}

#[test]
fn a_client_on_tcp_that_is_stopped_without_a_word_loses_its_lease() {
    let cluster = Cluster::builder()
        .node("a")
        .node("b")
        .node("c")
        .run("lease", "2s")
        .start();
    let running = cluster.dpipes_over_tcp("a", &[ENDLESS]).spawn();
    eventually!(cluster.node("c").runs_app("cat"), "the last stage runs");
    running.signal(Signal::STOP);
    assert_gone_without_commit(&cluster);
    running.signal(Signal::CONT);
    running.wait().assert_status(125);
}

#[test]
fn a_client_without_a_reader_for_its_output_ends_quietly() {
    let cluster = Cluster::of_three();
    let (nobody, output) = rustix::pipe::pipe().unwrap();
    drop(nobody);
    let run = cluster.dpipes(&["@b yes | @c cat"]).stdout_to(output).run();
    run.assert_status(141);
    assert_eq!(run.stderr, "");
}
