use std::{io, time::Duration};

use bytes::Bytes;
use rustix::process::Signal;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{
    connect::has_lease,
    objects::{self, MetadataShown, Wanted},
    output::{Output, StdoutEnd, WINDOW, take_stdout},
    stdio::{Input, Writer},
    ways::Ways,
};
use crate::{
    coding::{Encoder, Way},
    id::{PipeId, StageNumber},
    media::{Coding, Counts},
    transport::{Incoming, OpenError, RecvStream, SendStream, Session, WriteError, code},
    wire::message::{
        Ending, Exit, Failure, FromEntry, Outcome, Purpose, RunMode, RunRequest, StagePlan,
        StageProgress, ToEntry,
    },
};

/// How long the entry may take to end a run that was given up: kill-grace is five seconds by default, and some time to tell of it.
const GIVE_UP: Duration = Duration::from_secs(15);

/// How long the entry may take to freeze the lease before this process stops all the same: its user pressed Ctrl-Z.
const FREEZE: Duration = Duration::from_secs(2);

/// How long the last words of the stages are shown after a run that a signal has ended: whoever reads this process's stderr has read
/// them by then, or reads no more.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Signals that the user's shell or terminal sent to this process.
pub type Signals = mpsc::Receiver<Signal>;

/// Where a run's data come from and go to.
#[derive(Debug)]
pub enum Data {
    /// This process's own standard input and output.
    Own,
    /// Somebody in this process.
    Channels {
        /// Its input. An error in it fails the run; that nothing more comes is the end.
        input: mpsc::Receiver<io::Result<Bytes>>,
        /// Its output. That nobody takes it any more is the end of the last stage's reader, as with a pipe.
        output: mpsc::Sender<Bytes>,
    },
}

/// What a run is connected to.
#[derive(Debug)]
pub struct RunIo {
    /// Its data.
    pub data: Data,
    /// Signals to pass on. SIGINT goes to every stage and, the second time, ends the run; SIGTERM and SIGHUP end it; SIGTSTP freezes the
    /// lease and then stops this process.
    pub signals: Signals,
    /// Where everything but the data goes. A receiver that is slow holds up the stage that writes to stderr and nobody else; events that
    /// are only of the moment are dropped when there is no room for them.
    pub events: mpsc::Sender<Event>,
    /// Whether the user sees the metadata in objects.
    pub metadata: MetadataShown,
}

/// What is told while a run goes on.
#[derive(Clone, Debug)]
pub enum Event {
    /// Everybody agreed: where the stages run, and how long it took.
    Agreed(Vec<StagePlan>, Duration),
    /// Every program runs.
    Started,
    /// Bytes so far.
    Progress(Vec<StageProgress>),
    /// Something the user should know now, in one line.
    Note(String),
    /// Bytes that a stage wrote to stderr, as they come.
    Stderr(StageNumber, Bytes),
    /// A stage's stderr is at its end.
    StderrEnd(StageNumber),
}

/// Why an entry could not even be asked.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// No stream could be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The request could not be sent, for one because pipeline and environment are too long.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The entry cannot do what is asked for, and would not say so.
    #[error(
        "the entry does not have the feature `{0}`: it is too old, or its owner does not want it"
    )]
    Unable(&'static str),
}

/// What came of a run.
#[derive(Debug)]
pub struct RunReport {
    /// How it ended, as far as the entry knows; a failure on the client's side replaces a completion.
    pub outcome: Outcome,
    /// Where the stages ran; empty when nobody agreed.
    pub plan: Vec<StagePlan>,
    /// From the request to the agreement.
    pub agreed: Duration,
    /// Bytes that this process's stdout took.
    pub written: u64,
    /// Whether the reader of this process's stdout went away before the end.
    pub stdout_closed: bool,
    /// What was counted in the output, where the last stage writes objects.
    pub objects: Option<Counts>,
    /// The signal that ended the run, if one did.
    pub ended_by: Option<Signal>,
}

/// What a task of the run ended with.
enum Over {
    Stdin(Option<io::Error>),
    Stdout(StdoutEnd, Option<Counts>),
    Stderr,
}

