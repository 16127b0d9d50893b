//! Pipes as people read them: a table of all, and the page of one.

use std::time::{Duration, UNIX_EPOCH};

use super::{
    failure,
    status::exit_word,
    table::columns,
    text::{age, bytes, count, plural, seconds},
    views::{list, row},
};
use crate::{
    cli::caret::printable,
    id::{NodeId, StageNumber},
    wire::message::{Limit, LimitedBy, PipeState, PipeView, Silent, StageView, Waits},
};

/// The last millisecond that can be written as a date, in the year 9999. An entry can say what it likes.
const LATEST: u64 = 253_402_300_799_999;

/// The pipes, one on a line, how many the entry did not tell of, and the nodes that did not answer it.
pub(super) fn table(pipes: &[PipeView], left_out: u64, silent: &[Silent], wide: bool) -> String {
    let mut text = String::new();
    if pipes.is_empty() {
        text.push_str("no pipe is conducted here\n");
    } else {
        let shown = Columns {
            client: wide,
            entry: !silent.is_empty()
                || pipes.windows(2).any(|pair| pair[0].entry != pair[1].entry),
        };
        let mut heading = row(["PIPE", "AGE", "TIME", "STATE", "NODES", "PIPELINE"]);
        shown.add(&mut heading, "CLIENT", "ENTRY");
        let rows: Vec<_> = std::iter::once(heading)
            .chain(pipes.iter().map(|pipe| line(pipe, shown)))
            .collect();
        text.push_str(&columns(0, &rows));
    }
    if left_out > 0 {
        text.push_str(&format!("and {} more\n", plural(left_out, "pipe")));
    }
    for Silent { node, why } in silent {
        text.push_str(&format!("what {node} conducts is missing: {why}\n"));
    }
    text
}

/// Columns that are not always there.
#[derive(Clone, Copy, Debug)]
struct Columns {
    client: bool,
    entry: bool,
}

// === impl Columns ===

impl Columns {
    fn add(self, cells: &mut Vec<String>, client: &str, entry: &str) {
        if self.entry {
            cells.insert(4, entry.to_owned());
        }
        if self.client {
            cells.insert(cells.len() - 1, client.to_owned());
        }
    }
}

/// All that is known of one pipe; with `wide` also why each stage is where it is.
pub(super) fn one(pipe: &PipeView, wide: bool) -> String {
    let began = UNIX_EPOCH + Duration::from_millis(pipe.began_ms.min(LATEST));
    let took = if pipe.state.is_over() { "took" } else { "for" };
    let state = format!("{}, {took} {}", word(pipe.state), seconds(pipe.elapsed_ms));
    let entry = pipe.entry.as_ref().map_or("-", NodeId::as_str);
    let mut facts = vec![
        row(["pipe", &pipe.pipe.to_string()]),
        row(["pipeline", &pipe.pipeline]),
        row(["client", &pipe.client]),
        row(["entry", entry]),
        row([
            "began",
            &humantime::format_rfc3339_seconds(began).to_string(),
        ]),
        row(["state", &state]),
    ];
    if let Some(limit) = &pipe.limit {
        facts.push(row(["limited by", &limited(pipe, limit)]));
    }
    if let Some(failure) = &pipe.failure {
        facts.push(row(["failure", &failure::summary(failure)]));
    }
    let mut text = columns(0, &facts);
    if pipe.stages.is_empty() {
        return text;
    }
    text.push('\n');
    text.push_str(&columns(0, &stages(pipe, wide)));
    for stage in pipe.stages.iter().filter(|stage| !stage.stderr.is_empty()) {
        text.push_str(&format!(
            "\nstderr of stage {} `{}`:\n",
            stage.stage, stage.app
        ));
        for line in stage.stderr.lines() {
            text.push_str(&format!("  {}\n", printable(line)));
        }
    }
    text
}

