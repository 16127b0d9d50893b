//! The language of the suite: clusters of real daemons, the client, bash as the judge, and a cast of bad peers.
//!
//! Every test owns a [`Scratch`] folder and, through unique node names, everything that runs because of it. Nothing here touches the
//! environment, the working directory or a fixed port of the test process, so all tests may run at once in one process. When a
//! [`Cluster`] or a [`Local`] is dropped, it fails the test if a process, a zombie, a descriptor or a temporary file is left.

mod cluster;
mod daemon;
pub(crate) mod hostile;
mod invocation;
pub(crate) mod lan;
mod local;
mod oracle;
mod patience;
pub(crate) mod processes;
pub(crate) mod proxy;
mod scratch;

pub(crate) use self::{
    cluster::Cluster,
    daemon::{Daemon, free_port},
    invocation::{Invocation, Run, Running},
    local::Local,
    oracle::{Runner, bash},
    patience::{Heavy, heavy, holds_within, patience, pause},
    scratch::Scratch,
};
pub(crate) use rustix::process::Signal;

/// The client under test.
pub(crate) const DPIPES: &str = env!("CARGO_BIN_EXE_dpipes");

/// The daemon under test.
pub(crate) const DPIPESD: &str = env!("CARGO_BIN_EXE_dpipesd");

/// Waits until the condition holds and fails the test, naming what did not come, when patience is over.
macro_rules! eventually {
    ($condition:expr, $($what:tt)+) => {
        assert!(
            $crate::kit::holds_within($crate::kit::patience(), || $condition),
            "never happened: {}",
            format_args!($($what)+)
        )
    };
}
pub(crate) use eventually;
