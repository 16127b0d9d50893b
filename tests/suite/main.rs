//! Real daemons, the real client, and bash as the judge.
//!
//! One binary with one vocabulary ([`kit`]); a file for each theme. Every test ends with the checks of the kit: nothing is left behind.

#![expect(
    clippy::unwrap_used,
    reason = "a test crate from end to end: what fails to unwrap fails the test"
)]

mod kit;

mod apps;
mod clients;
mod coding;
mod configuration;
mod containers;
mod corpora;
mod costs;
mod daemon;
mod dashboard;
mod deploy;
mod discovery;
mod docs;
mod embedded;
mod endings;
mod exec;
mod healthcheck;
mod hostile;
mod hosts;
mod lab;
mod layers;
mod lost_nodes;
mod network;
mod notify;
mod objects;
mod ps;
mod refusals;
mod registries;
mod resources;
mod rest;
mod same_as_bash;
mod soak;
mod stderr;
mod top;
mod zero_configuration;
