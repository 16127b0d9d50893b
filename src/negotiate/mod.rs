//! Negotiation: both sides check every parameter before any app is started.
//!
//! ```text
//! entry                                   node
//!   Offer  ------------------------------>  check_offer(offer, rules, facts), per stage
//!                                           shim expands; check_arguments(rule, argv)
//!   check_answers(asked, answers)  <------  Answer
//!   Start{terms}  ----------------------->  check_terms(text, offer, accepts)
//! ```
//!
//! [`PARAMETERS`] is the one table of what is negotiated; every [`Refusal`](crate::wire::message::Refusal) names one of its rows. Nothing
//! here does I/O: what a node found out about itself comes in as [`Facts`], what its owner allows as [`Rules`](rules::Rules).

mod agreement;
mod answers;
mod arguments;
mod environment;
mod facts;
mod features;
mod offer;
mod parameter;
mod pattern;
pub mod rules;
#[cfg(test)]
mod tests;
mod version;

pub use self::{
    agreement::{Agreement, Disagreement, Refused, check_terms, digest, stage_digest},
    answers::{Asked, Ends, check_answers},
    arguments::check_arguments,
    facts::{AppFact, Facts, Program},
    features::{DIGEST, OBJECTS, ZSTD},
    offer::{Agreed, check_offer, ignored_options},
    parameter::{PARAMETERS, Parameter, Side, parameter, table_markdown},
    pattern::matches,
    version::{Requirement, UnknownRequirement, Version},
};
