//! A hop between two nodes with objects of about 300 bytes: as bytes, as JSON and as YAML, with the same programs at both ends.
//!
//! `cargo bench --bench objects`, with `DPIPES_BENCH_ROUNDS` for more or fewer than 7 rounds. The clock runs from the client's start to
//! its end. Peak memory of the node that reads is printed for streams of two lengths.

#[path = "../tests/suite/kit/mod.rs"]
#[expect(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "the suite uses all of the kit, a bench only some"
)]
mod kit;
mod measure;

use std::fs;

use kit::{Cluster, Runner, bash};
use measure::{interleave, report, rounds, time};

const CONSUME: &str = "dd of=/dev/null bs=1M status=none";

/// A megabyte.
const MB: f64 = 1e6;

/// Objects of the long JSON stream: 600 MB, half a second as bytes.
const MANY: u64 = 2_000_000;

/// Documents of the YAML stream.
const SOME: u64 = 200_000;

fn main() {
    let cluster = Cluster::builder().node("a").node("b").start();
    for (name, objects) in [("long", MANY), ("short", SOME)] {
        let json = format!(
            r#"seq {objects} | awk '{{ printf "{{\"time\":\"2026-11-22T08:00:00Z\",\"level\":\"info\",\"request\":{{\"id\":%d,\"path\":\"/shop/items/%d\",\"took_ms\":%d.%d}},\"user\":{{\"name\":\"ann\",\"tags\":[\"a\",\"b\",null,true]}},\"message\":\"%0150d\"}}\n", $1, $1 % 977, $1 % 89, $1 % 7, $1 }}' > {name}.ndjson"#
        );
        bash(cluster.scratch(), &json).run().assert_status(0);
    }
    let yaml = format!(
        r#"seq {SOME} | awk '{{ printf "---\ntime: \"2026-11-22T08:00:00Z\"\nlevel: info\nrequest:\n  id: %d\n  path: /shop/items/%d\n  took_ms: %d.%d\nuser:\n  name: ann\n  tags: [a, b, null, true]\nmessage: \"%0150d\"\n", $1, $1 % 977, $1 % 89, $1 % 7, $1 }}' > documents.yaml"#
    );
    bash(cluster.scratch(), &yaml).run().assert_status(0);

    let through = |options: &[&str], file: &str| {
        let length = fs::metadata(cluster.scratch().work().join(file)).map_or(0, |file| file.len());
        let pipeline = format!("@a cat {file} | @b {CONSUME}");
        let elapsed = time(|| {
            let run = cluster.dpipes(&[options, &["-n", &pipeline]].concat());
            run.run().assert_status(0);
        });
        length as f64 / MB / elapsed.as_secs_f64()
    };
    let peak = || {
        let pid = cluster.node("b").pid();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmHWM"));
        line.unwrap_or("VmHWM: unknown").to_owned()
    };
    through(&["-f", "json"], "short.ndjson");
    println!("after {SOME} objects, {}", peak());
    through(&["-f", "json"], "long.ndjson");
    println!("after {MANY} objects, {}", peak());

    let series = interleave(
        rounds(7),
        &mut [
            ("as bytes", Box::new(|| through(&[], "long.ndjson"))),
            (
                "as JSON, with metadata",
                Box::new(|| through(&["-f", "json"], "long.ndjson")),
            ),
        ],
    );
    report("600 MB of JSON objects, one hop", "MB/s", &series);
    let series = interleave(
        rounds(7),
        &mut [
            ("as bytes", Box::new(|| through(&[], "documents.yaml"))),
            (
                "as YAML, with metadata",
                Box::new(|| through(&["-f", "yaml"], "documents.yaml")),
            ),
            (
                "from YAML to JSON",
                Box::new(|| {
                    let to_json = ["--format-in", "yaml", "--app-format", "dd=json"];
                    through(&to_json, "documents.yaml")
                }),
            ),
            (
                "from JSON to YAML",
                Box::new(|| {
                    let to_yaml = ["--format-in", "json", "--app-format", "dd=yaml"];
                    through(&to_yaml, "short.ndjson")
                }),
            ),
        ],
    );
    report("40 MB of YAML documents, one hop", "MB/s", &series);
}
