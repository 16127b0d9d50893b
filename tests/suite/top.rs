//! `dpipes top`: a screen with keys on a terminal, lines elsewhere.

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::OwnedFd,
    sync::{Arc, Mutex},
    thread,
};

use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcgetattr, tcsetwinsize},
};

use crate::kit::{Cluster, Invocation, Local, Runner, Running, Signal, eventually, processes};

/// What takes the screen of a terminal over.
const TAKEN: &str = "\u{1b}[?1049h";

/// What gives it back.
const GIVEN_BACK: &str = "\u{1b}[?1049l";

/// A terminal, and all that was ever written to it.
struct Terminal {
    user: File,
    name: String,
    /// Held so that the terminal is there, and to look at its settings.
    side: File,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    fn new() -> Self {
        let (user, name) = pseudo_terminal();
        let written = Arc::new(Mutex::new(Vec::new()));
        let (mut reads, keeps) = (user.try_clone().unwrap(), Arc::clone(&written));
        thread::spawn(move || {
            let mut buffer = [0; 4_096];
            while let Ok(length @ 1..) = reads.read(&mut buffer) {
                keeps.lock().unwrap().extend_from_slice(&buffer[..length]);
            }
        });
        let side = Self::open(&name);
        let terminal = Self {
            user,
            name,
            side,
            written,
        };
        terminal.resize(100, 30);
        terminal
    }

    fn open(name: &str) -> File {
        let mut options = File::options();
        options.read(true).write(true).open(name).unwrap()
    }

    fn resize(&self, columns: u16, rows: u16) {
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&self.user, size).unwrap();
    }

    /// Runs a command with this terminal as its own.
    fn run(&self, cluster: &Cluster, command: &[&str]) -> Running {
        Self::run_on(&self.name, cluster, command)
    }

    fn run_on(name: &str, cluster: &Cluster, command: &[&str]) -> Running {
        let side = || OwnedFd::from(Self::open(name));
        let mut all = cluster.scratch().command("setsid");
        all.args(["--ctty", "--wait"]).args(command);
        let socket = format!("unix:{}", cluster.node("a").socket.display());
        Invocation::new(all)
            .env("DPIPES_CONNECT", &socket)
            .env("TERM", "xterm-256color")
            .stdin_from(side())
            .stdout_to(side())
            .stderr_to(side())
            .spawn()
    }

    fn types(&self, keys: &str) {
        (&self.user).write_all(keys.as_bytes()).unwrap();
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().unwrap()).into_owned()
    }

    fn shows(&self, text: &str) -> bool {
        self.text().contains(text)
    }

    /// The settings, as far as programs change them.
    fn settings(&self) -> String {
        let settings = tcgetattr(&self.side).unwrap();
        format!(
            "{:?} {:?} {:?} {:?}",
            settings.input_modes,
            settings.output_modes,
            settings.local_modes,
            settings.special_codes
        )
    }
}

/// A terminal: the user's side of it, and the name of the other.
fn pseudo_terminal() -> (File, String) {
    let user = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&user).unwrap();
    unlockpt(&user).unwrap();
    let name = ptsname(&user, Vec::new()).unwrap().into_string().unwrap();
    (user.into(), name)
}

/// The end of the name of the only pipe, once it runs.
fn name(cluster: &Cluster) -> String {
    let mut name = String::new();
    eventually!(
        {
            let run = cluster.dpipes(&["ps", "--json"]).run();
            let pipe: Option<serde_json::Value> = run
                .text()
                .lines()
                .find_map(|line| serde_json::from_str(line).ok());
            let pipe = pipe.filter(|pipe| pipe["state"] == "running");
            name = pipe.map_or_else(String::new, |pipe| {
                pipe["pipe"].as_str().unwrap()[18..].to_owned()
            });
            !name.is_empty()
        },
        "the pipe runs"
    );
    name
}

