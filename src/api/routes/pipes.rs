//! Pipes: all of them, one of them, and the end of one.

#![expect(
    unused_qualifications,
    reason = "what the macro of utoipa makes of `params`"
)]

use std::{convert::Infallible, iter, ops::RangeInclusive, sync::Arc};

use axum::{
    Json,
    body::Body,
    extract::{Extension, Path, Query as Parameters, State as Shared, rejection::QueryRejection},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use futures_util::stream;
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::known::other_answer;
use crate::{
    api::{
        guard::Caller,
        problem::{Problem, code},
        state::State,
    },
    cli::{pipes::signal, render::failure},
    id::{PipeId, StageNumber},
    wire::message::{Conductor, NotDone, PipeView, Query, Reply, Silent},
};

/// Pipes in one answer unless said otherwise.
const USUAL: usize = 100;

/// Pipes in one answer at most: all that a node remembers, and those that run.
const MOST: usize = 20_000;

/// Bytes of a list that are written at a time. All that a node remembers takes megabytes, which need not be held at once.
const PIECE: usize = 64 << 10;

/// Numbers that a stage can have.
const STAGES: RangeInclusive<u16> = 1..=1_024;

/// A pipe.
#[derive(Serialize, ToSchema)]
pub(super) struct Pipe {
    #[serde(flatten)]
    view: PipeView,
    /// What failed, on one line; without the token only its code.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_text: Option<String>,
}

/// Pipes.
#[derive(Serialize, ToSchema)]
pub(super) struct Pipes {
    /// The pipes, the newest first. Without the token arguments are left out of their pipelines.
    pipes: Vec<Pipe>,
    /// How many more there are.
    left_out: u64,
    /// Nodes that were asked and did not answer: what they conduct is missing.
    silent: Vec<Silent>,
}

/// Which pipes are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// Those too that were over within the last hour.
    #[serde(default)]
    all: bool,
    /// Those of every node, not only of this one. A thousand of each node at most.
    #[serde(default)]
    cluster: bool,
    /// How many at most; 100 unless said otherwise, 20000 at most.
    #[param(minimum = 1, maximum = 20_000)]
    limit: Option<usize>,
}

/// How a pipe is to end.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Ending {
    /// The signal for its apps, as `USR1` or `10`; without one the pipe ends as if its client had been killed.
    #[param(
        example = "USR1",
        pattern = "^((SIG)?(HUP|INT|QUIT|KILL|USR1|USR2|TERM|CONT|STOP)|[1-9]|[12][0-9]|3[01])$"
    )]
    signal: Option<String>,
    /// The only stage that gets it, counted from 1. Without a signal it gets SIGTERM.
    #[param(minimum = 1, maximum = 1024)]
    stage: Option<u16>,
}

/// A pipe that has been told to end.
#[derive(Serialize, ToSchema)]
pub(super) struct Told {
    /// Its whole name.
    pipe: PipeId,
}

