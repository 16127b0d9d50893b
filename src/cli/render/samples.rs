//! Records and outcomes for tests.

use crate::{
    id::{NodeId, StageNumber},
    wire::message::{
        Accept, Ending, Exit, Failure, LinkEnd, Outcome, Refusal, RefusalKind, StagePlan,
        StageRecord,
    },
};

pub(crate) fn node(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

pub(crate) fn record(index: usize, exit: Exit) -> StageRecord {
    StageRecord {
        stage: StageNumber::from_index(index),
        app: ["yes", "head", "sort"][index % 3].to_owned(),
        node: node(["node-a", "node-b", "node-c"][index % 3]),
        pid: Some(4_210 + u32::try_from(index).unwrap()),
        exit,
        killed: None,
        bytes_in: None,
        bytes_out: Some(4_096),
        bytes_err: Some(0),
        objects: None,
        compressed_in: None,
        compressed_out: None,
        input: LinkEnd::None,
        output: LinkEnd::Finished,
        elapsed_ms: Some(80),
        user_ms: Some(3),
        system_ms: Some(2),
        waits: None,
    }
}

pub(crate) fn complete(exits: &[Exit]) -> Outcome {
    let stages = exits
        .iter()
        .enumerate()
        .map(|(index, exit)| record(index, *exit))
        .collect();
    Outcome {
        ending: Ending::Complete,
        stages,
        streams: 0,
        elapsed_ms: 80,
    }
}

pub(crate) fn failed(failure: Failure) -> Outcome {
    Outcome {
        ending: Ending::Failed(failure),
        stages: Vec::new(),
        streams: 0,
        elapsed_ms: 80,
    }
}

pub(crate) fn refusal(kind: RefusalKind) -> Refusal {
    Refusal {
        stage: Some(StageNumber::new(2)),
        parameter: "argument".to_owned(),
        wanted: "-o/etc/passwd".to_owned(),
        got: "none like `-o*`".to_owned(),
        kind,
        word: Some(1),
        hint: None,
    }
}

pub(crate) fn plan(index: usize) -> StagePlan {
    StagePlan {
        stage: StageNumber::from_index(index),
        app: ["cat", "sort", "uniq"][index % 3].to_owned(),
        node: node(["node-a", "node-c", "node-b"][index % 3]),
        address: format!("10.0.0.1{}:3747", index + 1),
        via: "static".to_owned(),
        candidates: if index == 1 { 2 } else { 1 },
        why: "least loaded".to_owned(),
        accept: Some(Accept {
            stage: StageNumber::from_index(index),
            program: "/usr/bin/x".to_owned(),
            argv: vec![],
            version: Some("9.4".to_owned()),
            user: "ann".to_owned(),
            cwd: "/home/ann".to_owned(),
            locale: String::new(),
            input: crate::media::Format::Bytes,
            output: crate::media::Format::Bytes,
            naming: None,
            isolation: "pgroup".to_owned(),
            dropped_env: 0,
            pid: Some(1),
        }),
        ignored: if index == 2 {
            vec!["window".to_owned()]
        } else {
            vec![]
        },
        considered: vec![],
    }
}
