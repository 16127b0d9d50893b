//! Exit statuses, the one place that decides them.
//!
//! | status | meaning | as in |
//! |---|---|---|
//! | 0 | the last stage exited 0 *and* every link ended balanced (`pipefail`: every stage 0) | bash |
//! | 1-123 | status of the last stage (`pipefail`: rightmost that is not 0) | bash |
//! | 124 | `--timeout` was reached | timeout |
//! | 125 | dpipes itself: bad usage or expression, no entry, protocol, link or node lost, status unknown | docker run, env |
//! | 126 | refused, or found but not executable | env, docker |
//! | 127 | no such app on any node | sh, env |
//! | 128+n | the last stage was killed by signal n (`pipefail`: the rightmost that failed); 130 Ctrl-C, 143 SIGTERM | bash |
//!
//! An app may itself exit with 124 to 127; `--status-fd` tells which of the two it was.

use crate::wire::message::{Ending, Exit, Failure, LinkEnd, Outcome, RefusalKind, StageRecord};

/// All went well.
pub(crate) const OK: u8 = 0;
/// A subcommand other than `run` failed.
pub(crate) const FAILED: u8 = 1;
/// A subcommand other than `run` was used wrongly.
pub(crate) const USAGE: u8 = 2;
/// `check` or `doctor` found problems.
pub(crate) const PROBLEMS: u8 = 3;
/// dpipesd: the port is taken.
pub(crate) const UNAVAILABLE: u8 = 69;
/// dpipesd: something is not permitted.
pub(crate) const NO_PERMISSION: u8 = 77;
/// dpipesd: the configuration is wrong.
pub(crate) const CONFIG: u8 = crate::config::ConfigError::EXIT;
/// `--timeout` was reached.
pub(crate) const TIMED_OUT: u8 = 124;
/// dpipes itself failed.
pub(crate) const DPIPES: u8 = 125;
/// Refused, or not executable.
pub(crate) const REFUSED: u8 = 126;
/// No such app.
pub(crate) const NO_SUCH_APP: u8 = 127;

/// The exit status of a run.
///
/// An ending that claims to be complete is still not believed when a stage's status is unknown or a link was lost: 0 never follows a
/// loss.
#[must_use]
pub fn exit_status(outcome: &Outcome, pipefail: bool) -> u8 {
    match &outcome.ending {
        Ending::Failed(failure) => of_failure(failure),
        Ending::Complete if first_doubt(&outcome.stages).is_some() => DPIPES,
        Ending::Complete => {
            let statuses = outcome.stages.iter().rev().map(|stage| of_app(stage.exit));
            let mut statuses = statuses.map(|status| status.unwrap_or(DPIPES));
            if pipefail {
                statuses.find(|status| *status != 0).unwrap_or(OK)
            } else {
                statuses.next().unwrap_or(OK)
            }
        }
    }
}

/// Who gave the status: an app, or dpipes itself.
#[must_use]
pub(crate) fn is_of_app(outcome: &Outcome) -> bool {
    outcome.ending == Ending::Complete && first_doubt(&outcome.stages).is_none()
}

/// The first stage of a complete run whose record contradicts that.
pub(crate) fn first_doubt(stages: &[StageRecord]) -> Option<&StageRecord> {
    let lost = |end: LinkEnd| matches!(end, LinkEnd::Lost | LinkEnd::Reset);
    stages
        .iter()
        .find(|stage| of_app(stage.exit).is_none() || lost(stage.input) || lost(stage.output))
}

/// The status as a shell would have it; `None` when there is none.
pub(crate) fn of_app(exit: Exit) -> Option<u8> {
    match exit {
        Exit::Code(code) => Some(code),
        Exit::Signal(signal) => Some(of_signal(signal)),
        Exit::NotStarted | Exit::Unknown => None,
    }
}

/// 128 plus the signal. Linux has 64 of them; a number of no signal is capped.
pub(crate) fn of_signal(signal: i32) -> u8 {
    128 + u8::try_from(signal.clamp(0, 127)).unwrap_or(127)
}

