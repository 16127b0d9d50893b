//! Who may connect over TCP. A decision needs the peer's address and what the registry lists, nothing else.

use std::net::{IpAddr, Ipv4Addr};

use super::settings::Access;

/// Why a peer may not connect: one line for the peer to read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{address} {why}; dpipes help access")]
pub(super) struct NotAllowed {
    address: IpAddr,
    why: String,
}

// === impl NotAllowed ===

impl NotAllowed {
    /// The same, with what came of another look.
    pub(super) fn because(mut self, why: &str) -> Self {
        self.why = format!("{}, and {why}", self.why);
        self
    }
}

/// Decides about a peer. `members` tells whether its address is that of a node that the registry lists, and how many are known.
pub(super) fn check(
    access: &Access,
    peer: IpAddr,
    members: (bool, usize),
) -> Result<(), NotAllowed> {
    let peer = canonical(peer);
    let why = match access {
        Access::Open => return Ok(()),
        _ if peer.is_loopback() => return Ok(()),
        Access::Local => "is not this machine, and only this machine may connect".to_owned(),
        Access::Members if members.0 => return Ok(()),
        Access::Members => format!("is not a member ({} known)", members.1),
        Access::Networks(networks)
            if networks
                .iter()
                .any(|(network, length)| contains(*network, *length, peer)) =>
        {
            return Ok(());
        }
        Access::Networks(_) => "is in none of the networks that may connect".to_owned(),
    };
    Err(NotAllowed { address: peer, why })
}

/// The address to compare: IPv4 that came mapped into IPv6 counts as IPv4.
pub(super) fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// Whether an address in a registry can make a member: loopback would make every program of this machine one, and nobody else.
pub(super) fn can_be_member(address: IpAddr) -> bool {
    let link_local_or_broadcast = matches!(address, IpAddr::V4(v4) if v4 == Ipv4Addr::BROADCAST);
    !(address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        || link_local_or_broadcast)
}

fn contains(network: IpAddr, length: u8, address: IpAddr) -> bool {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()) << 96, 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    };
    let ((network, width), (address, other_width)) = (bits(canonical(network)), bits(address));
    if width != other_width || u32::from(length) > width {
        return false;
    }
    let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
    network & mask == address & mask
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn loopback_may_always_connect() {
        for access in [
            Access::Local,
            Access::Members,
            Access::Networks(vec![]),
            Access::Open,
        ] {
            for address in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
                assert_eq!(check(&access, ip(address), (false, 0)), Ok(()));
            }
        }
    }

    #[test]
    fn members_are_those_the_registry_lists_and_nobody_else() {
        assert_eq!(check(&Access::Members, ip("10.0.0.1"), (true, 1)), Ok(()));
        let refused = check(&Access::Members, ip("::ffff:10.0.0.2"), (false, 1)).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "10.0.0.2 is not a member (1 known); dpipes help access"
        );
        assert_eq!(
            refused.because("nobody knows it").to_string(),
            "10.0.0.2 is not a member (1 known), and nobody knows it; dpipes help access"
        );
        assert!(check(&Access::Local, ip("10.0.0.1"), (true, 1)).is_err());
    }

    #[test]
    fn networks_are_prefixes() {
        let access = Access::Networks(vec![
            (ip("10.0.0.0"), 8),
            (ip("2001:db8::"), 32),
            (ip("192.168.1.7"), 32),
        ]);
        for (address, allowed) in [
            ("10.255.0.1", true),
            ("11.0.0.1", false),
            ("::ffff:10.0.0.1", true),
            ("2001:db8::1", true),
            ("2001:db9::1", false),
            ("192.168.1.7", true),
            ("192.168.1.8", false),
        ] {
            assert_eq!(
                check(&access, ip(address), (false, 0)).is_ok(),
                allowed,
                "{address}"
            );
        }
        assert!(
            check(
                &Access::Networks(vec![(ip("0.0.0.0"), 0)]),
                ip("8.8.8.8"),
                (false, 0)
            )
            .is_ok()
        );
    }

    #[test]
    fn loopback_in_a_registry_makes_nobody_a_member() {
        for address in ["127.0.0.1", "0.0.0.0", "::", "224.0.0.1", "255.255.255.255"] {
            assert!(!can_be_member(ip(address)), "{address}");
        }
        assert!(can_be_member(ip("10.1.2.3")));
    }
}
