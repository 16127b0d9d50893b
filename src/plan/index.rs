use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use super::{NodeCandidate, Offered, Tier};
use crate::id::NodeId;

/// Every known node and who offers what: the part of a [`ClusterView`](super::ClusterView) that changes seldom, so that many pipes
/// share one.
#[derive(Clone, Debug, Default)]
pub struct Index {
    nodes: Vec<NodeCandidate>,
    by_name: HashMap<Box<str>, u32>,
    /// Nodes that list an app.
    by_app: HashMap<String, Arc<Listing>>,
    /// Nodes that may run any app.
    open: Arc<Listing>,
    /// What a choice looks at of each node, apart from the rest: a choice among a thousand of these reads a few pages, not a few hundred.
    briefs: Vec<Brief>,
}

/// What a choice looks at of a node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Brief {
    /// A hash of the name, for choices that differ between pipes and are the same everywhere.
    pub(super) hash: u64,
    pub(super) load: Option<(u32, u32)>,
    pub(super) weight: u16,
    pub(super) health: Tier,
}

/// Nodes that offer one app.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Ascending indices.
    nodes: Arc<[u32]>,
    /// Where the app is worse off than its node.
    marks: BTreeMap<u32, Mark>,
    /// Whether some node is drained or ejected, so that the list has to be filtered.
    blemished: bool,
    /// Whether the app is as well on each node as on every other, so that nobody has to look for the best.
    uniform: bool,
}

/// What is said of one app on one node: an operator may take out a single app, and its health may differ from that of its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// How well the app is.
    pub health: Tier,
    /// Its share of the work; 0 takes none.
    pub weight: u16,
}

// === impl Index ===

impl Index {
    /// Indexes the nodes by what they run. Of two nodes with one name the first counts.
    #[must_use]
    pub fn new(nodes: Vec<NodeCandidate>) -> Self {
        let mut by_name = HashMap::with_capacity(nodes.len());
        let mut unique = Vec::with_capacity(nodes.len());
        for candidate in nodes {
            let index = u32::try_from(unique.len()).unwrap_or(u32::MAX);
            by_name
                .entry(candidate.node.as_str().into())
                .or_insert_with(|| {
                    unique.push(candidate);
                    index
                });
        }
        let nodes = unique;
        let mut by_app: HashMap<&str, Vec<u32>> = HashMap::new();
        let mut open = Vec::new();
        for (index, candidate) in (0..).zip(&nodes) {
            match &candidate.apps {
                Offered::Any | Offered::Unknown => open.push(index),
                Offered::Listed(apps) => {
                    for app in apps {
                        by_app.entry(app).or_default().push(index);
                    }
                }
            }
        }
        let listing = |list: Vec<u32>| Arc::new(Listing::new(&nodes, list, BTreeMap::new()));
        Self {
            briefs: nodes.iter().map(Brief::of).collect(),
            by_app: by_app
                .into_iter()
                .map(|(app, list)| (app.to_owned(), listing(list)))
                .collect(),
            open: listing(open),
            by_name,
            nodes,
        }
    }

    /// The nodes that offer an app: those that list it themselves, and those that are said to. A node that is not known is left out;
    /// of two words about one app the worse counts.
    #[must_use]
    pub fn listing_with<'a>(
        &self,
        app: &str,
        said: impl IntoIterator<Item = (&'a str, Mark)>,
    ) -> Listing {
        let mut all: BTreeSet<u32> = self
            .by_app
            .get(app)
            .map(|listing| listing.nodes.iter().copied().collect())
            .unwrap_or_default();
        let mut marks = BTreeMap::new();
        for (node, mark) in said {
            let Some(&index) = self.by_name.get(node) else {
                continue;
            };
            all.insert(index);
            let own = &self.nodes[index as usize];
            let health = mark.health.max(own.health);
            let weight = match (mark.weight, own.weight) {
                (0, _) | (_, 0) => 0,
                (weight, _) => weight,
            };
            if (health, weight) != (own.health, own.weight) {
                marks.insert(index, Mark { health, weight });
            }
        }
        Listing::new(&self.nodes, all.into_iter().collect(), marks)
    }

    /// Every node, in the order given.
    #[must_use]
    pub fn nodes(&self) -> &[NodeCandidate] {
        &self.nodes
    }

    /// The place of a node.
    #[must_use]
    pub fn position(&self, node: &NodeId) -> Option<u32> {
        self.by_name.get(node.as_str()).copied()
    }

    /// The nodes that list an app themselves.
    #[must_use]
    pub fn listing(&self, app: &str) -> Option<&Arc<Listing>> {
        self.by_app.get(app)
    }

    /// Every app that some node lists itself, in no order.
    pub fn apps(&self) -> impl Iterator<Item = &str> {
        self.by_app.keys().map(String::as_str)
    }

    pub(super) const fn open(&self) -> &Arc<Listing> {
        &self.open
    }

    pub(super) fn brief(&self, index: u32) -> &Brief {
        &self.briefs[index as usize]
    }
}

// === impl Brief ===

impl Brief {
    fn of(node: &NodeCandidate) -> Self {
        Self {
            hash: hash(&node.node),
            load: node.load,
            weight: node.weight,
            health: node.health,
        }
    }
}

// === impl Listing ===

impl Listing {
    fn new(nodes: &[NodeCandidate], list: Vec<u32>, marks: BTreeMap<u32, Mark>) -> Self {
        let blemished = marks.values().any(|mark| mark.weight == 0)
            || list.iter().any(|index| {
                let node = &nodes[*index as usize];
                node.weight == 0 || node.ejected
            });
        let mut healths = list.iter().map(|index| nodes[*index as usize].health);
        let first = healths.next();
        let uniform = marks.is_empty() && healths.all(|health| Some(health) == first);
        Self {
            nodes: list.into(),
            marks,
            blemished,
            uniform,
        }
    }

    /// Ascending indices of the nodes.
    #[must_use]
    pub const fn nodes(&self) -> &Arc<[u32]> {
        &self.nodes
    }

    pub(super) fn mark(&self, index: u32) -> Option<&Mark> {
        if self.marks.is_empty() {
            return None;
        }
        self.marks.get(&index)
    }

    pub(super) const fn is_uniform(&self) -> bool {
        self.uniform
    }

    pub(super) const fn is_blemished(&self) -> bool {
        self.blemished
    }
}

/// The same in every process: [`DefaultHasher::new`] has fixed keys.
fn hash(node: &NodeId) -> u64 {
    let mut hasher = DefaultHasher::new();
    node.as_str().hash(&mut hasher);
    hasher.finish()
}
