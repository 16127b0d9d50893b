//! A pipe that is run over HTTP: the request's body is its input, the answer's body its output, and what became of it stands in the trailer.
//!
//! The handler is a client like any other, with a session of its own. When whoever asked goes away, so does that session, and the pipe ends as
//! that of a client that was killed. An answer is only brought to its proper end when the run is to be believed; else it breaks off, so that
//! nobody takes a part for the whole.

#![expect(
    unused_qualifications,
    reason = "what the macro of utoipa makes of `params`"
)]

use std::{
    collections::BTreeMap,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    Json,
    body::{Body, Bytes},
    extract::{
        Extension, FromRequest as _, Query as Parameters, Request, State as Shared,
        rejection::QueryRejection,
    },
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header},
    response::{IntoResponse as _, Response},
};
use futures_util::StreamExt as _;
use hyper::body::{Body as HttpBody, Frame};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinHandle},
    time::timeout,
};
use tracing::debug;
use utoipa::{IntoParams, ToSchema};

use crate::{
    api::{guard::Caller, problem::Problem, state::State, unstuck::Patience},
    cli::exit,
    client::{self, Data, Event, MetadataShown, RunIo, RunReport},
    id::{NodeId, PipeId},
    transport::Session,
    wire::message::{Ending, Exit, Failure, Outcome, RunMode, RunOptions, RunRequest, StagePlan},
};

/// Pieces of data on their way at most, in each direction.
const PIECES: usize = 2;

/// Things that are told while the run goes on and wait to be looked at.
const EVENTS: usize = 64;

/// How long a document may take to come: as long as the head of its request.
const DOCUMENT_WITHIN: Duration = Duration::from_secs(10);

/// Longest time limit, in milliseconds: a year.
const MOST_MS: u64 = 366 * 24 * 3_600 * 1_000;

/// The pipe's name, with the head of the answer: how to look at it, or end it, from elsewhere.
const PIPE: HeaderName = HeaderName::from_static("dpipes-pipe");

/// The status of each stage, in order, as in `0 1 SIGPIPE`; in the trailer.
const STATUSES: HeaderName = HeaderName::from_static("dpipes-statuses");

/// The exit status that `dpipes` would have had; in the trailer.
const STATUS: HeaderName = HeaderName::from_static("dpipes-status");

/// What is to be run, where it stands in the path.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct InPath {
    /// The pipeline, as `sort | uniq -c`. The body is what its first stage reads then, whatever its type. Without it the body says what to run.
    #[param(example = "sort | uniq -c")]
    pipeline: Option<String>,
}

/// What is to be run, as a document.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// The pipeline.
    #[schema(example = "seq 5 | sort -r")]
    pipeline: String,
    /// What its first stage reads; nothing unless said otherwise.
    #[serde(default)]
    stdin: Option<String>,
    /// Everything else.
    #[serde(default)]
    options: Options,
}

/// What may be said about a run beside the pipeline.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Options {
    /// Variables for every stage.
    env: BTreeMap<String, String>,
    /// Working directory of every stage.
    cwd: Option<String>,
    /// User of every stage.
    user: Option<String>,
    /// Versions that are needed, as `sort>=8.30`.
    require: Vec<String>,
    /// Nodes to keep off.
    avoid: Vec<NodeId>,
    /// What `-o` takes, as `{"policy": "pack"}`.
    options: BTreeMap<String, String>,
    /// Shown to nodes that demand one.
    credential: Option<String>,
    /// Longest run time in milliseconds.
    #[schema(maximum = 31_622_400_000_u64)]
    timeout_ms: Option<u64>,
}

/// Where the stages of a pipe would run, and why there.
#[derive(Serialize, ToSchema)]
pub(super) struct Agreed {
    /// The stages in order.
    stages: Vec<StagePlan>,
}

