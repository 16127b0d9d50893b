//! Who may ask, and from where: before any handler sees a request.
//!
//! A web page in a browser of this machine reaches whatever listens on its loopback. It cannot choose the names `Host` and `Origin` that the browser
//! sends along: a page that has its own name point here (DNS rebinding) shows in the first, one that posts to here in the second.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{Extension, Request, State as Shared},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use super::{problem::Problem, state::State};
use crate::transport::PeerAddress;

/// What is said with each answer: a browser loads nothing from elsewhere, runs nothing that is not a file of ours, and frames nothing.
const SAID_WITH_ALL: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

/// What a browser says of where a request comes from.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whoever is at the other end of a connection.
#[derive(Clone, Debug)]
pub(super) struct Peer(pub(super) PeerAddress);

/// Whoever asks.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// Where from.
    pub(super) address: PeerAddress,
    /// What is known of them.
    pub(super) standing: Standing,
}

/// What is known of somebody who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Their user, by the kernel: they may do what that user may do.
    User,
    /// They have the token: they may do everything.
    Operator,
    /// Nothing, and nothing is asked: they may do what a client over TCP may do.
    Trusted,
    /// Nothing: they may look.
    Stranger,
}

// === impl Caller ===

impl Caller {
    /// As whom they ask the daemon.
    pub(super) fn asker(&self) -> PeerAddress {
        match self.standing {
            Standing::Operator => PeerAddress::InProcess,
            Standing::User | Standing::Trusted | Standing::Stranger => self.address.clone(),
        }
    }

    /// Whether they see arguments and configuration.
    pub(super) fn sees_all(&self) -> bool {
        self.standing != Standing::Stranger
    }

    /// Lets them on only if they may change something.
    pub(super) fn may_change(&self) -> Result<(), Problem> {
        self.is_known("this changes something, which takes the token")
    }

    /// Lets them on only if they may see what is told to nobody else.
    pub(super) fn may_see_all(&self) -> Result<(), Problem> {
        self.is_known("this shows the configuration, which takes the token")
    }

    fn is_known(&self, why_not: &str) -> Result<(), Problem> {
        if self.standing == Standing::Stranger {
            let problem = Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", why_not);
            return Err(problem.help(
                "send it as `Authorization: Bearer TOKEN`; it stands in the file of rest.token-file, by default rest-token in the directory of the daemon's \
                 own socket. A unix socket takes none",
            ));
        }
        Ok(())
    }
}

/// Looks at each request before its handler does, and at each answer after that.
pub(super) async fn guard(
    Shared(state): Shared<Arc<State>>,
    Extension(Peer(address)): Extension<Peer>,
    mut request: Request,
    next: Next,
) -> Response {
    let is_api = request.uri().path().starts_with("/v1/");
    // A request cannot be looked at by two threads, so it is looked at before anything is waited for.
    let judged = judge(
        &state,
        &address,
        request.uri(),
        request.method(),
        request.headers(),
    );
    let admitted = match judged {
        Ok(standing) => admit(&state, &address).await.map(|()| standing),
        Err(problem) => Err(problem),
    };
    let mut response = match admitted {
        Ok(standing) => {
            request
                .extensions_mut()
                .insert(Caller { address, standing });
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    };
    let headers = response.headers_mut();
    for (name, value) in SAID_WITH_ALL {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if is_api && !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// Whether somebody may ask at all, by the access rules of the node.
async fn admit(state: &State, address: &PeerAddress) -> Result<(), Problem> {
    let admitted = state.observer.admit(address).await;
    admitted.map_err(|refusal| Problem::new(StatusCode::FORBIDDEN, "refused", refusal))
}

/// What is known of whoever asks, if they ask by a right name and from no page of another origin.
fn judge(
    state: &State,
    address: &PeerAddress,
    uri: &Uri,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Standing, Problem> {
    if let PeerAddress::Tcp(_) = address {
        let host = host(uri, headers)?;
        if !is_own_name(host, &state.settings.hosts) {
            let detail = format!("`{host}` is no name of this machine");
            let problem = Problem::new(StatusCode::FORBIDDEN, "bad-host", detail);
            return Err(problem.help("ask for 127.0.0.1 or localhost, or name it in rest.hosts"));
        }
        is_same_origin(method, headers, host)?;
    }
    let said = headers.get(header::AUTHORIZATION);
    match (address, said) {
        (PeerAddress::Tcp(_), Some(said)) => is_token(state, said).map(|()| Standing::Operator),
        (PeerAddress::Tcp(_), None) if state.settings.require_token => Ok(Standing::Stranger),
        (PeerAddress::Tcp(_), None) => Ok(Standing::Trusted),
        _ => Ok(Standing::User),
    }
}

fn is_token(state: &State, said: &HeaderValue) -> Result<(), Problem> {
    let said = said.as_bytes();
    let (scheme, said) = said.split_at_checked(7).unwrap_or_default();
    let is_bearer = scheme.eq_ignore_ascii_case(b"Bearer ");
    let token = state.token.as_ref();
    if is_bearer && token.is_some_and(|token| token.is(said)) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNAUTHORIZED,
        "unauthorized",
        "that is not the token",
    ))
}

/// The host that is asked for, without its port.
fn host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Result<&'a str, Problem> {
    let mut said = headers.get_all(header::HOST).iter();
    let (host, more) = (said.next(), said.next());
    let host = host.and_then(|host| host.to_str().ok());
    let host = host.or_else(|| uri.authority().map(|authority| authority.as_str()));
    match (host, more) {
        (Some(host), None) if !host.is_empty() => Ok(without_port(host)),
        _ => Err(Problem::bad_request("one Host header is wanted")),
    }
}

fn without_port(host: &str) -> &str {
    // Of an IPv6 address the colons are inside of its brackets.
    let end = host.rfind(']').map_or(0, |bracket| bracket + 1);
    match host[end..].find(':') {
        Some(colon) => &host[..end + colon],
        None => host,
    }
}

/// Whether a name can only mean this machine, whoever is asked for its address; or was named by whoever configured this.
fn is_own_name(host: &str, named: &[String]) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let is = |name: &str| host.eq_ignore_ascii_case(name);
    is_loopback || is("localhost") || named.iter().any(|name| is(name))
}

