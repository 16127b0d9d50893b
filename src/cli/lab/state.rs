//! `lab.json`: which processes make the lab, with what tells them from later ones.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::cli::process::{self, Handle};

/// What `lab.json` says.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// The boot in which the processes were started.
    pub boot: String,
    /// The nodes.
    pub nodes: Vec<Node>,
}

/// One node of the lab.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Node {
    pub name: String,
    pub address: String,
    pub socket: PathBuf,
    /// Its process; `None` until it listens.
    pub pid: Option<i32>,
    /// When that process started, in clock ticks since boot.
    pub started: Option<u64>,
}

// === impl State ===

impl State {
    pub(super) fn read(dir: &Path) -> io::Result<Option<Self>> {
        let text = match fs::read_to_string(dir.join("lab.json")) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        serde_json::from_str(&text)
            .map(Some)
            .map_err(io::Error::other)
    }

    /// Writes it whole or not at all.
    pub(super) fn write(&self, dir: &Path) -> io::Result<()> {
        let new = dir.join("lab.json.new");
        fs::write(&new, serde_json::to_string(self).map_err(io::Error::other)?)?;
        fs::rename(new, dir.join("lab.json"))
    }

    /// The living process of a node. The handle is taken first and the start time compared after: a later process cannot slip in.
    pub(super) fn process(&self, node: &Node) -> io::Result<Option<Handle>> {
        let (Some(pid), Some(started)) = (node.pid, node.started) else {
            return Ok(None);
        };
        if self.boot != process::boot_id() {
            return Ok(None);
        }
        let handle = Handle::open(pid)?;
        Ok(handle.filter(|_| process::start_time(pid) == Some(started)))
    }

    pub(super) fn living(&self) -> io::Result<Vec<Handle>> {
        self.nodes
            .iter()
            .filter_map(|node| self.process(node).transpose())
            .collect()
    }
}