struct Run<'a> {
    entry: &'a Session,
    pipe: PipeId,
    to_entry: SendStream,
    events: mpsc::Sender<Event>,
    /// Until it is read.
    input: Option<Input>,
    stdout: Option<Writer>,
    tasks: JoinSet<Over>,
    plan: Vec<StagePlan>,
    agreed: Duration,
    /// Data streams that came, and that ended.
    came: u32,
    ended: u32,
    stdout_end: Option<StdoutEnd>,
    /// The last stage's output, as long as it is not known what is to be done with it: streams overtake each other, so that it may come
    /// before the plan.
    early: Option<(RecvStream, Coding)>,
    objects: Option<Counts>,
    interrupts: u32,
    ended_by: Option<Signal>,
    give_up: Option<Instant>,
    /// When this process stops itself, whether the entry has answered or not.
    stop_at: Option<Instant>,
    /// Whether the outcome of a run that a signal has ended is known.
    is_ending: bool,
    own_failure: Option<Failure>,
    wanted: Wanted,
    ways: Ways,
}

/// Runs a pipeline through an entry, to its end.
///
/// # Errors
///
/// Only when the entry could not even be asked; everything later is part of the report.
pub async fn run(
    entry: &Session,
    request: RunRequest,
    mut io: RunIo,
) -> Result<RunReport, RunError> {
    let (mut to_entry, mut from_entry) = entry.open_bidi(&Purpose::Run).await?;
    let (pipe, feeds, mode) = (request.pipe, request.stdin, request.mode);
    let wanted = Wanted::new(&request.options, io.metadata);
    let ways = Ways::new(&request.options, entry)?;
    to_entry.message(&ToEntry::Run(Box::new(request))).await?;
    let (input, stdout) = match io.data {
        Data::Own => (Input::Own, Writer::stdout()),
        Data::Channels { input, output } => (Input::Channel(input), Writer::channel(output)),
    };
    let mut run = Run {
        entry,
        pipe,
        to_entry,
        events: io.events,
        input: Some(input),
        stdout: Some(stdout),
        tasks: JoinSet::new(),
        plan: Vec::new(),
        agreed: Duration::ZERO,
        came: 0,
        ended: 0,
        stdout_end: None,
        early: None,
        objects: None,
        interrupts: 0,
        ended_by: None,
        give_up: None,
        stop_at: None,
        is_ending: false,
        own_failure: None,
        wanted,
        ways,
    };
    let mut outcome: Option<Outcome> = None;
    let mut entry_over = false;
    loop {
        if let Some(outcome) = &outcome
            && run.ended >= outcome.streams
        {
            break;
        }
        tokio::select! {
            message = from_entry.message::<FromEntry>(), if outcome.is_none() => match message {
                Ok(Some(FromEntry::Agreed { stages, elapsed_ms, lease_ms })) => {
                    if let Some(lease) = lease_ms.filter(|_| has_lease(entry)) {
                        entry.set_lease(Some(Duration::from_millis(lease)));
                    }
                    run.agreed = Duration::from_millis(elapsed_ms);
                    run.tell(Event::Agreed(stages.clone(), run.agreed));
                    run.plan = stages;
                    if let Some((stdout, coding)) = run.early.take() {
                        run.take_stdout(stdout, coding);
                    }
                    if feeds && mode == RunMode::Run {
                        run.feed().await;
                    }
                }
                Ok(Some(FromEntry::Started)) => run.tell(Event::Started),
                Ok(Some(FromEntry::Progress { stages })) => run.tell(Event::Progress(stages)),
                Ok(Some(FromEntry::Frozen)) => run.suspend().await,
                Ok(Some(FromEntry::Note { text })) => run.tell(Event::Note(text)),
                Ok(Some(FromEntry::Outcome(over))) => outcome = Some(*over),
                Ok(Some(FromEntry::Unknown)) => {}
                Ok(None) => outcome = Some(lost("the entry ended the run without an outcome")),
                Err(error) => outcome = Some(entry_lost(entry, &error.to_string())),
            },
            incoming = entry.accept(), if !entry_over => match incoming {
                Some(Incoming::Uni { purpose, stream }) => run.take(purpose, stream),
                Some(Incoming::Bidi { send, recv, .. }) => {
                    send.reset(code::UNKNOWN_PURPOSE, "a client takes no such stream");
                    recv.stop(code::UNKNOWN_PURPOSE, "a client takes no such stream");
                }
                None => {
                    entry_over = true;
                    let why = entry.closed().await;
                    // Nothing more will come; what came still has to end.
                    outcome.get_or_insert_with(|| entry_lost(entry, &why.to_string())).streams = run.came;
                }
            },
            Some(over) = run.tasks.join_next() => match over {
                Ok(over) => run.on_over(over).await,
                Err(error) => outcome = Some(lost(&format!("internal error: {error}"))),
            },
            Some(signal) = io.signals.recv() => {
                if outcome.is_some() {
                    // Only the user's own terminal or disk is waited for.
                    run.ended_by = Some(signal);
                    break;
                }
                run.on_signal(signal).await;
            }
            () = sleep_until(run.stop_at.unwrap_or_else(Instant::now)), if run.stop_at.is_some() => {
                run.suspend().await;
            }
            () = sleep_until(run.give_up.unwrap_or_else(Instant::now)), if run.give_up.is_some() => {
                outcome.get_or_insert_with(|| lost("the entry did not end the run in time"));
                break;
            }
        }
        if outcome.is_some() && run.ended_by.is_some() {
            run.last_words();
        }
    }
    Ok(run
        .report(outcome.expect("the loop ends with an outcome"))
        .await)
}

