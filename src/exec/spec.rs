//! What is to be run, and how: for callers, and as it travels to the shim.

use std::{
    ffi::OsString, os::fd::OwnedFd, os::unix::ffi::OsStringExt, path::PathBuf, time::Duration,
};

use serde::{Deserialize, Serialize};

use super::RunAs;
use crate::{
    id::{PipeId, StageNumber},
    word::Word,
};

/// Which stage of which pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// The pipe.
    pub pipe: PipeId,
    /// The stage.
    pub stage: StageNumber,
}

/// One app to run as a stage.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Whose stage it is.
    pub key: Key,
    /// The program, resolved.
    pub program: PathBuf,
    /// What the app sees as its own name.
    pub arg0: OsString,
    /// The words after the name, expanded by the shim as the run user in `cwd`.
    pub args: Vec<Word>,
    /// The whole environment. `DP_PIPE` and `DP_STAGE` are added where missing: the keeper finds runaway processes by them.
    pub env: Vec<(OsString, OsString)>,
    /// Variables whose values hold a `~` to be expanded; they win over `env`.
    pub env_words: Vec<(OsString, Word)>,
    /// The working directory.
    pub cwd: PathBuf,
    /// The user to become; `None` stays who the daemon is.
    pub run_as: Option<RunAs>,
    /// The home that `~` stands for; `None` leaves `~` as it is.
    pub home: Option<PathBuf>,
    /// The file mode mask; `None` keeps the daemon's.
    pub umask: Option<u32>,
    /// What the app may use.
    pub limits: Limits,
    /// How far it is kept apart.
    pub style: Style,
    /// Whether the app may gain no privileges by running setuid programs.
    pub no_new_privs: bool,
    /// Whether the kernel kills the app the moment this process dies. Not for a stage that feeds a neighbour through a kernel pipe: it
    /// would die before its neighbour does, which then sees an end of file that is none (docs/decisions/0003). The keeper kills in order.
    pub die_with_parent: bool,
}

/// How far an app is kept apart from who starts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Style {
    /// An app on a node: own user, limits, containment.
    Contained,
    /// An app that the user's own client runs on his own machine, as a shell would.
    Embedded,
}

/// What an app may use; `None` is no limit of its own.
///
/// A limit that cannot be set is a [`SpawnError::Limit`](super::SpawnError::Limit): an app never runs with less containment than was
/// configured. Memory falls back to a limit of the address space where the cgroup has no memory controller; the number of processes has
/// no such substitute, since `RLIMIT_NPROC` counts all processes of a user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Processes and threads at one time.
    pub processes: Option<u64>,
    /// Open descriptors per process.
    pub open_files: Option<u64>,
    /// Processor time per process, in whole seconds rounded up.
    pub cpu_time: Option<Duration>,
}

/// What a stage is connected to. All three become the app's own; nothing else is passed on.
#[derive(Debug)]
pub struct Stdio {
    /// Standard input.
    pub stdin: OwnedFd,
    /// Standard output.
    pub stdout: OwnedFd,
    /// Standard error.
    pub stderr: OwnedFd,
    /// A second write end of `stdin`, for the keeper, if it is this process that writes to it. Never for a kernel pipe between two
    /// stages: a copy would delay a true end of file.
    pub stdin_writer: Option<OwnedFd>,
    /// A second read end of `stderr`, for the keeper, so that a stage upstream of a kernel pipe does not die of SIGPIPE when this process
    /// is killed, and its neighbour does not take that for an end of file.
    pub stderr_reader: Option<OwnedFd>,
}

/// Text of an operating system that need not be UTF-8, as readable JSON where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "TextForm", into = "TextForm")]
pub(super) struct Text(pub(super) OsString);

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum TextForm {
    Utf8(String),
    Bytes(Vec<u8>),
}

impl From<TextForm> for Text {
    fn from(form: TextForm) -> Self {
        Self(match form {
            TextForm::Utf8(text) => text.into(),
            TextForm::Bytes(bytes) => OsString::from_vec(bytes),
        })
    }
}

impl From<Text> for TextForm {
    fn from(text: Text) -> Self {
        match text.0.into_string() {
            Ok(text) => Self::Utf8(text),
            Err(other) => Self::Bytes(other.into_vec()),
        }
    }
}

/// A [`Spec`] as the shim needs it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Task {
    pub(super) program: Text,
    pub(super) arg0: Text,
    pub(super) args: Vec<Word>,
    pub(super) env: Vec<(Text, Text)>,
    pub(super) env_words: Vec<(Text, Word)>,
    pub(super) cwd: Text,
    pub(super) home: Option<Text>,
    pub(super) user: Option<Credentials>,
    pub(super) umask: Option<u32>,
    pub(super) style: Style,
    pub(super) no_new_privs: bool,
    /// The process that must still be the parent once its death is a signal to the shim.
    pub(super) die_with: Option<i32>,
    /// Soft and hard limit.
    pub(super) open_files: Option<(u64, Option<u64>)>,
    pub(super) address_space: Option<u64>,
    pub(super) cpu_seconds: Option<u64>,
}

/// The numbers of a user.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Credentials {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) groups: Vec<u32>,
}

/// What the shim says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Report {
    /// Everything but `execve` has been done; these are the arguments.
    Ready { argv: Vec<Text> },
    /// A step failed; the shim is gone.
    Failed { step: String, errno: i32 },
}

/// The byte that opens the barrier.
pub(super) const GO: u8 = b'g';

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_survive_the_way_to_the_shim(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let text = Text(OsString::from_vec(bytes));
            let json = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(serde_json::from_str::<Text>(&json).unwrap(), text);
        }
    }
}
