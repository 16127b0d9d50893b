//! Which of its candidates runs each stage.
//!
//! [`place`] is deterministic: the same candidates, view, policy, exclusions and seed give the same [`Plan`], so that a dry run tells the
//! truth and can say why. The seed is the pipe's id: ties are broken by a hash of node and seed (rendezvous hashing, weighted), so that
//! equal pipes spread over equal nodes without anybody keeping count.
//!
//! Health comes first. Nodes that answer and nodes that nobody looked at yet are one class, for a file lists only the latter, and a node
//! that does not answer is replaced before anything starts; within the class those that answer win ties. Then come nodes that want
//! no more work, nodes their registry no longer lists, and broken ones as a last resort.

mod explain;
mod plan;
mod policy;
mod rank;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use thiserror::Error;

pub use self::{
    explain::{Considered, explain},
    plan::{Placed, Plan},
    policy::{Pack, Pin, Policy, PolicyName, Spread, UnknownPolicy},
    rank::Choices,
};
use crate::{
    id::{NodeId, StageNumber},
    plan::{Candidates, ClusterView},
};

/// Why a pipeline could not be placed though every stage has candidates.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PlaceError {
    /// All candidates of a stage were tried and excluded.
    #[error("none of the {tried} nodes that could run stage {stage} `{app}` is left to try")]
    NoneLeft {
        /// The stage.
        stage: StageNumber,
        /// Its app.
        app: String,
        /// How many there were.
        tried: u32,
    },
    /// `pin` was asked for and no node can run everything.
    #[error(
        "no single node can run all stages: stage {stage} `{app}` has none in common with those before it"
    )]
    NoSingleNode {
        /// The first stage that leaves no node.
        stage: StageNumber,
        /// Its app.
        app: String,
        /// The nodes that could run all stages before it.
        before: Vec<NodeId>,
    },
}

/// Chooses a node for every stage.
///
/// `excluded` pairs are never chosen: nodes that were busy or gone when asked. `seed` is the pipe's id.
///
/// # Errors
///
/// Returns [`PlaceError`] when exclusions or the policy leave a stage without a node.
pub fn place(
    candidates: &[Candidates],
    view: &ClusterView,
    policy: PolicyName,
    excluded: &[(StageNumber, NodeId)],
    seed: u64,
) -> Result<Plan, PlaceError> {
    let mut out: BTreeMap<StageNumber, Vec<&NodeId>> = BTreeMap::new();
    for (stage, node) in excluded {
        out.entry(*stage).or_default().push(node);
    }
    let none = Vec::new();
    let usable: Result<Vec<Choices<'_>>, PlaceError> = candidates
        .iter()
        .map(|c| Choices::new(c, view, out.get(&c.stage).unwrap_or(&none), seed))
        .collect();
    policy.policy().place(&usable?)
}
