use serde::{Deserialize, Serialize};

use crate::{
    id::{Attempt, PipeId, StageNumber},
    media::Coding,
};

/// Why a stream was opened: the payload of its Open frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "purpose", rename_all = "kebab-case")]
pub enum Purpose {
    /// Client to entry, both directions: a run, as [`ToEntry`](super::ToEntry) and [`FromEntry`](super::FromEntry).
    Run,
    /// Client to entry, both directions: one [`Query`](super::Query) and its [`Reply`](super::Reply).
    Query,
    /// Client to entry, data: the client's standard input.
    Stdin {
        /// The pipe it feeds.
        pipe: PipeId,
        /// How its bytes travel.
        #[serde(default, skip_serializing_if = "Coding::is_plain")]
        coding: Coding,
    },
    /// Entry to client, data: the last stage's output.
    Stdout {
        /// The pipe it comes from.
        pipe: PipeId,
        /// How its bytes travel.
        #[serde(default, skip_serializing_if = "Coding::is_plain")]
        coding: Coding,
    },
    /// Node to entry and entry to client, data: what one stage wrote to stderr. Opened when its first byte comes.
    Stderr {
        /// The pipe it comes from.
        pipe: PipeId,
        /// The try it belongs to.
        attempt: Attempt,
        /// The stage that wrote it.
        stage: StageNumber,
    },
    /// Entry to node, both directions: one pipe's part on that node, as [`ToNode`](super::ToNode) and
    /// [`FromNode`](super::FromNode). Its loss ends the pipe's stages on that node.
    Control {
        /// The pipe.
        pipe: PipeId,
        /// The try it belongs to.
        attempt: Attempt,
    },
    /// Upstream to downstream, data: what flows between two neighbouring stages.
    Link {
        /// The pipe.
        pipe: PipeId,
        /// The try it belongs to.
        attempt: Attempt,
        /// Who writes.
        from: LinkEndpoint,
        /// Who reads.
        to: LinkEndpoint,
        /// The agreement's digest, SHA-256 in hexadecimal. A reader whose own differs stops the stream before any byte.
        digest: String,
        /// How its bytes travel: one of the ways that the terms allow.
        #[serde(default, skip_serializing_if = "Coding::is_plain")]
        coding: Coding,
    },
    /// A purpose of a newer peer; such a stream is refused.
    #[serde(other)]
    Unknown,
}

/// One end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkEndpoint {
    /// The client, by way of its entry.
    Client,
    /// A stage.
    Stage(StageNumber),
}
