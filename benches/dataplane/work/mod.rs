//! What runs at the ends of pipes, and the reference beside dpipes: the bench starts its own program again for each of them, on nodes and
//! on its own.

mod line;
mod relay;
mod sink;
mod source;

use std::{
    io,
    path::PathBuf,
    process::{Command, ExitCode},
    str::FromStr,
    thread,
    time::Duration,
};

use rustix::{
    thread::nanosleep,
    time::{ClockId, Timespec, clock_gettime},
};

pub(crate) use self::{
    line::{LINE, Latencies},
    sink::Flow,
};

/// The first argument of a bench that is one of these.
pub(crate) const WORK: &str = "work";

/// No work takes longer; whoever waits for it after this waits in vain. The longest takes some seconds.
const LIMIT: Duration = Duration::from_secs(90);

/// Does what the arguments after [`WORK`] say.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    thread::spawn(|| {
        pause(LIMIT);
        eprintln!("the work of a bench did not end within {LIMIT:?}");
        std::process::abort();
    });
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match *words.as_slice() {
        ["source", block, bytes] => source::write(number(block), number(bytes)),
        ["source", block, bytes, ready, go] => {
            source::wait_for(ready, go).and_then(|()| source::write(number(block), number(bytes)))
        }
        ["sink"] => sink::read(None),
        ["sink", "limit", rate] => sink::read(Some(number(rate))),
        ["sink", "stall", ready, go] => source::wait_for(ready, go).and_then(|()| sink::read(None)),
        ["relay"] => relay::run(),
        ["ticker", lines, pause] => line::tick(number(lines), number(pause)),
        ["listener"] => line::listen(),
        _ => panic!("no work: {words:?}"),
    };
    match done {
        // As a program in a pipe ends, if not by the signal.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{words:?}: {error}");
            ExitCode::FAILURE
        }
        Ok(()) => ExitCode::SUCCESS,
    }
}

fn number<T: FromStr>(text: &str) -> T {
    let parsed = text.parse().ok();
    parsed.unwrap_or_else(|| panic!("{text} is no number"))
}

/// This program, to be started once more.
pub(crate) fn program() -> PathBuf {
    std::env::current_exe().expect("a program has a path")
}

/// A command that does some work.
pub(crate) fn command(work: &str) -> Command {
    let mut command = Command::new(program());
    command.arg(WORK).args(work.split(' '));
    command
}

/// The same as a stage of a pipeline, or in a shell.
pub(crate) fn stage(work: &str) -> String {
    format!("{} {WORK} {work}", program().display())
}

/// Nanoseconds of a clock that all processes of the machine share.
fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    u64::try_from(time.tv_sec).expect("after the start of the machine") * 1_000_000_000
        + u64::try_from(time.tv_nsec).expect("below a second")
}

/// Lets time pass: this is about rates.
fn pause(time: Duration) {
    let mut left = Timespec::try_from(time).expect("short");
    while let rustix::thread::NanosleepRelativeResult::Interrupted(rest) = nanosleep(&left) {
        left = rest;
    }
}
