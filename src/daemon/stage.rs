//! One running stage: its process, its links and its stderr.
//!
//! A stage is over when three things are known: its process has been reaped, its stdout reached its end, and its stderr did. None of
//! the three is derived from another.

use std::{
    future::Future,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{
    links::{self, Input},
    node::Node,
    objects::Objects,
    prepare::Ready,
};
use crate::{
    coding::Way,
    exec::{Ended, ExitKind, Process, ProcessHandle},
    id::{Attempt, PipeId, StageNumber},
    media::Coding,
    transport::{
        RecvStream, Session, code,
        pump::{Fill, Meter, Transfer},
    },
    wire::message::{
        Exit, FromNode, LinkEnd, StageProgress, StageRecord, Terms, Waits, milliseconds,
    },
};

/// After the process ended its output usually ends at once. When it did not for so long, the user is told who holds it.
const LINGER: Duration = Duration::from_secs(2);

/// What the stages of a part share.
pub(super) struct Context {
    pub(super) node: Arc<Node>,
    pub(super) entry: Session,
    pub(super) pipe: PipeId,
    pub(super) attempt: Attempt,
    pub(super) terms: Terms,
    pub(super) digest: String,
    pub(super) window: u32,
    pub(super) transfer: Transfer,
    pub(super) eof_on_loss: bool,
    pub(super) reports: mpsc::Sender<Report>,
}

/// Something the entry must hear, and perhaps the part too.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) message: FromNode,
    /// Why the part cannot go on.
    pub(super) ends_the_part: Option<String>,
}

/// What the part's loop, and whoever watches, holds of a stage.
#[derive(Clone)]
pub(super) struct StageHandle {
    stage: StageNumber,
    shared: Arc<Shared>,
}

/// What a stage spends its time on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spent {
    /// Its input is empty, and not at its end.
    AwaitingInput,
    /// What it has written is not taken.
    AwaitingOutput,
    /// Neither.
    Working,
}

struct Shared {
    app: String,
    /// Cancelled when the stage is being ended by dpipes: its links end with Reset from then on.
    aborting: CancellationToken,
    killed: OnceLock<String>,
    process: ProcessHandle,
    /// Set when the process is the app, and no longer at the barrier.
    pid: OnceLock<u32>,
    input: Mutex<Option<oneshot::Sender<(RecvStream, Coding)>>>,
    meters: Meters,
    waits: Mutex<Waits>,
}

/// What flowed; `None` on a side where nothing is counted.
#[derive(Clone)]
pub(super) struct Meters {
    pub(super) input: Option<Arc<Meter>>,
    pub(super) output: Option<Arc<Meter>>,
}

/// Starts a stage. The future is its whole life; it must be polled to the end.
pub(super) fn run(
    context: Arc<Context>,
    ready: Ready,
) -> (
    StageHandle,
    impl Future<Output = (StageRecord, Option<Process>)> + Send,
) {
    let (send_input, take_input) = oneshot::channel();
    let meters = Meters {
        input: ready.stdin_writer.is_some().then(Arc::default),
        output: ready.stdout_reader.is_some().then(Arc::default),
    };
    let shared = Arc::new(Shared {
        app: ready.app.clone(),
        aborting: CancellationToken::new(),
        killed: OnceLock::new(),
        process: ready.prepared.handle(),
        pid: OnceLock::new(),
        input: Mutex::new(Some(send_input)),
        meters: meters.clone(),
        waits: Mutex::default(),
    });
    let handle = StageHandle {
        stage: ready.stage,
        shared: shared.clone(),
    };
    (handle, live(context, ready, shared, take_input))
}

