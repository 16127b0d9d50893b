//! HTTP requests to one agent.

use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{
    Method, Response, StatusCode, Url,
    header::{HeaderMap, HeaderValue},
};
use serde::Serialize;

use super::{
    Config,
    address::Address,
    connector::connector,
    fault::{Fault, Refusal},
    token::Tokens,
};
use crate::{RegistryError, Secret};

/// Longest wait for an answer that needs no waiting. Without a leader an agent was seen to need 7 s.
pub(super) const REQUEST: Duration = Duration::from_secs(10);
/// Largest answer. Five thousand nodes with a hundred tags each make 14 MB.
const MAX_ANSWER: usize = 64 << 20;

/// What stands in a path as it is; everything else is written `%XX`.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// What a request is about, which decides the parameters that go with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// What this agent itself holds.
    Agent,
    /// The catalog of the agent's own datacenter, as of the server that answers first.
    Home,
    /// The same of the datacenter that is asked.
    Catalog,
}

/// One request.
#[derive(Debug)]
pub(super) struct Request<'a> {
    method: Method,
    path: &'a [&'a str],
    scope: Scope,
    query: Vec<(&'static str, String)>,
    body: Option<Vec<u8>>,
    timeout: Duration,
}

/// A good answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// Sends requests to one agent.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    /// What requests begin with. It names the server as its certificate does, which is not always how it is reached.
    base: Url,
    address: Address,
    tokens: Tokens,
    /// Whether this side has no certificate to show.
    anonymous: bool,
    basic_auth: Option<(String, Secret)>,
    /// For the catalog only.
    datacenter: Option<String>,
    /// Namespace and partition.
    tenancy: Vec<(&'static str, String)>,
}

// === impl Request ===

impl<'a> Request<'a> {
    pub(super) const fn get(scope: Scope, path: &'a [&'a str]) -> Self {
        Self {
            method: Method::GET,
            path,
            scope,
            query: Vec::new(),
            body: None,
            timeout: REQUEST,
        }
    }

    /// A change of what this agent holds.
    pub(super) fn put(path: &'a [&'a str]) -> Self {
        let mut request = Self::get(Scope::Agent, path);
        request.method = Method::PUT;
        request
    }

    pub(super) fn with(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.query.push((key, value.into()));
        self
    }

    pub(super) fn within(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    pub(super) fn json(mut self, body: &impl Serialize) -> Result<Self, RegistryError> {
        let body = serde_json::to_vec(body).map_err(|error| RegistryError::Rejected {
            detail: error.to_string(),
        })?;
        self.body = Some(body);
        Ok(self)
    }
}

// === impl Client ===

impl Client {
    pub(super) fn new(config: &Config) -> Result<Self, RegistryError> {
        let address = Address::parse(&config.address)?;
        let tenancy = [("ns", &config.namespace), ("partition", &config.partition)];
        let tenancy = tenancy
            .into_iter()
            .filter_map(|(key, value)| Some((key, value.clone()?)))
            .collect();
        let (http, base) = connector(&address, &config.tls)?;
        Ok(Self {
            http,
            base,
            address,
            tokens: Tokens::new(&config.token)?,
            anonymous: config.tls.cert.is_none(),
            basic_auth: config.basic_auth.clone(),
            datacenter: config.datacenter.clone(),
            tenancy,
        })
    }

    pub(super) const fn address(&self) -> &Address {
        &self.address
    }

    /// Sends a request; with another token a second time, if the first is refused and the token's file has changed.
    pub(super) async fn send(&self, request: &Request<'_>) -> Result<Answer, Fault> {
        let token = self.tokens.get().map_err(Fault::NoAnswer)?;
        match self.send_with(request, token.clone()).await {
            Err(Fault::Refused(refusal))
                if refusal.status == StatusCode::FORBIDDEN
                    && self.tokens.refresh(token.as_ref()) =>
            {
                let token = self.tokens.get().map_err(Fault::NoAnswer)?;
                self.send_with(request, token).await
            }
            result => result,
        }
    }

    async fn send_with(
        &self,
        request: &Request<'_>,
        token: Option<HeaderValue>,
    ) -> Result<Answer, Fault> {
        let mut builder = self
            .http
            .request(request.method.clone(), self.url(request.path))
            .query(&request.query)
            .query(&self.tenancy)
            .timeout(request.timeout);
        if request.scope != Scope::Agent {
            builder = builder.query(&[("stale", "")]);
        }
        if let (Scope::Catalog, Some(datacenter)) = (request.scope, &self.datacenter) {
            builder = builder.query(&[("dc", datacenter)]);
        }
        if let Some(token) = token {
            builder = builder.header("X-Consul-Token", token);
        }
        if let Some((user, password)) = &self.basic_auth {
            builder = builder.basic_auth(user, Some(password.reveal()));
        }
        if let Some(body) = &request.body {
            builder = builder.body(body.clone());
        }
        let failed = |error| Fault::transport(&self.address, self.anonymous, error);
        let response = builder.send().await.map_err(failed)?;
        let status = response.status();
        let headers = response.headers().clone();
        let body = self.read(response).await?;
        if status == StatusCode::OK {
            Ok(Answer { headers, body })
        } else {
            Err(Fault::Refused(Refusal::new(status, &body)))
        }
    }

    async fn read(&self, mut response: Response) -> Result<Vec<u8>, Fault> {
        let mut body = Vec::new();
        let failed = |error| Fault::transport(&self.address, self.anonymous, error);
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(Fault::nonsense(&self.address, "it does not end"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        let mut whole = url.path().trim_end_matches('/').to_owned();
        whole.push_str("/v1");
        for part in path {
            whole.push('/');
            whole.extend(utf8_percent_encode(part, PATH));
        }
        url.set_path(&whole);
        url
    }
}