/// The pipes that this node conducts, or those of the whole cluster.
#[utoipa::path(get, path = "/v1/pipes", tag = "pipes", params(Wanted), responses(
    (status = 200, body = Pipes),
    (status = 400, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn list(
    Shared(state): Shared<Arc<State>>,
    Extension(caller): Extension<Caller>,
    wanted: Result<Parameters<Wanted>, QueryRejection>,
) -> Result<Response, Problem> {
    let Parameters(wanted) = wanted.map_err(|error| Problem::bad_request(error.body_text()))?;
    let limit = wanted.limit.unwrap_or(USUAL);
    if !(1..=MOST).contains(&limit) {
        return Err(Problem::bad_request(format!("limit: 1 to {MOST} will do")));
    }
    let (mut pipes, mut left_out, silent) = if wanted.cluster {
        let query = Query::Pipes {
            over: wanted.all,
            cluster: true,
        };
        match state.observer.ask(&caller.asker(), query).await {
            Reply::Pipes {
                pipes,
                left_out,
                silent,
            } => (pipes, left_out, silent),
            _ => return Err(other_answer()),
        }
    } else {
        let (pipes, left_out) = state.observer.pipes(wanted.all, limit);
        (pipes, left_out, Vec::new())
    };
    left_out += pipes.len().saturating_sub(limit) as u64;
    pipes.truncate(limit);
    let shown = pipes
        .into_iter()
        .map(move |view| Pipe::for_caller(view, &caller));
    let around = Pipes {
        pipes: Vec::new(),
        left_out,
        silent,
    };
    let pieces = pieces(shown, &around).map(Ok::<_, Infallible>);
    let body = Body::from_stream(stream::iter(pieces));
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

/// The JSON of a list, made as it is read: that of `around`, which has no pipes of its own, with these in it.
fn pieces<I>(pipes: I, around: &Pipes) -> impl Iterator<Item = Vec<u8>> + use<I>
where
    I: Iterator<Item = Pipe>,
{
    const BEFORE: usize = "{\"pipes\":[".len();
    let mut before = json(around);
    let after = before.split_off(BEFORE);
    let pipes = pipes.enumerate().flat_map(|(index, pipe)| {
        let comma = if index == 0 { "" } else { "," };
        [comma.into(), json(&pipe)]
    });
    let mut parts = iter::once(before).chain(pipes).chain(iter::once(after));
    iter::from_fn(move || {
        let mut piece = Vec::new();
        while piece.len() < PIECE
            && let Some(part) = parts.next()
        {
            piece.extend(part);
        }
        (!piece.is_empty()).then_some(piece)
    })
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("strings, numbers and lists of them")
}

/// One pipe, with what its stages wrote to stderr last for those who may end it. One of another node comes without that.
#[utoipa::path(get, path = "/v1/pipes/{id}", tag = "pipes",
    params(("id" = String, Path, description = "Its name, or enough of the beginning or the end of it")),
    responses(
        (status = 200, body = Pipe),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Several pipes are meant", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn one(
    Shared(state): Shared<Arc<State>>,
    Extension(caller): Extension<Caller>,
    Path(pipe): Path<String>,
) -> Result<Json<Pipe>, Problem> {
    let view = find(&state, &caller, pipe, true).await?;
    Ok(Json(Pipe::for_caller(view, &caller)))
}

/// The pipe of which a name was given, or a part of it; with `cluster` also one of another node.
pub(super) async fn find(
    state: &State,
    caller: &Caller,
    pipe: String,
    cluster: bool,
) -> Result<PipeView, Problem> {
    let query = Query::Pipe { pipe, cluster };
    match state.observer.ask(&caller.asker(), query).await {
        Reply::Pipe(view) => Ok(view),
        Reply::NotDone { reason, instead } => Err(not_done(reason, instead)),
        _ => Err(other_answer()),
    }
}

/// Ends a pipe as if its client had been killed, or sends its apps a signal.
#[utoipa::path(delete, path = "/v1/pipes/{id}", tag = "pipes", security((), ("token" = [])),
    params(("id" = String, Path, description = "Its name, or enough of the beginning or the end of it"), Ending),
    responses(
        (status = 202, description = "It was told", body = Told),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "It is another user's", body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It is over, or several pipes are meant", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn end(
    Shared(state): Shared<Arc<State>>,
    Extension(caller): Extension<Caller>,
    Path(pipe): Path<String>,
    ending: Result<Parameters<Ending>, QueryRejection>,
) -> Result<(StatusCode, Json<Told>), Problem> {
    caller.may_change()?;
    let Parameters(ending) = ending.map_err(|error| Problem::bad_request(error.body_text()))?;
    let signal = ending.signal.as_deref().map(signal).transpose();
    let signal = signal.map_err(Problem::bad_request)?;
    if ending.stage.is_some_and(|stage| !STAGES.contains(&stage)) {
        return Err(Problem::bad_request("stage: 1 to 1024 will do"));
    }
    let signal = signal.or_else(|| ending.stage.map(|_| Signal::SIGTERM));
    let by = format!("{} over the REST API", caller.address);
    let signal = signal.map(|signal| signal as i32);
    let stage = ending.stage.map(StageNumber::new);
    let asker = (&caller.asker(), by.as_str());
    match state.observer.kill(asker, &pipe, signal, stage).await {
        Reply::Killed { pipe } => Ok((StatusCode::ACCEPTED, Json(Told { pipe }))),
        Reply::NotDone { reason, instead } => Err(not_done(reason, instead)),
        _ => Err(other_answer()),
    }
}

fn not_done(reason: NotDone, instead: Option<Conductor>) -> Problem {
    let problem = Problem::of_not_done(reason);
    match (reason, instead) {
        (_, Some(other)) => problem.help(format!(
            "{} conducts it, and has to be asked itself",
            other.node
        )),
        (NotDone::NoSuchPipe, None) => problem.help(
            "those of this node: /v1/pipes?all=true; those of others: /v1/pipes?cluster=true names the entry of each, which has to be asked itself",
        ),
        _ => problem,
    }
}

// === impl Pipe ===

impl Pipe {
    /// A pipe as somebody may see it.
    pub(super) fn for_caller(mut view: PipeView, caller: &Caller) -> Self {
        let mut failure_text = view.failure.as_ref().map(failure::summary);
        if !caller.sees_all() {
            let apps = view.stages.iter().map(|stage| stage.app.as_str());
            view.pipeline = apps.collect::<Vec<_>>().join(" | ");
            view.hide_stderr();
            // What was refused may be an argument.
            failure_text = view.failure.take().as_ref().map(code);
        }
        Self { view, failure_text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::message::PipeState;

    #[test]
    fn a_list_in_pieces_is_the_list_in_one() {
        let view = PipeView {
            pipe: PipeId::from_u128(7),
            entry: None,
            pipeline: "seq 3".repeat(100),
            client: "process 1".to_owned(),
            began_ms: 1,
            age_ms: 2,
            elapsed_ms: 3,
            state: PipeState::Complete,
            stages: [].into(),
            delivered: 4,
            limit: None,
            failure: None,
        };
        for many in [0, 1, 2, 1_000] {
            let list = |pipes| Pipes {
                pipes,
                left_out: 5,
                silent: Vec::new(),
            };
            let pipe = || Pipe {
                view: view.clone(),
                failure_text: None,
            };
            let pieces: Vec<_> = pieces((0..many).map(|_| pipe()), &list(Vec::new())).collect();
            let whole = json(&list((0..many).map(|_| pipe()).collect()));
            let (last, full) = pieces.split_last().unwrap();
            let is_full = |piece: &Vec<u8>| (PIECE..PIECE + 1_024).contains(&piece.len());
            assert!(full.iter().all(is_full) && last.len() < PIECE + 1_024);
            assert!(pieces.concat() == whole, "{many}");
        }
    }
}
