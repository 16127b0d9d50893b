use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use crate::id::NodeId;

/// What is known of the cluster at one moment.
#[derive(Clone, Debug, Default)]
pub struct ClusterView {
    nodes: Vec<NodeCandidate>,
    sources: Vec<Source>,
    /// Nodes that list an app, as indices in ascending order.
    by_app: HashMap<String, Arc<[u32]>>,
    /// Nodes that may run any app.
    open: Arc<[u32]>,
    /// A hash of each node's name, for choices that differ between pipes and are the same everywhere.
    hashes: Vec<u64>,
    /// Whether some node is drained or ejected, so that lists have to be filtered.
    blemished: bool,
}

/// One node that may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeCandidate {
    /// Its name.
    pub node: NodeId,
    /// Where it is dialled, one after the other.
    pub addresses: Vec<String>,
    /// What it runs.
    pub apps: Offered,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// How well it is.
    pub health: Tier,
    /// It lately failed and is left out while others remain.
    pub ejected: bool,
    /// Its share of the work; 0 takes none.
    pub weight: u16,
    /// Stages it runs and stages it takes at most, where known.
    pub load: Option<(u32, u32)>,
    /// Which registry told of it.
    pub source: String,
    /// Whether it is the entry itself.
    pub here: bool,
}

/// What a node runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offered {
    /// Any program of its search path.
    Any,
    /// These apps and no others.
    Listed(BTreeSet<String>),
    /// Nobody knows; it has to be asked.
    Unknown,
}

/// How well a node is, from the most to the least usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// It answers.
    Passing,
    /// Nobody looked yet.
    Unknown,
    /// It wants no more work.
    Warning,
    /// Its registry no longer lists it.
    Absent,
    /// It is said to be broken.
    Critical,
}

/// One registry's standing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// Age of its last good answer.
    pub age: Option<Duration>,
    /// Why its knowledge is old, if it is.
    pub stale: Option<String>,
}

// === impl ClusterView ===

impl ClusterView {
    /// Indexes the nodes by what they run. Of two nodes with one name the first counts.
    #[must_use]
    pub fn new(nodes: Vec<NodeCandidate>, sources: Vec<Source>) -> Self {
        let mut seen = BTreeSet::new();
        let nodes: Vec<_> = nodes
            .into_iter()
            .filter(|candidate| seen.insert(candidate.node.clone()))
            .collect();
        let mut by_app: HashMap<String, Vec<u32>> = HashMap::new();
        let mut open = Vec::new();
        for (index, candidate) in (0..).zip(&nodes) {
            match &candidate.apps {
                Offered::Any | Offered::Unknown => open.push(index),
                Offered::Listed(apps) => {
                    for app in apps {
                        match by_app.get_mut(app) {
                            Some(list) => list.push(index),
                            None => drop(by_app.insert(app.clone(), vec![index])),
                        }
                    }
                }
            }
        }
        Self {
            hashes: nodes.iter().map(|n| hash(&n.node)).collect(),
            blemished: nodes.iter().any(|n| n.weight == 0 || n.ejected),
            by_app: by_app
                .into_iter()
                .map(|(app, list)| (app, list.into()))
                .collect(),
            open: open.into(),
            nodes,
            sources,
        }
    }

    /// Every node, in the order given.
    #[must_use]
    pub fn nodes(&self) -> &[NodeCandidate] {
        &self.nodes
    }

    /// The registries.
    #[must_use]
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// A node by its name.
    #[must_use]
    pub fn node(&self, name: &NodeId) -> Option<&NodeCandidate> {
        self.nodes.iter().find(|candidate| &candidate.node == name)
    }

    /// Every app that some node lists, in no order, with its nodes.
    pub fn apps(&self) -> impl Iterator<Item = (&str, Vec<NodeId>)> {
        let names = |list: &[u32]| list.iter().map(|i| self.at(*i).node.clone()).collect();
        self.by_app
            .iter()
            .map(move |(app, list)| (app.as_str(), names(list)))
    }

    /// The node at an index of [`Candidates`](super::Candidates).
    pub(crate) fn at(&self, index: u32) -> &NodeCandidate {
        &self.nodes[index as usize]
    }

    /// The hash of that node's name.
    pub(crate) fn hash_at(&self, index: u32) -> u64 {
        self.hashes[index as usize]
    }

    pub(super) fn listing(&self, app: &str) -> Option<&Arc<[u32]>> {
        self.by_app.get(app)
    }

    pub(super) const fn open(&self) -> &Arc<[u32]> {
        &self.open
    }

    pub(super) const fn is_blemished(&self) -> bool {
        self.blemished
    }

    pub(super) fn app_names(&self) -> impl Iterator<Item = &String> {
        self.by_app.keys()
    }
}

/// The same in every process: [`DefaultHasher::new`] has fixed keys.
fn hash(node: &NodeId) -> u64 {
    let mut hasher = DefaultHasher::new();
    node.as_str().hash(&mut hasher);
    hasher.finish()
}
