//! Errors as documents: RFC 9457.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    cli::render::failure,
    wire::message::{Failure, NotDone},
};

/// What went wrong with a request, as `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Problem {
    /// What kind of problem it is: nothing beyond its status.
    #[serde(rename = "type")]
    #[schema(example = "about:blank")]
    kind: &'static str,
    /// The status in words.
    title: &'static str,
    /// The status of the answer.
    #[schema(value_type = u16, example = 404)]
    status: u16,
    /// The problem for programs: the failures that `dpipes --json` names, and those of HTTP.
    #[schema(value_type = String, example = "no-such-pipe")]
    code: String,
    /// The problem for people.
    detail: String,
    /// One next step.
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
    /// The whole of a failure that has to do with a pipe, as data.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    failure: Option<Box<Failure>>,
}

// === impl Problem ===

impl Problem {
    pub(super) fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("error"),
            status: status.as_u16(),
            code: code.to_owned(),
            detail: detail.into(),
            help: None,
            failure: None,
        }
    }

    pub(super) fn help(self, help: impl Into<String>) -> Self {
        Self {
            help: Some(help.into()),
            ..self
        }
    }

    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", detail)
    }

    /// A pipe that was never started.
    pub(super) fn of_failure(failure: Failure) -> Self {
        let status = match failure {
            Failure::BadRequest { .. } => StatusCode::BAD_REQUEST,
            Failure::NoSuchApp { .. } | Failure::NoFit { .. } | Failure::Refused { .. } => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        let detail = failure::summary(&failure);
        Self {
            help: failure::next_step(&failure),
            ..Self::new(status, &code(&failure), detail)
        }
        .with(failure)
    }

    fn with(self, failure: Failure) -> Self {
        Self {
            failure: Some(Box::new(failure)),
            ..self
        }
    }

    /// Something that was not done to a pipe.
    pub(super) fn of_not_done(reason: NotDone) -> Self {
        let (status, code, detail) = match reason {
            NotDone::NoSuchPipe => (
                StatusCode::NOT_FOUND,
                "no-such-pipe",
                "no such pipe is conducted by this node, or was within the last hour",
            ),
            NotDone::Ambiguous => (
                StatusCode::CONFLICT,
                "ambiguous",
                "the names of several pipes begin or end like that",
            ),
            NotDone::Over => (StatusCode::CONFLICT, "over", "the pipe is over"),
            NotDone::NoSuchStage => (
                StatusCode::NOT_FOUND,
                "no-such-stage",
                "the pipe has no such stage",
            ),
            NotDone::NotYours => (
                StatusCode::FORBIDDEN,
                "not-yours",
                "the pipe is another user's",
            ),
            NotDone::Busy => (
                StatusCode::SERVICE_UNAVAILABLE,
                "busy",
                "the pipe has not taken earlier orders yet",
            ),
            NotDone::Other => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "other",
                "nothing was done",
            ),
        };
        Self::new(status, code, detail)
    }
}

/// A failure by its name, as in the objects of `dpipes --json`.
pub(super) fn code(failure: &Failure) -> String {
    let tagged = serde_json::to_value(failure).unwrap_or_default();
    tagged["failure"].as_str().unwrap_or("failed").to_owned()
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        if status == StatusCode::UNAUTHORIZED {
            let how = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, how);
        }
        response
    }
}
