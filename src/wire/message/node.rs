use serde::{Deserialize, Serialize};

use super::{Answer, Exit, LinkEndpoint, Offer, StageProgress, StageRecord};
use crate::{
    id::{Attempt, NodeId, PipeId, StageNumber},
    media::{Compress, Format, Naming},
};

/// What an entry says to a node about one pipe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum ToNode {
    /// Asks the node to prepare stages. First message; once per stream.
    Offer(Box<Offer>),
    /// Everybody agreed: open the links, let the apps run.
    Start {
        /// The [`Terms`] as JSON text. Its SHA-256 is the agreement's digest, so it travels byte for byte.
        terms: String,
    },
    /// Sends a signal to one stage, or to all at once as a terminal does.
    Signal {
        /// The signal's number.
        signal: i32,
        /// The stage; `None` for all.
        #[serde(default)]
        stage: Option<StageNumber>,
    },
    /// Ends the pipe here: every stage is killed, last first, and none sees an EOF.
    Abort {
        /// Why, for logs and records.
        reason: String,
    },
    /// A message of a newer peer; ignored.
    #[serde(other)]
    Unknown,
}

/// What a node says to the entry about one pipe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum FromNode {
    /// The answer to the offer.
    Answer(Box<Answer>),
    /// A stage's program runs.
    Started {
        /// The stage.
        stage: StageNumber,
        /// Its process.
        pid: u32,
    },
    /// After Start a program could not be executed. The stage's [`StageRecord`] follows.
    ExecFailed {
        /// The stage.
        stage: StageNumber,
        /// What the node was doing.
        step: String,
        /// The error number, as in errno(3).
        errno: i32,
    },
    /// A stage reached a limit of this node and is being ended with the rest of the pipe.
    LimitReached {
        /// The stage.
        stage: StageNumber,
        /// Which limit, and its value.
        limit: String,
    },
    /// A link broke; the pipe is being ended on this node. Records of its stages follow.
    LinkLost {
        /// Who wrote.
        from: LinkEndpoint,
        /// Who read.
        to: LinkEndpoint,
        /// The node at the other end.
        peer: NodeId,
        /// Bytes that had passed this end.
        bytes: u64,
        /// Why.
        detail: String,
    },
    /// What came to a stage was no object; the pipe is being ended on this node.
    BadObject {
        /// Who wrote it.
        from: LinkEndpoint,
        /// The stage that was to read it.
        to: StageNumber,
        /// What it should have been.
        format: Format,
        /// Which object, counted from 1.
        number: u64,
        /// Where in what was written, in bytes from 0.
        offset: u64,
        /// What was wrong.
        problem: String,
    },
    /// Bytes so far, a few times a second, when the offer asked for it.
    Progress {
        /// One entry for each running stage.
        stages: Vec<StageProgress>,
    },
    /// The process is gone but something still holds its output open.
    Lingering {
        /// The stage.
        stage: StageNumber,
        /// How the process ended.
        exit: Exit,
        /// Who holds it, as `pid 4711 (sleep)`.
        holder: String,
    },
    /// A stage is over: reaped, and its output at its end. The last word about it.
    Ended(Box<StageRecord>),
    /// A message of a newer peer; ignored.
    #[serde(other)]
    Unknown,
}

/// The agreement: what every node of the pipe agreed to, the same text for all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The pipe.
    pub pipe: PipeId,
    /// The try.
    pub attempt: Attempt,
    /// The entry: it feeds the first stage and reads the last.
    pub entry: NodeId,
    /// What the entry feeds the first stage with.
    #[serde(default)]
    pub input: Format,
    /// Whether each link ends with the digest of what was written to it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub link_digests: bool,
    /// Whether the link that feeds the first stage is compressed.
    #[serde(default, skip_serializing_if = "Compress::is_off")]
    pub compress: Compress,
    /// The stages in order.
    pub stages: Vec<Place>,
}

/// One stage's place in the agreement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The stage.
    pub stage: StageNumber,
    /// The node that runs it.
    pub node: NodeId,
    /// Where that node is dialled, as `host:port` or `unix:PATH`; several where it has several.
    pub addresses: Vec<String>,
    /// SHA-256 of the stage's offer and the accept, so that "agreed" has one meaning.
    pub digest: String,
    /// What it writes.
    #[serde(default)]
    pub output: Format,
    /// What the metadata are called that it may hand on; absent where it reads bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub naming: Option<Naming>,
    /// Whether the link that it writes to is compressed.
    #[serde(default, skip_serializing_if = "Compress::is_off")]
    pub compress: Compress,
}

// === impl Terms ===

impl Terms {
    /// Whether the link to a stage is compressed.
    #[must_use]
    pub fn compress_to(&self, stage: StageNumber) -> Compress {
        let Some(previous) = stage.previous() else {
            return self.compress;
        };
        let writer = self.stages.get(previous.index());
        writer.map_or(Compress::Off, |place| place.compress)
    }

    /// What is written to a stage, and what the metadata in it are called; the entry, which feeds the first one, puts none in. A stage
    /// behind none that is there is written nothing but bytes.
    #[must_use]
    pub fn writes_to(&self, stage: StageNumber) -> (Format, Option<&Naming>) {
        let Some(previous) = stage.previous() else {
            return (self.input, None);
        };
        let writer = self.stages.get(previous.index());
        writer.map_or((Format::Bytes, None), |place| {
            (place.output, place.naming.as_ref())
        })
    }
}
