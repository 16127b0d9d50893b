//! The interfaces on which multicast DNS is spoken, and which addresses are on their links.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use nix::{ifaddrs::getifaddrs, net::if_::InterfaceFlags, sys::socket::SockaddrStorage};

use super::Config;
use crate::RegistryError;

/// The usable ones among the chosen interfaces: up, with a carrier and an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Interfaces {
    links: BTreeMap<String, Link>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Link {
    loopback: bool,
    subnets: Vec<(IpAddr, IpAddr)>,
}

// === impl Interfaces ===

impl Interfaces {
    /// Looks at the system.
    ///
    /// # Errors
    ///
    /// `Rejected` for an interface that does not exist, `Unavailable` when none can be used now.
    pub(super) fn read(config: &Config) -> Result<Self, RegistryError> {
        for name in &config.interfaces {
            if nix::net::if_::if_nametoindex(name.as_str()).is_err() {
                return Err(RegistryError::Rejected {
                    detail: format!("there is no network interface `{name}`"),
                });
            }
        }
        let found = Self::present(config)?;
        if found.links.is_empty() {
            return Err(RegistryError::unavailable(found.lack(config)));
        }
        Ok(found)
    }

    /// Looks at the system; that nothing is left is no error.
    pub(super) fn present(config: &Config) -> Result<Self, RegistryError> {
        let all = getifaddrs().map_err(|error| {
            RegistryError::unavailable(format!("the network interfaces cannot be read: {error}"))
        })?;
        let mut links: BTreeMap<String, Link> = BTreeMap::new();
        let usable = InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING;
        for entry in all {
            let chosen =
                config.interfaces.is_empty() || config.interfaces.contains(&entry.interface_name);
            let address = entry.address.as_ref().and_then(ip);
            if let Some(address) = address
                && chosen
                && entry.flags.contains(usable)
            {
                let link = links.entry(entry.interface_name).or_default();
                link.loopback = entry.flags.contains(InterfaceFlags::IFF_LOOPBACK);
                let host = match address {
                    IpAddr::V4(_) => Ipv4Addr::BROADCAST.into(),
                    IpAddr::V6(_) => Ipv6Addr::from_bits(u128::MAX).into(),
                };
                let mask = entry.netmask.as_ref().and_then(ip).unwrap_or(host);
                link.subnets.push((address, mask));
            }
        }
        Ok(Self { links })
    }

    /// Why there is nothing to speak on.
    pub(super) fn lack(&self, config: &Config) -> String {
        match &config.interfaces[..] {
            [] => "no network interface is up with an address".to_owned(),
            [one] => format!("the interface {one} is down or has no address"),
            many => format!(
                "the interfaces {} are down or have no address",
                many.join(", ")
            ),
        }
    }

    /// Whether any of them leads off this host.
    pub(super) fn lead_away(&self) -> bool {
        self.links.values().any(|link| !link.loopback)
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// Whether this is a loopback interface.
    pub(super) fn is_loopback(&self, name: &str) -> bool {
        self.links.get(name).is_some_and(|link| link.loopback)
    }

    /// Whether an address is in a subnet of this interface.
    pub(super) fn on_link(&self, name: &str, address: IpAddr) -> bool {
        let within = |(own, mask): &(IpAddr, IpAddr)| same_subnet(*own, *mask, address);
        self.links
            .get(name)
            .is_some_and(|link| link.subnets.iter().any(within))
    }

    /// Whether an address is in a subnet of any of them.
    pub(super) fn hold(&self, address: IpAddr) -> bool {
        self.links.keys().any(|name| self.on_link(name, address))
    }

    #[cfg(test)]
    pub(super) fn of(links: &[(&str, &str, &str)]) -> Self {
        let mut found = Self::default();
        for (name, address, mask) in links {
            let link = found.links.entry((*name).to_owned()).or_default();
            link.loopback = *name == "lo";
            link.subnets
                .push((address.parse().unwrap(), mask.parse().unwrap()));
        }
        found
    }
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| v4.ip().into());
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| v6.ip().into()))
}

fn same_subnet(own: IpAddr, mask: IpAddr, other: IpAddr) -> bool {
    match (own, mask, other) {
        (IpAddr::V4(own), IpAddr::V4(mask), IpAddr::V4(other)) => own & mask == other & mask,
        (IpAddr::V6(own), IpAddr::V6(mask), IpAddr::V6(other)) => own & mask == other & mask,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_on_the_link_whose_subnet_holds_it() {
        let interfaces = Interfaces::of(&[
            ("eth0", "10.77.0.1", "255.255.255.0"),
            ("eth0", "fe80::1", "ffff:ffff:ffff:ffff::"),
            ("lo", "127.0.0.1", "255.0.0.0"),
        ]);
        let on = |name: &str, address: &str| interfaces.on_link(name, address.parse().unwrap());
        assert!(on("eth0", "10.77.0.200") && on("eth0", "fe80::9") && on("lo", "127.9.9.9"));
        assert!(!on("eth0", "10.77.1.1") && !on("eth0", "127.0.0.1") && !on("lo", "10.77.0.1"));
        assert!(!on("eth1", "10.77.0.1") && !on("eth0", "2001:db8::1"));
    }

    #[test]
    fn an_interface_that_does_not_exist_is_named() {
        let config = Config {
            interfaces: vec!["no-such0".to_owned()],
            subtypes: false,
        };
        let error = Interfaces::read(&config).unwrap_err();
        assert!(matches!(error, RegistryError::Rejected { .. }), "{error}");
        assert!(error.to_string().contains("`no-such0`"), "{error}");
    }
}
