//! Objects between apps on real nodes: what apps see of them, what becomes of bad ones, and how formats are agreed.

mod bad;
mod formats;
mod metadata;
mod streams;
mod yaml;

use serde_json::Value;

use crate::kit::{Cluster, Run, Runner};

/// The objects of a text that has one on each line.
#[track_caller]
fn objects(text: &str) -> Vec<Value> {
    let parse = |line: &str| {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("`{line}` is no object: {error}"))
    };
    text.lines().map(parse).collect()
}

/// What a file of the scratch folder holds, one object a line.
#[track_caller]
fn objects_in(cluster: &Cluster, file: &str) -> Vec<Value> {
    objects(&cluster.scratch().read(file))
}

/// Runs a pipeline of JSON objects.
fn json(cluster: &Cluster, pipeline: &str) -> Run {
    cluster.dpipes(&["-f", "json", pipeline]).run()
}