/// A line for each stage. Columns in which nothing would stand are left out.
fn stages(pipe: &PipeView, wide: bool) -> Vec<Vec<String>> {
    let has_rates = pipe.stages.iter().any(|stage| stage.rate_out.is_some());
    let has_waits = pipe.stages.iter().any(|stage| stage.waits.is_some());
    let unknown = || "-".to_owned();
    let number = |number: Option<u64>| number.map_or_else(unknown, count);
    let rate = |rate: Option<u64>| rate.map_or_else(unknown, |rate| format!("{}/s", bytes(rate)));
    let line = |stage: &StageView| {
        let exit = stage.exit.map_or_else(unknown, exit_word);
        let part = |ms: fn(&Waits) -> u64| {
            let waits = stage.waits.filter(|waits| waits.total_ms() > 0);
            waits.map_or_else(unknown, |waits| {
                format!("{}%", ms(&waits) * 100 / waits.total_ms())
            })
        };
        let node = stage.node.as_str();
        let (read, written) = (number(stage.bytes_in), number(stage.bytes_out));
        let mut cells = row([
            &stage.stage.to_string(),
            &stage.app,
            node,
            &exit,
            &read,
            &written,
        ]);
        cells.extend(has_rates.then(|| rate(stage.rate_out)));
        if has_waits {
            cells.push(part(|waits| waits.input_ms));
            cells.push(part(|waits| waits.work_ms));
            cells.push(part(|waits| waits.output_ms));
        }
        cells.extend(wide.then(|| stage.why.clone()));
        cells
    };
    let mut heading = row(["STAGE", "APP", "NODE", "EXIT", "BYTES-IN", "BYTES-OUT"]);
    heading.extend(has_rates.then(|| "RATE-OUT".to_owned()));
    if has_waits {
        heading.extend(row(["AWAITS-IN", "WORKS", "AWAITS-OUT"]));
    }
    heading.extend(wide.then(|| "WHY".to_owned()));
    let lines = pipe.stages.iter().map(line);
    std::iter::once(heading).chain(lines).collect()
}

/// What holds a pipe up, in a few words.
pub(crate) fn limited(pipe: &PipeView, limit: &Limit) -> String {
    let percent = limit.percent;
    let stage = |number: StageNumber| pipe.stages.get(number.index());
    let app = |number| stage(number).map_or_else(String::new, |stage| format!(" `{}`", stage.app));
    let node =
        |number| stage(number).map_or_else(String::new, |stage| format!(" on {}", stage.node));
    match limit.by {
        LimitedBy::Stage { stage, last: None } => format!(
            "stage {stage}{}{}, which works {percent} % of the time",
            app(stage),
            node(stage)
        ),
        LimitedBy::Stage {
            stage,
            last: Some(last),
        } => format!(
            "stages {stage} to {last}{}, of which one works {percent} % of the time",
            node(stage)
        ),
        LimitedBy::Link { stage } => format!(
            "the way from stage {stage}{} to stage {}{}: both ends wait for it {percent} % of the time",
            node(stage),
            stage.next(),
            node(stage.next())
        ),
        LimitedBy::Input => {
            format!("the client's input, which is waited for {percent} % of the time")
        }
        LimitedBy::Output => format!(
            "the reader of the client's output, which is waited for {percent} % of the time"
        ),
        LimitedBy::Other => "something that this version of dpipes does not know".to_owned(),
    }
}

