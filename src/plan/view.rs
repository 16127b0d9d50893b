use std::sync::Arc;

use super::{Index, Listing, NodeCandidate, Tier};
use crate::id::NodeId;

/// What is known of the cluster at one moment: an [`Index`] that many pipes share, what is said of the apps that this pipe wants, and
/// the few facts that are never old. Building one copies a handful of pointers.
#[derive(Clone, Debug, Default)]
pub struct ClusterView {
    index: Arc<Index>,
    /// Fuller than the index, for the apps that were asked about.
    listings: Vec<(String, Arc<Listing>)>,
    here: Option<Here>,
}

/// What the entry knows of itself at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Here {
    /// Its place in the index.
    pub at: u32,
    /// Stages it runs and stages it takes at most.
    pub load: (u32, u32),
}

// === impl ClusterView ===

impl ClusterView {
    /// A view of nodes and nothing else.
    #[must_use]
    pub fn new(nodes: Vec<NodeCandidate>) -> Self {
        Self::of(Arc::new(Index::new(nodes)), Vec::new(), None)
    }

    /// A view of an index, with fuller listings of some apps.
    #[must_use]
    pub const fn of(
        index: Arc<Index>,
        listings: Vec<(String, Arc<Listing>)>,
        here: Option<Here>,
    ) -> Self {
        Self {
            index,
            listings,
            here,
        }
    }

    /// Every node.
    #[must_use]
    pub fn nodes(&self) -> &[NodeCandidate] {
        self.index.nodes()
    }

    /// A node by its name.
    #[must_use]
    pub fn node(&self, name: &NodeId) -> Option<&NodeCandidate> {
        self.index.position(name).map(|index| self.at(index))
    }

    /// Every app that is known to be offered, each once, in no order.
    pub fn apps(&self) -> impl Iterator<Item = &str> {
        let more = self.listings.iter().filter(|(app, listing)| {
            self.index.listing(app).is_none() && !listing.nodes().is_empty()
        });
        self.index.apps().chain(more.map(|(app, _)| app.as_str()))
    }

    /// The names of the nodes that list an app, in their order.
    #[must_use]
    pub fn offering(&self, app: &str) -> Vec<NodeId> {
        let names = |listing: &Arc<Listing>| {
            let names = listing.nodes().iter().map(|i| self.at(*i).node.clone());
            names.collect()
        };
        self.listing(app).map(names).unwrap_or_default()
    }

    /// The node at an index of [`Candidates`](super::Candidates).
    pub(crate) fn at(&self, index: u32) -> &NodeCandidate {
        &self.index.nodes()[index as usize]
    }

    /// The hash of that node's name.
    pub(crate) fn hash_at(&self, index: u32) -> u64 {
        self.index.brief(index).hash
    }

    /// Stages that the node runs and takes at most, where known.
    pub(crate) fn load_at(&self, index: u32) -> Option<(u32, u32)> {
        match self.here {
            Some(here) if here.at == index => Some(here.load),
            _ => self.index.brief(index).load,
        }
    }

    /// How well an app is on a node, by the listing it was found in.
    pub(crate) fn health_in(&self, listing: &Listing, index: u32) -> Tier {
        let mark = listing.mark(index);
        mark.map_or_else(|| self.index.brief(index).health, |mark| mark.health)
    }

    /// An app's share of the work on a node, by the listing it was found in.
    pub(crate) fn weight_in(&self, listing: &Listing, index: u32) -> u16 {
        let mark = listing.mark(index);
        mark.map_or_else(|| self.index.brief(index).weight, |mark| mark.weight)
    }

    pub(super) fn listing(&self, app: &str) -> Option<&Arc<Listing>> {
        let fuller = self.listings.iter().find(|(known, _)| known == app);
        fuller
            .map(|(_, listing)| listing)
            .or_else(|| self.index.listing(app))
    }

    pub(super) fn open(&self) -> &Arc<Listing> {
        self.index.open()
    }
}
