//! A machine where nothing is set up: the client alone with the entry inside it, or daemons with their defaults.

use rustix::process::Signal;

use super::{DPIPES, DPIPESD, Invocation, Runner, Scratch, holds_within, patience, processes};

/// A machine with no daemon and no configuration.
pub(crate) struct Local {
    scratch: Scratch,
}

impl Local {
    /// Makes one.
    pub(crate) fn new() -> Self {
        Self {
            scratch: Scratch::new(),
        }
    }

    /// The client as somebody types it: it looks for a daemon first.
    pub(crate) fn plain_dpipes(&self, arguments: &[&str]) -> Invocation {
        self.program(DPIPES, arguments)
    }

    /// The daemon.
    pub(crate) fn dpipesd(&self, arguments: &[&str]) -> Invocation {
        self.program(DPIPESD, arguments)
    }

    fn program(&self, program: &str, arguments: &[&str]) -> Invocation {
        let mut command = self.scratch.command(program);
        command.args(arguments);
        Invocation::new(command)
    }
}

impl Runner for Local {
    fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    fn dpipes(&self, arguments: &[&str]) -> Invocation {
        self.plain_dpipes(&[&["--no-daemon"], arguments].concat())
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.scratch.keep();
            return self
                .scratch
                .processes()
                .into_iter()
                .for_each(|pid| processes::send(pid, Signal::KILL));
        }
        let gone = holds_within(patience(), || self.scratch.processes().is_empty());
        let left = self.scratch.processes();
        for &pid in &left {
            processes::send(pid, Signal::KILL);
        }
        assert!(gone, "processes left: {}", processes::describe(&left));
        let files = self.scratch.left_files();
        assert!(files.is_empty(), "temporary files left: {files:?}");
    }
}
