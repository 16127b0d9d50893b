//! Multicast DNS, on hosts of their own.
