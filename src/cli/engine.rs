//! The seam between the command line and what it drives: the client's engine and the daemon.

use std::{
    fs, io,
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, oneshot, watch},
};

use super::{caret::Message, entry::EntryChoice, exit, holder, notify::Health};
use crate::{
    api::ApiError,
    client::{self, Address, Event, RunIo},
    config::{self, EmbeddedInputs, Facts, Surroundings},
    daemon::{self, Daemon, Kind, ListenError, StartError as DaemonError, settings::Settings},
    id::StageNumber,
    media::Counts,
    wire::message::{
        Outcome, Query, Reply, RunRequest, StagePlan, StageProgress, StateView, milliseconds,
    },
};

/// Events on their way to the console at most. A console that is slow holds up the stages that write to stderr, and only those.
const EVENTS: usize = 64;

/// How long the last word of a process that a signal has ended may take to be written.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Signals that wait to be passed on at most; more of them at once mean nothing more.
const SIGNALS: usize = 8;

/// A connected entry, wherever it is.
pub(crate) struct Session {
    /// Whether the entry lives in this process because no daemon was found, which a user should be told once.
    pub fell_back: bool,
    entry: client::Session,
    /// The entry itself, if it lives here.
    daemon: Option<Daemon>,
}

/// What is needed to reach an entry or to make one.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Where it is.
    pub choice: EntryChoice,
    /// What an embedded one is told, but for what is looked up only when one is made.
    pub embedded: EmbeddedInputs,
    /// This process's surroundings.
    pub surroundings: Arc<Surroundings>,
}

/// What is told while a pipe runs. It lives on a thread of its own from the moment on that it has something to show, so that its methods
/// may block from then on.
pub(crate) trait Watcher: Send {
    /// Whether it shows nothing of an agreement, nor of an end that nothing was shown before.
    fn is_silent(&self) -> bool;
    /// Everybody agreed.
    fn agreed(&mut self, stages: &[StagePlan]);
    /// Bytes so far.
    fn progress(&mut self, stages: &[StageProgress]);
    /// Something the user should know.
    fn note(&mut self, text: &str);
    /// Bytes that a stage wrote to stderr, as they come.
    fn stderr(&mut self, stage: StageNumber, bytes: &[u8]);
    /// A stage's stderr is at its end.
    fn stderr_end(&mut self, stage: StageNumber);
    /// The run is over.
    fn finish(&mut self, outcome: &Outcome);
}

/// What is left of a run.
#[derive(Clone, Debug)]
pub(crate) struct RunReport {
    /// How it ended.
    pub outcome: Outcome,
    /// Where each stage ran.
    pub plan: Vec<StagePlan>,
    /// From the first look at the registry to the last answer.
    pub agreed_in_ms: u64,
    /// Whether the reader of this process's stdout went away first.
    pub stdout_closed: bool,
    /// What was counted in the output, where the last stage writes objects.
    pub objects: Option<Counts>,
}

/// A daemon that runs.
pub(crate) trait Running: Send {
    /// Waits until it may be called ready. Cancel safe.
    fn ready(&self) -> impl Future<Output = ()> + Send;
    /// Waits until it ends by itself, which only `--exit` makes it do, and returns the status of the app it ran. Cancel safe.
    fn finished(&self) -> impl Future<Output = u8> + Send;
    /// Takes no more work, lets pipes end, kills what is left, and stops.
    fn drain(self) -> impl Future<Output = ()> + Send;
}

/// Why a daemon did not start.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct StartError {
    /// What went wrong.
    pub message: String,
    /// The exit status for it.
    pub status: u8,
}

// === impl StartError ===

