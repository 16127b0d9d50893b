use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    id::{NodeId, StageNumber},
    media::Counts,
};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// By itself, with this status.
    Code(u8),
    /// By this signal.
    Signal(i32),
    /// It was never started.
    NotStarted,
    /// Nobody knows: its node was lost. Never to be read as 0.
    #[serde(other)]
    Unknown,
}

/// How one end of a link ended, as that end saw it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkEnd {
    /// The writer ended it and every byte arrived.
    Finished,
    /// The reader was gone first.
    Stopped,
    /// The writer gave up.
    Reset,
    /// The session died.
    Lost,
    /// A kernel pipe inside one node: nothing was counted.
    Joined,
    /// There was none: `/dev/null`.
    None,
    /// Not known.
    #[default]
    #[serde(other)]
    Unknown,
}

/// What a running stage has spent its time on, as its node sees it when it looks at the stage's pipes a few times a second. Stages that a kernel
/// pipe joins are looked at as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Waits {
    /// Its input was empty, and not at its end.
    #[serde(default)]
    pub input_ms: u64,
    /// What it had written was not taken: at least half of what the pipe holds was waiting in it.
    #[serde(default)]
    pub output_ms: u64,
    /// Neither: the stage itself is what took the time.
    #[serde(default)]
    pub work_ms: u64,
}

/// The last word about a stage. What is not known is `None`, never 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageRecord {
    /// The stage.
    pub stage: StageNumber,
    /// Its app.
    pub app: String,
    /// The node that ran it.
    pub node: NodeId,
    /// Its process.
    #[serde(default)]
    pub pid: Option<u32>,
    /// How it ended.
    pub exit: Exit,
    /// Whether dpipes ended it, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub killed: Option<String>,
    /// Bytes it was given.
    #[serde(default)]
    pub bytes_in: Option<u64>,
    /// Bytes it wrote.
    #[serde(default)]
    pub bytes_out: Option<u64>,
    /// Bytes of stderr sent to the entry; nothing is sent when nobody wants it.
    #[serde(default)]
    pub bytes_err: Option<u64>,
    /// Objects it was given, where it reads objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<Counts>,
    /// Bytes that its input took on the way, where it was compressed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compressed_in: Option<u64>,
    /// Bytes that its output took on the way, where it was compressed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compressed_out: Option<u64>,
    /// How its input ended.
    #[serde(default)]
    pub input: LinkEnd,
    /// How its output ended.
    #[serde(default)]
    pub output: LinkEnd,
    /// From execve to the last byte of output.
    #[serde(default)]
    pub elapsed_ms: Option<u64>,
    /// User time of it and its reaped children.
    #[serde(default)]
    pub user_ms: Option<u64>,
    /// System time of it and its reaped children.
    #[serde(default)]
    pub system_ms: Option<u64>,
    /// What it has spent its time on; `None` when it was over before anybody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits: Option<Waits>,
}

/// How far a running stage is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageProgress {
    /// The stage.
    pub stage: StageNumber,
    /// Bytes it was given so far; `None` on a kernel pipe.
    #[serde(default)]
    pub bytes_in: Option<u64>,
    /// Bytes it wrote so far; `None` on a kernel pipe.
    #[serde(default)]
    pub bytes_out: Option<u64>,
    /// How long neither moved.
    #[serde(default)]
    pub stalled_ms: u64,
    /// What it has spent its time on so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits: Option<Waits>,
}

// === impl Waits ===

impl Waits {
    /// All of it.
    #[must_use]
    pub const fn total_ms(&self) -> u64 {
        self.input_ms
            .saturating_add(self.output_ms)
            .saturating_add(self.work_ms)
    }

    /// What has come since `earlier`.
    #[must_use]
    pub const fn since(&self, earlier: &Self) -> Self {
        Self {
            input_ms: self.input_ms.saturating_sub(earlier.input_ms),
            output_ms: self.output_ms.saturating_sub(earlier.output_ms),
            work_ms: self.work_ms.saturating_sub(earlier.work_ms),
        }
    }
}

// === impl StageRecord ===

impl StageRecord {
    /// The record of a stage of which nothing else is known.
    #[must_use]
    pub const fn unknown(stage: StageNumber, app: String, node: NodeId) -> Self {
        Self {
            stage,
            app,
            node,
            pid: None,
            exit: Exit::Unknown,
            killed: None,
            bytes_in: None,
            bytes_out: None,
            bytes_err: None,
            objects: None,
            compressed_in: None,
            compressed_out: None,
            input: LinkEnd::Unknown,
            output: LinkEnd::Unknown,
            elapsed_ms: None,
            user_ms: None,
            system_ms: None,
            waits: None,
        }
    }
}

/// A time as messages carry it. Beyond half a billion years it is the longest there is.
#[must_use]
pub fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
