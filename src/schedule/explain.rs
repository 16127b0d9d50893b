use std::collections::BTreeSet;

use super::{Plan, rank::class};
use crate::{
    id::{NodeId, StageNumber},
    plan::{self, Candidates, ClusterView, Tier, Wanted},
};

/// How many nodes are explained for one stage: as many as a person reads.
const MAX_EXPLAINED: usize = 12;

/// A node that was looked at for a stage, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Considered {
    /// The node.
    pub node: NodeId,
    /// How well the app is there.
    pub health: Tier,
    /// The app's share of the work there; 0 takes none.
    pub weight: u16,
    /// Stages the node runs and stages it takes at most, where known.
    pub load: Option<(u32, u32)>,
    /// Which registry told of it.
    pub source: String,
    /// Why it was chosen, or why not.
    pub verdict: String,
}

/// Writes into every stage of a plan why it runs there and not elsewhere: the chosen node first, then those that would have been next,
/// then the rest; a dozen at most. `wanted`, `candidates`, `view`, `avoid` and `excluded` are those that the plan was made of.
pub fn explain(
    plan: &mut Plan,
    wanted: &[Wanted],
    candidates: &[Candidates],
    view: &ClusterView,
    avoid: &BTreeSet<NodeId>,
    excluded: &[(StageNumber, NodeId)],
) {
    for (placed, (wanted, candidates)) in plan.stages.iter_mut().zip(wanted.iter().zip(candidates))
    {
        let health = |index: u32| candidates.health(view, index);
        let chosen_class = candidates
            .pool()
            .iter()
            .find(|index| view.at(**index).node == placed.node)
            .map(|index| class(health(*index)));
        let verdict = |index: u32| {
            let node = &view.at(index).node;
            if *node == placed.node {
                return placed.why.clone();
            }
            if let Some(misfit) = plan::misfit(wanted, view, avoid, candidates, index) {
                return misfit;
            }
            if excluded.contains(&(placed.stage, node.clone())) {
                return "was asked, and was busy or gone".to_owned();
            }
            if Some(class(health(index))) > chosen_class {
                return format!("{}: only when nobody better is left", health(index));
            }
            let next = placed.alternatives.iter().position(|next| next == node);
            next.map_or_else(
                || "as good; the choice fell on another".to_owned(),
                |position| format!("would be number {}", position + 2),
            )
        };
        let order = |index: &u32| {
            let node = &view.at(*index).node;
            let next = placed.alternatives.iter().position(|next| next == node);
            let is_candidate = candidates.indices().binary_search(index).is_ok();
            (
                *node != placed.node,
                next.unwrap_or(usize::MAX),
                !is_candidate,
            )
        };
        let mut shown = candidates.pool().to_vec();
        shown.sort_by_key(order);
        shown.truncate(MAX_EXPLAINED);
        placed.considered = shown
            .into_iter()
            .map(|index| Considered {
                node: view.at(index).node.clone(),
                health: health(index),
                weight: candidates.weight(view, index),
                load: view.load_at(index),
                source: view.at(index).source.clone(),
                verdict: verdict(index),
            })
            .collect();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        plan::{Constraint, NodeCandidate, Offered, resolve},
        schedule::{PolicyName, place},
    };

    fn name(node: &str) -> NodeId {
        NodeId::new(node).unwrap()
    }

    fn node(node: &str, zone: &str) -> NodeCandidate {
        NodeCandidate {
            node: name(node),
            addresses: vec![format!("{node}:3747")],
            apps: Offered::Listed(["sort".to_owned()].into()),
            labels: BTreeMap::from([("zone".to_owned(), zone.to_owned())]),
            health: Tier::Passing,
            ejected: false,
            weight: 10,
            load: None,
            source: "static".to_owned(),
            here: false,
        }
    }

    #[test]
    fn every_node_has_its_own_reason() {
        let nodes = vec![
            node("chosen", "a"),
            NodeCandidate {
                load: Some((8, 8)),
                ..node("busy", "a")
            },
            NodeCandidate {
                weight: 0,
                ..node("drained", "a")
            },
            NodeCandidate {
                ejected: true,
                ..node("ejected", "a")
            },
            NodeCandidate {
                health: Tier::Warning,
                ..node("ill", "a")
            },
            node("tried", "a"),
            node("avoided", "a"),
            node("elsewhere", "b"),
        ];
        let wanted = [Wanted {
            stage: StageNumber::FIRST,
            app: "sort".to_owned(),
            constraints: vec![Constraint::Label {
                key: "zone".to_owned(),
                value: "a".to_owned(),
            }],
        }];
        let view = ClusterView::new(nodes);
        let avoid = BTreeSet::from([name("avoided")]);
        let excluded = [(StageNumber::FIRST, name("tried"))];
        let candidates = resolve(&wanted, &view, &avoid).unwrap();
        let mut plan = place(&candidates, &view, PolicyName::Spread, &excluded, 1).unwrap();
        explain(&mut plan, &wanted, &candidates, &view, &avoid, &excluded);
        let said: BTreeMap<_, _> = plan.stages[0]
            .considered
            .iter()
            .map(|one| (one.node.as_str(), one.verdict.as_str()))
            .collect();
        let expected = [
            ("chosen", "least loaded of 2, not used yet"),
            ("busy", "would be number 2"),
            ("drained", "taken out by an operator (weight 0)"),
            ("ejected", "left out for a while: it lately did not answer"),
            ("ill", "warning: only when nobody better is left"),
            ("tried", "was asked, and was busy or gone"),
            ("avoided", "to be avoided"),
            ("elsewhere", "does not fit @zone=a"),
        ];
        assert_eq!(said, BTreeMap::from(expected));
        assert_eq!(plan.stages[0].considered[0].node, name("chosen"));
        assert_eq!(plan.stages[0].considered[1].node, name("busy"));
    }

    #[test]
    fn a_large_cluster_is_explained_by_a_dozen() {
        let nodes = (0..100).map(|i| node(&format!("n{i}"), "a")).collect();
        let wanted = [Wanted {
            stage: StageNumber::FIRST,
            app: "sort".to_owned(),
            constraints: Vec::new(),
        }];
        let (view, avoid) = (ClusterView::new(nodes), BTreeSet::new());
        let candidates = resolve(&wanted, &view, &avoid).unwrap();
        let mut plan = place(&candidates, &view, PolicyName::Spread, &[], 7).unwrap();
        explain(&mut plan, &wanted, &candidates, &view, &avoid, &[]);
        let placed = &plan.stages[0];
        let order: Vec<_> = placed
            .considered
            .iter()
            .map(|one| one.node.clone())
            .collect();
        assert_eq!(order.len(), MAX_EXPLAINED);
        assert_eq!(order[0], placed.node);
        assert_eq!(order[1..4], placed.alternatives[..]);
    }
}
