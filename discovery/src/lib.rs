//! Service registries behind one trait, and one [`Directory`] above them all.
//!
//! A [`Registry`] says what it knows and ends on its first error; it has no policy. The [`Directory`] holds the last good answer,
//! waits between tries, lets vanished nodes linger, merges several registries and leaves out nodes that lately failed. README.md is
//! for people who write a backend.
//!
//! This crate knows nothing of who uses it: names of services are handed in ([`Names`]).

mod announcer;
mod backoff;
mod clock;
#[cfg(feature = "consul")]
pub mod consul;
mod directory;
#[cfg(feature = "etcd")]
pub mod etcd;
mod file;
mod instance;
#[cfg(feature = "mdns")]
pub mod mdns;
mod memory;
mod name;
mod registry;
mod secret;
mod static_nodes;
mod tls;
mod trouble;

pub use self::{
    announcer::{Announced, Announcer},
    backoff::{Backoff, Pace},
    directory::{
        ABSENT_LINGER, Address, Candidate, Directory, FIRST_ANSWER, MAX_SERVICES, MAX_WATCHES,
        Probe, RECONNECT_LINGER, Snapshot, Source,
    },
    instance::{DEFAULT_WEIGHT, Health, Instance, Registration, ServiceDef},
    memory::Memory,
    name::{InvalidName, Names, NodeId, ServiceName},
    registry::{Abilities, Cause, Lease, LeaseState, Registry, RegistryError},
    secret::Secret,
    static_nodes::{FileError, NodeEntry, NodeList, StaticNodes},
    tls::Tls,
    trouble::FileTrouble,
};
