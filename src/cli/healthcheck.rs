//! `dpipesd healthcheck`: whether a daemon serves, in one line and one status, for containers, orchestrators and scripts.
//!
//! It asks through the unix socket and starts nothing. An outage of a registry after the start makes no node unhealthy: whoever acts on
//! this restarts what is unhealthy, and the pipes that run there would die for a trouble that is not the node's.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::json;
use tokio::time::timeout;

use super::{
    daemon::Known,
    exit, process,
    render::{
        json,
        text::{age, plural},
    },
};
use crate::{
    client::{self, Address, DialError},
    daemon::leaving_socket,
    wire::message::{Phase, Query, Reply, SourceView, StateView},
};

/// How long a daemon may take to answer, from the first socket to the last byte. It answers from memory, within a millisecond; five
/// seconds are for a machine that is busy, and leave the rest of the 30 s of Docker's default to the start of this program.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// What is known of a daemon.
#[derive(Debug)]
enum Answer {
    /// It said how it is.
    State(StateView),
    /// Nobody listens.
    Nobody,
    /// It listens and this user may not speak to it.
    Forbidden(PathBuf),
    /// It listens and does not answer.
    Silent(PathBuf),
    /// It is of a version that does not know the question.
    TooOld,
    /// What answered is no daemon that this program understands.
    Other(String),
}

/// What the answer means to whoever acts on it.
#[derive(Debug, PartialEq, Eq)]
struct Verdict {
    healthy: bool,
    /// The one line, without a next step.
    reason: String,
    /// The next step, where one is needed.
    help: Option<String>,
}

/// Asks the daemon, and returns the exit status.
pub(super) fn run(known: &Known, as_json: bool) -> u8 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let answer = match runtime {
        Ok(runtime) => runtime.block_on(ask(&known.sockets)),
        Err(error) => Answer::Other(format!("cannot ask: {error}")),
    };
    let pid = process::holder(&known.pid_file)
        .ok()
        .flatten()
        .map(|handle| handle.pid);
    let verdict = judge(&answer, known, pid);
    let text = if as_json {
        as_object(&answer, &verdict, pid)
    } else {
        verdict.line()
    };
    match super::put_or_status(&text) {
        exit::OK if verdict.healthy => exit::OK,
        _ => exit::FAILED,
    }
}

/// The answer of the first daemon that listens; one that leaves listens beside its usual place.
async fn ask(sockets: &[PathBuf]) -> Answer {
    let aside = sockets.iter().map(|path| leaving_socket(path));
    for path in sockets.iter().cloned().chain(aside) {
        match timeout(ANSWER_WITHIN, ask_at(&path)).await {
            Ok(Some(answer)) => return answer,
            Ok(None) => {}
            Err(_) => return Answer::Silent(path),
        }
    }
    Answer::Nobody
}

