//! Whether the peer is alive, judged by what is heard of it and never by the progress of data.

use std::time::Duration;

use super::half::FAR;

/// Time between two pings, whether data flows or not: an idle session must notice a dead peer as early as a busy one.
pub const PING_EVERY: Duration = Duration::from_secs(5);

/// No lease is so short that pings come more often than this. The peer takes twice as many for a flood.
pub(super) const PING_AT_MOST_EVERY: Duration = Duration::from_millis(200);

/// Silence after which a peer is dead: three unanswered pings, so that a busy machine is not taken for a dead one.
pub const DEAD_AFTER: Duration = Duration::from_secs(15);

/// Round trip of an answer that is not doubted: that of a local network between machines with nothing else to do.
const LOCAL: Duration = Duration::from_micros(200);

/// Pings that follow each other quickly while the path looks longer than that: it may be the machines that are busy, as daemons are that have
/// just started, and that is over soon. Too long a round trip is not harmless on a short path: more is under way than caches hold.
const DOUBTS: u32 = 5;

/// Time between two pings for as long as the path looks far.
const PING_FAR_EVERY: Duration = Duration::from_secs(1);

/// What is known of the peer's life.
#[derive(Debug)]
pub(super) struct Life {
    /// Silence after which the peer is dead; `None` where something else tells, as the socket of a client on this machine.
    lease: Option<Duration>,
    heard: Duration,
    ticked: Duration,
    next_ping: Duration,
    sequence: u64,
    asked: Option<(u64, Duration)>,
    round_trip: Option<Duration>,
    least_round_trip: Option<Duration>,
    /// Quick pings so far.
    doubts: u32,
}

/// What a tick found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pulse {
    /// Nothing to do.
    Quiet,
    /// Send this ping.
    Ping(u64),
    /// Nothing was heard for so long.
    Dead(Duration),
}

// === impl Life ===

impl Life {
    /// A peer that has just been heard. Its first ping is due at once, for the round trip.
    pub(super) const fn new() -> Self {
        Self {
            lease: Some(DEAD_AFTER),
            heard: Duration::ZERO,
            ticked: Duration::ZERO,
            next_ping: Duration::ZERO,
            sequence: 0,
            asked: None,
            round_trip: None,
            least_round_trip: None,
            doubts: 0,
        }
    }

    /// Changes the silence after which the peer is dead. Pings come three times within it, and never less often than usual.
    pub(super) fn set_lease(&mut self, lease: Option<Duration>) {
        self.lease = lease;
        self.next_ping = self.next_ping.min(self.ticked + self.ping_every());
    }

    fn ping_every(&self) -> Duration {
        self.lease.map_or(PING_EVERY, |lease| {
            (lease / 3).clamp(PING_AT_MOST_EVERY, PING_EVERY)
        })
    }

    /// A pause between two ticks that shows that this side itself did not run. Its silence then says nothing about the peer.
    fn asleep(&self) -> Duration {
        self.lease.unwrap_or(DEAD_AFTER) * 2 / 3
    }

    /// When the peer was last heard.
    pub(super) const fn last_heard(&self) -> Duration {
        self.heard
    }

    /// Any byte of the peer is a sign of life.
    pub(super) fn heard(&mut self, now: Duration) {
        self.heard = self.heard.max(now);
    }

    /// An answer came. Answers to older pings say nothing more.
    pub(super) fn answered(&mut self, number: u64, now: Duration) {
        if let Some((asked, at)) = self.asked
            && asked == number
        {
            let took = now.saturating_sub(at);
            self.asked = None;
            self.round_trip = Some(took);
            let least = self.least_round_trip.map_or(took, |least| least.min(took));
            self.least_round_trip = Some(least);
            let again = if least >= LOCAL && self.doubts < DOUBTS {
                self.doubts += 1;
                PING_AT_MOST_EVERY
            } else if least >= FAR {
                PING_FAR_EVERY
            } else {
                return;
            };
            self.next_ping = self.next_ping.min(at + again);
        }
    }

    /// Looks at the clock.
    pub(super) fn tick(&mut self, now: Duration) -> Pulse {
        if now.saturating_sub(self.ticked) > self.asleep() {
            self.heard = self.heard.max(now.saturating_sub(self.asleep()));
        }
        self.ticked = now;
        let silent = now.saturating_sub(self.heard);
        if self.lease.is_some_and(|lease| silent >= lease) {
            return Pulse::Dead(silent);
        }
        if now < self.next_ping {
            return Pulse::Quiet;
        }
        self.next_ping = now + self.ping_every();
        self.sequence += 1;
        self.asked = Some((self.sequence, now));
        Pulse::Ping(self.sequence)
    }

    /// When the clock must be looked at again at the latest.
    pub(super) fn deadline(&self) -> Duration {
        self.lease.map_or(self.next_ping, |lease| {
            self.next_ping.min(self.heard + lease)
        })
    }

    /// The last round trip.
    pub(super) const fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// The shortest round trip, which is the path's own: longer ones have waited behind data.
    pub(super) const fn least_round_trip(&self) -> Option<Duration> {
        self.least_round_trip
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn pings_come_every_five_seconds_and_death_after_fifteen() {
        let mut life = Life::new();
        let found: Vec<Pulse> = (0..=15).map(|second| life.tick(SECOND * second)).collect();
        let expected = |second: usize| match second {
            0 => Pulse::Ping(1),
            5 => Pulse::Ping(2),
            10 => Pulse::Ping(3),
            15 => Pulse::Dead(DEAD_AFTER),
            _ => Pulse::Quiet,
        };
        assert_eq!(found, (0..=15).map(expected).collect::<Vec<_>>());
    }

    #[test]
    fn any_byte_is_a_sign_of_life() {
        let mut life = Life::new();
        for second in 0..100 {
            life.heard(SECOND * second / 14 * 14);
            assert!(!matches!(life.tick(SECOND * second), Pulse::Dead(_)));
        }
    }

    #[test]
    fn a_side_that_was_asleep_does_not_blame_the_peer() {
        let mut life = Life::new();
        life.tick(SECOND);
        assert!(matches!(life.tick(SECOND * 600), Pulse::Ping(_)));
        assert_eq!(life.tick(SECOND * 604), Pulse::Quiet);
        assert!(matches!(life.tick(SECOND * 605), Pulse::Dead(_)));
    }

    #[test]
    fn the_round_trip_is_that_of_the_last_ping() {
        let mut life = Life::new();
        life.tick(Duration::ZERO);
        life.answered(9, SECOND);
        assert_eq!(life.round_trip(), None);
        life.answered(1, SECOND);
        assert_eq!(life.round_trip(), Some(SECOND));
        life.tick(SECOND * 5);
        life.answered(2, SECOND * 8);
        assert_eq!(life.round_trip(), Some(SECOND * 3));
        assert_eq!(life.least_round_trip(), Some(SECOND));
    }

    #[test]
    fn a_path_that_looks_long_is_measured_again_soon() {
        let mut life = Life::new();
        let (mut asked, mut now) = (Vec::new(), Duration::ZERO);
        while now < SECOND * 4 {
            if let Pulse::Ping(number) = life.tick(now) {
                asked.push(now);
                life.answered(number, now + FAR);
            }
            now = life.deadline();
        }
        let quick = (0..=DOUBTS).map(|ping| PING_AT_MOST_EVERY * ping);
        let then = (2..=3).map(|second| SECOND * second);
        assert_eq!(asked, quick.chain(then).collect::<Vec<_>>());
        life.tick(now);
        life.answered(life.sequence, now + FAR / 2);
        assert_eq!(life.next_ping, now + PING_EVERY);
    }
}
