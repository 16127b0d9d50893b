//! Several registries' folds of one service, merged into one snapshot.

use std::{collections::BTreeMap, sync::Arc};

use tokio::time::Instant;

use super::{
    fold::{Fold, Known},
    outliers::Outliers,
    snapshot::{Address, Candidate, Snapshot, Source},
};
use crate::{Health, NodeId, ServiceName};

/// Merges `folds`, named in the same order by `names`.
pub(super) fn merge(
    service: &ServiceName,
    names: &[Arc<str>],
    folds: &[Fold],
    outliers: &Outliers,
    now: Instant,
) -> Snapshot {
    let mut nodes: BTreeMap<&NodeId, Vec<(usize, &Known)>> = BTreeMap::new();
    for (index, fold) in folds.iter().enumerate() {
        for (node, known) in fold.known() {
            nodes.entry(node).or_default().push((index, known));
        }
    }
    let mut candidates: Vec<Candidate> = nodes
        .iter()
        .map(|(node, entries)| {
            let mut candidate = one(names, folds, entries);
            if candidate.probed
                && let Some(health) = outliers.health(node)
            {
                candidate.instance.health = health;
            }
            candidate.ejected = outliers.is_out(node, now);
            candidate
        })
        .collect();
    // When most would be out, the fault is likelier here than there.
    let out = candidates.iter().filter(|c| c.ejected).count();
    if out * 2 > candidates.len() {
        for candidate in &mut candidates {
            candidate.ejected = false;
        }
    }
    let sources = names.iter().zip(folds).map(|(name, fold)| Source {
        name: Arc::clone(name),
        updated: fold.updated(),
        stale: fold.stale().cloned(),
    });
    Snapshot {
        service: service.clone(),
        candidates: candidates.into(),
        sources: sources.collect(),
    }
}

/// One node, from its entries in the order of the registries.
fn one(names: &[Arc<str>], folds: &[Fold], entries: &[(usize, &Known)]) -> Candidate {
    let fresh: Vec<_> = entries
        .iter()
        .filter(|(index, _)| folds[*index].stale().is_none())
        .collect();
    let counting: Vec<_> = if fresh.is_empty() {
        entries.iter().collect()
    } else {
        fresh
    };
    // Present entries count before absent ones: an absent one is a memory of what the registry no longer says.
    let (_, first) = counting
        .iter()
        .find(|(_, known)| !known.is_absent())
        .or_else(|| counting.first())
        .expect("a node is known to at least one registry");
    let mut instance = first.instance.clone();
    let healths = counting.iter().map(|(_, known)| known.instance.health);
    instance.health = healths.min().unwrap_or_default();
    if entries.iter().any(|(_, known)| known.instance.weight == 0) {
        instance.weight = 0;
    }
    let mut addrs: Vec<Address> = Vec::new();
    for (_, known) in entries {
        let address = Address {
            host: known.instance.host.clone(),
            port: known.instance.port,
        };
        if !addrs.contains(&address) {
            addrs.push(address);
        }
    }
    Candidate {
        probed: instance.health == Health::Unknown,
        instance,
        addrs,
        absent: entries.iter().all(|(_, known)| known.is_absent()),
        ejected: false,
        from: entries
            .iter()
            .map(|(i, _)| Arc::clone(&names[*i]))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Instance,
        directory::testing::{instance, service},
    };

    fn fold(set: Vec<Instance>) -> Fold {
        let mut fold = Fold::default();
        fold.answer(set, Instant::now());
        fold
    }

    fn merged(folds: &[Fold], outliers: &Outliers) -> Snapshot {
        let names: Vec<Arc<str>> = (0..folds.len()).map(|i| format!("r{i}").into()).collect();
        merge(&service(), &names, folds, outliers, Instant::now())
    }

    #[test]
    fn fields_are_those_of_the_first_registry_that_is_not_stale() {
        let at = |host: &str, health| Instance {
            host: host.to_owned(),
            health,
            ..instance("a")
        };
        let mut folds = [
            fold(vec![at("one", Health::Critical)]),
            fold(vec![at("two", Health::Passing)]),
        ];
        let both = merged(&folds, &Outliers::default()).candidates;
        assert_eq!(both[0].instance.host, "one");
        assert_eq!(both[0].instance.health, Health::Passing);
        let addrs: Vec<_> = both[0].addrs.iter().map(ToString::to_string).collect();
        assert_eq!(addrs, ["one:3747", "two:3747"]);
        folds[0].error("down".to_owned());
        let second = merged(&folds, &Outliers::default());
        assert_eq!(second.candidates[0].instance.host, "two");
        assert_eq!(second.sources[0].stale.as_deref(), Some("down"));
    }

    #[test]
    fn a_node_is_absent_only_where_every_registry_that_knew_it_lacks_it() {
        let mut folds = [fold(vec![instance("a")]), fold(vec![instance("a")])];
        folds[0].answer(vec![], Instant::now());
        assert!(!merged(&folds, &Outliers::default()).candidates[0].absent);
        folds[1].answer(vec![], Instant::now());
        assert!(merged(&folds, &Outliers::default()).candidates[0].absent);
    }

    #[test]
    fn weight_zero_wins_over_all() {
        let drained = Instance {
            weight: 0,
            ..instance("a")
        };
        let folds = [fold(vec![instance("a")]), fold(vec![drained])];
        let candidates = merged(&folds, &Outliers::default()).candidates;
        assert_eq!(candidates[0].instance.weight, 0);
    }

    #[test]
    fn half_of_a_set_may_be_out_and_more_may_not() {
        let folds = [fold(["a", "b", "c", "d"].map(instance).to_vec())];
        let mut outliers = Outliers::default();
        let out = |outliers: &Outliers| {
            let all = merged(&folds, outliers).candidates;
            all.iter().filter(|c| c.ejected).count()
        };
        for (failed, expected) in [("a", 1), ("b", 2), ("c", 0), ("d", 0)] {
            outliers.failed(&NodeId::new(failed).unwrap(), Instant::now());
            assert_eq!(out(&outliers), expected, "after {failed}");
        }
    }

    #[test]
    fn probes_speak_where_the_registry_knows_no_health() {
        use crate::directory::outliers::Probe;
        let passing = Instance {
            health: Health::Passing,
            ..instance("b")
        };
        let folds = [fold(vec![instance("a"), passing])];
        let mut outliers = Outliers::default();
        for node in ["a", "b"] {
            outliers.probed(&NodeId::new(node).unwrap(), Probe::Refused, Instant::now());
        }
        let all = merged(&folds, &outliers).candidates;
        let healths: Vec<_> = all.iter().map(|c| c.instance.health).collect();
        assert_eq!(healths, [Health::Critical, Health::Passing]);
        let probed: Vec<_> = all.iter().map(|c| c.probed).collect();
        assert_eq!(probed, [true, false]);
    }
}
