//! What the node knows: of itself, of the others, and where from.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Extension, Path, State as Shared},
    http::StatusCode,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    api::{guard::Caller, problem::Problem, state::State},
    id::NodeId,
    wire::message::{
        AppView, Load, NodeView, OfferView, Query, Reply, SourceView, StageHere, StateView,
    },
};

/// The node itself.
#[derive(Serialize, ToSchema)]
pub(super) struct Itself {
    #[serde(flatten)]
    state: StateView,
    /// How busy it is.
    load: Load,
}

/// Every node that is known.
#[derive(Serialize, ToSchema)]
pub(super) struct Nodes {
    /// The nodes, by name.
    nodes: Vec<NodeView>,
    /// Where the knowledge comes from.
    sources: Vec<SourceView>,
}

/// Every app that is known by name.
#[derive(Serialize, ToSchema)]
pub(super) struct Apps {
    /// The apps, by name.
    apps: Vec<AppView>,
    /// Nodes that run any program of their search path.
    any: Vec<NodeId>,
    /// Where the knowledge comes from.
    sources: Vec<SourceView>,
}

/// Who offers one app, and how well it is there.
#[derive(Serialize, ToSchema)]
pub(super) struct App {
    /// Its name.
    app: String,
    /// The nodes that list it, by name.
    offers: Vec<OfferView>,
    /// Nodes that run any program of their search path.
    any: Vec<NodeId>,
    /// Where the knowledge comes from.
    sources: Vec<SourceView>,
}

/// The registries.
#[derive(Serialize, ToSchema)]
pub(super) struct Registry {
    /// Each with the age of its last good answer, and what is wrong with it.
    sources: Vec<SourceView>,
}

/// The stages that run on this node.
#[derive(Serialize, ToSchema)]
pub(super) struct Stages {
    /// The stages, those of the oldest pipe first.
    stages: Vec<StageHere>,
    /// How many more there are.
    left_out: u64,
}

/// This node, as it sees itself.
#[utoipa::path(get, path = "/v1/self", tag = "node", responses((status = 200, body = Itself)))]
pub(super) async fn itself(
    Shared(state): Shared<Arc<State>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Itself>, Problem> {
    match state.observer.ask(&caller.asker(), Query::State).await {
        Reply::State(itself) => Ok(Json(Itself {
            state: itself,
            load: state.observer.load(),
        })),
        _ => Err(other_answer()),
    }
}

/// Every node that is known, as this one sees it.
#[utoipa::path(get, path = "/v1/nodes", tag = "cluster", responses((status = 200, body = Nodes)))]
pub(super) async fn nodes(
    Shared(state): Shared<Arc<State>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Nodes>, Problem> {
    match state.observer.ask(&caller.asker(), Query::Nodes).await {
        Reply::Nodes { nodes, sources } => Ok(Json(Nodes { nodes, sources })),
        _ => Err(other_answer()),
    }
}

/// Every app that is known by name, and who offers it.
#[utoipa::path(get, path = "/v1/apps", tag = "cluster", responses((status = 200, body = Apps)))]
pub(super) async fn apps(
    Shared(state): Shared<Arc<State>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Apps>, Problem> {
    match state.observer.ask(&caller.asker(), Query::Apps).await {
        Reply::Apps { apps, any, sources } => Ok(Json(Apps { apps, any, sources })),
        _ => Err(other_answer()),
    }
}

/// Who offers one app, and how well it is there.
#[utoipa::path(get, path = "/v1/apps/{app}", tag = "cluster", params(("app" = String, Path, description = "Its name", pattern = "^[^/]+$")),
    responses((status = 200, body = App), (status = 400, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn app(
    Shared(state): Shared<Arc<State>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<String>,
) -> Result<Json<App>, Problem> {
    let query = Query::App { app };
    match state.observer.ask(&caller.asker(), query).await {
        Reply::App {
            app,
            offers,
            any,
            sources,
            ..
        } => Ok(Json(App {
            app,
            offers,
            any,
            sources,
        })),
        _ => Err(other_answer()),
    }
}

/// The registries: the age of the last good answer of each, and what is wrong with it.
#[utoipa::path(get, path = "/v1/registry", tag = "cluster", responses((status = 200, body = Registry)))]
pub(super) async fn registry(
    Shared(state): Shared<Arc<State>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Registry>, Problem> {
    match state.observer.ask(&caller.asker(), Query::State).await {
        Reply::State(StateView { sources, .. }) => Ok(Json(Registry { sources })),
        _ => Err(other_answer()),
    }
}

/// The stages that run on this node, whoever conducts them.
#[utoipa::path(get, path = "/v1/stages", tag = "node", responses((status = 200, body = Stages)))]
pub(super) async fn stages(
    Shared(state): Shared<Arc<State>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Stages>, Problem> {
    match state.observer.ask(&caller.asker(), Query::Stages).await {
        Reply::Stages { stages, left_out } => Ok(Json(Stages { stages, left_out })),
        _ => Err(other_answer()),
    }
}

/// The daemon has answered another question; only a bug could make it.
pub(super) fn other_answer() -> Problem {
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    Problem::new(
        status,
        "internal",
        "the daemon has answered another question",
    )
}
