//! etcd members.