impl StartError {
    /// The error for an address that cannot be listened on.
    fn cannot_listen(error: &ListenError) -> Self {
        let status = match error.error.kind() {
            io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable => exit::UNAVAILABLE,
            io::ErrorKind::PermissionDenied => exit::NO_PERMISSION,
            _ => exit::FAILED,
        };
        let taken = error.error.kind() == io::ErrorKind::AddrInUse;
        let holder = taken.then(|| holder::of_port(&error.at)).flatten();
        let by = holder.map_or_else(String::new, |holder| format!(", by {holder}"));
        Self {
            message: format!("{error}{by}"),
            status,
        }
    }
}

impl From<ApiError> for StartError {
    fn from(error: ApiError) -> Self {
        match &error {
            ApiError::Listen(listen) => Self::cannot_listen(listen),
            ApiError::Token { .. } => Self {
                message: error.to_string(),
                status: exit::FAILED,
            },
        }
    }
}

impl From<DaemonError> for StartError {
    fn from(error: DaemonError) -> Self {
        match &error {
            DaemonError::Listen(listen) => Self::cannot_listen(listen),
            DaemonError::Registry { .. } => Self {
                message: error.to_string(),
                status: exit::CONFIG,
            },
            _ => Self {
                message: error.to_string(),
                status: exit::FAILED,
            },
        }
    }
}

// === impl Session ===

impl Session {
    /// Ends what this process is part of. Only an entry that lives here has anything to end.
    pub(crate) async fn leave(self) {
        if let Some(daemon) = self.daemon {
            Daemon::drain(&daemon, std::future::pending()).await;
        }
    }
}

/// Reaches the entry, or makes one in this process.
///
/// # Errors
///
/// Returns what to show when there is none.
pub(crate) async fn connect(entry: &Entry) -> Result<Session, Message> {
    if let Some(session) = reach(entry).await? {
        return Ok(session);
    }
    embedded(entry, matches!(entry.choice, EntryChoice::First(_))).await
}

/// Reaches the daemon that is the entry; `None` where there is none and the entry would live in this process.
///
/// # Errors
///
/// Returns what to show when it cannot be reached.
pub(crate) async fn reach(entry: &Entry) -> Result<Option<Session>, Message> {
    let elsewhere = |entry| Session {
        fell_back: false,
        entry,
        daemon: None,
    };
    match &entry.choice {
        EntryChoice::At(address) => {
            let address = match address {
                config::Address::Tcp(text) => Address::Tcp(text.clone()),
                config::Address::Unix(path) => Address::Unix(path.clone()),
            };
            let session = client::connect(&address).await.map_err(|error| {
                Message::new(error.to_string())
                    .with_help("is a dpipesd running there?  without one: --no-daemon")
            })?;
            Ok(Some(elsewhere(session)))
        }
        EntryChoice::Embedded => Ok(None),
        EntryChoice::First(sockets) => {
            for path in sockets {
                if let Some(session) = at_socket(path).await? {
                    return Ok(Some(elsewhere(session)));
                }
            }
            Ok(None)
        }
    }
}

/// The daemon at a socket; `None` when nobody listens there.
async fn at_socket(path: &Path) -> Result<Option<client::Session>, Message> {
    if !path.exists() {
        return Ok(None);
    }
    match client::connect(&Address::Unix(path.to_owned())).await {
        Ok(session) => Ok(Some(session)),
        Err(error) if client::is_nobody(&error) => Ok(None),
        Err(error) => {
            Err(Message::new(error.to_string()).with_help("to run here without it: --no-daemon"))
        }
    }
}

async fn embedded(entry: &Entry, fell_back: bool) -> Result<Session, Message> {
    let surroundings = &entry.surroundings;
    let inputs = EmbeddedInputs {
        umask: current_umask(),
        ..entry.embedded.clone()
    };
    let facts = Facts::of_this_machine_without_users();
    let settings = config::embedded(surroundings, &facts, &inputs)?;
    // A node found in a registry is no stand-in for a daemon that was not found: the pipe runs where the user wants it.
    let fell_back = fell_back && settings.registries.is_empty();
    let kind = Kind::Embedded {
        cwd: surroundings.cwd.clone(),
        search_path: settings.rules.search_path.clone(),
    };
    let cannot = |error: String| Message::new(format!("cannot run pipes in this process: {error}"));
    let daemon = Daemon::embedded(settings, kind)
        .await
        .map_err(|error| cannot(error.to_string()))?;
    let session = daemon.connect().await.map_err(cannot)?;
    Ok(Session {
        fell_back,
        entry: session,
        daemon: Some(daemon),
    })
}

