use std::{borrow::Cow, cmp::Ordering};

use super::PlaceError;
use crate::{
    id::NodeId,
    plan::{Candidates, ClusterView, Tier},
};

/// Load is compared in eighths: what a node said a while ago is no finer than that, and coarse steps leave ties to the hash, so that
/// pipes started at one moment do not all run to the one node that is idle by a hair.
const LOAD_STEPS: u64 = 8;

/// The nodes a policy may choose from for one stage: those of the best health class that are not excluded. Never empty.
#[derive(Clone, Debug)]
pub struct Choices<'a> {
    pub(super) candidates: &'a Candidates,
    pub(super) view: &'a ClusterView,
    /// Ascending indices into the view.
    pub(super) nodes: Cow<'a, [u32]>,
    pub(super) seed: u64,
}

/// What speaks for a node apart from the rest of the pipe. Smaller is better.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rank {
    unknown: bool,
    load: u64,
    pub(super) weight: u16,
    hash: u64,
}

// === impl Choices ===

impl<'a> Choices<'a> {
    pub(super) fn new(
        candidates: &'a Candidates,
        view: &'a ClusterView,
        excluded: &[&NodeId],
        seed: u64,
    ) -> Result<Self, PlaceError> {
        let mut nodes = Cow::Borrowed(candidates.indices());
        if !excluded.is_empty() {
            let left = |index: &u32| !excluded.contains(&&view.at(*index).node);
            nodes = nodes.iter().copied().filter(left).collect();
        }
        let class_at = |index: &u32| class(candidates.health(view, *index));
        let looked_at = if candidates.is_uniform() {
            &nodes[..nodes.len().min(1)]
        } else {
            &nodes[..]
        };
        let Some(best) = looked_at.iter().map(class_at).min() else {
            return Err(PlaceError::NoneLeft {
                stage: candidates.stage,
                app: candidates.app.clone(),
                tried: u32::try_from(candidates.indices().len()).unwrap_or(u32::MAX),
            });
        };
        if !candidates.is_uniform() && nodes.iter().any(|index| class_at(index) != best) {
            nodes.to_mut().retain(|index| class_at(index) == best);
        }
        Ok(Self {
            candidates,
            view,
            nodes,
            seed,
        })
    }

    pub(super) fn rank(&self, index: u32) -> Rank {
        let load = self.view.load_at(index);
        let load = load.filter(|(_, capacity)| *capacity > 0);
        Rank {
            unknown: self.candidates.health(self.view, index) == Tier::Unknown,
            // Nothing known speaks against a node whose load is not known.
            load: load.map_or(0, |(running, capacity)| match running {
                // Most are idle, and a division for each of a thousand is most of a choice's time.
                0 => 0,
                running => u64::from(running) * LOAD_STEPS / u64::from(capacity),
            }),
            weight: self.candidates.weight(self.view, index).max(1),
            hash: mix(self.view.hash_at(index) ^ self.seed),
        }
    }
}

/// Whom to prefer whatever the policy says; see the module's documentation.
pub(super) const fn class(health: Tier) -> u8 {
    match health {
        Tier::Passing | Tier::Unknown => 0,
        Tier::Warning => 1,
        Tier::Absent => 2,
        Tier::Critical => 3,
    }
}

// === impl Rank ===

impl Rank {
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        (self.unknown, self.load)
            .cmp(&(other.unknown, other.load))
            .then_with(|| {
                if self.weight == other.weight {
                    other.hash.cmp(&self.hash)
                } else {
                    self.lot().total_cmp(&other.lot())
                }
            })
    }

    /// The lot drawn by a node: weighted rendezvous hashing, by which a node wins as often as its share of all weights.
    fn lot(&self) -> f64 {
        #[expect(
            clippy::cast_precision_loss,
            reason = "53 of 64 random bits are random enough"
        )]
        let uniform = (self.hash as f64 + 1.0) / (u64::MAX as f64 + 2.0);
        -uniform.ln() / f64::from(self.weight)
    }
}

/// The finalizer of SplitMix64: every bit of the input changes half of those of the output.
const fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
