//! A path of 100 ms and 1 Gbit/s between two hosts of their own.

use std::{
    net::{TcpListener, TcpStream},
    os::fd::OwnedFd,
    process::Stdio,
    thread,
    time::Duration,
};

use dpipes_testbed::net::{Delay, Net};

use super::MEBIBYTE;
use crate::{
    hop::{Ended, Load, RATE, through_connection},
    kit::lan::{Lan, USUAL_LEASE},
    measure::{
        contest::{Contest, Must, Side},
        series::rounds,
    },
    peers::{DPIPES, relay},
    work,
};

/// Rounds unless said otherwise; each takes seconds.
const ROUNDS: usize = 7;

/// How long a frame is under way in each direction.
const DELAY: Duration = Duration::from_millis(50);

/// What there is at most in a second.
const WIDTH: &str = "1gbit";

/// Seconds of the path, for the first of which TCP feels its way.
const BYTES: u64 = 192 * MEBIBYTE;

/// Where the connection beside dpipes is made.
const PORT: u16 = 4_000;

/// What a connection may have under way, as Linux has it by itself, and as hosts have it that are set up for such paths: more than the
/// path holds.
const BUFFERS: [(&str, Option<&str>); 2] = [
    ("buffers as the kernel has them", None),
    ("buffers of 32 MiB", Some("4096 131072 33554432")),
];

/// A large transfer beside one connection of TCP on the same path.
pub(super) fn long_way() -> Vec<Contest> {
    BUFFERS.map(|(name, buffers)| with(name, buffers)).into()
}

fn with(name: &str, buffers: Option<&str>) -> Contest {
    const TCP: &str = "one TCP connection, raw poll and splice";
    let title = format!("100 ms there and back, 1 Gbit/s, {name}");
    let Some(lan) = Lan::of(2) else {
        let note = "**Left out: hosts of their own take root.**";
        return Contest::hold(&title, &[], 0, &mut []).note(note);
    };
    let delay = Delay {
        at_least: DELAY,
        jitter: Duration::ZERO,
    };
    lan.net.lengthen(2, delay);
    lan.net.limit(2, WIDTH);
    for (host, kind) in [(1, "wmem"), (1, "rmem"), (2, "wmem"), (2, "rmem")] {
        let Some(buffers) = buffers else { continue };
        let set = format!("echo {buffers} > /proc/sys/net/ipv4/tcp_{kind}");
        let status = lan.net.command(host, "sh").args(["-c", &set]).status();
        assert!(status.is_ok_and(|status| status.success()), "{set}");
    }
    let program = work::program();
    let app = format!("apps: {{ others: allow, bench: {{ path: {program:?} }} }}");
    let lan = lan
        .lease(USUAL_LEASE)
        .section(1, &app)
        .section(2, &app)
        .with_listed(2);
    let load = Load::of(BYTES, 1 << 20);
    let words = |work: &str| format!("{} {work}", work::WORK);
    let (source, sink) = (words(&load.source), words(&load.sink));
    let pipeline = format!("@n1 bench {source} | @n2 bench {sink}");
    let ours = || {
        let run = lan
            .dpipes(1, &["-n", "-o", "compress=off", &pipeline])
            .run();
        run.assert_status(0);
        let said = run.text().to_owned();
        let cpu = f64::NAN;
        vec![Ended { said, cpu }.flow(&load).rate()]
    };
    let plain = || {
        let ended = through_connection(&load, &relay, connection(&lan.net));
        vec![ended.flow(&load).rate()]
    };
    let mut sides: Vec<Side<'_>> = vec![(TCP, Box::new(plain)), (DPIPES, Box::new(ours))];
    Contest::hold(&title, &["MB/s"], rounds(ROUNDS), &mut sides)
        .bar(DPIPES, TCP, RATE, Must::BeTimes(0.9))
        .note("The path is a thread between two TAP devices, for not every kernel has `netem`.")
}

/// A connection from the first host to the second.
fn connection(net: &Net) -> (Stdio, Stdio) {
    let on = |host: u8| net.entrance(host);
    let (here, there) = (on(1), on(2));
    let address = (Net::address(2), PORT);
    let listener = thread::spawn(move || {
        there();
        TcpListener::bind(address).expect("a port of our own host")
    });
    let listener = listener.join().expect("a listener");
    let near = thread::spawn(move || {
        here();
        TcpStream::connect(address).expect("a path")
    });
    let (far, _) = listener.accept().expect("a peer");
    let near = near.join().expect("a connection");
    (OwnedFd::from(near).into(), OwnedFd::from(far).into())
}
