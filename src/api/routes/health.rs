//! For machines: whether the node lives, whether it takes work, and what it counts.

use std::sync::Arc;

use axum::{
    extract::State as Shared,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::{
    api::{problem::Problem, state::State, web},
    wire::message::Phase,
};

/// What Prometheus calls its text format.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Whether the daemon lives: it answers.
#[utoipa::path(get, path = "/livez", tag = "node", responses((status = 200, description = "It lives", body = String)))]
pub(super) async fn live() -> &'static str {
    "ok\n"
}

/// Whether the daemon takes work.
#[utoipa::path(get, path = "/readyz", tag = "node", responses(
    (status = 200, description = "It takes work", body = String),
    (status = 503, description = "It starts, or leaves", body = String),
))]
pub(super) async fn ready(Shared(state): Shared<Arc<State>>) -> (StatusCode, &'static str) {
    match state.observer.phase() {
        Phase::Ready => (StatusCode::OK, "ready\n"),
        Phase::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        Phase::Starting | Phase::Other => (StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
    }
}

/// What the node counts, for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "node", responses(
    (status = 200, description = "The metrics", body = String),
    (status = 404, description = "They are not served", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn metrics(Shared(state): Shared<Arc<State>>) -> Response {
    if !state.settings.metrics {
        return web::no_such_path().into_response();
    }
    ([(header::CONTENT_TYPE, METRICS)], state.observer.metrics()).into_response()
}