async fn live(
    context: Arc<Context>,
    ready: Ready,
    shared: Arc<Shared>,
    take_input: oneshot::Receiver<(RecvStream, Coding)>,
) -> (StageRecord, Option<Process>) {
    let Ready {
        stage,
        app,
        mut prepared,
        stdin_writer,
        stdin_is_null,
        stdout_reader,
        stderr_reader,
        exit_grace,
        time_limit,
        wishes,
    } = ready;
    let began = Instant::now();
    // The guard is a second write end: whatever becomes of the pump, the app sees no end of file before this is dropped.
    let guard = stdin_writer
        .as_ref()
        .and_then(|writer| writer.try_clone().ok());
    let over = CancellationToken::new();
    let (meters, aborting) = (shared.meters.clone(), shared.aborting.clone());
    let input = links::feed(
        context.clone(),
        stage,
        take_input,
        stdin_writer.zip(meters.input),
        Objects::new(&context, stage, &wishes),
        aborting,
        over.clone(),
    );
    let output = links::drain(
        context.clone(),
        stage,
        stdout_reader,
        shared.meters.output.clone(),
        shared.aborting.clone(),
    );
    let errors = links::drain_stderr(
        context.clone(),
        stage,
        stderr_reader,
        shared.aborting.clone(),
    );
    tokio::pin!(input, output, errors);

    let (mut fed, mut drained, mut stderr) = (None, None, None);
    let gone = if shared.aborting.is_cancelled() {
        None
    } else {
        let going = prepared.go();
        tokio::pin!(going);
        // The link to the next stage is opened meanwhile, for both take a while and neither waits for the other.
        Some(loop {
            tokio::select! {
                gone = &mut going => break gone,
                over = &mut output, if drained.is_none() => drained = Some(over),
            }
        })
    };
    let failed = match gone {
        Some(Ok(process)) => Ok(process),
        Some(Err(error)) if !shared.aborting.is_cancelled() => Err(Some(error)),
        Some(Err(_)) | None => Err(None),
    };
    let mut process = match failed {
        Ok(process) => process,
        Err(error) => {
            if let Some(error) = error {
                let message = FromNode::ExecFailed {
                    stage,
                    step: error.step.to_string(),
                    errno: error.errno,
                };
                context
                    .report(
                        message,
                        Some(format!("stage {stage} `{app}` could not be executed")),
                    )
                    .await;
            }
            // The part ends now. The process that did not become the app is killed in its turn: until then it holds the pipe to a
            // neighbour open, which must not see an end of file.
            shared.process.wait().await;
            // Only now may its pipes be closed, which those futures hold.
            drop(prepared);
            return (shared.never_started(&context, stage, app), None);
        }
    };
    drop(prepared);
    // It becomes the app once.
    let _once = shared.pid.set(process.pid());
    context
        .report(
            FromNode::Started {
                stage,
                pid: process.pid(),
            },
            None,
        )
        .await;

    let mut guard = guard;
    let mut ended: Option<Ended> = None;
    let mut linger: Option<Instant> = None;
    let mut limit = time_limit.map(|limit| (limit, Instant::now() + limit));
    loop {
        if ended.is_some() && drained.is_some() && stderr.is_some() {
            break;
        }
        let wake = [linger, limit.map(|(_, at)| at)]
            .into_iter()
            .flatten()
            .min();
        tokio::select! {
            over = process.wait(), if ended.is_none() => {
                ended = Some(over);
                linger = Some(Instant::now() + exit_grace.unwrap_or(LINGER));
                limit = None;
            }
            over = &mut input, if fed.is_none() => {
                if matches!(over.input, Input::Finished { .. }) || (context.eof_on_loss && matches!(over.input, Input::Lost { .. })) {
                    guard = None;
                    process.stdin_finished();
                }
                fed = Some(over);
            }
            over = &mut output, if drained.is_none() => drained = Some(over),
            over = &mut errors, if stderr.is_none() => stderr = Some(over),
            () = sleep_until(wake.unwrap_or(began)), if wake.is_some() => {
                if let Some((time, at)) = limit && Instant::now() >= at {
                    limit = None;
                    let message = FromNode::LimitReached { stage, limit: format!("time {}", humantime::format_duration(time)) };
                    context.report(message, Some(format!("stage {stage} `{app}` ran longer than it may"))).await;
                } else if let Some(over) = &ended && linger.take().is_some() {
                    if exit_grace.is_some() {
                        // What is left of the stage holds its output longer than its owner wants: it is ended, the output with it.
                        debug!(%stage, "exit grace over");
                        process.sweep().await;
                    } else {
                        // Without a holder it is only that the reader is slow.
                        let holder = process.holders().join(", ");
                        if !holder.is_empty() {
                            context.report(FromNode::Lingering { stage, exit: exit(over.exit), holder }, None).await;
                        }
                    }
                }
            }
        }
    }
    over.cancel();
    let fed = match fed {
        Some(fed) => fed,
        None => input.await,
    };
    drop(guard);
    let over = ended.expect("the loop ends when the process has ended");
    let drained = drained.expect("the loop ends when the output has ended");
    let (output, bytes_out) = drained.output.seen();
    let (input_end, bytes_in) = if stdin_is_null {
        (LinkEnd::None, None)
    } else {
        fed.input.seen()
    };
    let record = StageRecord {
        stage,
        app,
        node: context.node.id().clone(),
        pid: Some(process.pid()),
        exit: exit(over.exit),
        killed: shared.killed.get().cloned(),
        bytes_in,
        bytes_out,
        bytes_err: stderr.flatten(),
        objects: fed.objects,
        compressed_in: fed.compressed,
        compressed_out: drained.compressed,
        input: input_end,
        output,
        elapsed_ms: Some(milliseconds(began.elapsed())),
        user_ms: Some(milliseconds(over.user)),
        system_ms: Some(milliseconds(over.system)),
        waits: shared.waits(),
    };
    (record, Some(process))
}