#[test]
fn lines_are_written_where_there_is_no_terminal() {
    let cluster = Cluster::of_three();
    let running = cluster.dpipes(&["-n", "@b sleep 300 | @c cat"]).spawn();
    let name = name(&cluster);
    let run = cluster
        .dpipes(&["top", "--count", "2", "--interval", "200ms"])
        .run();
    run.assert_status(0);
    let blocks: Vec<&str> = run.text().split("\n\n").collect();
    assert_eq!(blocks.len(), 2, "{run:?}");
    for block in blocks {
        let lines: Vec<&str> = block.lines().collect();
        let [header, heading, pipe] = lines.as_slice() else {
            panic!("{run:?}");
        };
        assert!(header.contains("Z  1 pipe running  stages "), "{run:?}");
        assert!(header.contains("nodes 3 of 3 up"), "{run:?}");
        assert!(heading.starts_with("PIPE "), "{run:?}");
        assert!(pipe.starts_with(&name), "{run:?}");
        assert!(
            pipe.ends_with(&cluster.with_full_names("@b sleep 300 | @c cat")),
            "{run:?}"
        );
    }
    drop(running);
}

#[test]
fn lines_end_with_their_reader() {
    let cluster = Cluster::of_one();
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let running = cluster
        .dpipes(&["top", "--interval", "100ms"])
        .stdout_to(writer)
        .spawn();
    drop(reader);
    let run = running.wait();
    run.assert_status(0);
    assert_eq!(run.stderr, "", "{run:?}");
}

#[test]
fn an_entry_that_is_lost_is_a_line_and_one_that_is_back_is_asked_again() {
    let mut cluster = Cluster::of_one();
    cluster.scratch().file("lines", "");
    let lines = File::options()
        .append(true)
        .open(cluster.scratch().work().join("lines"))
        .unwrap();
    let running = cluster
        .dpipes(&["top", "--interval", "100ms"])
        .stdout_to(lines)
        .spawn();
    let written = |cluster: &Cluster| cluster.scratch().read("lines");
    eventually!(written(&cluster).contains("0 pipes running"), "it answers");
    cluster.node_mut("a").crash();
    eventually!(written(&cluster).contains("no answer: "), "it is lost");
    cluster.restart("a");
    eventually!(
        {
            let text = written(&cluster);
            let last = text.trim_end().lines().next_back().unwrap_or_default();
            last.contains("0 pipes running")
        },
        "it answers again"
    );
    running.signal(Signal::TERM);
    running.wait().assert_status(143);
}

#[test]
fn a_terminal_shows_the_pipes_and_is_given_back_as_it_was() {
    let cluster = Cluster::of_three();
    let pipe = cluster.dpipes(&["-n", "@b sleep 300 | @c cat"]).spawn();
    let name = name(&cluster);
    let terminal = Terminal::new();
    let before = terminal.settings();
    let running = terminal.run(&cluster, &["dpipes", "top"]);
    eventually!(
        terminal.shows(TAKEN) && terminal.shows(&name) && terminal.shows("sleep"),
        "the pipe is shown: {:?}",
        terminal.text()
    );
    assert_ne!(terminal.settings(), before, "keys come one by one");
    terminal.types("\t");
    eventually!(terminal.shows("LOAD"), "the nodes are shown");
    terminal.resize(60, 20);
    terminal.types("h");
    eventually!(terminal.shows("Ctrl-C"), "the help is shown");
    terminal.types("xq");
    running.wait().assert_status(0);
    assert_eq!(terminal.settings(), before);
    eventually!(terminal.shows(GIVEN_BACK), "the screen is given back");
    drop(pipe);
}

#[test]
fn a_signal_gives_the_terminal_back() {
    let cluster = Cluster::of_one();
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let terminal = Terminal::new();
        let before = terminal.settings();
        let running = terminal.run(&cluster, &["dpipes", "top"]);
        eventually!(
            terminal.shows("no pipe") || terminal.shows("runs"),
            "it is shown"
        );
        running.signal(signal);
        running.wait().assert_status(128 + signal.as_raw());
        assert_eq!(terminal.settings(), before, "{signal:?}");
        eventually!(terminal.shows(GIVEN_BACK), "{signal:?}");
    }
}

