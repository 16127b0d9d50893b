//! What a daemon found out about its own node before it answers an offer.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use crate::media::Format;

/// A node as its daemon sees it now: plain data, gathered just before the check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Features of the protocol that this node has.
    pub features: BTreeSet<String>,
    /// `-o` options that this node heeds.
    pub options: BTreeSet<String>,
    /// Formats that its links can carry.
    pub formats: Vec<Format>,
    /// The apps of the offer, as looked up.
    pub apps: BTreeMap<String, AppFact>,
    /// The daemon's own user.
    pub user: String,
    /// Whether the daemon can start apps as another user.
    pub privileged: bool,
    /// Those users that exist, of the ones that rules or the offer name, and of `dpipes` where apps would run as root otherwise.
    pub users: BTreeSet<String>,
    /// Stages prepared or running.
    pub running: u32,
    /// Whether the node is leaving.
    pub draining: bool,
    /// Whether the offer comes from this very process, embedded in the user's client: then it is the user's own shell, and no
    /// variable is kept from it.
    pub own_shell: bool,
}

/// An app as looked up on the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppFact {
    /// Its program.
    pub program: Program,
    /// Its version, where known.
    pub version: Option<String>,
}

/// What a look-up of a program found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// It can be executed.
    Found(PathBuf),
    /// It is there and cannot be executed.
    NotExecutable {
        /// Where.
        path: PathBuf,
        /// Why not.
        detail: String,
    },
    /// It is not there.
    Missing,
}

/// A node that knows nothing, runs nothing, and carries bytes.
impl Default for Facts {
    fn default() -> Self {
        Self {
            features: BTreeSet::new(),
            options: BTreeSet::new(),
            formats: vec![Format::Bytes],
            apps: BTreeMap::new(),
            user: String::new(),
            privileged: false,
            users: BTreeSet::new(),
            running: 0,
            draining: false,
            own_shell: false,
        }
    }
}
