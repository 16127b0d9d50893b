//! YAML documents of about 300 bytes: metadata into each, and the way to JSON; dpipes beside PyYAML, with and without its C library.
//!
//! `cargo bench --bench yaml`, with `DPIPES_BENCH_ROUNDS` for more or fewer than 5 rounds. Needs `python3-yaml`. Python's clock runs
//! without its start; both sides read from memory and write to it.

mod measure;

use std::{
    path::Path,
    process::{Command, Stdio},
};

use dpipes::{
    media::{Format, Naming},
    object::{Layout, Limits, Metadata, OnBadObject, OnNonObject, Plan, Transform},
};
use measure::{Side, interleave, report, rounds, time};

/// What apps write: a resource as for Kubernetes.
const DOCUMENT: &str = "---
# made by hand
kind: Deployment
name: web-1
replicas: 3
image: \"registry.example.com/web:1.2.3\"
labels:
  app: web
  tier: front
ports: [80, 443]
env:
  - name: MODE
    value: 'fast and good'
  - name: PATH
    value: /usr/bin:/bin
ratio: 0.25
notes: |
  some text here
  and some more
...
";

/// Documents in a stream: some seconds of PyYAML's time.
const DOCUMENTS: usize = 1_000;

/// As many times more of them for dpipes, to have something to measure.
const TIMES: usize = 20;

/// Bytes that are pushed at a time: what a pump reads at most.
const PIECE: usize = 256 << 10;

/// The file, what is written, and the kind of loader and dumper; it prints seconds.
const SCRIPT: &str = "
import io, json, sys, time, yaml
path, to, kind = sys.argv[1:]
text = open(path).read()
loader = getattr(yaml, kind + 'Loader')
dumper = getattr(yaml, kind + 'Dumper')
start = time.perf_counter()
out = io.StringIO()
def embedded(document):
    document['__dpipes'] = {'dp.stage': 1}
    return document
documents = map(embedded, yaml.load_all(text, Loader=loader))
if to == 'json':
    for document in documents:
        json.dump(document, out)
        out.write('\\n')
else:
    yaml.dump_all(documents, out, Dumper=dumper, explicit_start=True, explicit_end=True)
print(time.perf_counter() - start)
";

fn main() {
    let scratch = tempfile::tempdir().expect("a folder");
    let path = scratch.path().join("stream.yaml");
    let stream = DOCUMENT.repeat(DOCUMENTS);
    std::fs::write(&path, &stream).expect("the stream is written");
    let long = stream.repeat(TIMES);
    for (to, name) in [(Format::Yaml, "yaml"), (Format::Json, "json")] {
        let with = plan(to, true);
        let without = plan(to, false);
        let mut sides: Vec<Side<'_>> = ["Safe", "CSafe"]
            .map(|kind| -> Side<'_> {
                let label = match kind {
                    "Safe" => "PyYAML",
                    _ => "PyYAML with libyaml",
                };
                let measure = || through_python(&path, stream.len(), name, kind);
                (label, Box::new(measure))
            })
            .into();
        sides.push((
            "dpipes, metadata put in",
            Box::new(|| through_dpipes(&with, long.as_bytes())),
        ));
        sides.push((
            "dpipes, nothing put in or taken out",
            Box::new(|| through_dpipes(&without, long.as_bytes())),
        ));
        report(
            &format!("documents of {} bytes, YAML to {name}", DOCUMENT.len()),
            "MB/s of what comes",
            &interleave(rounds(5), &mut sides),
        );
    }
}

fn plan(to: Format, adds: bool) -> Plan {
    Plan {
        from: Format::Yaml,
        to,
        remove: vec![Naming::default()],
        add: adds.then(|| Metadata::new(Naming::default(), &[("stage", 1.into())])),
        layout: Layout::Framed,
        on_non_object: OnNonObject::Pass,
        on_bad_object: OnBadObject::Fail,
        limits: Limits::default(),
    }
}

fn through_python(path: &Path, length: usize, to: &str, kind: &str) -> f64 {
    let output = Command::new("python3")
        .args(["-c", SCRIPT])
        .arg(path)
        .args([to, kind])
        .stderr(Stdio::inherit())
        .output()
        .expect("python3 is there");
    assert!(output.status.success(), "python3-yaml is needed");
    let seconds: f64 = String::from_utf8_lossy(&output.stdout)
        .trim()
        .parse()
        .expect("seconds");
    length as f64 / 1e6 / seconds
}

fn through_dpipes(plan: &Plan, stream: &[u8]) -> f64 {
    let elapsed = time(|| {
        let mut transform = Transform::new(plan.clone());
        let mut out = Vec::new();
        let mut bytes = 0;
        for mut piece in stream.chunks(PIECE) {
            while !piece.is_empty() {
                transform.push(&mut piece, &mut out).expect("it is good");
                bytes += out.len();
                out.clear();
            }
        }
        transform.finish(&mut out).expect("it is good");
        assert!(bytes + out.len() > stream.len() / 2);
    });
    stream.len() as f64 / 1e6 / elapsed.as_secs_f64()
}
