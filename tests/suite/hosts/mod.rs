//! Hosts with addresses of their own, a daemon on each, and what networks do to them: rows N of the fault matrix that take a network.
//! Without root these tests say that they were not run.

mod crowds;
mod cuts;
mod dials;
mod firewalls;
mod members;
mod multicast;
mod restarts;
mod slow;
