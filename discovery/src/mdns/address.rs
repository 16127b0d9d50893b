//! Which of a node's addresses are believed, and which of them is dialled.

use std::{
    collections::HashSet,
    net::{IpAddr, Ipv6Addr},
};

use mdns_sd::ScopedIp;

use super::interfaces::Interfaces;

/// The kinds of addresses, best first. Loopback ones are the last resort: only a node of this host has them, and then it mostly has
/// better ones, which others can dial too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    V4,
    V6,
    LinkLocalV4,
    LinkLocalV6,
    Loopback,
}

/// The believed ones, best first, and how many are not.
///
/// Believed are addresses in a subnet of the interface on which they were heard: nobody else on the link can have another one, and
/// membership goes by address. A loopback address is heard only on the loopback interface, and so from this host.
pub(super) fn believed(heard: &HashSet<ScopedIp>, interfaces: &Interfaces) -> (Vec<String>, usize) {
    let mut good: Vec<(Rank, IpAddr, String)> = heard
        .iter()
        .filter_map(|heard| {
            let address = heard.to_ip_addr();
            let text = believe(heard, interfaces)?;
            Some((rank(address), address, text))
        })
        .collect();
    let others = heard.len() - good.len();
    good.sort();
    (good.into_iter().map(|(.., text)| text).collect(), others)
}

/// The address as text, with its scope where it needs one.
fn believe(heard: &ScopedIp, interfaces: &Interfaces) -> Option<String> {
    let address = heard.to_ip_addr();
    if address.is_unspecified() || address.is_multicast() {
        return None;
    }
    match heard {
        ScopedIp::V4(v4) => v4
            .interface_ids()
            .iter()
            .any(|id| interfaces.on_link(&id.name, address))
            .then(|| address.to_string()),
        ScopedIp::V6(v6) => {
            let scope = &v6.scope_id().name;
            let text = match v6.addr().is_unicast_link_local() {
                true => format!("{address}%{scope}"),
                false => address.to_string(),
            };
            interfaces.on_link(scope, address).then_some(text)
        }
        _ => None,
    }
}

fn rank(address: IpAddr) -> Rank {
    match address {
        address if address.is_loopback() => Rank::Loopback,
        IpAddr::V4(v4) if v4.is_link_local() => Rank::LinkLocalV4,
        IpAddr::V4(_) => Rank::V4,
        IpAddr::V6(v6) if Ipv6Addr::is_unicast_link_local(&v6) => Rank::LinkLocalV6,
        IpAddr::V6(_) => Rank::V6,
    }
}

#[cfg(test)]
mod tests {
    use mdns_sd::{InterfaceId, ScopedIpV4};

    use super::*;

    #[test]
    fn only_addresses_of_the_link_are_believed() {
        let interfaces = Interfaces::of(&[
            ("eth0", "10.77.0.1", "255.255.255.0"),
            ("lo", "127.0.0.1", "255.0.0.0"),
        ]);
        let heard = |address: &str, on: &str| {
            let id = InterfaceId {
                name: on.to_owned(),
                index: 1,
            };
            ScopedIp::V4(ScopedIpV4::new(address.parse().unwrap(), id))
        };
        let set = [
            heard("127.0.0.1", "lo"),
            heard("10.77.0.9", "eth0"),
            heard("10.77.0.8", "eth0"),
            heard("127.0.0.2", "eth0"),
            heard("192.0.2.1", "eth0"),
            heard("0.0.0.0", "eth0"),
        ];
        let (good, others) = believed(&set.into(), &interfaces);
        assert_eq!(good, ["10.77.0.8", "10.77.0.9", "127.0.0.1"]);
        assert_eq!(others, 3);
    }

    #[test]
    fn the_order_is_global_before_link_local_before_loopback() {
        let mut ranks = ["::1", "fe80::1", "169.254.0.1", "2001:db8::1", "10.0.0.1"]
            .map(|text| rank(text.parse().unwrap()));
        ranks.sort();
        use Rank::*;
        assert_eq!(ranks, [V4, V6, LinkLocalV4, LinkLocalV6, Loopback]);
    }
}
