use std::{collections::BTreeSet, fmt, sync::Arc};

use thiserror::Error;

use super::{ClusterView, Listing, Tier};
use crate::id::{NodeId, StageNumber};

/// A stage as wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its place.
    pub stage: StageNumber,
    /// The app: the first word of its command.
    pub app: String,
    /// What its node has to satisfy, all of it.
    pub constraints: Vec<Constraint>,
}

/// What a stage's node has to satisfy: what is written with `@` before a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Constraint {
    /// It is this node.
    Node(NodeId),
    /// It has this label with this value.
    Label {
        /// The label.
        key: String,
        /// The value.
        value: String,
    },
}

/// The nodes that could run a stage; never empty.
#[derive(Clone, Debug)]
pub struct Candidates {
    /// The stage.
    pub stage: StageNumber,
    /// Its app.
    pub app: String,
    /// Whether a constraint of the pipeline narrowed the choice.
    pub constrained: bool,
    /// Indices into the view, ascending.
    nodes: Arc<[u32]>,
    /// Where they were found: what is said of the app on each.
    listing: Arc<Listing>,
}

/// Why a stage has no node.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PlanError {
    /// Nobody runs the app.
    #[error("no node offers the app `{app}`")]
    NoSuchApp {
        /// The stage.
        stage: StageNumber,
        /// The app.
        app: String,
    },
    /// Somebody runs the app, but nobody who does fits.
    #[error("no node that offers the app `{app}` fits {constraint}")]
    NoFit {
        /// The stage.
        stage: StageNumber,
        /// The app.
        app: String,
        /// What none of them satisfies.
        constraint: String,
        /// Who offers the app.
        nodes: Vec<NodeId>,
    },
}

/// Finds the nodes that could run each stage.
///
/// These are the nodes that list the app. If none of them fits, the nodes that run any app, and those that nobody has asked yet. Nodes
/// of weight 0 are never among them, ejected ones only if nobody else is left, and nodes to `avoid` never.
///
/// # Errors
///
/// Returns the first stage's [`PlanError`] that has no node.
pub fn resolve(
    wanted: &[Wanted],
    view: &ClusterView,
    avoid: &BTreeSet<NodeId>,
) -> Result<Vec<Candidates>, PlanError> {
    wanted
        .iter()
        .map(|wanted| one(wanted, view, avoid))
        .collect()
}

fn one(
    wanted: &Wanted,
    view: &ClusterView,
    avoid: &BTreeSet<NodeId>,
) -> Result<Candidates, PlanError> {
    let pools = view.listing(&wanted.app).into_iter().chain([view.open()]);
    let mut misfit = None;
    for pool in pools.filter(|pool| !pool.nodes().is_empty()) {
        match narrow(pool, wanted, view, avoid) {
            Ok(nodes) => {
                return Ok(Candidates {
                    stage: wanted.stage,
                    app: wanted.app.clone(),
                    constrained: !wanted.constraints.is_empty(),
                    nodes,
                    listing: Arc::clone(pool),
                });
            }
            Err(constraint) => {
                misfit.get_or_insert((constraint, pool));
            }
        }
    }
    let names = |pool: &[u32]| pool.iter().map(|i| view.at(*i).node.clone()).collect();
    Err(match misfit {
        Some((constraint, pool)) => PlanError::NoFit {
            stage: wanted.stage,
            app: wanted.app.clone(),
            constraint,
            nodes: names(pool.nodes()),
        },
        None => PlanError::NoSuchApp {
            stage: wanted.stage,
            app: wanted.app.clone(),
        },
    })
}

/// The nodes of a pool that fit, or the first thing that none of them satisfies.
fn narrow(
    pool: &Listing,
    wanted: &Wanted,
    view: &ClusterView,
    avoid: &BTreeSet<NodeId>,
) -> Result<Arc<[u32]>, String> {
    if wanted.constraints.is_empty() && avoid.is_empty() && !pool.is_blemished() {
        return Ok(Arc::clone(pool.nodes()));
    }
    let mut nodes = pool.nodes().to_vec();
    for constraint in &wanted.constraints {
        nodes.retain(|index| constraint.fits(view, *index));
        if nodes.is_empty() {
            return Err(format!("`{constraint}`"));
        }
    }
    nodes.retain(|index| !avoid.contains(&view.at(*index).node));
    if nodes.is_empty() {
        let avoided: Vec<_> = avoid.iter().map(NodeId::as_str).collect();
        return Err(format!("`--avoid {}`", avoided.join(",")));
    }
    nodes.retain(|index| view.weight_in(pool, *index) > 0);
    if nodes.is_empty() {
        return Err("`weight` above 0; an operator took out those that would".to_owned());
    }
    if nodes.iter().any(|index| !view.at(*index).ejected) {
        nodes.retain(|index| !view.at(*index).ejected);
    }
    Ok(nodes.into())
}

