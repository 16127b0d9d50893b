//! Which nodes could run each stage of a pipeline.
//!
//! [`ClusterView`] is what is known of the cluster at one moment: plain data with an index, built by the daemon, without a clock.
//! [`resolve`] turns the wanted stages into [`Candidates`], or into a [`PlanError`] that knows its stage; `schedule` chooses among them.

mod resolve;
mod view;

pub use self::{
    resolve::{Candidates, Constraint, PlanError, Wanted, resolve},
    view::{ClusterView, NodeCandidate, Offered, Source, Tier},
};
