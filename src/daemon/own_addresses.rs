//! The addresses of this machine, as others may see them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use nix::ifaddrs::getifaddrs;

/// An address of a network that is reserved for documentation (RFC 5737).
const SOMEWHERE: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);

/// Every address of this machine that another one might reach or see, the one of the default route first. Loopback and link-local
/// addresses are none.
pub(super) fn own_addresses() -> Vec<IpAddr> {
    let mut all: Vec<IpAddr> = Vec::new();
    all.extend(of_default_route());
    for interface in getifaddrs().into_iter().flatten() {
        let Some(address) = interface.address else {
            continue;
        };
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        let v6 = address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip()));
        all.extend(v4.or(v6));
    }
    let mut seen = Vec::new();
    all.retain(|address| {
        let is_new = can_be_reached(*address) && !seen.contains(address);
        seen.push(*address);
        is_new
    });
    all
}

/// An address of this machine in place of one that means all of them, for that can be listened on and not dialled.
pub(super) fn dialable(address: SocketAddr) -> Option<SocketAddr> {
    if !address.ip().is_unspecified() {
        return Some(address);
    }
    let own = own_addresses().into_iter();
    let mut reachable = own.map(|ip| SocketAddr::new(ip, address.port()));
    // A listener of IPv4 alone is not reached by IPv6.
    reachable.find(|own| own.is_ipv4() || address.is_ipv6())
}

/// Of the addresses that are listened on, the first that other machines reach, else the first.
pub(super) fn best(mut listened: impl Iterator<Item = SocketAddr> + Clone) -> Option<SocketAddr> {
    let beyond =
        |address: &SocketAddr| address.ip().is_unspecified() || can_be_reached(address.ip());
    listened.clone().find(beyond).or_else(|| listened.next())
}

fn of_default_route() -> Option<IpAddr> {
    towards(SOMEWHERE.into())
}

/// The address of this machine from which the kernel would go to another one. Asking sends nothing.
pub(super) fn towards(there: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = match there {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(there).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// Whether an address means the same everywhere: loopback is every machine's own, and a link-local one every link's.
pub(super) fn can_be_reached(address: IpAddr) -> bool {
    let is_link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !(address.is_loopback() || address.is_unspecified() || address.is_multicast() || is_link_local)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_others_reach_is_preferred_to_loopback() {
        let chosen = |listened: &[&str]| {
            let listened = listened
                .iter()
                .map(|text| text.parse::<SocketAddr>().unwrap());
            best(listened).map(|address| address.to_string())
        };
        assert_eq!(
            chosen(&["127.0.0.1:1", "10.0.0.1:2"]).unwrap(),
            "10.0.0.1:2"
        );
        assert_eq!(chosen(&["127.0.0.1:1", "0.0.0.0:2"]).unwrap(), "0.0.0.0:2");
        assert_eq!(chosen(&["127.0.0.1:1", "[::1]:2"]).unwrap(), "127.0.0.1:1");
        assert_eq!(chosen(&[]), None);
    }

    #[test]
    fn nobody_is_told_an_address_that_only_this_machine_or_link_understands() {
        for (address, expected) in [
            ("127.0.0.1", false),
            ("::1", false),
            ("0.0.0.0", false),
            ("169.254.1.1", false),
            ("fe80::1", false),
            ("10.0.0.1", true),
            ("2001:db8::1", true),
        ] {
            assert_eq!(
                can_be_reached(address.parse().unwrap()),
                expected,
                "{address}"
            );
        }
        assert!(own_addresses().into_iter().all(can_be_reached));
    }
}