// === impl Context ===

impl Context {
    /// What is done to the bytes of a link that travels like this.
    pub(super) const fn way(&self, coding: Coding) -> Way {
        Way {
            coding,
            digest: self.terms.link_digests,
        }
    }

    pub(super) async fn report(&self, message: FromNode, ends_the_part: Option<String>) {
        // The part's loop outlives its stages; only a bug there could make this fail.
        let _ = self
            .reports
            .send(Report {
                message,
                ends_the_part,
            })
            .await;
    }
}

// === impl StageHandle ===

impl StageHandle {
    pub(super) fn stage(&self) -> StageNumber {
        self.stage
    }

    /// Hands the stage its input; a second one is refused.
    pub(super) fn take_input(&self, stream: RecvStream, coding: Coding) {
        let taker = self
            .shared
            .input
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let refused = match taker {
            Some(taker) => taker.send((stream, coding)).err(),
            None => Some((stream, coding)),
        };
        if let Some((stream, _)) = refused {
            stream.stop(code::READER_GONE, "the stage reads nothing more");
        }
    }

    /// Sends a signal to the stage's whole process group, if it runs.
    pub(super) fn signal(&self, signal: i32) {
        if self.shared.is_running() {
            self.shared.process.signal(signal);
        }
    }

    /// From now on the stage's links end with Reset.
    pub(super) fn mark_aborting(&self, reason: &str) {
        // The first reason stands.
        let _ = self.shared.killed.set(reason.to_owned());
        self.shared.aborting.cancel();
    }

    /// Ends the stage's processes, gently for `grace`, then by force; waits until they are dead.
    pub(super) async fn kill(&self, grace: Duration) {
        self.shared.process.kill(grace).await;
    }

    /// Its app, as the pipeline calls it.
    pub(super) fn app(&self) -> &str {
        &self.shared.app
    }

    /// Its process, once it is the app.
    pub(super) fn pid(&self) -> Option<u32> {
        self.shared.pid.get().copied()
    }

    /// What flows into it and out of it.
    pub(super) fn meters(&self) -> &Meters {
        &self.shared.meters
    }

    /// Puts down what it has spent this time on, given the first fill of its input and the last of its output; of stages that kernel pipes join,
    /// that of the first and that of the last one.
    pub(super) fn spent(
        &self,
        passed: Duration,
        input: Option<Fill>,
        output: Option<Fill>,
    ) -> Option<Spent> {
        if !self.shared.is_running() {
            return None;
        }
        let mut waits = self.shared.lock_waits();
        let (on, spent) = match (input, output) {
            (_, Some(Fill::Half)) => (&mut waits.output_ms, Spent::AwaitingOutput),
            (Some(Fill::Unopened | Fill::Empty), _) => (&mut waits.input_ms, Spent::AwaitingInput),
            _ => (&mut waits.work_ms, Spent::Working),
        };
        *on += milliseconds(passed);
        Some(spent)
    }

    pub(super) fn progress(&self) -> Option<StageProgress> {
        if !self.shared.is_running() {
            return None;
        }
        let meters = &self.shared.meters;
        let still = [&meters.input, &meters.output]
            .into_iter()
            .flatten()
            .map(|meter| meter.idle_for())
            .min();
        Some(StageProgress {
            stage: self.stage,
            bytes_in: meters.input.as_ref().map(|meter| meter.bytes()),
            bytes_out: meters.output.as_ref().map(|meter| meter.bytes()),
            stalled_ms: still.map_or(0, milliseconds),
            waits: self.shared.waits(),
        })
    }
}

// === impl Shared ===

impl Shared {
    fn is_running(&self) -> bool {
        self.pid.get().is_some()
    }

    fn lock_waits(&self) -> MutexGuard<'_, Waits> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` before anybody looked.
    fn waits(&self) -> Option<Waits> {
        let waits = *self.lock_waits();
        (waits != Waits::default()).then_some(waits)
    }

    fn never_started(&self, context: &Context, stage: StageNumber, app: String) -> StageRecord {
        StageRecord {
            exit: Exit::NotStarted,
            killed: self.killed.get().cloned(),
            output: LinkEnd::Reset,
            ..StageRecord::unknown(stage, app, context.node.id().clone())
        }
    }
}

fn exit(kind: ExitKind) -> Exit {
    match kind {
        ExitKind::Code(code) => Exit::Code(code),
        ExitKind::Signal(signal) => Exit::Signal(signal),
    }
}
