//! Running a program with a deadline: the client under test, or bash beside it.

use std::{
    fmt,
    io::{Read, Write},
    os::{fd::AsFd, unix::process::ExitStatusExt},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, PidfdFlags, Signal, pidfd_open},
};

use super::{patience, processes};

/// What a program reads.
enum Input {
    Null,
    Bytes(Vec<u8>),
    Piped,
    Given(Stdio),
}

/// What becomes of a program's output.
enum Output {
    Captured,
    Counted,
    Given(Stdio),
}

/// A program about to be run: the client with its arguments, or bash.
pub(crate) struct Invocation {
    command: Command,
    stdin: Input,
    stdout: Output,
    stderr: Output,
    deadline: Duration,
}

/// A program that runs. Killed when dropped.
pub(crate) struct Running {
    child: Child,
    what: String,
    started: Instant,
    deadline: Duration,
    stdout: Option<Receiver<Collected>>,
    stderr: Option<Receiver<Collected>>,
}

/// How a program ended.
pub(crate) struct Run {
    /// What was run, for messages.
    pub(crate) what: String,
    /// What it wrote, if that was captured.
    pub(crate) stdout: Vec<u8>,
    /// How many bytes it wrote.
    pub(crate) written: u64,
    /// What it said.
    pub(crate) stderr: String,
    /// Its status as a shell sees it: 128 and the signal's number for a death by signal.
    pub(crate) status: i32,
    /// How long it took.
    pub(crate) elapsed: Duration,
}

#[derive(Default)]
struct Collected {
    bytes: Vec<u8>,
    count: u64,
}

// === impl Invocation ===

impl Invocation {
    /// Wraps a command: nothing to read, output captured, and three times the usual patience to end.
    pub(crate) fn new(command: Command) -> Self {
        let deadline = patience() * 3;
        Self {
            command,
            stdin: Input::Null,
            stdout: Output::Captured,
            stderr: Output::Captured,
            deadline,
        }
    }

    /// Lets it read these bytes.
    pub(crate) fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Input::Bytes(bytes.into());
        self
    }

    /// Lets it read what the test writes to [`Running::take_stdin`].
    pub(crate) fn stdin_piped(mut self) -> Self {
        self.stdin = Input::Piped;
        self
    }

    /// Lets it read from here.
    pub(crate) fn stdin_from(mut self, source: impl Into<Stdio>) -> Self {
        self.stdin = Input::Given(source.into());
        self
    }

    /// Counts its output instead of keeping it.
    pub(crate) fn count_stdout(mut self) -> Self {
        self.stdout = Output::Counted;
        self
    }

    /// Sends its output there.
    pub(crate) fn stdout_to(mut self, sink: impl Into<Stdio>) -> Self {
        self.stdout = Output::Given(sink.into());
        self
    }

    /// Sends what it says there.
    pub(crate) fn stderr_to(mut self, sink: impl Into<Stdio>) -> Self {
        self.stderr = Output::Given(sink.into());
        self
    }

    /// Sets a variable of its environment.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Sets how long it may take.
    pub(crate) fn within(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Starts it.
    pub(crate) fn spawn(mut self) -> Running {
        let what = describe(&self.command);
        let (stdin, to_write) = match self.stdin {
            Input::Null => (Stdio::null(), None),
            Input::Piped => (Stdio::piped(), None),
            Input::Given(source) => (source, None),
            Input::Bytes(bytes) => (Stdio::piped(), Some(bytes)),
        };
        let (stdout, count_stdout) = self.stdout.split();
        let (stderr, count_stderr) = self.stderr.split();
        self.command.stdin(stdin).stdout(stdout).stderr(stderr);
        let started = Instant::now();
        let mut child = self
            .command
            .spawn()
            .unwrap_or_else(|error| panic!("failed to start {what}: {error}"));
        if let Some(bytes) = to_write {
            let mut pipe = child.stdin.take().expect("stdin is a pipe");
            // A reader that is gone is what some tests are about, so the error is none.
            thread::spawn(move || pipe.write_all(&bytes));
        }
        let stdout = child.stdout.take().map(|pipe| collect(pipe, count_stdout));
        let stderr = child.stderr.take().map(|pipe| collect(pipe, count_stderr));
        Running {
            child,
            what,
            started,
            deadline: self.deadline,
            stdout,
            stderr,
        }
    }

    /// Runs it to its end.
    #[track_caller]
    pub(crate) fn run(self) -> Run {
        self.spawn().wait()
    }
}

fn describe(command: &Command) -> String {
    let program = command.get_program().to_string_lossy();
    let program = program.rsplit('/').next().unwrap_or_default().to_owned();
    let shorten = |text: String| {
        if text.len() > 300 {
            format!("{:.300}…", text)
        } else {
            text
        }
    };
    let arguments = command
        .get_args()
        .map(|argument| shorten(format!("{argument:?}")));
    std::iter::once(program)
        .chain(arguments)
        .collect::<Vec<_>>()
        .join(" ")
}

