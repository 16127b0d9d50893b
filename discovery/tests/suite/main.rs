//! Every backend against one suite, real servers included, and the directory above them under a paused clock.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod bed;
mod consul;
mod directory;
#[cfg(feature = "etcd")]
mod etcd;
#[cfg(feature = "mdns")]
mod mdns;
mod memory;
mod static_nodes;
