//! What one registry said of one service, folded: answers, errors and a clock in, the present set out.
//!
//! ```text
//!            answer has it                         answer lacks it
//!   (new) ----------------> present <-----------> absent(since, linger) --linger over--> forgotten
//! ```

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use crate::{Instance, NodeId};

/// How long a node stays that one answer lacks: longer than the millisecond for which a thawing registry answers with nothing, and
/// than any flap, yet short enough that a removal is believed at once by a person.
pub const ABSENT_LINGER: Duration = Duration::from_secs(1);
/// The same for the first answer after a reconnect: a registry that restarted empty is filled again within a heartbeat (5 s) and the
/// backoff (10 s) of every node; this is twice that.
pub const RECONNECT_LINGER: Duration = Duration::from_secs(30);

/// What one registry said of one service.
#[derive(Clone, Debug, Default)]
pub(super) struct Fold {
    known: BTreeMap<NodeId, Known>,
    updated: Option<Instant>,
    stale: Option<String>,
}

/// One node.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) instance: Instance,
    presence: Presence,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Present,
    Absent { until: Instant },
}

// === impl Fold ===

impl Fold {
    /// A full set came.
    pub(super) fn answer(&mut self, set: Vec<Instance>, now: Instant) {
        let reconnected = self.stale.take().is_some();
        let linger = if reconnected {
            RECONNECT_LINGER
        } else {
            ABSENT_LINGER
        };
        self.updated = Some(now);
        let mut fresh: BTreeMap<NodeId, Known> = BTreeMap::new();
        for instance in set {
            // Two entries with one name: the newer start of the node counts.
            let older = |known: &Known| known.instance.boot() > instance.boot();
            if !fresh.get(&instance.node).is_some_and(older) {
                let presence = Presence::Present;
                fresh.insert(instance.node.clone(), Known { instance, presence });
            }
        }
        for (node, mut known) in std::mem::take(&mut self.known) {
            if known.presence == Presence::Present {
                known.presence = Presence::Absent {
                    until: now + linger,
                };
            }
            fresh.entry(node).or_insert(known);
        }
        self.known = fresh;
        self.expire(now);
    }

    /// The registry failed; what is known stays.
    pub(super) fn error(&mut self, reason: String) {
        self.stale = Some(reason);
    }

    /// Forgets who was absent for long enough.
    pub(super) fn expire(&mut self, now: Instant) {
        self.known.retain(|_, known| match known.presence {
            Presence::Present => true,
            Presence::Absent { until } => until > now,
        });
    }

    /// When somebody will have to be forgotten.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let until = |known: &Known| match known.presence {
            Presence::Present => None,
            Presence::Absent { until } => Some(until),
        };
        self.known.values().filter_map(until).min()
    }

    pub(super) const fn known(&self) -> &BTreeMap<NodeId, Known> {
        &self.known
    }

    pub(super) const fn updated(&self) -> Option<Instant> {
        self.updated
    }

    pub(super) const fn stale(&self) -> Option<&String> {
        self.stale.as_ref()
    }
}

// === impl Known ===

impl Known {
    pub(super) fn is_absent(&self) -> bool {
        self.presence != Presence::Present
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Health, directory::testing::instance};

    fn nodes(fold: &Fold) -> Vec<String> {
        let shown = |(node, known): (&NodeId, &Known)| {
            let mark = if known.is_absent() { "?" } else { "" };
            format!("{node}{mark}")
        };
        fold.known().iter().map(shown).collect()
    }

    #[test]
    fn an_empty_answer_is_believed_after_a_second() {
        let start = Instant::now();
        let mut fold = Fold::default();
        fold.answer(vec![instance("a"), instance("b")], start);
        fold.answer(vec![], start);
        assert_eq!(nodes(&fold), ["a?", "b?"]);
        assert_eq!(fold.deadline(), Some(start + ABSENT_LINGER));
        fold.expire(start + ABSENT_LINGER - Duration::from_millis(1));
        assert_eq!(nodes(&fold), ["a?", "b?"]);
        fold.expire(start + ABSENT_LINGER);
        assert!(nodes(&fold).is_empty());
    }

    #[test]
    fn twenty_flaps_a_second_remove_nobody() {
        let mut now = Instant::now();
        let mut fold = Fold::default();
        for _ in 0..40 {
            fold.answer(vec![instance("a")], now);
            assert_eq!(nodes(&fold), ["a"]);
            now += Duration::from_millis(25);
            fold.answer(vec![], now);
            assert_eq!(nodes(&fold), ["a?"]);
            now += Duration::from_millis(25);
        }
    }

    #[test]
    fn a_registry_that_restarts_empty_removes_nobody_while_nodes_return_one_by_one() {
        let start = Instant::now();
        let mut fold = Fold::default();
        fold.answer(vec![instance("a"), instance("b"), instance("c")], start);
        fold.error("gone".to_owned());
        fold.expire(start + Duration::from_secs(3600));
        assert_eq!(nodes(&fold), ["a", "b", "c"]);
        let back = start + Duration::from_secs(3600);
        fold.answer(vec![], back);
        fold.answer(vec![instance("b")], back + Duration::from_secs(9));
        fold.expire(back + Duration::from_secs(29));
        assert_eq!(nodes(&fold), ["a?", "b", "c?"]);
        fold.expire(back + RECONNECT_LINGER);
        assert_eq!(nodes(&fold), ["b"]);
    }

    #[test]
    fn of_two_entries_with_one_name_the_newer_start_counts() {
        let with_boot = |boot: &str, port| {
            let mut instance = instance("a");
            instance.meta.insert("boot".to_owned(), boot.to_owned());
            instance.port = port;
            instance
        };
        for set in [
            vec![with_boot("2", 2), with_boot("1", 1)],
            vec![with_boot("1", 1), with_boot("2", 2)],
        ] {
            let mut fold = Fold::default();
            fold.answer(set, Instant::now());
            let ports: Vec<_> = fold.known().values().map(|k| k.instance.port).collect();
            assert_eq!(ports, [2]);
        }
    }

    #[test]
    fn a_present_node_takes_over_what_changed() {
        let mut fold = Fold::default();
        fold.answer(vec![instance("a")], Instant::now());
        let sick = Instance {
            health: Health::Critical,
            ..instance("a")
        };
        fold.answer(vec![sick], Instant::now());
        let health: Vec<_> = fold.known().values().map(|k| k.instance.health).collect();
        assert_eq!(health, [Health::Critical]);
    }
}
