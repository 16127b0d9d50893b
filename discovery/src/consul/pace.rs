//! When the next thing is done.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// How long an agent holds back an answer that has nothing new. It adds up to a sixteenth, so that not all come at once.
pub(super) const WAIT: Duration = Duration::from_secs(30);
/// How often a service is asked for that may not wait: as often as a directory polls.
pub(super) const POLL: Duration = Duration::from_secs(10);
/// Largest set of nodes that is followed change by change. Each change of it wakes every node of the cluster.
const MAX_WATCHED: usize = 200;
/// A larger one is asked for at this many milliseconds for each of its nodes: 12 s for 200, a minute for 1,000.
const POLL_PER_NODE: u32 = 60;
/// Shortest pause after news: an agent wakes those who wait for an unknown service at every change of any service.
const MIN_PAUSE: Duration = Duration::from_millis(20);
/// More for each instance: those who watch a set of 200 spread over a second, those of a small one are woken at once.
const PAUSE_PER_INSTANCE: Duration = Duration::from_millis(5);
/// Longest pause.
const MAX_PAUSE: Duration = Duration::from_secs(1);
/// Heartbeats per TTL, so that two may be lost.
const BEATS_PER_TTL: u32 = 3;
/// How often it is looked whether everything is still there, in TTLs: an agent that lost one app says so to nobody. With the usual
/// TTL of 15 s it is once a minute, which costs an agent of a thousand services 4 ms.
const LOOK_TTLS: u32 = 4;
/// First wait after a heartbeat without an answer.
const FIRST_RETRY: Duration = Duration::from_millis(250);

/// How the next answer to a watch is got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The agent answers when there is news.
    Wait,
    /// It is asked again after this time.
    Poll(Duration),
}

impl Next {
    /// `primary`: the set is all nodes of the cluster.
    pub(super) fn after(instances: usize, primary: bool) -> Self {
        if primary && instances > MAX_WATCHED {
            let nodes = u32::try_from(instances).unwrap_or(u32::MAX);
            return Self::Poll(Duration::from_millis(
                u64::from(nodes) * u64::from(POLL_PER_NODE),
            ));
        }
        Self::Wait
    }
}

/// The pause between news and the next question.
pub(super) fn pause(instances: usize) -> Duration {
    let instances = u32::try_from(instances).unwrap_or(u32::MAX);
    let whole = PAUSE_PER_INSTANCE.saturating_mul(instances).min(MAX_PAUSE);
    MIN_PAUSE + whole.mul_f64(random())
}

/// The time to the next heartbeat: a third of the TTL, give or take a tenth, so that a cluster started at once does not beat at once.
pub(super) fn beat(ttl: Duration) -> Duration {
    spread(ttl / BEATS_PER_TTL)
}

/// The time to the next look at everything.
pub(super) fn look(ttl: Duration) -> Duration {
    spread(ttl * LOOK_TTLS)
}

/// The time to the next try after `missed` heartbeats without an answer.
pub(super) fn retry(ttl: Duration, missed: u32) -> Duration {
    let doubled = FIRST_RETRY.saturating_mul(1 << missed.min(16));
    doubled.min(ttl / BEATS_PER_TTL)
}

/// Give or take a tenth.
fn spread(time: Duration) -> Duration {
    time.mul_f64(0.9 + 0.2 * random())
}

/// 0 to 1.
fn random() -> f64 {
    let bits = RandomState::new().hash_one(0_u8) >> 32;
    f64::from(u32::try_from(bits).unwrap_or(0)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn only_the_nodes_of_a_large_cluster_are_polled() {
        assert_eq!(Next::after(200, true), Next::Wait);
        assert_eq!(Next::after(1000, false), Next::Wait);
        assert_eq!(Next::after(1000, true), Next::Poll(60 * SECOND));
    }

    #[test]
    fn small_sets_are_asked_for_at_once_and_large_ones_spread() {
        for _ in 0..100 {
            assert!(pause(3) <= Duration::from_millis(35));
            assert!(pause(100_000) <= MAX_PAUSE + MIN_PAUSE);
        }
    }

    #[test]
    fn two_heartbeats_may_be_lost() {
        for _ in 0..100 {
            let beat = beat(15 * SECOND);
            assert!(
                beat >= SECOND * 9 / 2 && beat <= SECOND * 11 / 2,
                "{beat:?}"
            );
        }
        let retries: Vec<_> = (0..6).map(|n| retry(15 * SECOND, n).as_millis()).collect();
        assert_eq!(retries, [250, 500, 1000, 2000, 4000, 5000]);
    }
}
