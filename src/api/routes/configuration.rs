//! What the node was told.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Extension, State as Shared},
    http::StatusCode,
};
use serde::Serialize;
use tokio::sync::oneshot;
use utoipa::ToSchema;

use crate::api::{
    guard::Caller,
    problem::Problem,
    state::{Configuration, State},
};

/// Sections of a configuration that say who may run what.
const POLICY: [&str; 4] = ["access", "apps", "run", "schedule"];

/// Who may run what on this node.
#[derive(Serialize, ToSchema)]
pub(super) struct Policy {
    /// The sections `access`, `apps`, `run` and `schedule` of the configuration. What variables of apps are set to is left out.
    #[schema(value_type = Object)]
    policy: serde_json::Value,
}

/// The effective configuration, with where each value came from. Secrets are left out.
#[utoipa::path(get, path = "/v1/config", tag = "node", security((), ("token" = [])), responses(
    (status = 200, body = Configuration),
    (status = 401, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn config(
    Shared(state): Shared<Arc<State>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Configuration>, Problem> {
    caller.may_see_all()?;
    Ok(Json(state.described.get()))
}

/// Who may run what on this node.
#[utoipa::path(get, path = "/v1/policy", tag = "node", security((), ("token" = [])), responses(
    (status = 200, body = Policy),
    (status = 401, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn policy(
    Shared(state): Shared<Arc<State>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Policy>, Problem> {
    caller.may_see_all()?;
    let mut policy = state.described.get().values;
    if let Some(sections) = policy.as_object_mut() {
        sections.retain(|name, _| POLICY.contains(&name.as_str()));
    }
    Ok(Json(Policy { policy }))
}

/// Has the daemon read its configuration again. A wrong one is told, and the old one stays.
#[utoipa::path(post, path = "/v1/reload", tag = "node", security((), ("token" = [])), responses(
    (status = 204, description = "It was read, and is in force"),
    (status = 401, body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "It is wrong, and the old one stays", body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn reload(
    Shared(state): Shared<Arc<State>>,
    Extension(caller): Extension<Caller>,
) -> Result<StatusCode, Problem> {
    caller.may_change()?;
    let busy = || {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Problem::new(
            status,
            "busy",
            "the daemon leaves, or reads its configuration already",
        )
    };
    let (tell, told) = oneshot::channel();
    state.reloads.try_send(tell).map_err(|_| busy())?;
    match told.await {
        Ok(Ok(())) => Ok(StatusCode::NO_CONTENT),
        Ok(Err(wrong)) => {
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            let problem = Problem::new(status, "bad-configuration", wrong);
            Err(problem.help("look for errors: dpipesd config check"))
        }
        Err(_) => Err(busy()),
    }
}
