//! What went wrong with a request, in the words of the trait.

use std::{error::Error, sync::Arc};

use reqwest::StatusCode;

use super::address::Address;
use crate::RegistryError;

/// How much of an agent's explanation is repeated: its sentences are shorter, and a page of HTML helps nobody.
const MAX_SAYING: usize = 300;

/// An answer that is not the wanted one.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    /// Its first line.
    pub(super) saying: String,
}

/// Why a request came to nothing.
#[derive(Debug)]
pub(super) enum Fault {
    /// The agent answered, and not with 200.
    Refused(Refusal),
    /// There was no answer, or none that is Consul's.
    NoAnswer(RegistryError),
}

// === impl Fault ===

impl Fault {
    /// A request that failed on its way. `anonymous`: this side has shown no certificate. With TLS 1.3 an agent that wants one ends
    /// the connection only afterwards, and whether its reason arrives is a matter of luck.
    pub(super) fn transport(address: &Address, anonymous: bool, error: reqwest::Error) -> Self {
        let error = error.without_url();
        let root = root(&error);
        let detail = if error.is_timeout() && !error.is_connect() {
            format!("{address} does not answer")
        } else if address.is_tls() && anonymous && !error.is_connect() {
            format!("{address}: {root} (does it want a client's certificate?)")
        } else {
            format!("{address}: {root}")
        };
        if root.contains("InvalidContentType") {
            // What rustls says of a server that answers a handshake with something else than TLS.
            return Self::NoAnswer(RegistryError::Rejected {
                detail: format!("{address} does not speak TLS: is it meant to be http://?"),
            });
        }
        if root.contains("invalid peer certificate") || root.contains("received fatal alert") {
            return Self::NoAnswer(RegistryError::Rejected { detail });
        }
        Self::NoAnswer(RegistryError::Unavailable {
            detail,
            cause: Some(Arc::new(error)),
        })
    }

    /// An answer that cannot be one of Consul's.
    pub(super) fn nonsense(address: &Address, why: impl std::fmt::Display) -> Self {
        Self::NoAnswer(RegistryError::unavailable(format!(
            "{address} gave an answer that is not understood: {why}"
        )))
    }

    /// In the words of the trait.
    pub(super) fn into_error(self, address: &Address) -> RegistryError {
        match self {
            Self::NoAnswer(error) => error,
            Self::Refused(Refusal { status, saying }) => {
                let detail = format!("{address} answers {}: {saying}", status.as_u16());
                match status {
                    StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                        RegistryError::Denied { detail }
                    }
                    StatusCode::BAD_REQUEST if saying.contains("to an HTTPS server") => {
                        RegistryError::Rejected {
                            detail: format!("{address} speaks TLS: is it meant to be https://?"),
                        }
                    }
                    StatusCode::TOO_MANY_REQUESTS => RegistryError::unavailable(detail),
                    _ if status.is_client_error() || status.is_redirection() => {
                        RegistryError::Rejected { detail }
                    }
                    _ => RegistryError::unavailable(detail),
                }
            }
        }
    }
}

// === impl Refusal ===

impl Refusal {
    pub(super) fn new(status: StatusCode, body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let line = text.trim().lines().next().unwrap_or_default();
        let saying = match line {
            "" => status.canonical_reason().unwrap_or("nothing").to_owned(),
            line => line.chars().take(MAX_SAYING).collect(),
        };
        Self { status, saying }
    }
}

/// The innermost reason, which is what the operating system or the other side said.
pub(super) fn root(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(status: u16, body: &str) -> RegistryError {
        let status = StatusCode::from_u16(status).unwrap();
        let address = Address::parse("agent:1").unwrap();
        Fault::Refused(Refusal::new(status, body.as_bytes())).into_error(&address)
    }

    #[test]
    fn answers_say_whether_trying_again_helps() {
        let kind = |status, body| match error(status, body) {
            RegistryError::Unavailable { .. } => "unavailable",
            RegistryError::Denied { .. } => "denied",
            RegistryError::Rejected { .. } => "rejected",
            _ => "other",
        };
        assert_eq!(kind(500, "No cluster leader"), "unavailable");
        assert_eq!(kind(429, ""), "unavailable");
        assert_eq!(kind(403, "ACL not found"), "denied");
        assert_eq!(kind(401, ""), "denied");
        assert_eq!(kind(400, "Invalid check"), "rejected");
        assert_eq!(kind(404, ""), "rejected");
    }

    #[test]
    fn the_agents_own_words_are_repeated_in_part() {
        let page = format!("{}\nsecond line", "x".repeat(10_000));
        let text = error(500, &page).to_string();
        assert!(
            text.starts_with("http://agent:1 answers 500: xxx"),
            "{text}"
        );
        assert!(text.len() < 400 && !text.contains("second"), "{text}");
    }

    #[test]
    fn plain_http_to_a_tls_port_is_named() {
        let text = error(400, "Client sent an HTTP request to an HTTPS server.\n").to_string();
        assert!(text.contains("https://"), "{text}");
    }
}
