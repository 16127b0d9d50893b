//! One gibibyte from a program on one node to a program on another: dpipes beside socat on the same loopback, with the same programs.
//!
//! `cargo bench --bench throughput`, with `DPIPES_BENCH_ROUNDS` for more or fewer than 7 rounds. Needs `socat`.

#[path = "../tests/suite/kit/mod.rs"]
#[expect(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "the suite uses all of the kit, a bench only some"
)]
mod kit;
mod measure;

use std::{fs, process::Command, time::Duration};

use kit::{Cluster, Runner, Scratch, bash, free_port, holds_within, patience};
use measure::{interleave, report, rounds, time};

const PRODUCE: &str = "dd if=/dev/zero bs=1M count=1024 status=none";
const CONSUME: &str = "dd of=/dev/null bs=1M status=none";

/// Megabytes in what is moved.
const MEGABYTES: f64 = 1_073.741_824;

fn main() {
    assert!(
        Command::new("socat").arg("-V").output().is_ok(),
        "socat is needed for the comparison: apt install socat"
    );
    let cluster = Cluster::builder().node("a").node("b").start();
    let scratch = cluster.scratch();
    let pipe = |pipeline: &str| {
        megabytes_per_second(time(|| {
            cluster.dpipes(&["-n", pipeline]).run().assert_status(0);
        }))
    };
    let one_hop = format!("@a {PRODUCE} | @b {CONSUME}");
    let three_hops = format!("@a {PRODUCE} | @b cat | @a cat | @b {CONSUME}");
    let local = |script: String| {
        megabytes_per_second(time(|| {
            bash(scratch, &script).run().assert_status(0);
        }))
    };
    let series = interleave(
        rounds(7),
        &mut [
            (
                "socat, as it comes",
                Box::new(|| through_socat(scratch, "")),
            ),
            (
                "socat -b 262144",
                Box::new(|| through_socat(scratch, "-b 262144")),
            ),
            ("dpipes, one hop", Box::new(|| pipe(&one_hop))),
            (
                "bash, the same two programs on a local pipe",
                Box::new(|| local(format!("{PRODUCE} | {CONSUME}"))),
            ),
        ],
    );
    report("1 GiB from program to program", "MB/s", &series);
    let series = interleave(
        rounds(7),
        &mut [
            (
                "bash, four programs on local pipes",
                Box::new(|| local(format!("{PRODUCE} | cat | cat | {CONSUME}"))),
            ),
            (
                "dpipes, three hops between two nodes",
                Box::new(|| pipe(&three_hops)),
            ),
        ],
    );
    report("1 GiB through four programs", "MB/s", &series);
}

fn megabytes_per_second(elapsed: Duration) -> f64 {
    MEGABYTES / elapsed.as_secs_f64()
}

/// The clock runs from the start of the sender, with the receiver already listening, to the end of both.
fn through_socat(scratch: &Scratch, options: &str) -> f64 {
    let port = free_port();
    let receiver =
        format!("socat {options} -u TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr STDOUT | {CONSUME}");
    let receiver = bash(scratch, &receiver).spawn();
    assert!(
        holds_within(patience(), || listens(port)),
        "socat does not listen"
    );
    let sender = format!("{PRODUCE} | socat {options} -u STDIN TCP:127.0.0.1:{port}");
    megabytes_per_second(time(|| {
        bash(scratch, &sender).run().assert_status(0);
        receiver.wait().assert_status(0);
    }))
}

/// Looks into the kernel's table; a connection to find out would be the one that socat waits for.
fn listens(port: u16) -> bool {
    let table = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let local = format!(":{port:04X}");
    table
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_ascii_whitespace().skip(1);
            Some((fields.next()?, fields.nth(1)?))
        })
        .any(|(address, state)| address.ends_with(&local) && state == "0A")
}
