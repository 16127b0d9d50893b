use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::plan::{Constraint, NodeCandidate, Offered, Tier, Wanted, resolve};

fn name(index: usize) -> NodeId {
    NodeId::new(format!("n{index}")).unwrap()
}

fn node(index: usize, apps: &[&str]) -> NodeCandidate {
    NodeCandidate {
        node: name(index),
        addresses: vec![format!("10.0.0.{index}:3747")],
        apps: Offered::Listed(apps.iter().map(|app| (*app).to_owned()).collect()),
        labels: BTreeMap::new(),
        health: Tier::Passing,
        ejected: false,
        weight: 10,
        load: None,
        source: "static".to_owned(),
        here: false,
    }
}

fn wanted(apps: &[&str]) -> Vec<Wanted> {
    let one = |(index, app): (usize, &&str)| Wanted {
        stage: StageNumber::from_index(index),
        app: (*app).to_owned(),
        constraints: Vec::new(),
    };
    apps.iter().enumerate().map(one).collect()
}

fn plan_for(
    nodes: Vec<NodeCandidate>,
    apps: &[&str],
    policy: PolicyName,
    seed: u64,
) -> Result<Plan, PlaceError> {
    let view = ClusterView::new(nodes);
    let candidates = resolve(&wanted(apps), &view, &BTreeSet::new()).unwrap();
    place(&candidates, &view, policy, &[], seed)
}

fn chosen(plan: &Plan) -> Vec<String> {
    plan.stages.iter().map(|p| p.node.to_string()).collect()
}

fn counts(plan: &Plan) -> BTreeMap<NodeId, usize> {
    let mut counts = BTreeMap::new();
    for placed in &plan.stages {
        *counts.entry(placed.node.clone()).or_default() += 1;
    }
    counts
}

#[test]
fn three_stages_go_to_three_nodes() {
    let nodes = (0..3).map(|i| node(i, &["cat", "sort", "uniq"])).collect();
    let plan = plan_for(nodes, &["cat", "sort", "uniq"], PolicyName::Spread, 1).unwrap();
    assert_eq!(counts(&plan).len(), 3);
}

#[test]
fn a_thousand_stages_over_three_nodes_are_balanced() {
    let nodes = (0..3).map(|i| node(i, &["cat"])).collect();
    let plan = plan_for(nodes, &["cat"; 1000], PolicyName::Spread, 1).unwrap();
    let counts: Vec<_> = counts(&plan).into_values().collect();
    assert_eq!(counts.iter().sum::<usize>(), 1000);
    assert!(counts.iter().all(|n| (333..=334).contains(n)), "{counts:?}");
}

#[test]
fn weights_share_the_stages_of_a_long_pipe() {
    let heavy = NodeCandidate {
        weight: 30,
        ..node(0, &["cat"])
    };
    let nodes = vec![heavy, node(1, &["cat"]), node(2, &["cat"])];
    let plan = plan_for(nodes, &["cat"; 100], PolicyName::Spread, 1).unwrap();
    let counts = counts(&plan);
    // Neighbours stay apart, so the heavy one gets every second stage and no more.
    assert!(
        counts[&name(0)] >= 49 && counts[&name(1)] >= 24,
        "{counts:?}"
    );
}

#[test]
fn the_only_node_takes_every_stage() {
    let here = NodeCandidate {
        apps: Offered::Any,
        here: true,
        ..node(0, &[])
    };
    let plan = plan_for(vec![here], &["seq", "sort", "tac"], PolicyName::Spread, 9).unwrap();
    assert_eq!(chosen(&plan), ["n0", "n0", "n0"]);
    assert_eq!(plan.stages[0].address(), "here");
}

#[test]
fn the_least_loaded_of_equal_nodes_is_taken() {
    let loaded = |index, running| NodeCandidate {
        load: Some((running, 16)),
        ..node(index, &["sort"])
    };
    let nodes = vec![loaded(0, 12), loaded(1, 2), loaded(2, 9)];
    for seed in 0..20 {
        let plan = plan_for(nodes.clone(), &["sort"], PolicyName::Spread, seed).unwrap();
        assert_eq!(chosen(&plan), ["n1"]);
        assert_eq!(plan.stages[0].alternatives, [name(2), name(0)]);
    }
}