/// Runs a pipe. Its output is the body of the answer. Whether that is the whole output is told by its proper end, and the statuses of the stages by
/// the trailer, which those are sent who ask for it with `TE: trailers`. Of a run that has failed the answer breaks off.
#[utoipa::path(post, path = "/v1/pipes", tag = "pipes", security((), ("token" = [])), params(InPath),
    request_body(content = Option<Wanted>, description = "What to run; or, with `pipeline` in the path, what it reads"),
    responses(
        (status = 200, description = "The output", body = String, content_type = "application/octet-stream", headers(
            ("dpipes-pipe" = String, description = "The pipe's name"),
        )),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "The document does not come", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The document is too long", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is not said to be JSON", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Nobody runs that", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Nobody can now", body = Problem, content_type = "application/problem+json"),
        (status = 505, description = "It is asked for over HTTP/1.0", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn start(
    Shared(state): Shared<Arc<State>>,
    Extension(caller): Extension<Caller>,
    Extension(patience): Extension<Patience>,
    in_path: Result<Parameters<InPath>, QueryRejection>,
    request: Request,
) -> Result<Response, Problem> {
    caller.may_change()?;
    if request.version() < Version::HTTP_11 {
        let status = StatusCode::HTTP_VERSION_NOT_SUPPORTED;
        let detail = "over HTTP/1.0 an output that has broken off looks like a whole one";
        return Err(Problem::new(status, "http-version", detail).help("ask with HTTP/1.1"));
    }
    let Parameters(in_path) = in_path.map_err(|error| Problem::bad_request(error.body_text()))?;
    let (wanted, input) = match in_path.pipeline {
        Some(pipeline) => {
            let wanted = Wanted {
                pipeline,
                stdin: None,
                options: Options::default(),
            };
            (wanted, Some(request.into_body()))
        }
        None => {
            let mut wanted = document(request).await?;
            let input = wanted.stdin.take().map(Body::from);
            (wanted, input)
        }
    };
    let (pipe, request) = run_request(wanted, RunMode::Run, input.is_some());
    let session = connect(&state, &caller).await?;
    let (send_output, output) = mpsc::channel(PIECES);
    let input = input.unwrap_or_default();
    let (mut running, events) = Running::start(session, request, input, send_output);
    running.agreed(events).await?;
    // It runs, and what it writes may take its time.
    patience.bear();
    let body = Output {
        pieces: output,
        running: Some(running),
    };
    let mut response = Body::new(body).into_response();
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("application/octet-stream");
    headers.insert(header::CONTENT_TYPE, kind);
    let trailer = HeaderValue::from_static("dpipes-statuses, dpipes-status");
    headers.insert(header::TRAILER, trailer);
    if let Ok(pipe) = HeaderValue::from_str(&pipe.to_string()) {
        headers.insert(PIPE, pipe);
    }
    Ok(response)
}

/// Whether a pipe would run, where, and why there. Nothing is started.
#[utoipa::path(post, path = "/v1/check", tag = "pipes", security((), ("token" = [])), request_body = Wanted, responses(
    (status = 200, description = "Every node has agreed", body = Agreed),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 401, body = Problem, content_type = "application/problem+json"),
    (status = 408, description = "The document does not come", body = Problem, content_type = "application/problem+json"),
    (status = 413, description = "The document is too long", body = Problem, content_type = "application/problem+json"),
    (status = 415, description = "The body is not said to be JSON", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "Nobody runs that", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Nobody can now", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn check(
    Shared(state): Shared<Arc<State>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Json<Agreed>, Problem> {
    caller.may_change()?;
    let wanted = document(request).await?;
    let (_, request) = run_request(wanted, RunMode::Check, false);
    let session = connect(&state, &caller).await?;
    let (send_output, _none) = mpsc::channel(PIECES);
    let (mut running, events) = Running::start(session, request, Body::empty(), send_output);
    tokio::spawn(ignore(events));
    let report = running.report().await?;
    match report.outcome.ending {
        Ending::Complete => Ok(Json(Agreed {
            stages: report.plan,
        })),
        Ending::Failed(failure) => Err(Problem::of_failure(failure)),
    }
}

/// Reads a document of some length at most, which is there within some time.
async fn document(request: Request) -> Result<Wanted, Problem> {
    let read = timeout(DOCUMENT_WITHIN, Json::<Wanted>::from_request(request, &())).await;
    let read = read.map_err(|_| {
        let detail = format!("the document did not come within {DOCUMENT_WITHIN:?}");
        Problem::new(StatusCode::REQUEST_TIMEOUT, "too-slow", detail)
    })?;
    let Json(wanted): Json<Wanted> = read.map_err(|error| {
        // What the document lacks is as wrong as what it cannot be.
        let status = match error.status() {
            StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
            other => other,
        };
        Problem::new(status, "bad-request", error.body_text())
    })?;
    if wanted
        .options
        .timeout_ms
        .is_some_and(|limit| limit > MOST_MS)
    {
        return Err(Problem::bad_request(format!(
            "timeout_ms: {MOST_MS} at most"
        )));
    }
    Ok(wanted)
}

fn run_request(wanted: Wanted, mode: RunMode, stdin: bool) -> (PipeId, RunRequest) {
    let pipe = PipeId::generate();
    let said = wanted.options;
    let options = RunOptions {
        env: said.env.into_iter().collect(),
        cwd: said.cwd,
        user: said.user,
        require: said.require,
        avoid: said.avoid,
        options: said.options,
        credential: said.credential,
        timeout_ms: said.timeout_ms,
        ..RunOptions::default()
    };
    let request = RunRequest {
        pipe,
        mode,
        expression: wanted.pipeline,
        stdin,
        options,
    };
    (pipe, request)
}

/// A session of whoever asks: the entry judges them as it does any client.
async fn connect(state: &State, caller: &Caller) -> Result<Session, Problem> {
    let session = state.observer.connect(caller.address.clone()).await;
    session.map_err(|error| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", error))
}

/// A run that goes on. Dropped, it is given up, and its pipe ended.
struct Running {
    task: JoinHandle<Result<RunReport, client::RunError>>,
    /// Ends the task that reads the request's body, which may wait for more of it.
    feeding: AbortHandle,
}

// === impl Running ===

impl Running {
    fn start(
        session: Session,
        request: RunRequest,
        input: Body,
        output: mpsc::Sender<Bytes>,
    ) -> (Self, mpsc::Receiver<Event>) {
        let (send_input, input_pieces) = mpsc::channel(PIECES);
        let feeding = tokio::spawn(feed(input, send_input)).abort_handle();
        let (send_events, events) = mpsc::channel(EVENTS);
        let task = tokio::spawn(async move {
            // Nobody sends any, and the channel must not look closed for that.
            let (_signals, signals) = mpsc::channel(1);
            let io = RunIo {
                data: Data::Channels {
                    input: input_pieces,
                    output,
                },
                signals,
                events: send_events,
                metadata: MetadataShown::No,
            };
            client::run(&session, request, io).await
        });
        (Self { task, feeding }, events)
    }

    /// Waits until every node has agreed. A run that is over before that is a problem.
    async fn agreed(&mut self, mut events: mpsc::Receiver<Event>) -> Result<(), Problem> {
        while let Some(event) = events.recv().await {
            if matches!(event, Event::Agreed(..)) {
                tokio::spawn(ignore(events));
                return Ok(());
            }
        }
        match self.report().await?.outcome.ending {
            Ending::Failed(failure) => Err(Problem::of_failure(failure)),
            Ending::Complete => Err(internal("the run is complete, and nobody has agreed to it")),
        }
    }

    /// Waits until it is over.
    async fn report(&mut self) -> Result<RunReport, Problem> {
        let report = (&mut self.task).await;
        let report = report.map_err(|error| internal(&error.to_string()))?;
        report.map_err(|error| internal(&error.to_string()))
    }
}

/// What stages say is in the chronicle; here it only must not pile up.
async fn ignore(mut events: mpsc::Receiver<Event>) {
    while events.recv().await.is_some() {}
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
        self.feeding.abort();
    }
}

fn internal(detail: &str) -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
}

