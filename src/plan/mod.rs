//! Which nodes could run each stage of a pipeline.
//!
//! [`ClusterView`] is what is known of the cluster at one moment: plain data without a clock, on top of an [`Index`] that the daemon
//! builds when what is known changes, not for each pipe. [`resolve`] turns the wanted stages into [`Candidates`], or into a [`PlanError`]
//! that knows its stage; `schedule` chooses among them. [`near`] finds names that look alike.

mod index;
mod near;
mod node;
mod resolve;
mod view;

pub use self::{
    index::{Index, Listing, Mark},
    near::near,
    node::{NodeCandidate, Offered, Tier},
    resolve::{Candidates, Constraint, PlanError, Wanted, misfit, resolve},
    view::{ClusterView, Here},
};
