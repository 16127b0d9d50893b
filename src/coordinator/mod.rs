//! Owns one pipe from request to outcome: resolve, place, prepare, start, watch, end.
//!
//! ```text
//! request --place--> Plan --prepare--> Parts (every node accepted) --start--> Watch --verdict--> Outcome
//!              ^                |
//!              +--- busy, gone -+   (before anything started; at most MAX_ATTEMPTS times)
//! ```
//!
//! The coordinator runs inside an entry and knows nothing of listeners, processes or configuration: the [`Cluster`] tells it who is
//! there and hands it sessions. It speaks to every node through one control stream; the loss of that stream ends the node's part of
//! the pipe there, so that nothing outlives its coordinator.

mod chronicle;
mod cluster;
mod place;
mod prepare;
mod relay;
mod request;
mod run;
mod runs;
mod verdict;
mod watch;

pub use self::{
    cluster::{Cluster, Defaults},
    run::serve,
    runs::{Arrival, Order, Runs},
};
