//! Pipes and nodes for tests.

use super::{
    model::{Answer, Model},
    short::Look,
};
use crate::{
    cli::render::samples::node,
    id::{PipeId, StageNumber},
    wire::message::{
        Limit, LimitedBy, Load, NodeState, NodeView, PipeState, PipeView, StageView, Waits,
    },
};

/// What every terminal can show.
pub(super) const PLAIN: Look = Look {
    colored: false,
    unicode: false,
};

/// A pipe that runs for as many seconds as its number says.
pub(super) fn pipe(number: u64, stages: usize) -> PipeView {
    PipeView {
        pipe: PipeId::from_u128(u128::from(number)),
        entry: Some(node("node-a")),
        pipeline: "cat a | sort | uniq".to_owned(),
        client: "process 811 of user 1000".to_owned(),
        began_ms: 1_732_100_000_000 - number * 1_000,
        age_ms: number * 1_000,
        elapsed_ms: number * 1_000,
        state: PipeState::Running,
        stages: (0..stages).map(stage).collect(),
        delivered: 0,
        limit: None,
        failure: None,
    }
}

fn stage(index: usize) -> StageView {
    StageView {
        stage: StageNumber::from_index(index),
        app: ["cat", "sort", "uniq"][index % 3].to_owned(),
        node: node(["node-a", "node-b", "node-c"][index % 3]),
        why: String::new(),
        exit: None,
        bytes_in: Some(4_096 * index as u64),
        bytes_out: Some(2_048),
        rate_in: Some(2_048 * index as u64),
        rate_out: Some(1_024 * (index as u64 + 1)),
        waits: Some(Waits {
            input_ms: 20,
            work_ms: 970,
            output_ms: 10,
        }),
        stderr: String::new(),
    }
}

pub(super) fn limited(pipe: PipeView, by: LimitedBy) -> PipeView {
    let limit = Some(Limit { by, percent: 97 });
    PipeView { limit, ..pipe }
}

pub(super) fn member(name: &str, state: NodeState) -> NodeView {
    NodeView {
        node: node(name),
        address: format!("{name}:3747"),
        state,
        detail: String::new(),
        apps: None,
        load: Some(Load {
            stages: 5,
            capacity: 64,
        }),
        version: None,
        labels: std::collections::BTreeMap::new(),
        source: "static".to_owned(),
        seen_ms: Some(400),
        weight: None,
        known_ms: None,
    }
}

pub(super) fn answer(pipes: Vec<PipeView>) -> Answer {
    Answer {
        pipes,
        nodes: vec![
            member("node-a", NodeState::Here),
            member("node-b", NodeState::Up),
            member("node-c", NodeState::Avoided),
        ],
        left_out: 0,
        silent: Vec::new(),
    }
}

/// What is shown of these pipes.
pub(super) fn model(pipes: Vec<PipeView>) -> Model {
    let mut model = Model::new(false);
    model.take(answer(pipes));
    model
}
