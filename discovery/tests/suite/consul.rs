//! Consul, against a real agent.