#[test]
fn a_suspended_screen_gives_the_terminal_back_and_comes_again() {
    let cluster = Cluster::of_one();
    let terminal = Terminal::new();
    let script = "set -m; dpipes top; stty -a >stopped; fg >/dev/null; echo $? >status";
    let running = terminal.run(&cluster, &["bash", "-c", script]);
    eventually!(
        terminal.shows(TAKEN) && terminal.shows("runs"),
        "it is shown"
    );
    terminal.types("\u{1a}");
    eventually!(
        cluster.scratch().read("stopped").contains(" icanon"),
        "the shell has the terminal: {:?}",
        terminal.text()
    );
    eventually!(
        terminal.text().matches(TAKEN).count() >= 2,
        "it comes again"
    );
    terminal.types("q");
    running.wait();
    assert_eq!(cluster.scratch().read("status"), "0\n");
}

#[test]
fn a_pipe_is_killed_with_a_key_and_a_yes() {
    let cluster = Cluster::of_three();
    let pipe = cluster.dpipes(&["-n", "@b sleep 300 | @c cat"]).spawn();
    let name = name(&cluster);
    let terminal = Terminal::new();
    let running = terminal.run(&cluster, &["dpipes", "top"]);
    eventually!(terminal.shows(&name), "the pipe is shown");
    terminal.types("k");
    eventually!(terminal.shows("y/n"), "it asks: {:?}", terminal.text());
    terminal.types("n");
    terminal.types("k");
    terminal.types("y");
    pipe.wait().assert_status(143);
    eventually!(terminal.shows("told"), "what came of it is said");
    terminal.types("\u{3}");
    running.wait().assert_status(0);
}

#[test]
fn a_closed_terminal_ends_it() {
    let cluster = Cluster::of_one();
    let (mut user, name) = pseudo_terminal();
    let running = Terminal::run_on(&name, &cluster, &["dpipes", "top"]);
    let mut written = Vec::new();
    while !String::from_utf8_lossy(&written).contains("quit") {
        let mut buffer = [0; 4_096];
        let length = user.read(&mut buffer).unwrap();
        written.extend_from_slice(&buffer[..length]);
    }
    drop(user);
    running.wait().assert_status(129);
}

#[test]
fn a_screen_that_was_stopped_takes_the_terminal_again() {
    let cluster = Cluster::of_one();
    let terminal = Terminal::new();
    let running = terminal.run(&cluster, &["dpipes", "top"]);
    eventually!(terminal.shows("runs"), "it is shown");
    running.signal(Signal::STOP);
    eventually!(processes::is_stopped(running.pid()), "it is stopped");
    running.signal(Signal::CONT);
    eventually!(
        terminal.text().matches(TAKEN).count() >= 2,
        "it comes again"
    );
    terminal.types("q");
    running.wait().assert_status(0);
}

#[test]
fn colour_and_screen_are_left_out_where_they_are_not_wanted() {
    let cluster = Cluster::of_one();
    let terminal = Terminal::new();
    let colour = "\u{1b}[38;";
    let running = terminal.run(&cluster, &["dpipes", "top"]);
    eventually!(terminal.shows("quit") && terminal.shows(colour), "colour");
    terminal.types("q");
    running.wait().assert_status(0);
    let terminal = Terminal::new();
    let running = terminal.run(&cluster, &["env", "NO_COLOR=1", "dpipes", "top"]);
    eventually!(terminal.shows("quit"), "it is shown");
    assert!(!terminal.shows(colour), "{:?}", terminal.text());
    terminal.types("q");
    running.wait().assert_status(0);
    let terminal = Terminal::new();
    let dumb = ["env", "TERM=dumb", "dpipes", "top", "--interval", "100ms"];
    let running = terminal.run(&cluster, &dumb);
    eventually!(terminal.text().matches(" running ").count() > 1, "lines");
    assert!(!terminal.shows("\u{1b}"), "{:?}", terminal.text());
    // Ctrl-C is the terminal's own there.
    terminal.types("\u{3}");
    running.wait().assert_status(130);
}

#[test]
fn without_a_daemon_there_is_nobody_to_watch() {
    let run = Local::new().dpipes(&["top"]).run();
    run.assert_status(1).assert_says("no daemon runs here");
    let run = Local::new().dpipes(&["top", "--interval", "1ms"]).run();
    run.assert_status(2).assert_says("is not from 100ms");
}
