use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use crate::id::NodeId;

/// One node that may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeCandidate {
    /// Its name.
    pub node: NodeId,
    /// Where it is dialled, one after the other.
    pub addresses: Vec<String>,
    /// What it runs.
    pub apps: Offered,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// How well it is.
    pub health: Tier,
    /// It lately failed and is left out while others remain.
    pub ejected: bool,
    /// Its share of the work; 0 takes none.
    pub weight: u16,
    /// Stages it runs and stages it takes at most, where known.
    pub load: Option<(u32, u32)>,
    /// Which registry told of it.
    pub source: String,
    /// Whether it is the entry itself.
    pub here: bool,
}

/// What a node runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offered {
    /// Any program of its search path.
    Any,
    /// These apps and no others.
    Listed(BTreeSet<String>),
    /// Nobody knows; it has to be asked.
    Unknown,
}

/// How well a node is, from the most to the least usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// It answers.
    Passing,
    /// Nobody looked yet.
    Unknown,
    /// It wants no more work.
    Warning,
    /// Its registry no longer lists it.
    Absent,
    /// It is said to be broken.
    Critical,
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Passing => "passing",
            Self::Unknown => "unknown",
            Self::Warning => "warning",
            Self::Absent => "absent",
            Self::Critical => "critical",
        })
    }
}
