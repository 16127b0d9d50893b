//! etcd, against a real member.