fn line(pipe: &PipeView, shown: Columns) -> Vec<String> {
    let mut nodes: Vec<NodeId> = Vec::new();
    for stage in pipe.stages.iter() {
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
    let entry = pipe.entry.as_ref().map_or("-", NodeId::as_str);
    shown.add(&mut cells, &pipe.client, entry);
    cells
}

/// How far a pipe is, in a word.
pub(crate) const fn word(state: PipeState) -> &'static str {
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
            why: String::new(),
            exit,
            bytes_in: None,
            bytes_out: None,
            rate_in: None,
            rate_out: None,
            waits: None,
            stderr: String::new(),
        };
        let over = PipeView {
            pipe: PipeId::from_u128(7),
            entry: Some(node("a")),
            pipeline: "cat a | cat | cat".to_owned(),
            client: "process 811 of user 1000".to_owned(),
            began_ms: 1_732_100_000_000,
            age_ms: 130_000,
            elapsed_ms: 1_200,
            state: PipeState::Complete,
            stages: [
                stage(0, "a", Some(Exit::Code(0))),
                stage(1, "b", Some(Exit::Signal(13))),
                stage(2, "a", None),
            ]
            .into(),
            delivered: 0,
            limit: None,
            failure: None,
        };
        let agreeing = PipeView {
            pipe: PipeId::from_u128(8),
            age_ms: 20,
            elapsed_ms: 20,
            state: PipeState::Agreeing,
            stages: [].into(),
            ..over.clone()
        };
        let pipes = [agreeing, over];
        assert_snapshot!(table(&pipes, 3, &[], false), @r##"
        PIPE                        AGE   TIME   STATE                  NODES  PIPELINE
        00000000000000000000000008  20ms  0.02s  agreeing               -      cat a | cat | cat
        00000000000000000000000007  2m    1.20s  exit 0 SIGPIPE(141) -  a, b   cat a | cat | cat
        and 3 pipes more
        "##);
        assert_snapshot!(table(&pipes[1..], 0, &[], true), @r##"
        PIPE                        AGE  TIME   STATE                  NODES  CLIENT                    PIPELINE
        00000000000000000000000007  2m   1.20s  exit 0 SIGPIPE(141) -  a, b   process 811 of user 1000  cat a | cat | cat
        "##);
        assert_eq!(table(&[], 0, &[], false), "no pipe is conducted here\n");
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
        assert!(one(&never, false).contains("began     9999-12-31T23:59:59Z"));
        assert_snapshot!(one(&lost, false), @r##"
        pipe      00000000000000000000000007
        pipeline  cat a | cat | cat
        client    process 811 of user 1000
        entry     a
        began     2024-11-20T10:53:20Z
        state     failed, took 1.20s
        failure   lost b while stage 2 `cat` was running (the connection was cut)

        STAGE  APP  NODE  EXIT          BYTES-IN  BYTES-OUT
        1      cat  a     0             -         -
        2      cat  b     SIGPIPE(141)  -         -
        3      cat  a     -             -         -
        "##);
        let mut running = PipeView {
            state: PipeState::Running,
            limit: Some(Limit {
                by: LimitedBy::Stage {
                    stage: StageNumber::new(2),
                    last: None,
                },
                percent: 97,
            }),
            entry: Some(node("b")),
            ..pipes[1].clone()
        };
        running.stages_mut()[1] = StageView {
            why: "least loaded of 3".to_owned(),
            exit: None,
            bytes_in: Some(4_096),
            bytes_out: Some(2_048),
            rate_out: Some(1_536),
            waits: Some(Waits {
                input_ms: 20,
                output_ms: 10,
                work_ms: 970,
            }),
            stderr: "warning: slow\n\u{1b}[31mred".to_owned(),
            ..running.stages[1].clone()
        };
        assert_snapshot!(one(&running, true), @r##"
        pipe        00000000000000000000000007
        pipeline    cat a | cat | cat
        client      process 811 of user 1000
        entry       b
        began       2024-11-20T10:53:20Z
        state       running, for 1.20s
        limited by  stage 2 `cat` on b, which works 97 % of the time

        STAGE  APP  NODE  EXIT  BYTES-IN  BYTES-OUT  RATE-OUT   AWAITS-IN  WORKS  AWAITS-OUT  WHY
        1      cat  a     0     -         -          -          -          -      -
        2      cat  b     -     4,096     2,048      1.5 KiB/s  2%         97%    1%          least loaded of 3
        3      cat  a     -     -         -          -          -          -      -

        stderr of stage 2 `cat`:
          warning: slow
          \u{1b}[31mred
        "##);
        let silent = [Silent {
            node: node("c"),
            why: "did not answer within 2 s".to_owned(),
        }];
        assert_snapshot!(table(&[running, pipes[1].clone()], 0, &silent, false), @r##"
        PIPE                        AGE  TIME   STATE                  ENTRY  NODES  PIPELINE
        00000000000000000000000007  2m   1.20s  running                b      a, b   cat a | cat | cat
        00000000000000000000000007  2m   1.20s  exit 0 SIGPIPE(141) -  a      a, b   cat a | cat | cat
        what c conducts is missing: did not answer within 2 s
        "##);
        assert_snapshot!(json::pipes(&pipes[..1], 1, &[]), @r##"
        {"age_ms":20,"began_ms":1732100000000,"client":"process 811 of user 1000","delivered":0,"elapsed_ms":20,"entry":"a","kind":"pipe","pipe":"00000000000000000000000008","pipeline":"cat a | cat | cat","schema":"dpipes/v1","stages":[],"state":"agreeing"}
        {"kind":"left-out","pipes":1,"schema":"dpipes/v1"}
        "##);
    }
}
