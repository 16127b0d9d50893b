//! What it costs to be watched, and how quickly a node tells of all its pipes.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::net::UnixStream,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::GIBIBYTE;
use crate::{
    hop::{CPU, Load, METRICS, RATE, through_dpipes},
    kit::{Cluster, Runner, eventually, free_port, pause, processes},
    measure::{
        contest::{Contest, Must, Side},
        series::rounds,
    },
    work,
};

/// Rounds of each figure here, unless said otherwise.
const ROUNDS: usize = 9;

/// Those who read the events of a node at a time, and those who ask it for its metrics.
const READERS: usize = 3;

/// How often metrics are asked for: thirty times as often as a scraper usually does.
const SCRAPE_EVERY: Duration = Duration::from_millis(500);

/// Pipes that are over, and pipes that run.
const OVER: usize = 10_000;
const LIVE: usize = 500;

/// Clients that run the first of them at one time.
const CLIENTS: usize = 4;

/// A cluster whose node `a` serves the API, at this port and at a socket.
fn served(port: u16) -> Cluster {
    let program = work::program();
    let folder = program.parent().expect("a file lies in a folder");
    let path = format!("[/usr/bin, /bin, {folder:?}]");
    let rest =
        format!("rest: {{ listen: [\"127.0.0.1:{port}\", \"unix:api.sock\"], token-file: token }}");
    Cluster::builder()
        .run("path", &path)
        .node_with("a", |node| node.section(&rest))
        .node("b")
        .start()
}

/// The same hop with an API that is watched, with one that nobody asks, and without any.
pub(super) fn watched() -> Vec<Contest> {
    const WITHOUT: &str = "without an API";
    const ASLEEP: &str = "with an API that nobody asks";
    const WATCHED: &str = "with three readers of events and metrics twice a second";
    let load = Load::of(GIBIBYTE, 1 << 20);
    let plain = crate::hop::cluster(&["a", "b"]);
    let port = free_port();
    let cluster = served(port);
    let mut sides: Vec<Side<'_>> = vec![
        (
            WITHOUT,
            Box::new(|| through_dpipes(&plain, &load).figures(&load)),
        ),
        (
            ASLEEP,
            Box::new(|| through_dpipes(&cluster, &load).figures(&load)),
        ),
        (
            WATCHED,
            Box::new(|| while_watched(port, || through_dpipes(&cluster, &load).figures(&load))),
        ),
    ];
    let contest = Contest::hold("one hop, watched", &METRICS, rounds(ROUNDS), &mut sides);
    let contest = contest
        .bar(ASLEEP, WITHOUT, RATE, Must::BeTimes(0.97))
        .bar(WATCHED, WITHOUT, RATE, Must::BeTimes(0.95))
        .bar(WATCHED, WITHOUT, CPU, Must::BeAtMostTimes(1.05));
    vec![contest]
}

/// Does something while others read events and metrics of a node.
fn while_watched<T>(port: u16, work: impl FnOnce() -> T) -> T {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| {
                let mut events = ask(port, "/v1/events");
                let timeout = Some(Duration::from_millis(100));
                events.set_read_timeout(timeout).expect("a timeout");
                let mut bytes = [0; 64 << 10];
                while !is_over.load(Ordering::Relaxed) {
                    // Nothing may come for a while.
                    let _some = events.read(&mut bytes);
                }
            });
        }
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let mut answer = Vec::new();
                let read = ask(port, "/metrics").read_to_end(&mut answer);
                read.expect("metrics");
                pause(SCRAPE_EVERY);
            }
        });
        let done = work();
        is_over.store(true, Ordering::Relaxed);
        done
    })
}

fn ask(port: u16, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("an API");
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("an API");
    stream
}

/// A node that remembers ten thousand pipes while five hundred run.
pub(super) fn many_listed() -> Vec<Contest> {
    const ALL: &str = "all 10,500 pipes";
    const PAGE: &str = "the newest 100";
    let cluster = served(free_port());
    let node = cluster.node("a").pid();
    let socket = cluster.scratch().root().join("api.sock");
    let before = processes::resident(node);
    let sleeping: Vec<_> = (0..LIVE)
        .map(|_| cluster.dpipes(&["-n", "sleep 3600"]).spawn())
        .collect();
    eventually!(
        cluster.node("a").apps().len() + cluster.node("b").apps().len() == LIVE,
        "they sleep"
    );
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                for _ in 0..OVER / CLIENTS {
                    let pipe = cluster.dpipes(&["-n", "true | true | true"]);
                    pipe.run().assert_status(0);
                }
            });
        }
    });
    let held = (processes::resident(node) - before) as f64 / f64::from(1 << 20);
    let list = |path: &str, least: usize| {
        let began = Instant::now();
        let mut stream = UnixStream::connect(&socket).expect("an API");
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("an API");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("a list");
        let took = began.elapsed().as_secs_f64() * 1e3;
        let text = String::from_utf8(answer).expect("text");
        let pipes = text.matches("\"pipeline\":").count();
        assert!(pipes >= least, "{pipes} pipes are in the list");
        vec![took]
    };
    let mut sides: Vec<Side<'_>> = vec![
        (
            ALL,
            Box::new(|| list("/v1/pipes?all=true&limit=20000", OVER + LIVE)),
        ),
        (PAGE, Box::new(|| list("/v1/pipes?all=true", 100))),
    ];
    let contest = Contest::hold("a list over HTTP", &["ms"], rounds(4 * ROUNDS), &mut sides);
    let contest = contest.bar(ALL, ALL, 0, Must::BeAtMost(50.0)).note(format!(
        "the daemon holds {held:.1} MiB more than at its start"
    ));
    // Each client that is told to end needs a process; the daemon ends their pipes when it ends.
    for client in &sleeping {
        client.signal(crate::kit::Signal::TERM);
    }
    drop(sleeping);
    vec![contest]
}
