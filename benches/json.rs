//! Metadata into each object of a stream: dpipes beside jq, and beside parsing to a tree and printing it. Then its memory, with the stream
//! getting longer.
//!
//! `cargo bench --bench json`, with `DPIPES_BENCH_ROUNDS` for more or fewer than 7 rounds. Without `jq`, its row is missing.

mod measure;

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use dpipes::{
    media::{Format, Naming},
    object::{Layout, Limits, Metadata, OnBadObject, OnNonObject, Plan, Transform},
};
use measure::{Side, interleave, report, rounds, time};
use serde_json::{Value, json};

/// Bytes of a stream, at least: a second of jq's time or more.
const STREAM: usize = 64 << 20;

/// Bytes that are pushed at a time: what a pump reads at most.
const PIECE: usize = 256 << 10;

/// Bytes of the long stream, in streams.
const LONG: usize = 16;

fn main() {
    let scratch = tempfile::tempdir().expect("a folder");
    let path = scratch.path().join("stream.ndjson");
    let objects = sample(scratch.path());
    let stream = objects.repeat(STREAM.div_ceil(objects.len()));
    fs::write(&path, &stream).expect("the stream is written");
    let lines = stream.iter().filter(|&&byte| byte == b'\n').count();
    println!("\n{lines} objects, {} bytes each", stream.len() / lines);

    let (putting_in, taking_out) = (plan(true), plan(false));
    let replacing = Plan {
        remove: vec![Naming::default()],
        ..plan(true)
    };
    let with = embedded(&putting_in, &stream);
    let mut sides: Vec<Side<'_>> = Vec::new();
    if Command::new("jq").arg("--version").output().is_ok() {
        sides.push((
            "jq -c, a process, from a file",
            Box::new(|| through_jq(&path, stream.len())),
        ));
    } else {
        println!("jq is NOT here, so its row is missing: apt install jq");
    }
    let ours = |plan, stream| move || through_dpipes(plan, stream);
    sides.push((
        "serde_json: to a tree and back",
        Box::new(|| through_trees(&stream)),
    ));
    sides.push(("dpipes: metadata in", Box::new(ours(&putting_in, &stream))));
    sides.push((
        "dpipes: metadata out, though none are there",
        Box::new(ours(&taking_out, &stream)),
    ));
    sides.push(("dpipes: metadata out", Box::new(ours(&taking_out, &with))));
    sides.push((
        "dpipes: metadata replaced",
        Box::new(ours(&replacing, &with)),
    ));
    report(
        "metadata of a stream of small objects",
        "MB/s of what comes",
        &interleave(rounds(7), &mut sides),
    );

    println!("\nresident memory of a process that reads the stream over and over");
    let mut transform = Transform::new(putting_in.clone());
    let mut out = Vec::new();
    for times in 1..=LONG {
        push_all(&mut transform, &stream, &mut out);
        if times.is_power_of_two() {
            let megabytes = times * stream.len() / 1_000_000;
            println!("  after {megabytes:>5} MB: {:>7} KiB", resident());
        }
    }
}

/// The events of `dpipes lab data`.
fn sample(folder: &Path) -> Vec<u8> {
    let status = Command::new(env!("CARGO_BIN_EXE_dpipes"))
        .args(["lab", "data"])
        .arg(folder)
        .stdout(Stdio::null())
        .status();
    assert!(status.is_ok_and(|status| status.success()), "no samples");
    fs::read(folder.join("events.ndjson")).expect("the sample is there")
}

/// What a stage is told of the one before it.
fn entries() -> [(&'static str, Value); 4] {
    [
        ("remote.addr", json!("10.0.0.17")),
        ("remote.port", json!(3747)),
        ("remote.node", json!("node-a")),
        ("stage", json!(1)),
    ]
}

/// Puts metadata in, or takes them out and leaves the rest as it was written.
fn plan(adds: bool) -> Plan {
    let remove = if adds {
        Vec::new()
    } else {
        vec![Naming::default()]
    };
    Plan {
        from: Format::Json,
        to: Format::Json,
        remove,
        add: adds.then(|| Metadata::new(Naming::default(), &entries())),
        layout: if adds {
            Layout::Framed
        } else {
            Layout::AsWritten
        },
        on_non_object: OnNonObject::Pass,
        on_bad_object: OnBadObject::Fail,
        limits: Limits::default(),
    }
}

/// The clock runs from the start of the process to its end: seconds of work, milliseconds to start.
fn through_jq(path: &Path, length: usize) -> f64 {
    let metadata = Metadata::new(Naming::default(), &entries());
    let program = format!("{{{}}} + .", metadata.members());
    let elapsed = time(|| {
        let status = Command::new("jq")
            .args(["-c", &program])
            .stdin(File::open(path).expect("the stream is there"))
            .stdout(Stdio::null())
            .status();
        assert!(status.is_ok_and(|status| status.success()), "jq failed");
    });
    megabytes_per_second(length, elapsed)
}

fn through_trees(stream: &[u8]) -> f64 {
    let metadata: Value = entries()
        .into_iter()
        .map(|(name, value)| (format!("dp.{name}"), value))
        .collect();
    let mut out = Vec::with_capacity(2 * PIECE);
    let mut came = 0;
    let elapsed = time(|| {
        for line in stream.split_inclusive(|&byte| byte == b'\n') {
            let mut object: Value = serde_json::from_slice(line).expect("each line is an object");
            object["__dpipes"] = metadata.clone();
            serde_json::to_writer(&mut out, &object).expect("memory takes all");
            out.write_all(b"\n").expect("memory takes all");
            if out.len() > PIECE {
                came += out.len();
                out.clear();
            }
        }
    });
    assert!(came > stream.len());
    megabytes_per_second(stream.len(), elapsed)
}

fn through_dpipes(plan: &Plan, stream: &[u8]) -> f64 {
    let mut out = Vec::with_capacity(2 * PIECE);
    let elapsed = time(|| {
        let mut transform = Transform::new(plan.clone());
        push_all(&mut transform, stream, &mut out);
        transform.finish(&mut out).expect("each object is one");
    });
    megabytes_per_second(stream.len(), elapsed)
}

fn push_all(transform: &mut Transform, stream: &[u8], out: &mut Vec<u8>) {
    for mut piece in stream.chunks(PIECE) {
        while !piece.is_empty() {
            out.clear();
            transform.push(&mut piece, out).expect("each object is one");
        }
    }
}

fn embedded(plan: &Plan, stream: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut transform = Transform::new(plan.clone());
    let mut rest = stream;
    while !rest.is_empty() {
        transform
            .push(&mut rest, &mut out)
            .expect("each object is one");
    }
    out
}

fn megabytes_per_second(length: usize, elapsed: Duration) -> f64 {
    length as f64 / 1e6 / elapsed.as_secs_f64()
}

/// Of this process, in KiB.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("there is /proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let figure = line.and_then(|line| line.trim().split(' ').next());
    figure
        .and_then(|figure| figure.parse().ok())
        .expect("a figure of memory")
}