fn of_failure(failure: &Failure) -> u8 {
    match failure {
        Failure::NoSuchApp { .. } => NO_SUCH_APP,
        Failure::NoFit { .. } => REFUSED,
        Failure::Refused { refusal, .. } => match refusal.kind {
            RefusalKind::NoSuchApp => NO_SUCH_APP,
            RefusalKind::Forbidden
            | RefusalKind::NotExecutable
            | RefusalKind::Busy
            | RefusalKind::Gone
            | RefusalKind::Unknown => REFUSED,
        },
        Failure::ExecFailed { errno, .. } if *errno == rustix::io::Errno::NOENT.raw_os_error() => {
            NO_SUCH_APP
        }
        Failure::ExecFailed { .. } => REFUSED,
        Failure::TimedOut { .. } => TIMED_OUT,
        Failure::Aborted {
            signal: Some(signal),
            ..
        } => of_signal(*signal),
        Failure::Aborted { signal: None, .. }
        | Failure::Unreachable { .. }
        | Failure::LostNode { .. }
        | Failure::LostLink { .. }
        | Failure::Unbalanced { .. }
        | Failure::BadObject { .. }
        | Failure::LimitReached { .. }
        | Failure::StatusUnknown { .. }
        | Failure::BadRequest { .. }
        | Failure::NoRegistry { .. }
        | Failure::Entry { .. }
        | Failure::Unknown => DPIPES,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        cli::render::samples::{complete, failed, record, refusal},
        id::{NodeId, StageNumber},
        wire::message::LinkEndpoint,
    };

    fn node() -> NodeId {
        NodeId::new("n").unwrap()
    }

    #[test]
    fn the_last_stage_decides_as_in_a_shell() {
        let status = |exits: &[Exit], pipefail| exit_status(&complete(exits), pipefail);
        assert_eq!(status(&[Exit::Code(0), Exit::Code(0)], false), 0);
        assert_eq!(status(&[Exit::Code(3), Exit::Code(0)], false), 0);
        assert_eq!(status(&[Exit::Code(0), Exit::Code(7)], false), 7);
        assert_eq!(status(&[Exit::Signal(13), Exit::Code(0)], false), 0);
        assert_eq!(status(&[Exit::Code(0), Exit::Signal(9)], false), 137);
        assert_eq!(status(&[Exit::Signal(2)], false), 130);
        assert_eq!(status(&[Exit::Signal(15)], false), 143);
        assert_eq!(status(&[Exit::Code(255)], false), 255);
        assert_eq!(status(&[], false), 0);
    }

    #[test]
    fn with_pipefail_the_rightmost_failure_decides() {
        let status = |exits: &[Exit]| exit_status(&complete(exits), true);
        assert_eq!(status(&[Exit::Code(3), Exit::Code(4), Exit::Code(0)]), 4);
        assert_eq!(status(&[Exit::Signal(13), Exit::Code(0)]), 141);
        assert_eq!(status(&[Exit::Code(0), Exit::Code(0)]), 0);
    }

    #[test]
    fn an_unknown_status_is_never_zero() {
        for exit in [Exit::Unknown, Exit::NotStarted] {
            assert_eq!(exit_status(&complete(&[exit, Exit::Code(0)]), false), 125);
            assert_eq!(exit_status(&complete(&[Exit::Code(0), exit]), true), 125);
        }
    }

    #[test]
    fn a_lost_link_is_never_zero() {
        for end in [LinkEnd::Lost, LinkEnd::Reset] {
            let mut outcome = complete(&[Exit::Code(0), Exit::Code(0)]);
            outcome.stages[0].output = end;
            assert_eq!(exit_status(&outcome, false), 125);
            assert!(!is_of_app(&outcome));
        }
    }

    #[test]
    fn every_failure_has_its_status() {
        let stage = StageNumber::FIRST;
        let link = LinkEndpoint::Stage(stage);
        let app = || "a".to_owned();
        let detail = || "d".to_owned();
        let exec = |errno| Failure::ExecFailed {
            stage,
            app: app(),
            node: node(),
            step: detail(),
            errno,
        };
        let refused = |kind| Failure::Refused {
            node: Some(node()),
            address: detail(),
            refusal: refusal(kind),
        };
        let rows = [
            (
                Failure::NoSuchApp {
                    stage,
                    app: app(),
                    near: vec![],
                    sources: vec![],
                    nodes: 0,
                },
                127,
            ),
            (
                Failure::NoFit {
                    stage,
                    app: app(),
                    constraint: detail(),
                    nodes: vec![],
                },
                126,
            ),
            (refused(RefusalKind::Forbidden), 126),
            (refused(RefusalKind::NoSuchApp), 127),
            (refused(RefusalKind::NotExecutable), 126),
            (refused(RefusalKind::Busy), 126),
            (refused(RefusalKind::Gone), 126),
            (refused(RefusalKind::Unknown), 126),
            (
                Failure::Unreachable {
                    stage,
                    app: app(),
                    tried: vec![],
                },
                125,
            ),
            (exec(2), 127),
            (exec(13), 126),
            (
                Failure::LostNode {
                    node: node(),
                    stages: vec![],
                    apps: vec![],
                    detail: detail(),
                    delivered: 0,
                },
                125,
            ),
            (
                Failure::LostLink {
                    from: link,
                    to: LinkEndpoint::Client,
                    node: node(),
                    peer: node(),
                    bytes: 0,
                    detail: detail(),
                    delivered: 0,
                },
                125,
            ),
            (
                Failure::Unbalanced {
                    from: link,
                    to: LinkEndpoint::Client,
                    sent: None,
                    received: None,
                },
                125,
            ),
            (
                Failure::StatusUnknown {
                    stage,
                    detail: detail(),
                },
                125,
            ),
            (Failure::TimedOut { after_ms: 1 }, 124),
            (
                Failure::Aborted {
                    reason: detail(),
                    signal: Some(2),
                },
                130,
            ),
            (
                Failure::Aborted {
                    reason: detail(),
                    signal: Some(15),
                },
                143,
            ),
            (
                Failure::Aborted {
                    reason: detail(),
                    signal: None,
                },
                125,
            ),
            (
                Failure::BadRequest {
                    detail: detail(),
                    span: None,
                    hint: None,
                },
                125,
            ),
            (Failure::NoRegistry { sources: vec![] }, 125),
            (Failure::Entry { detail: detail() }, 125),
            (Failure::Unknown, 125),
        ];
        for (failure, status) in rows {
            assert_eq!(
                exit_status(&failed(failure.clone()), false),
                status,
                "{failure:?}"
            );
            assert_eq!(
                exit_status(&failed(failure.clone()), true),
                status,
                "{failure:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn a_failure_is_never_zero_whatever_the_stages_say(codes in proptest::collection::vec(any::<u8>(), 0..4), signal: Option<i32>) {
            let mut outcome = failed(Failure::Aborted { reason: String::new(), signal });
            outcome.stages = codes.iter().enumerate().map(|(n, code)| record(n, Exit::Code(*code))).collect();
            prop_assert_ne!(exit_status(&outcome, false), 0);
        }
    }
}
