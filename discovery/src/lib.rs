//! Service registries behind one trait, and one [`Directory`] above them all.
//!
//! A [`Registry`] says what it knows and ends on its first error; it has no policy. The [`Directory`] holds the last good answer,
//! waits between tries, lets vanished nodes linger, merges several registries and leaves out nodes that lately failed. README.md is
//! for people who write a backend.
//!
//! This crate knows nothing of who uses it: names of services are handed in ([`Names`]).

mod backoff;
mod directory;
mod instance;
mod memory;
mod name;
mod registry;
mod static_nodes;

pub use self::{
    backoff::{Backoff, Pace},
    directory::{
        ABSENT_LINGER, Address, Candidate, Directory, FIRST_ANSWER, MAX_WATCHES, Probe,
        RECONNECT_LINGER, Snapshot, Source,
    },
    instance::{DEFAULT_WEIGHT, Health, Instance, Registration, ServiceDef},
    memory::Memory,
    name::{InvalidName, NodeId, ServiceName},
    registry::{Abilities, Cause, Lease, LeaseState, Registry, RegistryError},
    static_nodes::{FileError, Names, NodeEntry, NodeList, StaticNodes},
};
