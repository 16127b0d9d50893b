//! From a request to a plan: resolve, then place. The work is done by the pure modules `plan` and `schedule`.

use std::collections::BTreeSet;

use super::{Cluster, request::Request};
use crate::{
    expr,
    id::{NodeId, StageNumber},
    plan::{self, Candidates, ClusterView, Constraint, PlanError, Wanted},
    schedule::{self, PlaceError, Plan},
    wire::message::{Failure, RunMode, SourceView},
};

/// Whose word counts about who is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// The registries': what they list is dialled.
    Registries,
    /// This node's own, where it has heard of anybody: somebody whom a registry lists could not be reached.
    OwnEars,
}

/// Picks a node for every stage, never one of the `excluded` pairs. Reads memory; only the message of a failure may take a look at
/// the registries. `sources` are those of the view, at its time.
pub(super) async fn place(
    request: &Request,
    view: &ClusterView,
    sources: &[SourceView],
    excluded: &[(StageNumber, NodeId)],
    trust: Trust,
    cluster: &dyn Cluster,
) -> Result<Plan, Failure> {
    let wanted: Vec<Wanted> = request
        .pipeline
        .stages
        .iter()
        .enumerate()
        .map(|(index, stage)| want(index, stage))
        .collect();
    let avoid: BTreeSet<NodeId> = request.run.options.avoid.iter().cloned().collect();
    let candidates = match plan::resolve(&wanted, view, &avoid) {
        Ok(candidates) => candidates,
        Err(error) => return Err(plan_failure(error, view, sources, cluster).await),
    };
    let candidates: Vec<Candidates> = match trust {
        Trust::Registries => candidates,
        Trust::OwnEars => {
            let heard = candidates
                .into_iter()
                .map(|stage| stage.heard(view, excluded));
            heard.collect()
        }
    };
    let policy = request.policy.parse().map_err(|_| Failure::BadRequest {
        detail: format!(
            "-o policy={}: spread, pack or pin is wanted",
            request.policy
        ),
        span: None,
        hint: None,
    })?;
    // The pipe's name breaks ties, so that equal nodes share the load of many pipes.
    let seed = request.run.pipe.seed();
    let mut plan =
        schedule::place(&candidates, view, policy, excluded, seed).map_err(place_failure)?;
    if request.run.mode == RunMode::Check {
        schedule::explain(&mut plan, &wanted, &candidates, view, &avoid, excluded);
    }
    Ok(plan)
}

fn want(index: usize, stage: &expr::Stage) -> Wanted {
    let constraint = |constraint: &expr::Constraint| match constraint {
        expr::Constraint::Node(node) => Constraint::Node(node.clone()),
        expr::Constraint::Label { key, value } => Constraint::Label {
            key: key.clone(),
            value: value.clone(),
        },
    };
    Wanted {
        stage: StageNumber::from_index(index),
        app: stage.app.word.to_string(),
        constraints: stage.placement.iter().map(constraint).collect(),
    }
}

async fn plan_failure(
    error: PlanError,
    view: &ClusterView,
    sources: &[SourceView],
    cluster: &dyn Cluster,
) -> Failure {
    match error {
        PlanError::NoSuchApp { stage, app } => {
            let sources = sources.to_vec();
            // That nobody has an app is only known of nodes that are known: a registry that was never read says nothing about apps.
            let unread = |source: &SourceView| source.age_ms.is_none();
            if view.nodes().iter().all(|node| node.here) && sources.iter().any(unread) {
                return Failure::NoRegistry { sources };
            }
            Failure::NoSuchApp {
                near: cluster.near(&app, view).await,
                stage,
                app,
                sources,
                nodes: u32::try_from(view.nodes().len()).unwrap_or(u32::MAX),
            }
        }
        PlanError::NoFit {
            stage,
            app,
            constraint,
            nodes,
        } => Failure::NoFit {
            stage,
            app,
            constraint,
            nodes,
        },
    }
}

fn place_failure(error: PlaceError) -> Failure {
    Failure::Entry {
        detail: error.to_string(),
    }
}
