//! How a run ended: the line of `--print-status` and the table of `--joblog`.

use super::{
    objects,
    text::{bytes, seconds, signal},
};
use crate::{
    cli::exit,
    wire::message::{Exit, Outcome, StageRecord},
};

/// The line of `--print-status`: every stage's status, the time, and what the last stage wrote.
pub(crate) fn line(outcome: &Outcome) -> String {
    let stages: Vec<String> = outcome
        .stages
        .iter()
        .map(|stage| {
            let objects = stage.objects.as_ref();
            let objects = objects.map(|counts| format!(" ({})", objects::counted(counts)));
            format!(
                "{}:{}@{} {}{}",
                stage.stage,
                stage.app,
                stage.node,
                exit_word(stage.exit),
                objects.unwrap_or_default()
            )
        })
        .collect();
    let stages = if stages.is_empty() {
        "nothing was started".to_owned()
    } else {
        stages.join(" ")
    };
    let written = outcome
        .stages
        .last()
        .and_then(|stage| stage.bytes_out)
        .map_or_else(|| "-".to_owned(), bytes);
    format!(
        "dpipes: {stages}   {}  {written}",
        seconds(outcome.elapsed_ms)
    )
}

/// How a program ended, in a word.
pub(crate) fn exit_word(end: Exit) -> String {
    match end {
        Exit::Code(code) => code.to_string(),
        Exit::Signal(number) => format!("{}({})", signal(number), exit::of_signal(number)),
        Exit::NotStarted => "not-started".to_owned(),
        Exit::Unknown => "unknown".to_owned(),
    }
}

/// The table of `--joblog`: a heading and one line for each stage, separated by tabs; what is unknown is empty.
pub(crate) fn joblog(outcome: &Outcome) -> String {
    let heading = [
        "stage",
        "app",
        "node",
        "pid",
        "code",
        "signal",
        "bytes_in",
        "bytes_out",
        "elapsed_ms",
        "user_ms",
        "system_ms",
        "reason",
    ];
    let mut text = format!("{}\n", heading.join("\t"));
    for stage in &outcome.stages {
        text.push_str(&joblog_line(stage));
        text.push('\n');
    }
    text
}

fn joblog_line(stage: &StageRecord) -> String {
    let number = |value: Option<u64>| value.map(|value| value.to_string()).unwrap_or_default();
    let (code, signal) = match stage.exit {
        Exit::Code(code) => (code.to_string(), String::new()),
        Exit::Signal(number) => (String::new(), number.to_string()),
        Exit::NotStarted | Exit::Unknown => (String::new(), String::new()),
    };
    let reason = match (stage.exit, &stage.killed) {
        (_, Some(killed)) => killed.clone(),
        (Exit::NotStarted | Exit::Unknown, None) => exit_word(stage.exit),
        (Exit::Code(_) | Exit::Signal(_), None) => String::new(),
    };
    let cells = [
        stage.stage.to_string(),
        stage.app.clone(),
        stage.node.to_string(),
        number(stage.pid.map(u64::from)),
        code,
        signal,
        number(stage.bytes_in),
        number(stage.bytes_out),
        number(stage.elapsed_ms),
        number(stage.user_ms),
        number(stage.system_ms),
        reason,
    ];
    // A tab or newline in a cell would make it two; an app's name may hold either.
    cells
        .map(|cell| crate::cli::caret::printable(&cell))
        .join("\t")
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::{
        cli::render::{
            json,
            samples::{complete, failed},
        },
        id::PipeId,
        wire::message::Failure,
    };

    #[test]
    fn one_line_says_how_every_stage_ended() {
        assert_snapshot!(line(&complete(&[Exit::Signal(13), Exit::Code(0)])), @"dpipes: 1:yes@node-a SIGPIPE(141) 2:head@node-b 0   0.08s  4.0 KiB");
        assert_snapshot!(line(&failed(Failure::Unknown)), @"dpipes: nothing was started   0.08s  -");
    }

    #[test]
    fn the_job_log_has_one_line_for_each_stage() {
        let mut outcome = complete(&[Exit::Signal(13), Exit::Unknown]);
        outcome.stages[0].app = "a\tb".to_owned();
        assert_snapshot!(joblog(&outcome).replace('\t', "|"), @r##"
        stage|app|node|pid|code|signal|bytes_in|bytes_out|elapsed_ms|user_ms|system_ms|reason
        1|a\tb|node-a|4210||13||4096|80|3|2|
        2|head|node-b|4211||||4096|80|3|2|unknown
        "##);
    }

    #[test]
    fn the_record_tells_an_apps_status_from_dpipes_own() {
        let id = PipeId::from_u128(7);
        assert_snapshot!(json::record(id, &complete(&[Exit::Signal(13), Exit::Code(124)]), None, 124), @r##"{"elapsed_ms":80,"failure":null,"kind":"run","origin":"app","pipe":"00000000000000000000000007","schema":"dpipes/v1","stages":[{"app":"yes","bytes_in":null,"bytes_out":4096,"code":null,"elapsed_ms":80,"input":"none","n":1,"node":"node-a","output":"finished","pid":4210,"reason":null,"rusage":{"system_ms":2,"user_ms":3},"signal":13,"started":true},{"app":"head","bytes_in":null,"bytes_out":4096,"code":124,"elapsed_ms":80,"input":"none","n":2,"node":"node-b","output":"finished","pid":4211,"reason":null,"rusage":{"system_ms":2,"user_ms":3},"signal":null,"started":true}],"status":124}"##);
        assert_snapshot!(json::record(id, &failed(Failure::TimedOut { after_ms: 5 }), None, 124), @r##"{"elapsed_ms":80,"failure":{"after_ms":5,"failure":"timed-out"},"kind":"run","origin":"dpipes","pipe":"00000000000000000000000007","schema":"dpipes/v1","stages":[],"status":124}"##);
    }
}