#[test]
fn health_comes_before_everything() {
    let with = |index, health| NodeCandidate {
        health,
        ..node(index, &["sort"])
    };
    let mut nodes = vec![
        with(4, Tier::Critical),
        with(3, Tier::Absent),
        with(2, Tier::Warning),
        with(1, Tier::Unknown),
        with(0, Tier::Passing),
    ];
    for expected in [
        &["n0", "n1"][..],
        &["n1", "n1"],
        &["n2", "n2"],
        &["n3", "n3"],
        &["n4", "n4"],
    ] {
        let plan = plan_for(nodes.clone(), &["sort", "sort"], PolicyName::Spread, 3).unwrap();
        assert_eq!(chosen(&plan), expected);
        nodes.pop();
    }
}

#[test]
fn pipes_spread_over_equal_nodes_and_weights_count() {
    let double = NodeCandidate {
        weight: 20,
        ..node(0, &["sort"])
    };
    let view = ClusterView::new(vec![double, node(1, &["sort"]), node(2, &["sort"])]);
    let candidates = resolve(&wanted(&["sort"]), &view, &BTreeSet::new()).unwrap();
    let mut counts = BTreeMap::new();
    for seed in 0..4000_u64 {
        let plan = place(&candidates, &view, PolicyName::Spread, &[], seed).unwrap();
        *counts.entry(plan.stages[0].node.clone()).or_insert(0) += 1;
    }
    let near = |n: &i32, expected: i32| (n - expected).abs() < 150;
    assert!(near(&counts[&name(0)], 2000), "{counts:?}");
    assert!(near(&counts[&name(1)], 1000), "{counts:?}");
}

#[test]
fn pack_changes_the_node_as_seldom_as_possible() {
    let nodes = vec![
        node(0, &["cat"]),
        node(1, &["cat", "sort"]),
        node(2, &["sort", "uniq", "head"]),
        node(3, &["uniq"]),
    ];
    let apps = ["cat", "sort", "uniq", "head", "cat"];
    for seed in 0..20 {
        let plan = plan_for(nodes.clone(), &apps, PolicyName::Pack, seed).unwrap();
        assert_eq!(chosen(&plan), ["n1", "n1", "n2", "n2", "n1"]);
    }
}

#[test]
fn pin_takes_one_node_or_names_the_stage_that_has_none() {
    let nodes = vec![
        node(0, &["cat", "sort"]),
        node(1, &["cat", "sort", "uniq"]),
        node(2, &["wc"]),
    ];
    let plan = plan_for(nodes.clone(), &["cat", "sort", "uniq"], PolicyName::Pin, 5).unwrap();
    assert_eq!(chosen(&plan), ["n1", "n1", "n1"]);
    let error = plan_for(nodes, &["cat", "sort", "wc"], PolicyName::Pin, 5).unwrap_err();
    let expected = PlaceError::NoSingleNode {
        stage: StageNumber::new(3),
        app: "wc".to_owned(),
        before: vec![name(0), name(1)],
    };
    assert_eq!(error, expected);
}

#[test]
fn a_stage_whose_nodes_were_all_tried_is_named() {
    let view = ClusterView::new(vec![node(0, &["cat"]), node(1, &["cat"])]);
    let candidates = resolve(&wanted(&["cat", "cat"]), &view, &BTreeSet::new()).unwrap();
    let second = StageNumber::new(2);
    let mut excluded = vec![(second, name(0))];
    let plan = place(&candidates, &view, PolicyName::Pack, &excluded, 0).unwrap();
    assert_eq!(chosen(&plan), ["n1", "n1"]);
    excluded.push((second, name(1)));
    let error = place(&candidates, &view, PolicyName::Pack, &excluded, 0).unwrap_err();
    assert!(matches!(error, PlaceError::NoneLeft { stage, tried: 2, .. } if stage == second));
}

#[test]
fn the_dry_run_is_a_table() {
    let here = NodeCandidate {
        here: true,
        ..node(7, &["sort"])
    };
    let nodes = vec![node(0, &["cat"]), here, node(1, &["sort"])];
    let mut wanted = wanted(&["cat", "sort"]);
    wanted[1].constraints.push(Constraint::Node(name(7)));
    let view = ClusterView::new(nodes);
    let candidates = resolve(&wanted, &view, &BTreeSet::new()).unwrap();
    let plan = place(&candidates, &view, PolicyName::Spread, &[], 0).unwrap();
    let expected = "\
stage  app   node  address        via     why
1      cat   n0    10.0.0.0:3747  static  only node that offers it
2      sort  n7    here           static  the pipeline says so
";
    assert_eq!(plan.to_string(), expected);
}

