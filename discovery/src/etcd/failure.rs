//! What an error of the client or the server means.

use std::error::Error as _;

use etcd_client::Error;

use super::endpoints::Endpoints;
use crate::RegistryError;

/// What every text of the server begins with. The name of the registry is added by whoever asked.
const SERVER: &str = "etcdserver: ";
/// Texts of the server that mean: not with these credentials. The codes do not tell: a wrong password arrives as an invalid argument,
/// exactly like a request that makes no sense.
const DENIALS: [&str; 6] = [
    "authentication failed",
    "user name is empty",
    "user name not found",
    "permission denied",
    "permission is not granted",
    "invalid auth token",
];
/// The server's credentials have changed since the token was made: another one will do.
const OLD_TOKEN: &str = "revision of auth store is old";
/// A user is named, but the cluster wants to know none.
const AUTH_DISABLED: &str = "authentication is not enabled";
/// The cluster's disk quota is used up: an operator has to act.
const FULL: &str = "database space exceeded";

/// What the client says of every fault of a connection before it says which.
const VAGUE: &str = "transport error";

// Codes of gRPC.
const CANCELLED: i32 = 1;
const UNKNOWN: i32 = 2;
const INVALID_ARGUMENT: i32 = 3;
const PERMISSION_DENIED: i32 = 7;
const UNIMPLEMENTED: i32 = 12;
const UNAVAILABLE: i32 = 14;
const UNAUTHENTICATED: i32 = 16;

/// Why a call did not do it: two answers that are part of how leases work, and all others.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// There is no such lease (any more).
    LeaseGone,
    /// There is such a lease already.
    LeaseExists,
    /// Anything else.
    Registry(RegistryError),
}

// === impl Failure ===

impl Failure {
    /// Classifies an error and says where it happened.
    pub(super) fn new(error: &Error, at: &Endpoints) -> Self {
        Self::with_hint(error, at, "")
    }

    /// The same where nothing was ever answered: the way there itself may be described wrongly.
    pub(super) fn first(error: &Error, at: &Endpoints) -> Self {
        Self::with_hint(error, at, hint(error, at.secure))
    }

    fn with_hint(error: &Error, at: &Endpoints, hint: &str) -> Self {
        let text = text(error);
        if text.contains("lease not found") {
            return Self::LeaseGone;
        }
        if text.contains("lease already exists") {
            return Self::LeaseExists;
        }
        let code = code(error);
        let detail = format!("{}: {text}{hint}", at.shown);
        let denied = DENIALS.iter().any(|denial| text.contains(denial))
            || [PERMISSION_DENIED, UNAUTHENTICATED].contains(&code);
        let rejected = match error {
            Error::GRpcStatus(_) => {
                [INVALID_ARGUMENT, UNIMPLEMENTED].contains(&code) || text.contains(FULL)
            }
            Error::WatchError(_) | Error::LeaseKeepAliveError(_) | Error::IoError(_) => false,
            // All else comes from what was handed in: nothing was sent.
            _ => true,
        };
        Self::Registry(if text.contains(OLD_TOKEN) {
            RegistryError::unavailable(detail)
        } else if denied {
            RegistryError::Denied { detail }
        } else if rejected {
            RegistryError::Rejected { detail }
        } else {
            RegistryError::unavailable(detail)
        })
    }

    /// No answer in time.
    pub(super) fn silence(at: &Endpoints) -> Self {
        let shown = &at.shown;
        Self::Registry(RegistryError::unavailable(format!(
            "{shown}: no answer in time"
        )))
    }

    /// A watch that the server has taken back.
    pub(super) fn canceled(reason: &str, compacted: i64, at: &Endpoints) -> Self {
        let reason = match reason.split_once(SERVER) {
            Some((_, reason)) => reason,
            None if compacted > 0 => "history was compacted meanwhile",
            None if reason.is_empty() => "no reason given",
            None => reason,
        };
        let detail = format!("{}: the watch was canceled: {reason}", at.shown);
        Self::Registry(if DENIALS.iter().any(|denial| reason.contains(denial)) {
            RegistryError::Denied { detail }
        } else {
            RegistryError::unavailable(detail)
        })
    }

    /// As callers outside see it.
    pub(super) fn error(&self) -> RegistryError {
        match self {
            Self::LeaseGone => RegistryError::unavailable(
                "the lease has ended: it was revoked, or not renewed in time",
            ),
            Self::LeaseExists => RegistryError::unavailable("there is such a lease already"),
            Self::Registry(error) => error.clone(),
        }
    }
}

impl From<Failure> for RegistryError {
    fn from(failure: Failure) -> Self {
        failure.error()
    }
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        Self::Registry(error)
    }
}

/// Whether another member, or the same one over a new connection, may do it at once: nothing came from a server.
pub(super) fn is_transport(error: &Error) -> bool {
    match error {
        Error::GRpcStatus(status) => {
            let client_side = status.source().is_some();
            client_side && [CANCELLED, UNKNOWN, UNAVAILABLE].contains(&code(error))
        }
        _ => false,
    }
}

/// Whether other files or another token may help, so that a new connection has to read them.
pub(super) fn is_about_credentials(error: &Error, failure: &Failure, secure: bool) -> bool {
    let text = text(error).to_lowercase();
    let denied = matches!(failure, Failure::Registry(RegistryError::Denied { .. }));
    denied || text.contains(OLD_TOKEN) || (secure && is_transport(error) && is_handshake(&text))
}

/// Whether TLS may be what failed. A server that refuses a certificate says so only after the handshake is over for this side, which
/// then sees a connection closed, in one of several ways.
fn is_handshake(lower: &str) -> bool {
    let words = [
        "certificate",
        "alert",
        "handshake",
        "closed",
        "canceled",
        "broken pipe",
    ];
    words.iter().any(|word| lower.contains(word))
}

/// Whether a user was named to a cluster that wants to know none.
pub(super) fn is_auth_disabled(error: &Error) -> bool {
    text(error).contains(AUTH_DISABLED)
}

fn code(error: &Error) -> i32 {
    match error {
        Error::GRpcStatus(status) => status.code().into(),
        _ => UNKNOWN,
    }
}

/// What happened, from the outermost error to what lies behind it, each thing said once.
fn text(error: &Error) -> String {
    let (mut text, mut source) = match error {
        Error::GRpcStatus(status) => (status.message().to_owned(), status.source()),
        Error::TransportError(error) => (error.to_string(), error.source()),
        Error::WatchError(text) | Error::LeaseKeepAliveError(text) | Error::InvalidArgs(text) => {
            (text.clone(), None)
        }
        other => (other.to_string(), None),
    };
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if cause_text != VAGUE && !text.contains(&cause_text) {
            text = if text.is_empty() || text == VAGUE {
                cause_text
            } else {
                format!("{text}: {cause_text}")
            };
        }
        source = cause.source();
    }
    match text.strip_prefix(SERVER) {
        Some(text) => text.to_owned(),
        None => text,
    }
}

/// What to try when one side speaks TLS and the other does not.
fn hint(error: &Error, secure: bool) -> &'static str {
    let lower = text(error).to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if !is_transport(error) {
        ""
    } else if !secure && says(&["reset", "broken pipe", "closed", "frame", "http2", "h2 "]) {
        "; if the server speaks TLS, write https://"
    } else if secure && says(&["contenttype", "corrupt message", "handshake eof"]) {
        "; if the server does not speak TLS, write http://"
    } else if secure && says(&["closed", "canceled", "alert"]) {
        "; the server may not accept this side's certificate"
    } else {
        ""
    }
}
