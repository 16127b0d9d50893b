//! Consul agents.
