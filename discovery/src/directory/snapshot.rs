//! What a directory tells: plain data without a clock, so that one snapshot always gives one answer.

use std::{fmt, sync::Arc};

use tokio::time::Instant;

use crate::{Instance, ServiceName};

/// What is known of one service, over all registries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The service.
    pub service: ServiceName,
    /// Who offers it, by node name.
    pub candidates: Arc<[Candidate]>,
    /// The registries, in configured order.
    pub sources: Arc<[Source]>,
}

/// One node's instance, merged from all registries that know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its fields: those of the first registry that is not stale; health is the best that is fresh, weight 0 wins.
    pub instance: Instance,
    /// Where it is dialled, one after the other.
    pub addrs: Vec<Address>,
    /// No registry that counts knows its health: what the instance says of it comes from probes, if from anything.
    pub probed: bool,
    /// Missing from the last answer of every registry that knew it, and not given up yet.
    pub absent: bool,
    /// To be left out for a while, for it lately failed.
    pub ejected: bool,
    /// The registries that know it.
    pub from: Vec<Arc<str>>,
}

/// Where a node is dialled.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// An address or a DNS name.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// How one registry stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name; the second of one kind is called `NAME-2`.
    pub name: Arc<str>,
    /// When it answered last.
    pub updated: Option<Instant>,
    /// Why its part is old, if it is.
    pub stale: Option<String>,
}

// === impl Snapshot ===

impl Snapshot {
    /// Whether every registry has answered or failed, so that more waiting is of little use.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let spoke = |source: &Source| source.updated.is_some() || source.stale.is_some();
        self.sources.iter().all(spoke)
    }

    /// Whether the difference to another one is worth waking somebody: all but the time of the last answer.
    pub(super) fn differs(&self, other: &Self) -> bool {
        let told = |source: &Source| (source.updated.is_some(), source.stale.clone());
        self.candidates != other.candidates
            || !self
                .sources
                .iter()
                .map(told)
                .eq(other.sources.iter().map(told))
    }
}

// === impl Address ===

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}