/// Refuses what a page from elsewhere has sent.
fn is_same_origin(method: &Method, headers: &HeaderMap, host: &str) -> Result<(), Problem> {
    let foreign = || {
        Err(Problem::new(
            StatusCode::FORBIDDEN,
            "bad-origin",
            "the request comes from a page of another origin",
        ))
    };
    let text = |name| {
        headers
            .get(name)
            .map(|value: &HeaderValue| value.to_str().unwrap_or("null"))
    };
    if let Some(origin) = text(header::ORIGIN) {
        let authority = origin
            .strip_prefix("http://")
            .or_else(|| origin.strip_prefix("https://"));
        if authority.is_none_or(|authority| {
            without_port(authority) != host || !same_port(authority, headers)
        }) {
            return foreign();
        }
    }
    // A link from elsewhere may lead here, for it only looks.
    let is_look = matches!(*method, Method::GET | Method::HEAD);
    match text(FETCH_SITE) {
        Some("same-origin" | "none") | None => Ok(()),
        Some(_) if is_look => Ok(()),
        Some(_) => foreign(),
    }
}

/// Whether an origin has the port that is asked for. A proxy with TLS in front may have taken it away.
fn same_port(authority: &str, headers: &HeaderMap) -> bool {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    host.is_none_or(|host| host == authority || host == without_port(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| (name.clone(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn only_names_of_this_machine_are_its_own() {
        let named = ["pipes.example".to_owned()];
        for own in [
            "localhost",
            "LOCALHOST:3748",
            "127.0.0.1:3748",
            "127.8.8.8",
            "[::1]:3748",
            "[::1]",
            "Pipes.Example:80",
        ] {
            assert!(is_own_name(without_port(own), &named), "{own}");
        }
        for foreign in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "[::2]:1",
            "pipes.example.evil",
        ] {
            assert!(!is_own_name(without_port(foreign), &named), "{foreign}");
        }
    }

    #[test]
    fn a_request_names_one_host() {
        let uri = Uri::from_static("/v1/pipes");
        let one = headers(&[(header::HOST, "localhost:3748")]);
        assert_eq!(host(&uri, &one).unwrap(), "localhost");
        assert!(host(&uri, &HeaderMap::new()).is_err());
        let mut two = one.clone();
        two.append(header::HOST, "evil.example".parse().unwrap());
        assert!(host(&uri, &two).is_err());
    }

    #[test]
    fn what_a_page_from_elsewhere_sends_is_refused() {
        let judge = |method: Method, origin: Option<&str>, site: Option<&str>| {
            let mut all = headers(&[(header::HOST, "localhost:3748")]);
            if let Some(origin) = origin {
                all.insert(header::ORIGIN, origin.parse().unwrap());
            }
            if let Some(site) = site {
                all.insert(FETCH_SITE, site.parse().unwrap());
            }
            is_same_origin(&method, &all, "localhost").is_ok()
        };
        assert!(judge(Method::POST, None, None), "no browser at all");
        assert!(judge(
            Method::POST,
            Some("http://localhost:3748"),
            Some("same-origin")
        ));
        assert!(judge(Method::GET, None, Some("cross-site")), "a link");
        for origin in [
            "null",
            "http://evil.example",
            "http://localhost:8080",
            "http://localhost.evil.example:3748",
            "file://",
            "ftp://localhost:3748",
        ] {
            assert!(!judge(Method::POST, Some(origin), None), "{origin}");
            assert!(!judge(Method::GET, Some(origin), None), "{origin}");
        }
        for site in ["cross-site", "same-site", "whatever"] {
            assert!(!judge(Method::POST, None, Some(site)), "{site}");
        }
    }
}
