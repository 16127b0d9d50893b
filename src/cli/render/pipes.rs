//! Pipes as people read them: a table of all, and the page of one.

use std::time::{Duration, UNIX_EPOCH};

use super::{
    failure,
    status::exit_word,
    table::columns,
    text::{age, count, plural, seconds},
    views::{list, row},
};
use crate::{
    id::NodeId,
    wire::message::{PipeState, PipeView, StageView},
};

/// The last millisecond that can be written as a date, in the year 9999. An entry can say what it likes.
const LATEST: u64 = 253_402_300_799_999;

/// The pipes, one on a line, and how many the entry did not tell of.
pub(super) fn table(pipes: &[PipeView], left_out: u64, wide: bool) -> String {
    if pipes.is_empty() {
        return "no pipe is conducted here\n".to_owned();
    }
    let mut heading = row(["PIPE", "AGE", "TIME", "STATE", "NODES", "PIPELINE"]);
    if wide {
        heading.insert(5, "CLIENT".to_owned());
    }
    let rows: Vec<_> = std::iter::once(heading)
        .chain(pipes.iter().map(|pipe| line(pipe, wide)))
        .collect();
    let mut text = columns(0, &rows);
    if left_out > 0 {
        text.push_str(&format!("and {} more\n", plural(left_out, "pipe")));
    }
    text
}

/// All that is known of one pipe.
pub(super) fn one(pipe: &PipeView) -> String {
    let began = UNIX_EPOCH + Duration::from_millis(pipe.began_ms.min(LATEST));
    let took = if pipe.state.is_over() { "took" } else { "for" };
    let state = format!("{}, {took} {}", word(pipe.state), seconds(pipe.elapsed_ms));
    let mut facts = vec![
        row(["pipe", &pipe.pipe.to_string()]),
        row(["pipeline", &pipe.pipeline]),
        row(["client", &pipe.client]),
        row([
            "began",
            &humantime::format_rfc3339_seconds(began).to_string(),
        ]),
        row(["state", &state]),
    ];
    if let Some(failure) = &pipe.failure {
        facts.push(row(["failure", &failure::summary(failure)]));
    }
    let mut text = columns(0, &facts);
    if pipe.stages.is_empty() {
        return text;
    }
    let bytes = |bytes: Option<u64>| bytes.map_or_else(|| "-".to_owned(), count);
    let stage = |stage: &StageView| {
        let exit = stage.exit.map_or_else(|| "-".to_owned(), exit_word);
        let (number, node) = (stage.stage.to_string(), stage.node.as_str());
        let (read, written) = (bytes(stage.bytes_in), bytes(stage.bytes_out));
        row([&number, &stage.app, node, &exit, &read, &written])
    };
    let heading = row(["STAGE", "APP", "NODE", "EXIT", "BYTES-IN", "BYTES-OUT"]);
    let stages = pipe.stages.iter().map(stage);
    let rows: Vec<_> = std::iter::once(heading).chain(stages).collect();
    text.push('\n');
    text + &columns(0, &rows)
}

fn line(pipe: &PipeView, wide: bool) -> Vec<String> {
    let mut nodes: Vec<NodeId> = Vec::new();
    for stage in &pipe.stages {
        if !nodes.contains(&stage.node) {
            nodes.push(stage.node.clone());
        }
    }
    let none_yet = || "-".to_owned();
    let mut cells = vec![
        pipe.pipe.to_string(),
        age(pipe.age_ms),
        seconds(pipe.elapsed_ms),
        how_far(pipe),
        if nodes.is_empty() {
            none_yet()
        } else {
            list(&nodes)
        },
        pipe.pipeline.clone(),
    ];
    if wide {
        cells.insert(5, pipe.client.clone());
    }
    cells
}

/// How far a pipe is, in a word.
const fn word(state: PipeState) -> &'static str {
    match state {
        PipeState::Agreeing => "agreeing",
        PipeState::Starting => "starting",
        PipeState::Running => "running",
        PipeState::Complete => "complete",
        PipeState::Failed => "failed",
        PipeState::Other => "?",
    }
}

