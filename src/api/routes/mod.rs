//! The paths, a file for each group of them. The document that describes them is made of the same declarations, so that the two cannot differ.

mod configuration;
mod events;
mod health;
mod known;
mod pipes;
mod run;

use std::sync::Arc;

use axum::{
    Json, Router, extract::DefaultBodyLimit, http::StatusCode, middleware::from_fn_with_state,
    routing::get,
};
use utoipa::{
    Modify, OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{guard, problem::Problem, state::State, web};

/// Bytes of a request in JSON at most. What a pipe reads is no such request, and has no limit.
const MOST_BODY: usize = 1 << 20;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "dpipes",
        description = "Watch and steer the pipes of a node. Errors are documents as in RFC 9457. Over the unix socket whoever asks is known by their user; \
                       over TCP what changes something takes the token.",
        license(name = "MIT OR Apache-2.0")
    ),
    modifiers(&Token),
    tags(
        (name = "pipes", description = "Pipes that this node conducts"),
        (name = "cluster", description = "What this node knows of the others"),
        (name = "node", description = "This node"),
    )
)]
struct Document;

/// The token in the document.
struct Token;

impl Modify for Token {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        components.add_security_scheme("token", SecurityScheme::Http(bearer));
    }
}

fn described() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(pipes::list, run::start))
        .routes(routes!(pipes::one, pipes::end))
        .routes(routes!(events::of_one))
        .routes(routes!(events::of_all))
        .routes(routes!(run::check))
        .routes(routes!(known::itself))
        .routes(routes!(known::nodes))
        .routes(routes!(known::apps))
        .routes(routes!(known::app))
        .routes(routes!(known::registry))
        .routes(routes!(known::stages))
        .routes(routes!(configuration::config))
        .routes(routes!(configuration::policy))
        .routes(routes!(configuration::reload))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(health::metrics))
}

/// The document that describes the API, as JSON.
#[must_use]
pub fn openapi() -> String {
    let (_, document) = described().split_for_parts();
    let mut text = document
        .to_pretty_json()
        .expect("the document is made of strings, numbers, lists and maps");
    text.push('\n');
    text
}

/// Everything that is served.
pub(super) fn router(state: &Arc<State>) -> Router {
    let (api, document) = described().split_for_parts();
    let described = Arc::new(document);
    let mut router = api.route(
        "/v1/openapi.json",
        get(move || async move { Json(described.as_ref().clone()) }),
    );
    if state.settings.ui {
        router = router
            .route("/", get(web::index))
            .route("/{file}", get(web::file));
    }
    router
        .fallback(async || web::no_such_path())
        .method_not_allowed_fallback(async || {
            let status = StatusCode::METHOD_NOT_ALLOWED;
            Problem::new(
                status,
                "method-not-allowed",
                "this path does not know the method",
            )
        })
        .layer(DefaultBodyLimit::max(MOST_BODY))
        .layer(from_fn_with_state(state.clone(), guard::guard))
        .with_state(state.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_that_is_checked_in_is_the_one_that_is_served() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
        let fresh = openapi();
        if std::fs::read_to_string(&path).ok().as_ref() != Some(&fresh) {
            let made = path.with_file_name("../target/openapi.json");
            std::fs::write(&made, fresh).unwrap();
            panic!(
                "docs/openapi.json is stale; look at the difference, and cp target/openapi.json docs/"
            );
        }
    }
}
