//! Whether networks that may connect are everybody, which nobody is to say by accident.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::value::Network;

/// Part of what is said of networks that are everybody; by it the next step is found.
pub(super) const EVERYBODY: &str = "so that everybody may connect";

/// The next step then.
pub(super) const SAY_OPEN: &str = "name the networks of your nodes, as 10.0.0.0/8; if everybody is meant, say so: `access: open` or --access open";

/// Takes networks that are not everybody.
///
/// # Errors
///
/// Returns that they are.
pub(super) fn accept(networks: Vec<Network>) -> Result<Vec<Network>, String> {
    let all_of = |family: &str| format!("these networks are all of {family}, {EVERYBODY}");
    if cover_all(&networks, IpAddr::is_ipv4) {
        return Err(all_of("IPv4"));
    }
    if cover_all(&networks, IpAddr::is_ipv6) {
        return Err(all_of("IPv6"));
    }
    Ok(networks)
}

/// Whether these networks, with the loopback that may always connect, leave out no address of a family.
fn cover_all(networks: &[Network], is_of_family: impl Fn(&IpAddr) -> bool) -> bool {
    let loopback = [
        Network(Ipv4Addr::new(127, 0, 0, 0).into(), 8),
        Network(Ipv6Addr::LOCALHOST.into(), 128),
    ];
    // As who may connect is judged: IPv4 that is mapped into IPv6 is IPv4, and a prefix longer than an address lets nobody in.
    let all = networks.iter().chain(&loopback);
    let all = all.map(|network| Network(network.0.to_canonical(), network.1));
    let mut ranges: Vec<_> = all
        .filter(|Network(address, length)| is_of_family(address) && *length <= bits(address))
        .map(|network| range(&network))
        .collect();
    ranges.sort_unstable();
    let mut next = 0;
    for (first, last) in ranges {
        if first > next {
            return false;
        }
        match last.checked_add(1) {
            None => return true,
            Some(after) => next = after.max(next),
        }
    }
    false
}

const fn bits(address: &IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// The first and the last address, as numbers that end where the family ends: those of IPv4 are the upper bits, so that the last address
/// of both families is the greatest number.
fn range(network: &Network) -> (u128, u128) {
    let address = match network.0 {
        IpAddr::V4(v4) => u128::from(u32::from(v4)) << 96,
        IpAddr::V6(v6) => u128::from(v6),
    };
    let rest = u128::MAX.checked_shr(network.1.into()).unwrap_or(0);
    (address & !rest, address | rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::value::Text;

    fn networks(texts: &[&str]) -> Vec<Network> {
        texts
            .iter()
            .map(|text| Network::from_text(text).unwrap())
            .collect()
    }

    #[test]
    fn all_of_a_family_is_refused_however_it_is_written() {
        for everybody in [
            &["0.0.0.0/0"][..],
            &["::/0"],
            &["10.0.0.0/8", "::/0"],
            &["1.2.3.4/0"],
            &["0.0.0.0/1", "128.0.0.0/1"],
            &["128.0.0.0/1", "64.0.0.0/2", "10.0.0.0/8", "0.0.0.0/2"],
            &["8000::/1", "::/1"],
            &["::ffff:0.0.0.0/0"],
        ] {
            let said = accept(networks(everybody)).unwrap_err();
            assert!(said.contains(EVERYBODY), "{everybody:?}: {said}");
        }
        for some in [
            &[][..],
            &["10.0.0.0/8", "fd00::/8"],
            &["0.0.0.0/1"],
            &["0.0.0.0/1", "::/1"],
            &["0.0.0.0/1", "128.0.0.0/2", "192.0.0.0/3"],
            &["::ffff:0.0.0.0/96"],
        ] {
            assert_eq!(accept(networks(some)), Ok(networks(some)));
        }
    }

    /// A family taken apart: each number names the prefix that is halved next.
    fn taken_apart(family: Network, cuts: &[usize]) -> Vec<Network> {
        let bits = bits(&family.0);
        let mut parts = vec![family];
        for cut in cuts {
            let at = cut % parts.len();
            let Network(address, length) = parts[at];
            if length < bits {
                let upper = match address {
                    IpAddr::V4(v4) => Ipv4Addr::from(u32::from(v4) | (1 << (31 - length))).into(),
                    IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6) | (1 << (127 - length))).into(),
                };
                parts[at] = Network(upper, length + 1);
                parts.push(Network(address, length + 1));
            }
        }
        parts
    }

    proptest! {
        #[test]
        fn the_parts_of_a_family_are_all_of_it_and_without_one_they_are_not(
            is_v4: bool,
            cuts in prop::collection::vec(any::<usize>(), 0..60),
            left_out: usize,
        ) {
            let family = if is_v4 { "0.0.0.0/0" } else { "::/0" };
            let mut parts = taken_apart(Network::from_text(family).unwrap(), &cuts);
            prop_assert!(accept(parts.clone()).is_err());
            let gone = parts.swap_remove(left_out % parts.len());
            let is_loopback = gone.0.is_loopback() && gone.1 >= if is_v4 { 8 } else { 128 };
            prop_assert_eq!(accept(parts).is_err(), is_loopback, "without {:?}", gone);
        }
    }
}
