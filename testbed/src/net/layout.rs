//! Other networks than one LAN.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Net, add_bridge, ip, run};

/// The last byte of the router's addresses.
const ROUTER: u8 = 254;

// === impl Net ===

impl Net {
    /// The IPv6 address of a host after [`Net::with_ipv6`].
    #[must_use]
    pub const fn address_v6(host: u8) -> Ipv6Addr {
        Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, host as u16)
    }

    /// The address of a host's `eth1` after [`Net::second_link`].
    #[must_use]
    pub const fn second_address(host: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 78, 0, host)
    }

    /// The address of a host after [`Net::behind_a_router`].
    #[must_use]
    pub const fn far_address(host: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 79, 0, host)
    }

    /// Gives every host an address of IPv6 that is not only its link's.
    pub fn with_ipv6(&self) {
        for host in 1..=self.hosts {
            self.ip(
                host,
                &format!("addr add {}/64 dev eth0", Self::address_v6(host)),
            );
        }
    }

    /// Takes a host's IPv4 address away: what is left is its link's.
    pub fn without_ipv4(&self, host: u8) {
        self.ip(host, "-4 addr flush dev eth0");
    }

    /// Moves the IPv4 address of one host to another, as a failover does, and tells the neighbours.
    pub fn move_address(&self, from: u8, to: u8) {
        let address = Self::address(from);
        self.ip(from, &format!("addr del {address}/24 dev eth0"));
        self.ip(to, &format!("addr add {address}/24 dev eth0"));
        for host in (1..=self.hosts).filter(|&host| host != to) {
            self.ip(host, "neigh flush dev eth0");
        }
    }

    /// Gives these hosts a second LAN, `eth1`.
    pub fn second_link(&self, hosts: &[u8]) {
        let bridge = self.namespace(0);
        add_bridge(&bridge, "br1");
        for &host in hosts {
            let name = self.namespace(host);
            ip(&format!(
                "link add name eth1 netns {name} type veth peer name q{host} netns {bridge}"
            ));
            ip(&format!("-n {bridge} link set q{host} master br1 up"));
            let address = Self::second_address(host);
            ip(&format!("-n {name} addr add {address}/24 dev eth1"));
            ip(&format!("-n {name} link set eth1 up"));
        }
    }

    /// Moves these hosts to a LAN of their own, behind a router. It passes on every packet between the two LANs, and no multicast.
    pub fn behind_a_router(&self, hosts: &[u8]) {
        let bridge = self.namespace(0);
        add_bridge(&bridge, "br2");
        let near = Ipv4Addr::new(10, 77, 0, ROUTER);
        let far = Self::far_address(ROUTER);
        ip(&format!("-n {bridge} addr add {near}/24 dev br0"));
        ip(&format!("-n {bridge} addr add {far}/24 dev br2"));
        // What is bridged is not routed, and no concern of the router's firewall.
        let set = "echo 1 > /proc/sys/net/ipv4/ip_forward; \
                   for f in /proc/sys/net/bridge/bridge-nf-call-*tables; do [ ! -e $f ] || echo 0 > $f; done";
        run(self.command(0, "sh").args(["-c", set]));
        for host in 1..=self.hosts {
            let name = self.namespace(host);
            let mut router = near;
            if hosts.contains(&host) {
                ip(&format!("-n {bridge} link set p{host} master br2"));
                ip(&format!("-n {name} -4 addr flush dev eth0"));
                let address = Self::far_address(host);
                ip(&format!("-n {name} addr add {address}/24 dev eth0"));
                router = far;
            }
            ip(&format!("-n {name} route add default via {router}"));
        }
    }

    /// Lets the router take packets of at most so many bytes to the hosts behind it.
    pub fn narrow(&self, bytes: u16) {
        self.ip(0, &format!("link set br2 mtu {bytes}"));
    }

    /// Keeps from the hosts that a packet was too long for the router: whoever sends such ones never learns it.
    pub fn hide_too_long(&self) {
        self.rule(
            0,
            "inet",
            "output",
            "icmp type destination-unreachable icmp code frag-needed drop",
        );
    }

    /// Makes the router a firewall that passes what belongs to a connection whose beginning it has seen, and forgets a connection after
    /// so many seconds of silence.
    pub fn stateful_router(&self, forgets_after: u32) {
        for rule in [
            "ct state established,related accept",
            "ct state new tcp flags & (syn|ack) == syn accept",
            "meta l4proto tcp drop",
        ] {
            self.rule(0, "inet", "forward", rule);
        }
        let set = format!(
            "cd /proc/sys/net/netfilter; echo 0 > nf_conntrack_tcp_loose; \
             echo {forgets_after} > nf_conntrack_tcp_timeout_established; \
             echo {forgets_after} > nf_conntrack_tcp_timeout_unacknowledged"
        );
        run(self.command(0, "sh").args(["-c", &set]));
    }

    /// Lets that firewall forget every connection, as one does that was started again.
    pub fn forget_connections(&self) {
        run(self
            .command(0, "conntrack")
            .arg("-F")
            .stderr(std::process::Stdio::null()));
    }
}
