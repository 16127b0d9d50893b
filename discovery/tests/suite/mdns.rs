//! Multicast DNS, on hosts of their own.

mod avahi;
mod child;
mod conformance;
mod content;
mod failures;
mod hosts;
mod links;
mod nodes;