/// Why a node that may offer the app is no candidate for a stage: the same rules as [`resolve`], asked about one node. `None` if it is
/// one, or would be if others were not better.
#[must_use]
pub fn misfit(
    wanted: &Wanted,
    view: &ClusterView,
    avoid: &BTreeSet<NodeId>,
    candidates: &Candidates,
    node: u32,
) -> Option<String> {
    let unmet = wanted.constraints.iter().find(|c| !c.fits(view, node));
    if let Some(constraint) = unmet {
        return Some(format!("does not fit {constraint}"));
    }
    if avoid.contains(&view.at(node).node) {
        return Some("to be avoided".to_owned());
    }
    if view.weight_in(&candidates.listing, node) == 0 {
        return Some("taken out by an operator (weight 0)".to_owned());
    }
    let out = view.at(node).ejected && candidates.indices().binary_search(&node).is_err();
    out.then(|| "left out for a while: it lately did not answer".to_owned())
}

// === impl Constraint ===

impl Constraint {
    fn fits(&self, view: &ClusterView, index: u32) -> bool {
        let candidate = view.at(index);
        match self {
            Self::Node(node) => &candidate.node == node,
            Self::Label { key, value } => candidate.labels.get(key) == Some(value),
        }
    }
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node) => write!(f, "@{node}"),
            Self::Label { key, value } => write!(f, "@{key}={value}"),
        }
    }
}

// === impl Candidates ===

impl Candidates {
    /// The nodes, by name, in the view they were found in.
    pub fn nodes<'a>(&'a self, view: &'a ClusterView) -> impl Iterator<Item = &'a NodeId> {
        self.nodes.iter().map(|index| &view.at(*index).node)
    }

    /// Indices into the view, ascending.
    pub(crate) fn indices(&self) -> &[u32] {
        &self.nodes
    }

    /// The nodes among which they were found.
    pub(crate) fn pool(&self) -> &[u32] {
        self.listing.nodes()
    }

    /// How well the app is on a node.
    pub(crate) fn health(&self, view: &ClusterView, index: u32) -> Tier {
        view.health_in(&self.listing, index)
    }

    /// Those of which this node has heard itself, if any of them is left beside the excluded ones; else all of them. For when a registry's
    /// word proved wrong.
    #[must_use]
    pub fn heard(mut self, view: &ClusterView, excluded: &[(StageNumber, NodeId)]) -> Self {
        let is_out = |node: &NodeId| {
            excluded
                .iter()
                .any(|(stage, out)| *stage == self.stage && out == node)
        };
        let is_heard =
            |index: &u32| view.load_at(*index).is_some() && !is_out(&view.at(*index).node);
        let heard: Vec<u32> = self.nodes.iter().copied().filter(is_heard).collect();
        if !heard.is_empty() {
            self.nodes = heard.into();
        }
        self
    }

    /// Whether the app is as well on each of them as on every other.
    pub(crate) fn is_uniform(&self) -> bool {
        self.listing.is_uniform()
    }

    /// The app's share of the work on a node.
    pub(crate) fn weight(&self, view: &ClusterView, index: u32) -> u16 {
        view.weight_in(&self.listing, index)
    }
}

// === impl PlanError ===

