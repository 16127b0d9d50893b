//! Loopback addresses of one's own, so that ports can be fixed and any number of tests run at once.

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    net::{Ipv4Addr, TcpListener},
};

/// A loopback address that nobody else uses: of the sixteen million in 127.0.0.0/8 one at random, on which nothing listens at these
/// ports.
pub(crate) fn own(ports: &[u16]) -> Ipv4Addr {
    loop {
        let [_, a, b, c, ..] = RandomState::new().hash_one(0).to_be_bytes();
        // Not in 127.0.0.0/16, where people put things.
        let address = Ipv4Addr::new(127, a.max(1), b, c.clamp(1, 254));
        let free = |port: &u16| TcpListener::bind((address, *port)).is_ok();
        if ports.iter().all(free) {
            return address;
        }
    }
}