const APPS: [&str; 4] = ["cat", "sort", "uniq", "wc"];

prop_compose! {
    fn any_node()(
        apps in proptest::collection::btree_set(0..4_usize, 0..=4),
        open in proptest::bool::weighted(0.2),
        zone in 0..3_u8,
        health in prop::sample::select(vec![Tier::Passing, Tier::Unknown, Tier::Warning, Tier::Absent, Tier::Critical]),
        ejected in proptest::bool::weighted(0.1),
        weight in 0..4_u16,
        load in proptest::option::of((0..20_u32, 0..20_u32)),
    ) -> NodeCandidate {
        let apps: Vec<_> = apps.into_iter().map(|i| APPS[i]).collect();
        let mut candidate = node(0, &apps);
        if open {
            candidate.apps = Offered::Any;
        }
        candidate.labels.insert("zone".to_owned(), zone.to_string());
        NodeCandidate { health, ejected, weight, load, ..candidate }
    }
}

prop_compose! {
    fn any_wanted()(app in 0..4_usize, zone in proptest::option::weighted(0.3, 0..3_u8)) -> (&'static str, Option<String>) {
        (APPS[app], zone.map(|zone| zone.to_string()))
    }
}

proptest! {
    #[test]
    fn every_stage_gets_a_node_that_fits_and_the_same_input_the_same_plan(
        nodes in proptest::collection::vec(any_node(), 1..12),
        stages in proptest::collection::vec(any_wanted(), 1..8),
        excluded in proptest::collection::vec((1..8_u16, 0..12_usize), 0..6),
        seed: u64,
    ) {
        let nodes: Vec<_> = nodes.into_iter().enumerate()
            .map(|(index, candidate)| NodeCandidate { node: name(index), ..candidate })
            .collect();
        let view = ClusterView::new(nodes);
        let wanted: Vec<_> = stages.iter().enumerate().map(|(index, (app, zone))| Wanted {
            stage: StageNumber::from_index(index),
            app: (*app).to_owned(),
            constraints: zone.iter().map(|value| Constraint::Label {
                key: "zone".to_owned(), value: value.clone(),
            }).collect(),
        }).collect();
        let excluded: Vec<_> = excluded.into_iter()
            .map(|(stage, index)| (StageNumber::new(stage), name(index)))
            .collect();
        let Ok(candidates) = resolve(&wanted, &view, &BTreeSet::new()) else {
            return Ok(());
        };
        for policy in [PolicyName::Spread, PolicyName::Pack, PolicyName::Pin] {
            let plan = place(&candidates, &view, policy, &excluded, seed);
            prop_assert_eq!(&plan, &place(&candidates, &view, policy, &excluded, seed));
            let Ok(plan) = plan else { continue };
            prop_assert_eq!(plan.stages.len(), wanted.len());
            for (placed, wanted) in plan.stages.iter().zip(&wanted) {
                let chosen = view.node(&placed.node).unwrap();
                prop_assert_eq!(placed.stage, wanted.stage);
                prop_assert!(chosen.weight > 0);
                prop_assert!(!excluded.contains(&(placed.stage, placed.node.clone())));
                match &chosen.apps {
                    Offered::Listed(apps) => prop_assert!(apps.contains(&wanted.app)),
                    Offered::Any | Offered::Unknown => {}
                }
                for constraint in &wanted.constraints {
                    let Constraint::Label { key, value } = constraint else { unreachable!() };
                    prop_assert_eq!(chosen.labels.get(key), Some(value));
                }
            }
            if policy == PolicyName::Pin {
                prop_assert_eq!(counts(&plan).len(), 1);
            }
        }
    }

    #[test]
    fn spread_is_balanced_within_one_and_keeps_neighbours_apart(
        nodes in 2..9_usize, stages in 1..60_usize, seed: u64,
    ) {
        let all: Vec<_> = (0..nodes).map(|i| node(i, &["cat"])).collect();
        let plan = plan_for(all, &vec!["cat"; stages], PolicyName::Spread, seed).unwrap();
        let counts = counts(&plan);
        let most = counts.values().max().copied().unwrap_or(0);
        let least = if counts.len() < nodes { 0 } else { counts.values().min().copied().unwrap_or(0) };
        prop_assert!(most - least <= 1, "{:?}", counts);
        for pair in plan.stages.windows(2) {
            prop_assert_ne!(&pair[0].node, &pair[1].node);
        }
    }
}
