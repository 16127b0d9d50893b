//! Objects for programs: one per line, each with its schema. Members are only ever added.

use serde_json::{Map, Value, json};

use crate::{
    cli::{exit, render::views::Finding},
    id::PipeId,
    media::Counts,
    wire::message::{
        AppView, Ending, Exit, NodeView, OfferView, Outcome, PipeView, Silent, SourceView,
        StagePlan, StageRecord,
    },
};

/// The name of the contract.
pub(crate) const SCHEMA: &str = "dpipes/v1";

/// One object of this kind on one line.
pub(crate) fn line(kind: &str, value: Value) -> String {
    let mut object = Map::from_iter([
        ("schema".to_owned(), SCHEMA.into()),
        ("kind".to_owned(), kind.into()),
    ]);
    match value {
        Value::Object(members) => object.extend(members),
        other => {
            object.insert("value".to_owned(), other);
        }
    }
    format!("{}\n", Value::Object(object))
}

/// One object for each node, then one for each registry.
pub(crate) fn nodes(nodes: &[NodeView], sources: &[SourceView]) -> String {
    let nodes = nodes.iter().map(|node| line("node", json!(node)));
    nodes
        .chain(sources.iter().map(|source| line("source", json!(source))))
        .collect()
}

/// One object for each pipe, then one for those that were left out, then one for each node that did not answer.
pub(crate) fn pipes(pipes: &[PipeView], left_out: u64, silent: &[Silent]) -> String {
    let pipes = pipes.iter().map(|pipe| line("pipe", json!(pipe)));
    let more = (left_out > 0).then(|| line("left-out", json!({ "pipes": left_out })));
    let silent = silent.iter().map(|node| line("silent", json!(node)));
    pipes.chain(more).chain(silent).collect()
}

/// One object for each app, then one for the nodes that run any program.
pub(crate) fn apps(apps: &[AppView], any: &[crate::id::NodeId], sources: &[SourceView]) -> String {
    let apps = apps.iter().map(|app| line("app", json!(app)));
    let any = (!any.is_empty()).then(|| line("any-app", json!({ "nodes": any })));
    apps.chain(any)
        .chain(sources.iter().map(|source| line("source", json!(source))))
        .collect()
}

/// One object for each node that lists the app, then one for the nodes that run any program.
pub(crate) fn app(
    app: &str,
    offers: &[OfferView],
    any: &[crate::id::NodeId],
    sources: &[SourceView],
) -> String {
    let offers = offers.iter().map(|offer| {
        let mut object = json!(offer);
        object["app"] = json!(app);
        line("offer", object)
    });
    let any = (!any.is_empty()).then(|| line("any-app", json!({ "nodes": any })));
    offers
        .chain(any)
        .chain(sources.iter().map(|source| line("source", json!(source))))
        .collect()
}

/// One object for each stage of the plan, then one for the outcome.
pub(crate) fn check(
    pipe: PipeId,
    plan: &[StagePlan],
    elapsed_ms: u64,
    outcome: &Outcome,
) -> String {
    let stages = plan.iter().map(|stage| line("stage-plan", json!(stage)));
    let agreed = outcome.ending == Ending::Complete;
    let failure = match &outcome.ending {
        Ending::Failed(failure) => json!(failure),
        Ending::Complete => Value::Null,
    };
    let last =
        json!({ "pipe": pipe, "agreed": agreed, "elapsed_ms": elapsed_ms, "failure": failure });
    stages.chain([line("check", last)]).collect()
}

/// One object for each finding.
pub(crate) fn findings(findings: &[Finding]) -> String {
    findings
        .iter()
        .map(|finding| line("finding", json!(finding)))
        .collect()
}

/// The record of a run for `--status-fd`.
pub(crate) fn record(
    pipe: PipeId,
    outcome: &Outcome,
    objects: Option<&Counts>,
    status: u8,
) -> String {
    let origin = if exit::is_of_app(outcome) {
        "app"
    } else {
        "dpipes"
    };
    let failure = match &outcome.ending {
        Ending::Failed(failure) => json!(failure),
        Ending::Complete => Value::Null,
    };
    let stages: Vec<Value> = outcome.stages.iter().map(stage).collect();
    let mut run = json!({
        "pipe": pipe,
        "status": status,
        "origin": origin,
        "elapsed_ms": outcome.elapsed_ms,
        "failure": failure,
        "stages": stages,
    });
    // What this side saw of the last stage's objects.
    if let Some(objects) = objects {
        run["objects"] = json!(objects);
    }
    line("run", run)
}

fn stage(record: &StageRecord) -> Value {
    let (code, signal) = match record.exit {
        Exit::Code(code) => (Some(code), None),
        Exit::Signal(signal) => (None, Some(signal)),
        Exit::NotStarted | Exit::Unknown => (None, None),
    };
    let mut stage = json!({
        "n": record.stage,
        "app": record.app,
        "node": record.node,
        "pid": record.pid,
        "started": record.exit != Exit::NotStarted,
        "code": code,
        "signal": signal,
        "reason": record.killed,
        "bytes_in": record.bytes_in,
        "bytes_out": record.bytes_out,
        "input": record.input,
        "output": record.output,
        "elapsed_ms": record.elapsed_ms,
        "rusage": { "user_ms": record.user_ms, "system_ms": record.system_ms },
    });
    if let Some(objects) = &record.objects {
        stage["objects"] = json!(objects);
    }
    for (name, bytes) in [
        ("compressed_in", record.compressed_in),
        ("compressed_out", record.compressed_out),
    ] {
        if let Some(bytes) = bytes {
            stage[name] = bytes.into();
        }
    }
    stage
}
