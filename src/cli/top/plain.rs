//! Lines, for where there is no screen: a block for each look.

use std::time::SystemTime;

use super::{
    ask::{Asker, ticks},
    model::Model,
    screen, short,
    tracked::Tracked,
};
use crate::{
    cli::{
        args::TopArgs,
        caret::Message,
        put_more,
        render::{
            pipes::word,
            table::columns,
            text::{plural, seconds},
        },
    },
    id::NodeId,
};

/// Writes a block at every tick, until nobody reads on, or as often as was asked for.
///
/// # Errors
///
/// Returns why the first look failed, or why nothing can be written. Later on, an entry that does not answer is a line.
pub(super) async fn write(asker: &Asker, args: &TopArgs) -> Result<(), Message> {
    let mut ticks = ticks(args.interval);
    let mut model = Model::new(args.cluster);
    ticks.tick().await;
    model.take(asker.ask().await?);
    for round in 1.. {
        let is_first = round == 1;
        if !put_more(&block(&model, SystemTime::now(), is_first))? || args.count == Some(round) {
            break;
        }
        ticks.tick().await;
        match asker.ask().await {
            Ok(answer) => model.take(answer),
            Err(message) => model.lose(&message),
        }
    }
    Ok(())
}

/// One look. All but the first are set apart by an empty line.
fn block(model: &Model, now: SystemTime, is_first: bool) -> String {
    let now = humantime::format_rfc3339_seconds(now);
    let apart = if is_first { "" } else { "\n" };
    if let Some(why) = &model.lost {
        return format!("{apart}{now}  no answer: {why}\n");
    }
    let mut text = format!("{apart}{now}  {}\n", screen::summary(model));
    let heading = [
        "PIPE", "ENTRY", "TIME", "STATE", "RATE", "LIMIT", "PIPELINE",
    ];
    let heading = heading.map(str::to_owned).to_vec();
    let rows: Vec<_> = std::iter::once(heading)
        .chain(model.rows().map(row))
        .collect();
    if rows.len() > 1 {
        text.push_str(&columns(0, &rows));
    }
    if model.left_out > 0 {
        text.push_str(&format!("and {} more\n", plural(model.left_out, "pipe")));
    }
    for silent in &model.silent {
        let why = crate::cli::caret::printable(&silent.why);
        text.push_str(&format!(
            "what {} conducts is missing: {why}\n",
            silent.node
        ));
    }
    text
}

fn row(tracked: &Tracked) -> Vec<String> {
    let view = &tracked.view;
    vec![
        short::name(view.pipe),
        view.entry.as_ref().map_or("-", NodeId::as_str).to_owned(),
        seconds(view.elapsed_ms),
        word(view.state).to_owned(),
        short::rate(tracked.rate),
        short::limit(view, usize::MAX),
        view.pipeline.clone(),
    ]
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use insta::assert_snapshot;

    use super::*;
    use crate::{
        cli::{
            render::samples::node,
            top::samples::{answer, limited, model, pipe},
        },
        wire::message::{LimitedBy, PipeView, Silent},
    };

    fn shown(model: &Model) -> String {
        block(model, UNIX_EPOCH + Duration::from_secs(1_732_100_000), true)
    }

    #[test]
    fn a_block_has_a_line_for_each_pipe() {
        let evil = PipeView {
            pipeline: "echo '\u{1b}[2J\n'".to_owned(),
            ..limited(pipe(9, 2), LimitedBy::Input)
        };
        let mut told = answer(vec![pipe(7, 3), evil]);
        told.left_out = 2;
        let why = "did not answer within 2 s".to_owned();
        told.silent = vec![Silent {
            node: node("c"),
            why,
        }];
        let mut model = Model::new(false);
        model.take(told);
        assert_snapshot!(shown(&model), @r##"
        2024-11-20T10:53:20Z  2 pipes running  stages 5/64 here  nodes 2 of 3 up  5.0 KiB/s
        PIPE      ENTRY   TIME   STATE    RATE       LIMIT      PIPELINE
        00000007  node-a  7.00s  running  3.0 KiB/s  -          cat a | sort | uniq
        00000009  node-a  9.00s  running  2.0 KiB/s  input 97%  echo '\u{1b}[2J\n'
        and 2 pipes more
        what c conducts is missing: did not answer within 2 s
        "##);
    }

    #[test]
    fn a_block_without_pipes_is_a_line() {
        let mut none = model(Vec::new());
        assert_snapshot!(shown(&none), @r##"
        2024-11-20T10:53:20Z  0 pipes running  stages 5/64 here  nodes 2 of 3 up  0 B/s
        "##);
        none.lose(&Message::new("the entry did not answer").with_help("wait"));
        assert_snapshot!(shown(&none), @r##"
        2024-11-20T10:53:20Z  no answer: the entry did not answer; wait
        "##);
        assert!(block(&none, UNIX_EPOCH, false).starts_with('\n'));
    }
}