/// The umask of this process. The kernel tells it in a file; asking by the system call would change it for a moment.
fn current_umask() -> u32 {
    /// What most systems have, for a kernel without the file.
    const USUAL: u32 = 0o022;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    line.and_then(|mask| u32::from_str_radix(mask.trim(), 8).ok())
        .unwrap_or(USUAL)
}

/// Runs a pipeline, copying this process's stdin in and the last stage's output out.
///
/// # Errors
///
/// Returns what to show when the run could not even be asked for.
pub(crate) async fn run<W: Watcher + 'static>(
    session: Session,
    request: RunRequest,
    metadata: client::MetadataShown,
    watcher: W,
) -> Result<RunReport, Message> {
    let signals = signals(client::has_lease(&session.entry))
        .map_err(|error| Message::new(format!("cannot listen for signals: {error}")))?;
    let (events, incoming) = mpsc::channel(EVENTS);
    let (last_word, outcome) = oneshot::channel::<Outcome>();
    let console = tokio::spawn(show(watcher, incoming, outcome));
    let ran = client::run(
        &session.entry,
        request,
        RunIo {
            data: client::Data::Own,
            signals,
            events,
            metadata,
        },
    )
    .await;
    let report = ran.map_err(|error| Message::new(format!("the entry cannot be asked: {error}")));
    if let Ok(report) = &report
        && report.ended_by.is_none()
        && last_word.send(report.outcome.clone()).is_ok()
    {
        // What the stages said is shown before what dpipes has to say about them.
        let shown = console.await;
        shown
            .unwrap_or_else(|error| Err(io::Error::other(error)))
            .map_err(|error| Message::new(format!("cannot start a thread: {error}")))?;
    }
    session.leave().await;
    let report = report?;
    if let Some(signal) = report.ended_by {
        exit_soon(signal);
    }
    Ok(RunReport {
        outcome: report.outcome,
        plan: report.plan,
        agreed_in_ms: milliseconds(report.agreed),
        stdout_closed: report.stdout_closed,
        objects: report.objects,
    })
}

/// Sees to it that a process which a signal has told to end does so, also when nobody reads its stderr and its last word is stuck there:
/// without a handler the signal would have ended it at once.
fn exit_soon(signal: Signal) {
    let watch = move || {
        let until = Instant::now() + LAST_WORD;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            thread::park_timeout(left);
        }
        exit_now(128 + signal.as_raw());
    };
    // Without a thread to watch, the last word is waited for after all.
    let _ = thread::Builder::new()
        .name("dpipes-exit".to_owned())
        .spawn(watch);
}

#[expect(
    clippy::disallowed_methods,
    reason = "the main thread is stuck in a write and will never return"
)]
fn exit_now(status: i32) -> ! {
    std::process::exit(status)
}

/// Shows what is told, and the outcome at last. Most short pipes have nothing to show; they need no thread, whose start and end would be
/// a tenth of their time.
async fn show<W: Watcher + 'static>(
    mut watcher: W,
    mut events: mpsc::Receiver<Event>,
    outcome: oneshot::Receiver<Outcome>,
) -> io::Result<()> {
    while watcher.is_silent() {
        match events.recv().await {
            Some(Event::Agreed(stages, _)) => watcher.agreed(&stages),
            Some(Event::Started) => {}
            Some(event) => return show_on_thread(watcher, Some(event), events, outcome).await,
            None => {
                if let Ok(outcome) = outcome.await {
                    watcher.finish(&outcome);
                }
                return Ok(());
            }
        }
    }
    show_on_thread(watcher, None, events, outcome).await
}