/// The answer of the daemon at one socket, if there is one.
async fn ask_at(path: &Path) -> Option<Answer> {
    let session = match client::connect(&Address::Unix(path.to_owned())).await {
        Ok(session) => session,
        Err(DialError::Unix { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => {
            return Some(Answer::Forbidden(path.to_owned()));
        }
        Err(error) if client::is_nobody(&error) => return None,
        Err(error) => return Some(Answer::Other(error.to_string())),
    };
    Some(match client::query(&session, Query::State).await {
        Ok(Reply::State(state)) => Answer::State(state),
        Ok(_) => Answer::TooOld,
        Err(error) => Answer::Other(format!("{} did not answer: {error}", path.display())),
    })
}

fn judge(answer: &Answer, known: &Known, pid: Option<i32>) -> Verdict {
    let bad = |reason: String, help: &str| Verdict {
        healthy: false,
        reason,
        help: Some(help.to_owned()),
    };
    match answer {
        Answer::State(state) => of_state(state),
        Answer::Nobody => {
            let places: Vec<_> = known
                .sockets
                .iter()
                .map(|path| path.display().to_string())
                .collect();
            let places = places.join(" or ");
            match pid {
                _ if known.is_guess => bad(
                    format!(
                        "nobody listens at {places}, and the configuration is wrong, so it may be elsewhere"
                    ),
                    "look for errors: dpipesd config check",
                ),
                Some(pid) => bad(
                    format!("dpipesd (pid {pid}) runs and does not listen at {places}"),
                    "it is starting, or was told to listen elsewhere: name its configuration with --config FILE",
                ),
                None => bad(
                    format!("no dpipesd: nobody listens at {places}"),
                    "start it: dpipesd   or name its configuration: --config FILE",
                ),
            }
        }
        Answer::Forbidden(path) => bad(
            format!("this user may not use {}", path.display()),
            "ask as the daemon's user, or as root",
        ),
        Answer::Silent(path) => bad(
            format!(
                "dpipesd does not answer at {} within {ANSWER_WITHIN:?}",
                path.display()
            ),
            "is it stopped, or the machine overloaded? its log tells; a restart ends its pipes",
        ),
        Answer::TooOld => bad(
            "dpipesd is of an older version and cannot say how it is".to_owned(),
            "restart it with the program that is installed now",
        ),
        Answer::Other(reason) => bad(
            reason.clone(),
            "is that another program's socket? dpipesd config show",
        ),
    }
}

fn of_state(state: &StateView) -> Verdict {
    let pipes = plural(state.pipes, "pipe");
    let (healthy, reason, help) = match state.phase {
        Phase::Ready => {
            let troubles: Vec<_> = state.sources.iter().filter_map(trouble).collect();
            let known = plural(state.nodes, "node");
            let mut reason = format!("ready: {}, {known} known, {pipes} running", state.node);
            if !troubles.is_empty() {
                reason = format!("{reason}; {}", troubles.join("; "));
            }
            (true, reason, None)
        }
        Phase::Starting => {
            let missing: Vec<_> = state.sources.iter().filter_map(missing).collect();
            let missing = if missing.is_empty() {
                "it is about to be ready".to_owned()
            } else {
                missing.join("; ")
            };
            let since = age(state.uptime_ms);
            (
                false,
                format!("starting for {since}: {missing}"),
                Some(
                    "`discovery: required` waits for every registry: see to it, or look: dpipes doctor",
                ),
            )
        }
        Phase::Draining => (
            false,
            format!("draining: no new pipes are taken, {pipes} running"),
            Some("it leaves when they have ended; a successor may be started now"),
        ),
        Phase::Other => (
            false,
            "dpipesd is in a state that this version does not know".to_owned(),
            Some("ask with the program of its version"),
        ),
    };
    Verdict {
        healthy,
        reason,
        help: help.map(str::to_owned),
    }
}

/// Why a daemon that waits for its registries waits for this one.
pub(super) fn missing(source: &SourceView) -> Option<String> {
    let name = &source.name;
    match (source.age_ms, &source.stale, &source.unannounced) {
        (None, Some(why), _) => Some(format!("{name} has not answered yet ({why})")),
        (None, None, _) => Some(format!("{name} has not answered yet")),
        (Some(_), _, Some(why)) => Some(format!("{name} has not accepted this node ({why})")),
        (Some(_), _, None) => None,
    }
}

/// What is wrong with a registry of a daemon that serves.
fn trouble(source: &SourceView) -> Option<String> {
    let name = &source.name;
    match (&source.stale, &source.unannounced) {
        (Some(why), _) => Some(match source.age_ms {
            Some(ms) => format!("{name} has last answered {} ago: {why}", age(ms)),
            None => format!("{name} has not answered yet: {why}"),
        }),
        (None, Some(why)) => Some(format!("{name} does not show this node: {why}")),
        (None, None) => None,
    }
}

// === impl Verdict ===

impl Verdict {
    /// One line, whatever others said.
    fn line(&self) -> String {
        let help = self.help.as_ref();
        let text = match help {
            Some(help) => format!("{} = help: {help}", self.reason),
            None => self.reason.clone(),
        };
        format!("{}\n", super::caret::printable(&text))
    }
}

fn as_object(answer: &Answer, verdict: &Verdict, pid: Option<i32>) -> String {
    let state = match answer {
        Answer::State(state) => Some(state),
        _ => None,
    };
    json::line(
        "health",
        json!({
            "healthy": verdict.healthy,
            "reason": verdict.reason,
            "help": verdict.help,
            "pid": pid,
            "phase": state.map(|state| state.phase),
            "node": state.map(|state| &state.node),
            "version": state.map(|state| &state.version),
            "uptime_ms": state.map(|state| state.uptime_ms),
            "pipes": state.map(|state| state.pipes),
            "nodes": state.map(|state| state.nodes),
            "registries": state.map(|state| &state.sources),
        }),
    )
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::cli::render::samples;

    fn state(phase: Phase, sources: Vec<SourceView>) -> Answer {
        Answer::State(StateView {
            node: samples::node("node-a"),
            version: "1.2.3".to_owned(),
            phase,
            uptime_ms: 12_345,
            pipes: 1,
            nodes: 3,
            sources,
        })
    }

    fn consul(age_ms: Option<u64>, stale: Option<&str>, unannounced: Option<&str>) -> SourceView {
        SourceView {
            name: "consul".to_owned(),
            age_ms,
            stale: stale.map(str::to_owned),
            unannounced: unannounced.map(str::to_owned),
        }
    }

    /// The line, with `+` before what makes a container healthy.
    fn line(answer: &Answer, pid: Option<i32>) -> String {
        let known = Known {
            pid_file: "/run/dpipes/dpipesd.pid".into(),
            sockets: vec!["/run/dpipes/dpipesd.sock".into()],
            is_guess: false,
            drain_timeout: Duration::ZERO,
        };
        let verdict = judge(answer, &known, pid);
        let sign = if verdict.healthy { '+' } else { '-' };
        format!("{sign} {}", verdict.line())
    }

    #[test]
    fn only_a_daemon_that_is_ready_is_healthy_and_all_else_comes_with_a_next_step() {
        let refused = "connection refused";
        let socket = || PathBuf::from("/run/dpipes/dpipesd.sock");
        let starting = |source| state(Phase::Starting, vec![source]);
        let ready = |source| state(Phase::Ready, vec![source]);
        let all = [
            line(&ready(consul(Some(5), None, None)), Some(1)),
            line(&ready(consul(Some(65_000), Some(refused), None)), Some(1)),
            line(&ready(consul(None, Some(refused), None)), Some(1)),
            line(
                &ready(consul(Some(5), None, Some("denied\nby rule"))),
                Some(1),
            ),
            line(&starting(consul(None, Some(refused), None)), Some(1)),
            line(
                &starting(consul(Some(5), None, Some("not accepted yet"))),
                Some(1),
            ),
            line(&state(Phase::Draining, vec![]), Some(1)),
            line(&state(Phase::Other, vec![]), Some(1)),
            line(&Answer::Nobody, None),
            line(&Answer::Nobody, Some(7)),
            line(&Answer::Forbidden(socket()), None),
            line(&Answer::Silent(socket()), Some(7)),
            line(&Answer::TooOld, Some(7)),
            line(
                &Answer::Other("it speaks no protocol of ours".to_owned()),
                None,
            ),
        ];
        for line in &all {
            assert_eq!(line.lines().count(), 1, "{line}");
            assert_eq!(line.starts_with('+'), !line.contains("= help: "), "{line}");
        }
        assert_snapshot!(all.concat());
    }
}
