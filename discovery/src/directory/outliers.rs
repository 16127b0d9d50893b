//! Nodes that lately failed, and what probes found of those whose registry knows no health.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use crate::{Health, NodeId};

/// First time for which a node is left out: a daemon restarts within it.
const EJECT_FIRST: Duration = Duration::from_secs(5);
/// Longest such time: a node that is back is used again within a minute.
const EJECT_MAX: Duration = Duration::from_secs(60);
/// A node that did not fail for this long after its ejection ended is forgotten, so that a node which left for good leaves nothing behind.
const FORGET: Duration = Duration::from_secs(600);
/// How many failed probes make a node critical; a refused connection alone does. One lost answer is no news.
const PROBES_LOST: u32 = 2;

/// What came of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// It answered.
    Answered,
    /// It did not, in time.
    Lost,
    /// The connection was refused: nobody listens.
    Refused,
}

/// The nodes that failed.
#[derive(Clone, Debug, Default)]
pub(super) struct Outliers {
    nodes: BTreeMap<NodeId, Outlier>,
}

#[derive(Clone, Debug, Default)]
struct Outlier {
    /// How often it was ejected since it last succeeded.
    ejections: u32,
    until: Option<Instant>,
    lost: u32,
    probed: Option<Health>,
}

// === impl Outliers ===

impl Outliers {
    /// A dial or a probe failed. Failures during an ejection do not lengthen it. Returns whether that changed anything.
    pub(super) fn failed(&mut self, node: &NodeId, now: Instant) -> bool {
        let outlier = self.nodes.entry(node.clone()).or_default();
        if outlier.is_out(now) {
            return false;
        }
        let wait = EJECT_FIRST.saturating_mul(1 << outlier.ejections.min(8));
        outlier.until = Some(now + wait.min(EJECT_MAX));
        outlier.ejections += 1;
        true
    }

    /// The node did something well: all is forgiven. Returns whether there was anything to forgive.
    pub(super) fn succeeded(&mut self, node: &NodeId) -> bool {
        let Some(outlier) = self.nodes.get_mut(node) else {
            return false;
        };
        let before = (outlier.until, outlier.probed);
        (outlier.until, outlier.ejections, outlier.lost) = (None, 0, 0);
        outlier.probed = outlier.probed.map(|_| Health::Passing);
        before != (outlier.until, outlier.probed)
    }

    /// A probe ended. Returns whether that changed anything.
    pub(super) fn probed(&mut self, node: &NodeId, probe: Probe, now: Instant) -> bool {
        let changed = if probe == Probe::Answered {
            self.succeeded(node)
        } else {
            self.failed(node, now)
        };
        let outlier = self.nodes.entry(node.clone()).or_default();
        let before = outlier.probed;
        match probe {
            Probe::Answered => outlier.probed = Some(Health::Passing),
            Probe::Refused => outlier.probed = Some(Health::Critical),
            Probe::Lost => {
                outlier.lost += 1;
                if outlier.lost >= PROBES_LOST {
                    outlier.probed = Some(Health::Critical);
                }
            }
        }
        changed || before != outlier.probed
    }

    /// Whether the node is to be left out now.
    pub(super) fn is_out(&self, node: &NodeId, now: Instant) -> bool {
        self.nodes.get(node).is_some_and(|o| o.is_out(now))
    }

    /// What probes found.
    pub(super) fn health(&self, node: &NodeId) -> Option<Health> {
        self.nodes.get(node)?.probed
    }

    /// When the next ejection ends.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        let until = self.nodes.values().filter_map(|outlier| outlier.until);
        until.filter(|until| *until > now).min()
    }

    /// Forgets who did not fail for long, unless `keep` still knows it from probes.
    pub(super) fn forget(&mut self, now: Instant, keep: impl Fn(&NodeId) -> bool) {
        self.nodes.retain(|node, outlier| {
            let recent = outlier.until.is_some_and(|until| until + FORGET > now);
            recent || (outlier.probed.is_some() && keep(node))
        });
    }
}

impl Outlier {
    fn is_out(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> NodeId {
        NodeId::new("a").unwrap()
    }

    #[test]
    fn ejections_double_to_a_minute_and_a_success_clears_them() {
        let mut now = Instant::now();
        let mut outliers = Outliers::default();
        for seconds in [5, 10, 20, 40, 60, 60] {
            outliers.failed(&node(), now);
            outliers.failed(&node(), now + Duration::from_secs(1));
            let end = now + Duration::from_secs(seconds);
            assert_eq!(outliers.deadline(now), Some(end));
            assert!(outliers.is_out(&node(), end - Duration::from_millis(1)));
            assert!(!outliers.is_out(&node(), end));
            now = end;
        }
        outliers.failed(&node(), now);
        outliers.succeeded(&node());
        assert!(!outliers.is_out(&node(), now));
        outliers.failed(&node(), now);
        assert_eq!(outliers.deadline(now), Some(now + EJECT_FIRST));
    }

    #[test]
    fn two_lost_probes_or_one_refusal_are_critical_and_one_answer_is_passing() {
        let now = Instant::now();
        let mut outliers = Outliers::default();
        outliers.probed(&node(), Probe::Lost, now);
        assert_eq!(outliers.health(&node()), None);
        outliers.probed(&node(), Probe::Lost, now);
        assert_eq!(outliers.health(&node()), Some(Health::Critical));
        outliers.probed(&node(), Probe::Answered, now);
        assert_eq!(outliers.health(&node()), Some(Health::Passing));
        outliers.probed(&node(), Probe::Refused, now);
        assert_eq!(outliers.health(&node()), Some(Health::Critical));
        assert!(outliers.is_out(&node(), now));
    }

    #[test]
    fn nodes_that_left_leave_nothing_behind() {
        let now = Instant::now();
        let mut outliers = Outliers::default();
        outliers.failed(&node(), now);
        outliers.forget(now + FORGET, |_| false);
        assert_eq!(outliers.nodes.len(), 1);
        outliers.forget(now + FORGET + EJECT_FIRST, |_| false);
        assert!(outliers.nodes.is_empty());
    }
}