/// The same; of one that is over, the statuses of its stages.
fn how_far(pipe: &PipeView) -> String {
    if pipe.state != PipeState::Complete {
        return word(pipe.state).to_owned();
    }
    let exit = |stage: &StageView| stage.exit.map_or_else(|| "-".to_owned(), exit_word);
    let exits: Vec<String> = pipe.stages.iter().map(exit).collect();
    format!("exit {}", exits.join(" "))
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::{
        cli::render::{json, samples::node},
        id::{PipeId, StageNumber},
        wire::message::{Exit, Failure},
    };

    #[test]
    fn pipes_are_a_table() {
        let stage = |index, name: &str, exit| StageView {
            stage: StageNumber::from_index(index),
            app: "cat".to_owned(),
            node: node(name),
            exit,
            bytes_in: None,
            bytes_out: None,
        };
        let over = PipeView {
            pipe: PipeId::from_u128(7),
            pipeline: "cat a | cat | cat".to_owned(),
            client: "process 811 of user 1000".to_owned(),
            began_ms: 1_732_100_000_000,
            age_ms: 130_000,
            elapsed_ms: 1_200,
            state: PipeState::Complete,
            stages: vec![
                stage(0, "a", Some(Exit::Code(0))),
                stage(1, "b", Some(Exit::Signal(13))),
                stage(2, "a", None),
            ],
            failure: None,
        };
        let agreeing = PipeView {
            pipe: PipeId::from_u128(8),
            age_ms: 20,
            elapsed_ms: 20,
            state: PipeState::Agreeing,
            stages: Vec::new(),
            ..over.clone()
        };
        let pipes = [agreeing, over];
        assert_snapshot!(table(&pipes, 3, false), @r##"
        PIPE                        AGE   TIME   STATE                  NODES  PIPELINE
        00000000000000000000000008  20ms  0.02s  agreeing               -      cat a | cat | cat
        00000000000000000000000007  2m    1.20s  exit 0 SIGPIPE(141) -  a, b   cat a | cat | cat
        and 3 pipes more
        "##);
        assert_snapshot!(table(&pipes[1..], 0, true), @r##"
        PIPE                        AGE  TIME   STATE                  NODES  CLIENT                    PIPELINE
        00000000000000000000000007  2m   1.20s  exit 0 SIGPIPE(141) -  a, b   process 811 of user 1000  cat a | cat | cat
        "##);
        assert_eq!(table(&[], 0, false), "no pipe is conducted here\n");
        let lost = PipeView {
            state: PipeState::Failed,
            failure: Some(Failure::LostNode {
                node: node("b"),
                stages: vec![StageNumber::new(2)],
                apps: vec!["cat".to_owned()],
                detail: "the connection was cut".to_owned(),
                delivered: 0,
            }),
            ..pipes[1].clone()
        };
        let never = PipeView {
            began_ms: u64::MAX,
            ..lost.clone()
        };
        assert!(one(&never).contains("began     9999-12-31T23:59:59Z"));
        assert_snapshot!(one(&lost), @r##"
        pipe      00000000000000000000000007
        pipeline  cat a | cat | cat
        client    process 811 of user 1000
        began     2024-11-20T10:53:20Z
        state     failed, took 1.20s
        failure   lost b while stage 2 `cat` was running (the connection was cut)

        STAGE  APP  NODE  EXIT          BYTES-IN  BYTES-OUT
        1      cat  a     0             -         -
        2      cat  b     SIGPIPE(141)  -         -
        3      cat  a     -             -         -
        "##);
        assert_snapshot!(json::pipes(&pipes[..1], 1), @r##"
        {"age_ms":20,"began_ms":1732100000000,"client":"process 811 of user 1000","elapsed_ms":20,"kind":"pipe","pipe":"00000000000000000000000008","pipeline":"cat a | cat | cat","schema":"dpipes/v1","stages":[],"state":"agreeing"}
        {"kind":"left-out","pipes":1,"schema":"dpipes/v1"}
        "##);
    }
}