// === impl Run ===

impl Run<'_> {
    /// Sends standard input to the entry.
    async fn feed(&mut self) {
        let coding = self.ways.of_stdin(self.entry).await;
        let purpose = Purpose::Stdin {
            pipe: self.pipe,
            coding,
        };
        let Some(input) = self.input.take() else {
            return;
        };
        match self.entry.open_uni(&purpose).await {
            Ok(stream) => {
                let way = self.ways.way(coding);
                self.tasks
                    .spawn(async move { Over::Stdin(send_stdin(input, stream, way).await) });
            }
            // The session is lost; whoever listens to it tells why.
            Err(_) => {
                self.own_failure = Some(Failure::Entry {
                    detail: "standard input could not be sent".to_owned(),
                })
            }
        }
    }

    fn take(&mut self, purpose: Purpose, stream: RecvStream) {
        match purpose {
            Purpose::Stdout { pipe, coding } if pipe == self.pipe => {
                if self.plan.is_empty() && self.early.is_none() {
                    self.early = Some((stream, coding));
                } else {
                    self.take_stdout(stream, coding);
                }
            }
            Purpose::Stderr { pipe, stage, .. } if pipe == self.pipe => {
                self.came += 1;
                let events = self.events.clone();
                self.tasks.spawn(async move {
                    take_stderr(stage, stream, events).await;
                    Over::Stderr
                });
            }
            _ => stream.stop(code::UNKNOWN_PIPE, "a client takes no such stream"),
        }
    }

    /// Brings the last stage's output to the user, now that the plan is known.
    fn take_stdout(&mut self, stream: RecvStream, coding: Coding) {
        let (Some(writer), Some(last), None) = (&self.stdout, self.plan.last(), &self.stdout_end)
        else {
            return stream.stop(code::UNKNOWN_PIPE, "there is one output");
        };
        self.came += 1;
        let decoder = match self.ways.decoder(coding) {
            Ok(decoder) => decoder,
            Err(error) => {
                stream.stop(code::FAILED, &error.to_string());
                self.stdout_end = Some(StdoutEnd::Broken(error.to_string()));
                self.ended += 1;
                return;
            }
        };
        let pieces = writer.pieces();
        let mut objects = self.wanted.transform(last);
        self.tasks.spawn(async move {
            let output = Output {
                pieces,
                decoder,
                objects: objects.as_mut(),
            };
            let end = take_stdout(stream, output).await;
            Over::Stdout(end, objects.map(|objects| objects.counts()))
        });
    }

    /// Tells of the moment; where there is no room it is not worth waiting for.
    fn tell(&self, event: Event) {
        let _ = self.events.try_send(event);
    }

    async fn on_over(&mut self, over: Over) {
        match over {
            Over::Stdin(None) => {}
            Over::Stdin(Some(error)) => {
                self.fail(format!("standard input cannot be read: {error}"))
                    .await
            }
            Over::Stderr => self.ended += 1,
            Over::Stdout(end, objects) => {
                self.ended += 1;
                self.objects = objects;
                if matches!(end, StdoutEnd::Closed)
                    && let Some(writer) = self.stdout.take()
                {
                    let written = writer.finish().await;
                    let broken = written
                        .error
                        .as_ref()
                        .is_none_or(|error| error.kind() == io::ErrorKind::BrokenPipe);
                    if !broken {
                        let error = written
                            .error
                            .as_ref()
                            .map(ToString::to_string)
                            .unwrap_or_default();
                        self.fail(format!("standard output cannot be written: {error}"))
                            .await;
                    }
                }
                if let StdoutEnd::Spoilt(format, bad) = &end {
                    let failure = objects::failure(self.plan.last(), *format, bad);
                    self.own_failure.get_or_insert(failure);
                    self.fail(format!("what the last stage wrote was no {format}"))
                        .await;
                }
                if let StdoutEnd::Damaged(error) = &end {
                    let detail = format!(
                        "the output was damaged on its way from the entry ({}): {error}",
                        self.entry.peer().address
                    );
                    self.own_failure.get_or_insert_with(|| Failure::Entry {
                        detail: detail.clone(),
                    });
                    self.fail(detail).await;
                }
                self.stdout_end = Some(end);
            }
        }
    }

    async fn on_signal(&mut self, signal: Signal) {
        let message = match signal {
            Signal::INT => {
                self.interrupts += 1;
                if self.interrupts == 1 {
                    ToEntry::Signal {
                        signal: signal.as_raw(),
                    }
                } else {
                    self.ends(signal)
                }
            }
            Signal::TERM | Signal::HUP => self.ends(signal),
            Signal::TSTP => {
                self.stop_at = Some(Instant::now() + FREEZE);
                ToEntry::Suspend
            }
            other => ToEntry::Signal {
                signal: other.as_raw(),
            },
        };
        // An entry that is gone is noticed where it is listened to.
        let _ = self.to_entry.message(&message).await;
    }

    /// Stops this process, as the terminal asked; returns when it is continued.
    async fn suspend(&mut self) {
        if self.stop_at.take().is_none() {
            return;
        }
        // This very process can be signalled, and SIGSTOP cannot fail.
        let _ = rustix::process::kill_process(rustix::process::getpid(), Signal::STOP);
        let _ = self.to_entry.message(&ToEntry::Resume).await;
    }

    fn ends(&mut self, signal: Signal) -> ToEntry {
        self.ended_by.get_or_insert(signal);
        self.give_up.get_or_insert_with(|| Instant::now() + GIVE_UP);
        ToEntry::Abort {
            reason: format!("the client got signal {}", signal.as_raw()),
        }
    }

    /// From now on only what is shown is waited for, and not for long.
    fn last_words(&mut self) {
        if !self.is_ending {
            self.is_ending = true;
            self.give_up = Some(Instant::now() + LAST_WORDS);
        }
    }

    /// Ends the run for a reason of this side.
    async fn fail(&mut self, reason: String) {
        self.own_failure.get_or_insert_with(|| Failure::Aborted {
            reason: reason.clone(),
            signal: None,
        });
        self.give_up.get_or_insert_with(|| Instant::now() + GIVE_UP);
        let _ = self.to_entry.message(&ToEntry::Abort { reason }).await;
    }

    async fn report(mut self, mut outcome: Outcome) -> RunReport {
        let gave_up = self.ended_by.is_some();
        let mut written = 0;
        let mut stdout_closed = matches!(self.stdout_end, Some(StdoutEnd::Closed));
        if let Some(writer) = self.stdout.take()
            && !gave_up
        {
            let over = writer.finish().await;
            written = over.bytes;
            match over.error {
                Some(error) if error.kind() == io::ErrorKind::BrokenPipe => stdout_closed = true,
                Some(error) => {
                    let reason = format!("standard output cannot be written: {error}");
                    self.own_failure.get_or_insert(Failure::Aborted {
                        reason,
                        signal: None,
                    });
                }
                None => {}
            }
        }
        if let Some(signal) = self.ended_by {
            let reason = format!("signal {}", signal.as_raw());
            outcome.ending = Ending::Failed(Failure::Aborted {
                reason,
                signal: Some(signal.as_raw()),
            });
        } else if let Some(failure) = self.own_failure {
            outcome.ending = Ending::Failed(failure);
        } else if self.interrupts > 0 && hides_an_interrupt(&outcome) {
            outcome.ending = Ending::Failed(Failure::Aborted {
                reason: "interrupted".to_owned(),
                signal: Some(Signal::INT.as_raw()),
            });
        } else if let (Ending::Complete, Some(StdoutEnd::Broken(why))) =
            (&outcome.ending, &self.stdout_end)
        {
            outcome.ending = Ending::Failed(Failure::Entry {
                detail: format!("the output broke off: {why}"),
            });
        }
        RunReport {
            outcome,
            plan: self.plan,
            agreed: self.agreed,
            written,
            stdout_closed,
            objects: self.objects,
            ended_by: self.ended_by,
        }
    }
}

