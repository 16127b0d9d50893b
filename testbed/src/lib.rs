//! Real servers and networks for the tests of dpipes: registries as processes of their own, hosts as network namespaces.
//!
//! Everything here panics when it fails: who uses it is a test, and a test without its servers has failed.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod address;
pub mod certificates;
pub mod consul;
pub mod etcd;
pub mod net;
pub mod process;
pub mod servers;
pub mod sockets;
