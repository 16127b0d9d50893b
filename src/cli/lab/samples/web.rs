//! A small shop that does not exist, with its visitors: what `access.log` and `events.ndjson` tell of.

use super::random::{Chances, Random};

/// A second of 5 January 2026, where all samples begin: a Monday.
#[derive(Clone, Copy, Default)]
pub(super) struct Clock {
    milliseconds: u64,
}

/// What visitors ask for, the most wanted first.
const PATHS: [&str; 20] = [
    "/",
    "/style.css",
    "/search?q=lamp",
    "/products/kettle",
    "/basket",
    "/images/logo.svg",
    "/products/lantern",
    "/api/v1/stock",
    "/checkout",
    "/login",
    "/products/rope",
    "/search?q=rope&page=2",
    "/about",
    "/robots.txt",
    "/api/v1/orders",
    "/images/kettle.jpg",
    "/products/no-such-thing",
    "/feed.xml",
    "/admin",
    "/.well-known/security.txt",
];

/// What visitors use, the most common first.
const AGENTS: [&str; 6] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (compatible; ExampleBot/2.1; +https://bot.example.org/)",
    "curl/8.5.0",
    "Wget/1.21.4",
    "python-requests/2.31.0",
    "-",
];

/// The networks that RFC 5737 keeps for documentation: nobody's real address is in a sample.
const NETWORKS: [&str; 3] = ["192.0.2", "198.51.100", "203.0.113"];

/// The statuses of answers, each with how many of a hundred have it.
const STATUSES: [(u64, u16); 8] = [
    (74, 200),
    (10, 304),
    (6, 404),
    (4, 302),
    (2, 206),
    (2, 401),
    (1, 500),
    (1, 503),
];

/// One request and its answer.
pub(super) struct Visit {
    pub address: String,
    pub method: &'static str,
    pub path: &'static str,
    pub status: u16,
    pub bytes: u64,
    pub agent: &'static str,
}

/// Who comes and what for.
pub(super) struct Visitors {
    addresses: Chances,
    paths: Chances,
    agents: Chances,
    statuses: Chances,
}

// === impl Clock ===

impl Clock {
    /// Lets up to this many milliseconds pass.
    pub(super) fn advance(&mut self, most: u64, random: &mut Random) {
        self.milliseconds += random.below(most + 1);
    }

    /// As in `05/Jan/2026:06:25:01 +0000`.
    pub(super) fn of_a_log(self) -> String {
        let (day, hour, minute, second) = self.parts();
        format!("{day:02}/Jan/2026:{hour:02}:{minute:02}:{second:02} +0000")
    }

    /// As in `2026-01-05T06:25:01.123Z`.
    pub(super) fn rfc3339(self) -> String {
        let (day, hour, minute, second) = self.parts();
        let rest = self.milliseconds % 1_000;
        format!("2026-01-{day:02}T{hour:02}:{minute:02}:{second:02}.{rest:03}Z")
    }

    fn parts(self) -> (u64, u64, u64, u64) {
        let seconds = self.milliseconds / 1_000;
        let hour = seconds / 3_600;
        (5 + hour / 24, hour % 24, seconds / 60 % 60, seconds % 60)
    }
}

// === impl Visitors ===

impl Visitors {
    pub(super) fn new() -> Self {
        Self {
            // Hosts .1 to .254 of each network.
            addresses: Chances::zipf(254 * NETWORKS.len()),
            paths: Chances::zipf(PATHS.len()),
            agents: Chances::zipf(AGENTS.len()),
            statuses: Chances::weighing(STATUSES.map(|(weight, _)| weight)),
        }
    }

    pub(super) fn next(&self, random: &mut Random) -> Visit {
        let rank = self.addresses.draw(random);
        let path = PATHS[self.paths.draw(random)];
        let (_, status) = STATUSES[self.statuses.draw(random)];
        let posts = matches!(path, "/login" | "/checkout" | "/api/v1/orders");
        // 131 has no factor in common with 254, so every host has its turn and neighbours in rank are none in number.
        let host = (rank / NETWORKS.len() * 131 + 16) % 254 + 1;
        Visit {
            address: format!("{}.{host}", NETWORKS[rank % NETWORKS.len()]),
            method: if posts { "POST" } else { "GET" },
            path,
            status: if path.ends_with("no-such-thing") {
                404
            } else {
                status
            },
            bytes: match status {
                304 => 0,
                200 | 206 => 180 + random.below(48_000),
                _ => 120 + random.below(400),
            },
            agent: AGENTS[self.agents.draw(random)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_tells_the_same_time_in_both_ways() {
        let clock = Clock {
            milliseconds: ((24 + 6) * 3_600 + 25 * 60 + 1) * 1_000 + 7,
        };
        assert_eq!(clock.of_a_log(), "06/Jan/2026:06:25:01 +0000");
        assert_eq!(clock.rfc3339(), "2026-01-06T06:25:01.007Z");
    }
}