// === impl Output ===

impl Output {
    fn split(self) -> (Stdio, bool) {
        match self {
            Self::Captured => (Stdio::piped(), false),
            Self::Counted => (Stdio::piped(), true),
            Self::Given(sink) => (sink, false),
        }
    }
}

fn collect(mut pipe: impl Read + Send + 'static, count_only: bool) -> Receiver<Collected> {
    let (done, collected) = mpsc::sync_channel(1);
    thread::spawn(move || {
        let mut all = Collected::default();
        let mut buffer = vec![0; 256 * 1024];
        while let Ok(length @ 1..) = pipe.read(&mut buffer) {
            all.count += length as u64;
            if !count_only {
                all.bytes.extend_from_slice(&buffer[..length]);
            }
        }
        let _nobody_waits_after_a_failure = done.send(all);
    });
    collected
}

// === impl Running ===

impl Running {
    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        processes::send(self.pid(), signal);
    }

    /// The pipe it reads from; dropping it is the end of its input.
    pub(crate) fn take_stdin(&mut self) -> ChildStdin {
        self.child
            .stdin
            .take()
            .expect("asked for with stdin_piped, and once")
    }

    /// Whether it has ended.
    pub(crate) fn is_over(&mut self) -> bool {
        self.child.try_wait().expect("a child of ours").is_some()
    }

    /// Waits for its end, until the deadline.
    #[track_caller]
    pub(crate) fn wait(mut self) -> Run {
        let left = self.deadline.saturating_sub(self.started.elapsed());
        let Some(status) = wait_until(&mut self.child, left) else {
            self.signal(Signal::KILL);
            let stderr = self
                .stderr
                .take()
                .map(|stream| stream.recv().unwrap_or_default().bytes)
                .unwrap_or_default();
            panic!(
                "{} did not end within {:?}\n{}",
                self.what,
                self.deadline,
                String::from_utf8_lossy(&stderr)
            );
        };
        let elapsed = self.started.elapsed();
        let take = |stream: Option<Receiver<Collected>>, name: &str| match stream {
            None => Collected::default(),
            Some(stream) => stream.recv_timeout(patience()).unwrap_or_else(|_| {
                panic!("{} ended, but something holds its {name} open", self.what)
            }),
        };
        let (stdout, stderr) = (
            take(self.stdout.take(), "stdout"),
            take(self.stderr.take(), "stderr"),
        );
        Run {
            what: std::mem::take(&mut self.what),
            stdout: stdout.bytes,
            written: stdout.count,
            stderr: String::from_utf8_lossy(&stderr.bytes).into_owned(),
            status: status
                .code()
                .or_else(|| status.signal().map(|signal| 128 + signal))
                .expect("one or the other"),
            elapsed,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.is_over() {
            let _it_may_end_meanwhile = self.child.kill();
            let _reaped = self.child.wait();
        }
    }
}

/// Waits for a child's end on its pidfd.
pub(super) fn wait_until(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    if let Some(status) = child.try_wait().expect("a child of ours") {
        return Some(status);
    }
    let pid = i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .expect("a process number");
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).expect("a child that was not reaped");
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).expect("deadlines are short");
        match poll(
            &mut [PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN)],
            Some(&left),
        ) {
            Ok(0) => return None,
            Ok(_) => return Some(child.wait().expect("a child of ours")),
            Err(Errno::INTR) => {}
            Err(error) => panic!("poll on a pidfd: {error}"),
        }
    }
}

// === impl Run ===

impl Run {
    /// What it wrote, as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap_or("(bytes)")
    }

    /// Fails the test unless the status is this one.
    #[track_caller]
    pub(crate) fn assert_status(&self, status: i32) -> &Self {
        assert_eq!(self.status, status, "status of {self:?}");
        self
    }

    /// Fails the test unless it was told this on stderr.
    #[track_caller]
    pub(crate) fn assert_says(&self, text: &str) -> &Self {
        assert!(
            self.stderr.contains(text),
            "`{text}` is not in the stderr of {self:?}"
        );
        self
    }

    /// Fails the test unless it wrote this.
    #[track_caller]
    pub(crate) fn assert_wrote(&self, text: &str) -> &Self {
        assert_eq!(self.text(), text, "output of {self:?}");
        self
    }
}

/// What a failed test shows.
impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: status {} after {:.1?}, {} bytes written",
            self.what, self.status, self.elapsed, self.written
        )?;
        let shown = &self.stdout[..self.stdout.len().min(400)];
        writeln!(f, "  stdout: {}", shown.escape_ascii())?;
        self.stderr
            .lines()
            .take(40)
            .try_for_each(|line| writeln!(f, "  stderr: {line}"))
    }
}