async fn show_on_thread<W: Watcher + 'static>(
    watcher: W,
    first: Option<Event>,
    events: mpsc::Receiver<Event>,
    outcome: oneshot::Receiver<Outcome>,
) -> io::Result<()> {
    let (over, finished) = oneshot::channel();
    let show = move || {
        let mut watcher = watch_events(watcher, first, events);
        if let Ok(outcome) = outcome.blocking_recv() {
            watcher.finish(&outcome);
        }
        // Whoever waited for this is gone only when the process is.
        let _ = over.send(());
    };
    thread::Builder::new()
        .name("dpipes-console".to_owned())
        .spawn(show)?;
    // A thread that panicked has said so.
    let _ = finished.await;
    Ok(())
}

fn watch_events<W: Watcher>(
    mut watcher: W,
    first: Option<Event>,
    mut events: mpsc::Receiver<Event>,
) -> W {
    let mut next = first.or_else(|| events.blocking_recv());
    while let Some(event) = next {
        match event {
            Event::Agreed(stages, _) => watcher.agreed(&stages),
            Event::Started => {}
            Event::Progress(stages) => watcher.progress(&stages),
            Event::Note(text) => watcher.note(&text),
            Event::Stderr(stage, bytes) => watcher.stderr(stage, &bytes),
            Event::StderrEnd(stage) => watcher.stderr_end(stage),
        }
        next = events.blocking_recv();
    }
    watcher
}

/// The signals that end or reach a pipe. One that this process was started to ignore, as a job in the background of a script is, stays
/// ignored.
///
/// The terminal's request to stop is caught only where the entry must hear of it first.
pub(crate) fn signals(has_lease: bool) -> io::Result<client::Signals> {
    let (send, receive) = mpsc::channel(SIGNALS);
    let ignored = ignored_signals();
    let always = [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT];
    for wanted in always.into_iter().chain(has_lease.then_some(Signal::TSTP)) {
        if ignored & (1 << (wanted.as_raw() - 1)) != 0 {
            continue;
        }
        let mut stream = signal(SignalKind::from_raw(wanted.as_raw()))?;
        let send = send.clone();
        tokio::spawn(async move {
            while stream.recv().await.is_some() {
                if send.send(wanted).await.is_err() {
                    return;
                }
            }
        });
    }
    Ok(receive)
}

/// The mask of ignored signals, from `/proc/self/status`; none when it cannot be read.
fn ignored_signals() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

/// Asks the entry one thing and leaves it.
///
/// # Errors
///
/// Returns what to show when there is no answer.
pub(crate) async fn query(session: Session, query: Query) -> Result<Reply, Message> {
    let reply = ask(&session, query).await;
    session.leave().await;
    reply
}

/// Asks the entry one thing of several: the session is kept for the next.
///
/// # Errors
///
/// Returns what to show when there is no answer.
pub(crate) async fn ask(session: &Session, query: Query) -> Result<Reply, Message> {
    let reply = client::query(&session.entry, query).await;
    reply.map_err(|error| Message::new(format!("the entry did not answer: {error}")))
}

/// Starts a daemon that follows these settings.
///
/// # Errors
///
/// Returns why it did not start.
pub(crate) async fn start(settings: watch::Receiver<Settings>) -> Result<Daemon, StartError> {
    Ok(Daemon::start(settings).await?)
}

impl Health for daemon::Health {
    async fn ask(&mut self) -> Option<StateView> {
        Self::ask(self).await
    }
}

impl Running for Daemon {
    async fn ready(&self) {
        Self::ready(self).await;
    }

    async fn finished(&self) -> u8 {
        self.first_exit().await
    }

    async fn drain(self) {
        Self::drain(&self, std::future::pending()).await;
    }
}
