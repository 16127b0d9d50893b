//! `dpipes ps`, `inspect` and `kill`: what the entry conducts, and what is done to it.

use nix::sys::signal::Signal;

use super::{
    args::{EntryArgs, InspectArgs, KillArgs, PsArgs},
    caret::Message,
    client::{failed, not_known},
    engine::{self, Entry, Session},
    exit,
    run::Context,
};
use crate::{
    id::StageNumber,
    wire::message::{Conductor, NotDone, Query, Reply},
};

/// Shows the pipes.
pub(super) async fn ps(context: &Context, args: &PsArgs) -> u8 {
    let query = Query::Pipes {
        over: args.all,
        cluster: args.cluster,
    };
    match ask_daemon(context, &args.query.entry, query).await {
        Ok(Reply::Pipes {
            pipes,
            left_out,
            silent,
        }) => {
            let output = context.output(args.query.json, args.query.wide);
            super::put_or_status(&output.pipes(&pipes, left_out, &silent))
        }
        Ok(_) => failed(&not_known()),
        Err(message) => failed(&message),
    }
}

/// Shows one of them.
pub(super) async fn inspect(context: &Context, args: &InspectArgs) -> u8 {
    let query = Query::Pipe {
        pipe: args.pipe.clone(),
        cluster: true,
    };
    match ask_daemon(context, &args.query.entry, query).await {
        Ok(Reply::Pipe(view)) => {
            let output = context.output(args.query.json, args.query.wide);
            super::put_or_status(&output.pipe(&view))
        }
        Ok(Reply::NotDone { reason, .. }) => failed(&not_done(&args.pipe, None, reason, None)),
        Ok(_) => failed(&not_known()),
        Err(message) => failed(&message),
    }
}

/// Ends some of them, or sends their apps a signal. One that cannot be told does not keep the others from it.
pub(super) async fn kill(context: &Context, args: &KillArgs) -> u8 {
    let stage = args.stage.map(StageNumber::new);
    let mut status = exit::OK;
    for pipe in &args.pipes {
        let query = Query::Kill {
            pipe: pipe.clone(),
            signal: args.signal.map(|signal| signal as i32),
            stage,
        };
        let message = match ask_daemon(context, &args.entry, query).await {
            Ok(Reply::Killed { .. }) => continue,
            Ok(Reply::NotDone { reason, instead }) => {
                not_done(pipe, stage, reason, instead.as_ref())
            }
            Ok(_) => not_known(),
            Err(message) => message,
        };
        status = failed(&message);
    }
    status
}

async fn ask_daemon(context: &Context, args: &EntryArgs, query: Query) -> Result<Reply, Message> {
    let session = daemon(&context.entry(args, None)?).await?;
    engine::query(session, query).await
}

/// Reaches a daemon: without one there is nobody to ask, for a pipe is conducted by its own client then.
pub(super) async fn daemon(entry: &Entry) -> Result<Session, Message> {
    engine::reach(entry).await?.ok_or_else(|| {
        Message::new("no daemon runs here that would conduct pipes")
            .with_help("start one: dpipesd   or ask another: --connect HOST:PORT")
    })
}

/// Reads a signal as `kill` does: `USR1`, `SIGUSR1` or `10`.
pub(crate) fn signal(text: &str) -> Result<Signal, String> {
    let wrong = || "a signal is wanted, as USR1 or 10".to_owned();
    if let Ok(number) = text.parse::<i32>() {
        return Signal::try_from(number).map_err(|_| wrong());
    }
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    format!("SIG{name}").parse().map_err(|_| wrong())
}

/// Why nothing was done to a pipe, with a next step; `instead` is who conducts it, where that is another node.
pub(super) fn not_done(
    pipe: &str,
    stage: Option<StageNumber>,
    reason: NotDone,
    instead: Option<&Conductor>,
) -> Message {
    let (what, help) = match (reason, instead) {
        (_, Some(Conductor { node, address })) => (
            format!("the pipe `{pipe}` is conducted by {node}"),
            format!(
                "say it there: dpipes kill --connect {} {pipe}   or on its own machine, as its user",
                address.as_deref().unwrap_or("HOST:PORT")
            ),
        ),
        (NotDone::NoSuchPipe, None) => (
            format!("no pipe `{pipe}` is conducted by a node that answers"),
            "those that are: dpipes ps -a --cluster".to_owned(),
        ),
        (NotDone::Ambiguous, None) => (
            format!("more than one pipe begins or ends with `{pipe}`"),
            "say more of its name: dpipes ps -a".to_owned(),
        ),
        (NotDone::Over, None) => (
            format!("the pipe `{pipe}` is over"),
            format!("what became of it: dpipes inspect {pipe}"),
        ),
        (NotDone::NoSuchStage, None) => (
            stage.map_or_else(String::new, |stage| {
                format!("the pipe `{pipe}` has no stage {stage}")
            }),
            format!("its stages: dpipes inspect {pipe}"),
        ),
        (NotDone::NotYours, None) => (
            format!("the pipe `{pipe}` is another user's"),
            "ask on the entry's own machine, as its user, as the user of the daemon, or as root"
                .to_owned(),
        ),
        (NotDone::Busy, None) => (
            format!("the pipe `{pipe}` has not taken earlier orders yet"),
            "wait, and say it again".to_owned(),
        ),
        (NotDone::Other, None) => (
            format!("nothing was done to the pipe `{pipe}`"),
            "ask with the entry's own version of dpipes for the reason".to_owned(),
        ),
    };
    Message::new(what).with_help(help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_read_as_kill_reads_them() {
        for text in ["USR1", "usr1", "SIGUSR1", "10"] {
            assert_eq!(signal(text), Ok(Signal::SIGUSR1), "{text}");
        }
        for text in ["", "SIG", "0", "99", "-1", "USR3"] {
            assert!(signal(text).is_err(), "{text}");
        }
    }

    #[test]
    fn whatever_is_not_done_comes_with_a_next_step() {
        let shown =
            |reason| not_done("01JD9", Some(StageNumber::new(7)), reason, None).render(false);
        insta::assert_snapshot!(
            [
                NotDone::NoSuchPipe,
                NotDone::Ambiguous,
                NotDone::Over,
                NotDone::NoSuchStage,
                NotDone::NotYours,
                NotDone::Busy,
            ]
            .map(shown)
            .join("\n"),
            @r##"
        error: no pipe `01JD9` is conducted by a node that answers
          = help: those that are: dpipes ps -a --cluster
        error: more than one pipe begins or ends with `01JD9`
          = help: say more of its name: dpipes ps -a
        error: the pipe `01JD9` is over
          = help: what became of it: dpipes inspect 01JD9
        error: the pipe `01JD9` has no stage 7
          = help: its stages: dpipes inspect 01JD9
        error: the pipe `01JD9` is another user's
          = help: ask on the entry's own machine, as its user, as the user of the daemon, or as root
        error: the pipe `01JD9` has not taken earlier orders yet
          = help: wait, and say it again
        "##
        );
    }
}
