//! `dpipes lab`: a playground of daemons on this machine that know each other by a static list.
//!
//! ```text
//! <runtime directory>/dpipes-lab/
//!     nodes.yaml                                     who is there
//!     node-a.yaml  node-a.sock  node-a.log           one of each per node
//!     lab.json                                       the processes, with what tells them from later ones
//! ```

use std::path::{Path, PathBuf};

mod data;
mod nodes;
mod samples;
mod state;

use self::{nodes::Lab, state::State};
use super::{args::LabCommand, console::say, exit};
use crate::config::Surroundings;

/// Runs the subcommand and returns its exit status.
pub(crate) fn run(command: &LabCommand, surroundings: &Surroundings) -> u8 {
    let lab = Lab {
        dir: surroundings.lab_dir(),
        surroundings,
    };
    let done = match command {
        LabCommand::Up { nodes, base_port } => lab.up(*nodes, *base_port),
        LabCommand::Down => lab.down(),
        LabCommand::Status { json } => lab.status(*json),
        LabCommand::Data { dir, force } => {
            let dir = dir.as_deref().unwrap_or_else(|| Path::new(data::DIR));
            data::run(dir, *force)
        }
    };
    done.unwrap_or_else(|message| {
        say(&message.render(true));
        exit::FAILED
    })
}

/// The socket of the first node of a running lab.
pub(crate) fn first_socket(surroundings: &Surroundings) -> Option<PathBuf> {
    let state = State::read(&surroundings.lab_dir()).ok().flatten()?;
    let first = state.nodes.first()?;
    state
        .process(first)
        .ok()
        .flatten()
        .map(|_| first.socket.clone())
}
