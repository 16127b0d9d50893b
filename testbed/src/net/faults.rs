//! What networks do to packets: some `nft` and `tc` in the namespaces, never outside of them.
//!
//! What happens on the way happens on the bridge, so that neither end is told. What a host does to its own packets is said by the name
//! of the function.

use std::process::Command;

use super::{Net, run};

/// The table of all rules. One that is there already stays as it is.
const TABLE: &str = "faults";

/// How a firewall turns packets away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// With a reset, as if nobody listened there.
    Reset,
    /// With an ICMP message: the host cannot be reached.
    Unreachable,
}

/// Bytes that wait for their turn on a limited way. A hundred full packets, as in a small router.
const QUEUE: u32 = 150_000;

// === impl Net ===

impl Net {
    /// Drops what one host sends to another. The other way stays open.
    pub fn drop_from(&self, from: u8, to: u8) {
        self.on_the_way(&format!("iifname p{from} oifname p{to} drop"));
    }

    /// Drops what two hosts send to each other.
    pub fn part(&self, one: u8, other: u8) {
        self.drop_from(one, other);
        self.drop_from(other, one);
    }

    /// Drops multicast to and from a host, as a switch does that looks for memberships and forgets them. Other packets pass, and so do
    /// the neighbour discovery of IPv6 and the like.
    pub fn filter_mdns(&self, host: u8) {
        for port in [format!("iifname p{host}"), format!("oifname p{host}")] {
            self.on_the_way(&format!("{port} ip daddr 224.0.0.251 drop"));
            self.on_the_way(&format!("{port} ip6 daddr ff02::fb drop"));
        }
    }

    /// Loses so many in a hundred of the packets to and from a host, by chance.
    pub fn lose(&self, host: u8, percent: u8) {
        for port in [format!("iifname p{host}"), format!("oifname p{host}")] {
            self.on_the_way(&format!("{port} numgen random mod 100 < {percent} drop"));
        }
    }

    /// Limits what goes to and from a host to a rate as `tc` writes it: `1mbit`.
    pub fn limit(&self, host: u8, rate: &str) {
        for (namespace, device) in [(host, "eth0".to_owned()), (0, format!("p{host}"))] {
            let words =
                format!("qdisc replace dev {device} root tbf rate {rate} burst 16kb limit {QUEUE}");
            run(self.command(namespace, "tc").args(words.split_whitespace()));
        }
    }

    /// Drops the packets that a host receives and that would open a TCP connection to it. Those that are open stay.
    pub fn swallow_dials(&self, host: u8) {
        self.on_arrival(host, "tcp flags & (syn|ack) == syn drop");
    }

    /// The same for IPv6 alone.
    pub fn swallow_dials_v6(&self, host: u8) {
        self.on_arrival(host, "meta nfproto ipv6 tcp flags & (syn|ack) == syn drop");
    }

    /// Turns away every TCP packet that a host receives from another, and says so.
    pub fn reject(&self, host: u8, from: u8, says: Says) {
        let with = match says {
            Says::Reset => "tcp reset",
            Says::Unreachable => "icmp type host-unreachable",
        };
        let from = Self::address(from);
        self.on_arrival(
            host,
            &format!("ip saddr {from} meta l4proto tcp reject with {with}"),
        );
    }

    /// A route of a host that leads nowhere: it is told so itself, and nobody else.
    pub fn blackhole(&self, host: u8, to: u8) {
        self.ip(host, &format!("route add blackhole {}", Self::address(to)));
    }

    /// Takes all drops, losses and rejections back; rates, routes and cables stay.
    pub fn mend(&self) {
        for host in 0..=self.hosts {
            // One that is not there is made first, for deleting it would be an error.
            let without = ["bridge", "inet"]
                .map(|family| format!("add table {family} {TABLE}; delete table {family} {TABLE}"));
            self.nft(host, &without.join("; "));
        }
    }

    /// A rule for what the bridge passes on.
    fn on_the_way(&self, rule: &str) {
        self.rule(0, "bridge", "forward", rule);
    }

    /// A rule for what a host receives for itself.
    fn on_arrival(&self, host: u8, rule: &str) {
        self.rule(host, "inet", "input", rule);
    }

    pub(super) fn rule(&self, host: u8, family: &str, hook: &str, rule: &str) {
        self.nft(
            host,
            &format!(
                "add table {family} {TABLE}; \
                 add chain {family} {TABLE} {hook} {{ type filter hook {hook} priority 0; }}; \
                 add rule {family} {TABLE} {hook} {rule}"
            ),
        );
    }

    fn nft(&self, host: u8, words: &str) {
        let mut nft: Command = self.command(host, "nft");
        run(nft.arg(words));
    }
}