/// Whether a stage died of the user's interrupt and the last one, which took that for the end of its input before its own signal came,
/// reports a success. On one machine a terminal reaches all in one moment; over several nodes somebody is always first.
fn hides_an_interrupt(outcome: &Outcome) -> bool {
    let interrupted = Exit::Signal(Signal::INT.as_raw());
    outcome.ending == Ending::Complete
        && outcome
            .stages
            .last()
            .is_some_and(|last| last.exit == Exit::Code(0))
        && outcome.stages.iter().any(|stage| stage.exit == interrupted)
}

async fn send_stdin(input: Input, mut stream: SendStream, way: Way) -> Option<io::Error> {
    let mut encoder = match Encoder::new(way) {
        Ok(encoder) => encoder,
        Err(error) => return broken_stdin(stream, io::Error::other(error)),
    };
    let mut pieces = input.pieces();
    loop {
        let piece = tokio::select! {
            piece = pieces.recv() => piece,
            // Nobody reads: the thread's next piece is not wanted, and it may block in its read until the process ends.
            _ = stream.stopped() => return None,
        };
        match piece {
            Some(Ok(data)) => match encoder.push(data) {
                Ok(piece) => match stream.send(piece).await {
                    Ok(()) => {}
                    Err(_) => return None,
                },
                Err(error) => return broken_stdin(stream, io::Error::other(error)),
            },
            Some(Err(error)) => return broken_stdin(stream, error),
            None => {
                let (last, digest) = match encoder.finish() {
                    Ok(end) => end,
                    Err(error) => return broken_stdin(stream, io::Error::other(error)),
                };
                if !last.is_empty() && stream.send(last).await.is_err() {
                    return None;
                }
                // A reader that stopped meanwhile is content; a lost entry is noticed where it is listened to.
                let _ = stream.finish_with(digest).await;
                return None;
            }
        }
    }
}

fn broken_stdin(stream: SendStream, error: io::Error) -> Option<io::Error> {
    stream.reset(
        code::CANCELLED,
        &format!("standard input cannot be read: {error}"),
    );
    Some(error)
}

/// However the stream ends, what came is shown; that it broke off is told by the outcome.
async fn take_stderr(stage: StageNumber, mut stream: RecvStream, events: mpsc::Sender<Event>) {
    stream.grant(WINDOW);
    while let Ok(Some(data)) = stream.recv().await {
        if events.send(Event::Stderr(stage, data)).await.is_err() {
            return stream.stop(code::READER_GONE, "standard error is closed");
        }
    }
    // Only a receiver that is gone would not hear it.
    let _ = events.send(Event::StderrEnd(stage)).await;
}

/// An outcome of which nothing is known but that the entry, which had it, is gone.
fn entry_lost(entry: &Session, why: &str) -> Outcome {
    lost(&format!(
        "the entry ({}) was lost: {why}",
        entry.peer().address
    ))
}

fn lost(detail: &str) -> Outcome {
    Outcome {
        ending: Ending::Failed(Failure::Entry {
            detail: detail.to_owned(),
        }),
        stages: Vec::new(),
        streams: 0,
        elapsed_ms: 0,
    }
}