/// Brings the request's body to the run.
async fn feed(body: Body, pieces: mpsc::Sender<io::Result<Bytes>>) {
    let mut body = body.into_data_stream();
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(io::Error::other);
        if pieces.send(piece).await.is_err() {
            return;
        }
    }
}

/// The output of a run as the body of an answer.
struct Output {
    pieces: mpsc::Receiver<Bytes>,
    /// Until its end has been told.
    running: Option<Running>,
}

// === impl Output ===

impl HttpBody for Output {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self;
        let Some(running) = &mut this.running else {
            return Poll::Ready(None);
        };
        // The run holds the other end until it is over, so that nothing comes behind the last piece.
        if let Some(piece) = ready!(this.pieces.poll_recv(context)) {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        let outcome = match ready!(Pin::new(&mut running.task).poll(context)) {
            Ok(Ok(report)) => report.outcome,
            Ok(Err(error)) => broken(&error.to_string()),
            Err(error) => broken(&error.to_string()),
        };
        this.running = None;
        Poll::Ready(Some(end(&outcome)))
    }
}

fn broken(detail: &str) -> Outcome {
    let detail = detail.to_owned();
    Outcome {
        ending: Ending::Failed(Failure::Entry { detail }),
        stages: Vec::new(),
        streams: 0,
        elapsed_ms: 0,
    }
}

/// The trailer of a run that is to be believed; of any other an error, which breaks the connection off.
fn end(outcome: &Outcome) -> Result<Frame<Bytes>, io::Error> {
    if !exit::is_of_app(outcome) {
        debug!(?outcome, "the answer breaks off, for the run has failed");
        return Err(io::Error::other("the run has failed"));
    }
    let statuses = outcome.stages.iter().map(|stage| match stage.exit {
        Exit::Code(code) => code.to_string(),
        Exit::Signal(signal) => crate::cli::render::text::signal(signal),
        Exit::NotStarted | Exit::Unknown => "?".to_owned(),
    });
    let statuses = statuses.collect::<Vec<_>>().join(" ");
    let status = exit::exit_status(outcome, false).to_string();
    let mut trailer = HeaderMap::new();
    for (name, value) in [(STATUSES, statuses), (STATUS, status)] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            trailer.insert(name, value);
        }
    }
    Ok(Frame::trailers(trailer))
}
