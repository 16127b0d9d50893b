//! What a container or an orchestrator is told of a daemon.

use std::{fs, io::Write, path::PathBuf, time::Duration};

use serde_json::Value;

use crate::kit::{
    Local, Run, Runner, Running, Signal, eventually, free_port, holds_within, patience, processes,
};

/// The timeout of Docker's HEALTHCHECK unless another one is said.
const DOCKERS_TIMEOUT: Duration = Duration::from_secs(30);

/// A machine whose daemons listen on a free port and have this configuration beside that.
fn machine_with(more: &str) -> Local {
    let machine = Local::new();
    let listen = format!("listen: [\"127.0.0.1:{}\"]\n{more}", free_port());
    machine.scratch().allow_any_user(&listen);
    machine
}

fn health(machine: &Local) -> Run {
    machine.dpipesd(&["healthcheck"]).run()
}

fn phase(machine: &Local) -> Value {
    let run = machine.dpipesd(&["healthcheck", "--json"]).run();
    let value: Value = serde_json::from_str(run.text()).unwrap();
    assert_eq!(value["kind"], "health");
    assert_eq!(value["healthy"] == true, run.status == 0, "{run:?}");
    value["phase"].clone()
}

/// Whether an app of this name runs: a pipe that is still being prepared may be refused by a daemon that leaves.
fn runs(machine: &Local, app: &str) -> bool {
    let processes = machine.scratch().processes();
    processes
        .into_iter()
        .any(|pid| processes::name(pid).is_some_and(|name| name == app))
}

/// A daemon in the foreground, once it serves.
fn started(machine: &Local) -> Running {
    let daemon = machine.dpipesd(&["--foreground"]).spawn();
    eventually!(health(machine).status == 0, "the daemon is healthy");
    daemon
}

#[track_caller]
fn assert_unhealthy(run: &Run, why: &str) {
    run.assert_status(1);
    let text = run.text();
    assert!(text.contains(why) && text.contains("= help: "), "{run:?}");
    assert_eq!(text.lines().count(), 1, "{run:?}");
    assert_eq!(run.stderr, "");
}

#[test]
fn a_daemon_that_serves_is_healthy_and_one_that_is_gone_is_not() {
    let machine = machine_with("");
    assert_unhealthy(&health(&machine), "no dpipesd");
    let daemon = started(&machine);
    let run = health(&machine);
    run.assert_status(0);
    assert!(run.text().starts_with("ready: "), "{run:?}");
    assert_eq!(phase(&machine), "ready");
    daemon.signal(Signal::TERM);
    daemon.wait().assert_status(0);
    assert_unhealthy(&health(&machine), "no dpipesd");
    assert_eq!(phase(&machine), Value::Null);
}

#[test]
fn a_daemon_killed_outright_leaves_a_socket_and_is_not_healthy() {
    let machine = machine_with("");
    let daemon = started(&machine);
    daemon.signal(Signal::KILL);
    daemon.wait().assert_status(137);
    assert_unhealthy(&health(&machine), "no dpipesd");
}

#[test]
fn a_required_registry_is_waited_for_and_its_later_outage_makes_nobody_unhealthy() {
    let machine = Local::new();
    let list: PathBuf = machine.scratch().work().join("nodes.yaml");
    let (port, other) = (free_port(), free_port());
    machine.scratch().allow_any_user(&format!(
        "listen: [\"127.0.0.1:{port}\"]\nregistry: [ {{ static: {{ file: {list:?} }} }} ]\ndiscovery: {{ required: true }}"
    ));
    let daemon = machine.dpipesd(&["--foreground"]).spawn();
    eventually!(
        health(&machine)
            .text()
            .contains("static has not answered yet"),
        "the list is missed"
    );
    assert_unhealthy(&health(&machine), "starting for ");
    assert_eq!(phase(&machine), "starting");
    fs::write(
        &list,
        format!("- {{ name: other, addr: \"127.0.0.1:{other}\" }}\n"),
    )
    .unwrap();
    eventually!(health(&machine).status == 0, "the list is there");
    fs::write(&list, "nonsense").unwrap();
    eventually!(
        health(&machine).text().contains("static has last answered"),
        "the outage is told"
    );
    health(&machine).assert_status(0);
    daemon.signal(Signal::TERM);
    daemon.wait().assert_status(0);
}

#[test]
fn a_daemon_that_leaves_says_so_until_its_last_pipe_has_ended() {
    let machine = machine_with("");
    let daemon = started(&machine);
    let mut pipe = machine.plain_dpipes(&["cat | cat"]).stdin_piped().spawn();
    let mut stdin = pipe.take_stdin();
    eventually!(runs(&machine, "cat"), "the pipe runs");
    assert!(health(&machine).text().contains("1 pipe running"));
    daemon.signal(Signal::TERM);
    eventually!(phase(&machine) == "draining", "it leaves");
    assert_unhealthy(
        &health(&machine),
        "draining: no new pipes are taken, 1 pipe",
    );
    stdin.write_all(b"to the end\n").unwrap();
    drop(stdin);
    pipe.wait().assert_status(0).assert_wrote("to the end\n");
    daemon.wait().assert_status(0);
    let left = fs::read_dir(machine.scratch().root().join("run")).unwrap();
    assert_eq!(left.count(), 0, "sockets and pid file are gone");
}

#[test]
fn a_successor_may_start_while_the_old_daemon_drains() {
    let machine = machine_with("");
    let old = started(&machine);
    let mut pipe = machine.plain_dpipes(&["cat"]).stdin_piped().spawn();
    let stdin = pipe.take_stdin();
    eventually!(runs(&machine, "cat"), "the pipe runs");
    assert!(health(&machine).text().contains("1 pipe running"));
    old.signal(Signal::TERM);
    eventually!(phase(&machine) == "draining", "it leaves");
    let new = started(&machine);
    drop(stdin);
    pipe.wait().assert_status(0);
    old.wait().assert_status(0);
    health(&machine).assert_status(0);
    new.signal(Signal::TERM);
    new.wait().assert_status(0);
}

#[test]
fn a_daemon_that_is_stopped_does_not_answer_and_the_check_ends_before_docker_ends_it() {
    let machine = machine_with("");
    let daemon = started(&machine);
    daemon.signal(Signal::STOP);
    let run = health(&machine);
    assert_unhealthy(&run, "does not answer");
    assert!(run.elapsed < DOCKERS_TIMEOUT, "{run:?}");
    daemon.signal(Signal::CONT);
    let again = || health(&machine).status == 0;
    assert!(holds_within(patience(), again), "it answers again");
    daemon.signal(Signal::TERM);
    daemon.wait().assert_status(0);
}
