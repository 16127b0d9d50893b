//! Sockets as the kernel lists them.

use std::{fs, net::SocketAddrV4};

/// A connection that is established, in the table's fourth column; see proc(5).
const ESTABLISHED: &str = "01";

/// How many connections this host has to an address.
#[must_use]
pub fn connections_to(address: SocketAddrV4) -> usize {
    let host = u32::from_le_bytes(address.ip().octets());
    let remote = format!("{host:08X}:{:04X}", address.port());
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let rows = table
        .lines()
        .skip(1)
        .map(|row| row.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row[2] == remote && row[3] == ESTABLISHED)
        .count()
}
