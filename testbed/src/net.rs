//! Hosts as network namespaces on a bridge.