impl PlanError {
    /// The stage it is about.
    #[must_use]
    pub const fn stage(&self) -> StageNumber {
        match self {
            Self::NoSuchApp { stage, .. } | Self::NoFit { stage, .. } => *stage,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Index, Mark, NodeCandidate, Offered};

    fn name(name: &str) -> NodeId {
        NodeId::new(name).unwrap()
    }

    fn node(node: &str, apps: Offered) -> NodeCandidate {
        NodeCandidate {
            node: name(node),
            addresses: vec![format!("{node}:3747")],
            apps,
            labels: [("zone".to_owned(), node.to_owned())].into(),
            health: Tier::Passing,
            ejected: false,
            weight: 10,
            load: None,
            source: "static".to_owned(),
            here: false,
        }
    }

    fn listed(name: &str, apps: &[&str]) -> NodeCandidate {
        let apps = apps.iter().map(|app| (*app).to_owned()).collect();
        node(name, Offered::Listed(apps))
    }

    fn find(
        nodes: Vec<NodeCandidate>,
        app: &str,
        constraints: Vec<Constraint>,
        avoid: &[&str],
    ) -> Result<Vec<String>, PlanError> {
        let view = ClusterView::new(nodes);
        let wanted = Wanted {
            stage: StageNumber::FIRST,
            app: app.to_owned(),
            constraints,
        };
        let avoid = avoid.iter().map(|node| name(node)).collect();
        let found = resolve(&[wanted], &view, &avoid)?;
        Ok(found[0].nodes(&view).map(ToString::to_string).collect())
    }

    #[test]
    fn nodes_that_list_the_app_come_before_nodes_that_run_anything() {
        let nodes = || {
            vec![
                node("any", Offered::Any),
                listed("a", &["sort"]),
                listed("b", &["sort", "cat"]),
            ]
        };
        assert_eq!(find(nodes(), "sort", vec![], &[]).unwrap(), ["a", "b"]);
        assert_eq!(find(nodes(), "awk", vec![], &[]).unwrap(), ["any"]);
        let at_any = vec![Constraint::Node(name("any"))];
        assert_eq!(find(nodes(), "sort", at_any, &[]).unwrap(), ["any"]);
    }

    #[test]
    fn a_node_nobody_asked_yet_may_run_anything() {
        let nodes = vec![node("x", Offered::Unknown), node("y", Offered::Any)];
        assert_eq!(find(nodes, "sort", vec![], &[]).unwrap(), ["x", "y"]);
    }

    #[test]
    fn an_app_that_nobody_lists_has_no_node() {
        for nodes in [vec![], vec![listed("a", &["sort"])]] {
            let error = find(nodes, "srot", vec![], &[]).unwrap_err();
            let (stage, app) = (StageNumber::FIRST, "srot".to_owned());
            assert_eq!(error, PlanError::NoSuchApp { stage, app });
        }
    }

    #[test]
    fn what_is_said_of_one_app_counts_for_that_app_alone() {
        let index = Arc::new(Index::new(vec![
            listed("a", &["sort", "cat"]),
            listed("b", &["sort"]),
            node("any", Offered::Any),
        ]));
        let mark = |health, weight| Mark { health, weight };
        let said = [
            ("a", mark(Tier::Passing, 0)),
            ("any", mark(Tier::Passing, 10)),
            ("stranger", mark(Tier::Passing, 10)),
        ];
        let sort = Arc::new(index.listing_with("sort", said));
        let view = ClusterView::of(index, vec![("sort".to_owned(), sort)], None);
        let names = |app: &str| {
            let wanted = Wanted {
                stage: StageNumber::FIRST,
                app: app.to_owned(),
                constraints: vec![],
            };
            let found = resolve(&[wanted], &view, &BTreeSet::new()).unwrap();
            let names = found[0].nodes(&view).map(ToString::to_string);
            names.collect::<Vec<_>>()
        };
        // Its operator took `sort` on `a` out; `cat` goes on there. A node that runs anything may name an app besides.
        assert_eq!(names("sort"), ["b", "any"]);
        assert_eq!(names("cat"), ["a"]);
    }

    #[test]
    fn of_two_words_about_one_app_the_worse_counts() {
        let with = |health, weight| NodeCandidate {
            health,
            weight,
            ..listed("a", &["sort"])
        };
        let mark = |health, weight| Mark { health, weight };
        for (node, said, expected) in [
            (
                with(Tier::Passing, 10),
                mark(Tier::Critical, 10),
                (Tier::Critical, 10),
            ),
            (
                with(Tier::Warning, 10),
                mark(Tier::Passing, 3),
                (Tier::Warning, 3),
            ),
            (
                with(Tier::Passing, 0),
                mark(Tier::Passing, 3),
                (Tier::Passing, 0),
            ),
            (
                with(Tier::Passing, 3),
                mark(Tier::Passing, 0),
                (Tier::Passing, 0),
            ),
        ] {
            let index = Arc::new(Index::new(vec![node]));
            let listing = index.listing_with("sort", [("a", said)]);
            let view = ClusterView::of(index, vec![], None);
            let found = (view.health_in(&listing, 0), view.weight_in(&listing, 0));
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn all_constraints_hold_and_the_one_that_fails_is_named() {
        let nodes = || vec![listed("a", &["sort"]), listed("b", &["sort"])];
        let zone = |value: &str| Constraint::Label {
            key: "zone".to_owned(),
            value: value.to_owned(),
        };
        assert_eq!(find(nodes(), "sort", vec![zone("b")], &[]).unwrap(), ["b"]);
        let both = vec![zone("b"), Constraint::Node(name("a"))];
        for (constraints, avoid, what) in [
            (both, &[][..], "`@a`"),
            (vec![zone("c")], &[], "`@zone=c`"),
            (vec![], &["a", "b"], "`--avoid a,b`"),
        ] {
            let error = find(nodes(), "sort", constraints, avoid).unwrap_err();
            let PlanError::NoFit {
                constraint, nodes, ..
            } = error
            else {
                panic!("{error}");
            };
            assert_eq!(constraint, what);
            assert_eq!(nodes, [name("a"), name("b")]);
        }
    }

    #[test]
    fn drained_nodes_are_never_taken_and_ejected_ones_last() {
        let with = |weight, ejected| NodeCandidate {
            weight,
            ejected,
            ..listed("a", &["sort"])
        };
        let b = || listed("b", &["sort"]);
        assert_eq!(
            find(vec![with(0, false), b()], "sort", vec![], &[]).unwrap(),
            ["b"]
        );
        assert_eq!(
            find(vec![with(1, true), b()], "sort", vec![], &[]).unwrap(),
            ["b"]
        );
        assert_eq!(
            find(vec![with(1, true)], "sort", vec![], &[]).unwrap(),
            ["a"]
        );
        let drained = find(vec![with(0, false)], "sort", vec![], &[]).unwrap_err();
        assert!(matches!(drained, PlanError::NoFit { .. }));
    }
}
