//! Events, as they come.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use serde_json::Value;

use super::Served;
use crate::kit::Runner;

/// Longest time between two events: comments come every 15 s.
const PATIENCE: Duration = Duration::from_secs(30);

/// A reader of events.
struct Events(BufReader<TcpStream>);

// === impl Events ===

impl Events {
    fn of(served: &Served, path: &str) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", served.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut lines = BufReader::new(stream);
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            lines.read_line(&mut line).unwrap();
            assert!(!line.is_empty(), "the head of an answer");
        }
        Self(lines)
    }

    /// The next event and its data; `None` at the end.
    fn next(&mut self) -> Option<(String, Value)> {
        let mut name = String::new();
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            if line.is_empty() {
                return None;
            }
            // The lines between them are lengths of chunks.
            if let Some(event) = line.strip_prefix("event: ") {
                event.trim().clone_into(&mut name);
            } else if let Some(data) = line.strip_prefix("data: ") {
                return Some((name, serde_json::from_str(data).unwrap()));
            }
        }
    }
}

#[test]
fn a_pipe_is_followed_from_its_beginning_to_its_end() {
    let served = Served::new();
    let mut events = Events::of(&served, "/v1/events");
    let (first, hello) = events.next().unwrap();
    assert_eq!(
        (first.as_str(), &hello["node"]),
        ("hello", &served.cluster.node("a").name.clone().into())
    );
    served
        .cluster
        .dpipes(&["-n", "@b seq 3 | @c sh -c 'cat; exit 3'"])
        .run()
        .assert_status(3);
    let mut states = Vec::new();
    while states.last().is_none_or(|state| state != "complete") {
        let (name, pipe) = events.next().unwrap();
        assert_eq!(name, "pipe");
        states.push(pipe["state"].as_str().unwrap().to_owned());
        if pipe["state"] == "complete" {
            assert_eq!(pipe["stages"][1]["exit"]["code"], 3, "{pipe}");
            assert_eq!(pipe["pipeline"], "seq | sh", "without the token");
        }
    }
}

#[test]
fn the_events_of_one_pipe_end_with_it() {
    let served = Served::new();
    let mut running = served.cluster.dpipes(&["@b cat"]).stdin_piped().spawn();
    let input = running.take_stdin();
    crate::kit::eventually!(served.is_running(), "the pipe runs");
    let name = served.newest()["pipe"].as_str().unwrap().to_owned();
    let mut events = Events::of(&served, &format!("/v1/pipes/{name}/events"));
    assert_eq!(events.next().unwrap().0, "hello");
    drop(input);
    running.wait().assert_status(0);
    let mut last = Value::Null;
    while let Some((_, pipe)) = events.next() {
        last = pipe;
    }
    assert_eq!(
        (&last["pipe"], &last["state"]),
        (&name.into(), &"complete".into())
    );
}

#[test]
fn a_reader_that_is_stuck_slows_no_pipe() {
    let served = Served::new();
    let stuck: Vec<_> = (0..8).map(|_| Events::of(&served, "/v1/events")).collect();
    for _ in 0..20 {
        served
            .cluster
            .dpipes(&["-n", "@b seq 3 | @c cat"])
            .run()
            .assert_status(0);
    }
    assert_eq!(
        served.get("/v1/pipes?all=true")["pipes"]
            .as_array()
            .unwrap()
            .len(),
        20
    );
    // They are there, and nobody has waited for them.
    for mut reader in stuck {
        assert_eq!(reader.next().unwrap().0, "hello");
    }
}

#[test]
fn there_is_an_end_to_how_many_may_read_events() {
    let served = Served::new();
    let many: Vec<_> = (0..64).map(|_| Events::of(&served, "/v1/events")).collect();
    served.ask(&[], "/v1/events").assert_problem(503, "busy");
    drop(many);
    crate::kit::eventually!(
        {
            let mut one = TcpStream::connect(("127.0.0.1", served.port)).unwrap();
            one.set_read_timeout(Some(PATIENCE)).unwrap();
            write!(one, "GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
            let mut head = [0; 15];
            one.read_exact(&mut head).unwrap();
            head == *b"HTTP/1.1 200 OK"
        },
        "there is room again"
    );
}
