//! What a service manager is told: a datagram socket stands for systemd, and the daemon is a real one.

use std::{
    fs, io,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    time::{Duration, Instant},
};

use crate::kit::{
    Invocation, Local, Runner, Running, Signal, eventually, free_port, patience, processes,
};

/// A period of the watchdog that is short for a test and long for a machine that is busy.
const WATCHDOG: Duration = Duration::from_secs(3);

/// A service manager: its socket, and all that it was told.
struct Manager {
    socket: UnixDatagram,
    name: String,
}

impl Manager {
    /// One whose socket is a file.
    fn at_path(machine: &Local) -> Self {
        let path = machine.scratch().root().join("notify");
        Self {
            socket: UnixDatagram::bind(&path).unwrap(),
            name: path.display().to_string(),
        }
    }

    /// One whose socket is in the abstract namespace.
    fn abstract_one(machine: &Local) -> Self {
        let name = format!("{}/notify", machine.scratch().root().display());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        Self {
            socket: UnixDatagram::bind_addr(&address).unwrap(),
            name: format!("@{name}"),
        }
    }

    /// The next message; `None` when there is none in this time.
    fn next(&self, within: Duration) -> Option<String> {
        self.socket.set_read_timeout(Some(within)).unwrap();
        let mut message = [0; 4096];
        loop {
            match self.socket.recv(&mut message) {
                Ok(length) => {
                    return Some(String::from_utf8_lossy(&message[..length]).into_owned());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                // A wait with a limit is not taken up again when the test's process was stopped for a moment; signal(7).
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Reads until a message has this, and returns all messages up to that one.
    #[track_caller]
    fn await_word(&self, word: &str) -> String {
        let until = Instant::now() + patience();
        let mut all = String::new();
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            let Some(message) = self.next(left.max(Duration::from_millis(1))) else {
                break;
            };
            all.push_str(&message);
            if message.contains(word) {
                return all;
            }
        }
        panic!("never told `{word}`, only\n{all}");
    }

    /// Reads until the daemon is ready and its status is known, in whatever order, and returns all of it.
    #[track_caller]
    fn await_start(&self) -> String {
        let mut all = self.await_word("READY=1\n");
        if !all.contains("STATUS=listening") {
            all += &self.await_word("STATUS=listening");
        }
        all
    }

    /// A daemon in the foreground that was told of this manager.
    fn starts(&self, machine: &Local, arguments: &[&str]) -> Invocation {
        machine.dpipesd(arguments).env("NOTIFY_SOCKET", &self.name)
    }
}

fn machine() -> Local {
    machine_with("")
}

fn machine_with(more: &str) -> Local {
    let machine = Local::new();
    let listen = format!("listen: [\"127.0.0.1:{}\"]\n{more}", free_port());
    machine.scratch().allow_any_user(&listen);
    machine
}

#[track_caller]
fn leaves(daemon: Running) {
    daemon.signal(Signal::TERM);
    daemon.wait().assert_status(0);
}

#[test]
fn a_manager_hears_when_the_daemon_is_ready_what_it_does_and_when_it_leaves() {
    for manager_of in [Manager::at_path, Manager::abstract_one] {
        let machine = machine();
        let manager = manager_of(&machine);
        let daemon = manager.starts(&machine, &["--foreground"]).spawn();
        let status = manager.await_start();
        assert!(
            status.contains("1 node known, 0 pipes running\n"),
            "{status}"
        );
        assert!(
            status.contains("STATUS=listening on 127.0.0.1:"),
            "{status}"
        );
        let mut pipe = machine.plain_dpipes(&["cat | cat"]).stdin_piped().spawn();
        let stdin = pipe.take_stdin();
        manager.await_word("1 node known, 1 pipe running\n");
        daemon.signal(Signal::TERM);
        let before = manager.await_word("STOPPING=1\n");
        assert!(
            !before.contains("WATCHDOG="),
            "nobody asked for it: {before}"
        );
        let leaving = manager.await_word("STATUS=leaving");
        assert!(leaving.contains("EXTEND_TIMEOUT_USEC="), "{leaving}");
        drop(stdin);
        pipe.wait().assert_status(0);
        daemon.wait().assert_status(0);
    }
}

#[test]
fn an_idle_daemon_with_a_manager_leaves_at_once() {
    let machine = machine();
    let manager = Manager::at_path(&machine);
    let daemon = manager.starts(&machine, &["--foreground"]).spawn();
    manager.await_start();
    let asked = Instant::now();
    leaves(daemon);
    // Half the time that a session which nobody closes would be waited for.
    let limit = Duration::from_millis(2_500);
    assert!(asked.elapsed() < limit, "{:?}", asked.elapsed());
}

#[test]
fn a_reload_is_bracketed_and_a_wrong_file_is_told_in_the_status() {
    let machine = machine();
    let manager = Manager::at_path(&machine);
    let daemon = manager.starts(&machine, &["--foreground"]).spawn();
    manager.await_start();
    let file = machine
        .scratch()
        .root()
        .join("home/config/dpipes/dpipesd.yaml");
    let right = fs::read_to_string(&file).unwrap();
    for (text, is_wrong) in [("nonsense: true\n", true), (right.as_str(), false)] {
        fs::write(&file, text).unwrap();
        let before = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        daemon.signal(Signal::HUP);
        let told = manager.await_word("RELOADING=1\n");
        let at: i64 = told
            .split("MONOTONIC_USEC=")
            .nth(1)
            .and_then(|rest| rest.lines().next()?.parse().ok())
            .expect("a number of microseconds");
        assert!(
            at >= before.tv_sec * 1_000_000 + before.tv_nsec / 1_000,
            "{told}"
        );
        let told = manager.await_word("READY=1\n");
        assert_eq!(
            told.contains("STATUS=the configuration is wrong and the old one stays"),
            is_wrong,
            "{told}"
        );
        let told = manager.await_word("STATUS=listening");
        assert_eq!(told.contains("is wrong"), is_wrong, "{told}");
    }
    leaves(daemon);
}

#[test]
fn a_daemon_that_waits_for_a_registry_is_not_ready_and_says_what_for() {
    let machine = Local::new();
    let list = machine.scratch().work().join("nodes.yaml");
    machine.scratch().allow_any_user(&format!(
        "listen: [\"127.0.0.1:{}\"]\nregistry: [ {{ static: {{ file: {list:?} }} }} ]\ndiscovery: {{ required: true }}",
        free_port()
    ));
    let manager = Manager::at_path(&machine);
    let daemon = manager.starts(&machine, &["--foreground"]).spawn();
    let mut told = manager.await_word("STATUS=waiting for its registries: static");
    daemon.signal(Signal::HUP);
    fs::write(&list, "[]\n").unwrap();
    told += &manager.await_word("READY=1\n");
    assert!(!told.contains("RELOADING="), "{told}");
    leaves(daemon);
}

#[test]
fn signs_of_life_come_from_a_daemon_that_answers_and_not_from_a_frozen_one() {
    let machine = machine();
    let manager = Manager::at_path(&machine);
    let daemon = manager
        .starts(&machine, &["--foreground"])
        .env("WATCHDOG_USEC", &WATCHDOG.as_micros().to_string())
        .spawn();
    manager.await_word("READY=1\n");
    let mut last = Instant::now();
    for _ in 0..3 {
        manager.await_word("WATCHDOG=1\n");
        assert!(last.elapsed() < WATCHDOG, "{:?}", last.elapsed());
        last = Instant::now();
    }
    daemon.signal(Signal::STOP);
    eventually!(processes::is_stopped(daemon.pid()), "it is frozen");
    while manager.next(Duration::from_millis(1)).is_some() {}
    assert_eq!(
        manager.next(WATCHDOG),
        None,
        "a frozen daemon gives no sign"
    );
    daemon.signal(Signal::CONT);
    manager.await_word("WATCHDOG=1\n");
    leaves(daemon);
}

#[test]
fn signs_of_life_that_are_wanted_of_another_process_are_not_given() {
    let machine = machine();
    let manager = Manager::at_path(&machine);
    let daemon = manager
        .starts(&machine, &["--foreground"])
        .env("WATCHDOG_USEC", "300000")
        .env("WATCHDOG_PID", "1")
        .spawn();
    let mut told = manager.await_start();
    leaves(daemon);
    told += &manager.await_word("STOPPING=1\n");
    assert!(!told.contains("WATCHDOG=1"), "{told}");
}

#[test]
fn a_start_in_the_background_says_nothing_to_a_manager_that_waits_for_another_process() {
    let machine = machine();
    let manager = Manager::at_path(&machine);
    manager
        .starts(&machine, &[])
        .run()
        .assert_status(0)
        .assert_says("NOTIFY_SOCKET is set")
        .assert_says("--foreground");
    machine.dpipesd(&["stop"]).run().assert_status(0);
    assert_eq!(manager.next(Duration::from_millis(1)), None);
}

#[test]
fn a_daemon_for_one_app_tells_of_its_start_and_its_end_and_the_app_is_told_nothing() {
    let machine = machine();
    let manager = Manager::abstract_one(&machine);
    let daemon = manager
        .starts(&machine, &["--foreground", "--exit", "--", "env"])
        .env("WATCHDOG_USEC", "60000000")
        .spawn();
    manager.await_word("READY=1\n");
    let run = machine.plain_dpipes(&["env"]).run();
    run.assert_status(0);
    let names = run.text();
    assert!(
        names.contains("DP_NODE=") && !names.contains("NOTIFY") && !names.contains("WATCHDOG"),
        "{names}"
    );
    manager.await_word("STOPPING=1\n");
    daemon.wait().assert_status(0);
}

#[test]
fn a_manager_that_is_gone_or_never_was_keeps_no_daemon_from_serving() {
    let machine = machine();
    let manager = Manager::at_path(&machine);
    let daemon = manager.starts(&machine, &["--foreground"]).spawn();
    manager.await_word("READY=1\n");
    let name = manager.name.clone();
    drop(manager);
    machine.plain_dpipes(&["true"]).run().assert_status(0);
    leaves(daemon);
    fs::remove_file(name).unwrap();
    let daemon = machine
        .dpipesd(&["--foreground"])
        .env("NOTIFY_SOCKET", "vsock:2:1234")
        .spawn();
    eventually!(
        machine.dpipesd(&["healthcheck"]).run().status == 0,
        "it serves"
    );
    daemon.signal(Signal::TERM);
    daemon.wait().assert_status(0).assert_says("vsock:2:1234");
}
