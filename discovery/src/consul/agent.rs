//! The agent's calls, each with its meaning.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use reqwest::StatusCode;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{
    Config,
    body::{BOOT, Body, NODE, id, status},
    client::{Answer, Client, REQUEST, Request, Scope},
    entry::{self, Told},
    fault::Fault,
    pace::WAIT,
};
use crate::{Health, Instance, Names, NodeId, RegistryError, ServiceName};

/// Watches that wait at the agent at once, each of which holds a connection. An agent allows 200 for one client and closes those
/// beyond, heartbeats too; further watches ask now and then. As many as a directory watches.
const WAITING: usize = 64;
/// Other look-ups at once, for the same reason.
const LOOKUPS: usize = 32;
/// Longest note of a heartbeat in bytes; an agent cuts at 4 KiB.
const MAX_NOTE: usize = 1024;
/// How much longer than asked an agent may hold back an answer: a sixteenth.
const WAIT_SLACK: u32 = 16;

/// One agent, and what is done there.
#[derive(Debug)]
pub(super) struct Agent {
    client: Client,
    pub(super) config: Config,
    pub(super) names: Names,
    pub(super) waiting: Semaphore,
    lookups: Semaphore,
    told: Told,
}

/// A whole answer about a service.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) set: Vec<Instance>,
    /// Where to wait from; 0 if unknown.
    pub(super) index: u64,
    /// Whether the server that answered knows a leader. Without one the answer may be old.
    pub(super) led: bool,
}

/// What an agent holds of one service.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Held {
    #[serde(rename = "ID")]
    pub(super) id: String,
    pub(super) service: String,
    #[serde(default)]
    address: String,
    #[serde(default)]
    port: i64,
    tags: Option<BTreeSet<String>>,
    meta: Option<BTreeMap<String, String>>,
    weights: Option<HeldWeights>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HeldWeights {
    passing: i64,
}

/// What became of a heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Beat {
    Taken,
    /// The agent does not know the node any more.
    Forgotten(String),
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Update<'a> {
    status: &'static str,
    output: &'a str,
}

// === impl Agent ===

impl Agent {
    pub(super) fn new(config: Config, names: Names) -> Result<Self, RegistryError> {
        Ok(Self {
            client: Client::new(&config)?,
            config,
            names,
            waiting: Semaphore::new(WAITING),
            lookups: Semaphore::new(LOOKUPS),
            told: Told::default(),
        })
    }

    /// Where it is, for messages.
    pub(super) fn place(&self) -> String {
        self.client.address().to_string()
    }

    /// Whatever is known about the instances of a service that fit a filter, at once.
    pub(super) async fn look_up(
        &self,
        scope: Scope,
        service: &ServiceName,
        filter: Option<String>,
    ) -> Result<Seen, RegistryError> {
        let path = ["health", "service", service.as_str()];
        let mut request = Request::get(scope, &path);
        if let Some(filter) = filter {
            request = request.with("filter", filter);
        }
        let _permit = self.turn().await?;
        self.see(service, &request).await
    }

    /// Waits for a look-up's turn, no longer than for an answer.
    async fn turn(&self) -> Result<SemaphorePermit<'_>, RegistryError> {
        let turn = tokio::time::timeout(REQUEST, self.lookups.acquire()).await;
        turn.ok().and_then(Result::ok).ok_or_else(|| {
            let address = self.client.address();
            RegistryError::unavailable(format!("{address} is too slow for all that is asked"))
        })
    }

    /// The same once it has changed since `index`, or after half a minute.
    pub(super) async fn wait_for(
        &self,
        service: &ServiceName,
        filter: Option<String>,
        index: u64,
    ) -> Result<Seen, RegistryError> {
        let path = ["health", "service", service.as_str()];
        let mut request = Request::get(Scope::Catalog, &path)
            .with("index", index.to_string())
            .with("wait", format!("{}s", WAIT.as_secs()))
            .within(WAIT + WAIT / WAIT_SLACK + REQUEST);
        if let Some(filter) = filter {
            request = request.with("filter", filter);
        }
        self.see(service, &request).await
    }

    async fn see(
        &self,
        service: &ServiceName,
        request: &Request<'_>,
    ) -> Result<Seen, RegistryError> {
        let Answer { headers, body } = self.send(request).await?;
        let header = |name: &str| headers.get(name)?.to_str().ok();
        let set = entry::instances(&body, service, &self.told).ok_or_else(|| {
            let fault = Fault::nonsense(self.client.address(), "no list of instances");
            fault.into_error(self.client.address())
        })?;
        Ok(Seen {
            set,
            index: header("X-Consul-Index")
                .and_then(|index| index.parse().ok())
                .unwrap_or(0),
            led: header("X-Consul-Knownleader") != Some("false"),
        })
    }

    /// The names of all services, with their tags.
    pub(super) async fn catalog(
        &self,
    ) -> Result<BTreeMap<String, Option<BTreeSet<String>>>, RegistryError> {
        let request = Request::get(Scope::Catalog, &["catalog", "services"]);
        let _permit = self.turn().await?;
        self.parse(self.send(&request).await?)
    }

    /// All that this agent holds of a node.
    pub(super) async fn held(&self, node: &NodeId) -> Result<Vec<Held>, RegistryError> {
        let filter = format!("Meta.{NODE} == \"{node}\"");
        let request = Request::get(Scope::Agent, &["agent", "services"]).with("filter", filter);
        let held: BTreeMap<String, Held> = self.parse(self.send(&request).await?)?;
        Ok(held.into_values().collect())
    }

    /// What this agent holds of one service.
    pub(super) async fn held_as(
        &self,
        id: &str,
        timeout: Duration,
    ) -> Result<Option<Held>, RegistryError> {
        let path = ["agent", "service", id];
        let request = Request::get(Scope::Agent, &path).within(timeout);
        match self.client.send(&request).await {
            Ok(answer) => self.parse(answer).map(Some),
            Err(Fault::Refused(refusal)) if refusal.status == StatusCode::NOT_FOUND => Ok(None),
            Err(fault) => Err(fault.into_error(self.client.address())),
        }
    }

    /// Registers a service, or changes it. What is as it was does not flap. Checks that others made stay: an agent that is told to
    /// replace them all would end an operator's maintenance.
    pub(super) async fn put(&self, body: &Body) -> Result<(), RegistryError> {
        let request = Request::put(&["agent", "service", "register"]).json(body)?;
        self.send(&request).await.map(drop)
    }

    /// Removes a service; one that is not there is as good.
    pub(super) async fn remove(&self, id: &str) -> Result<(), RegistryError> {
        self.remove_from("service", id).await
    }

    /// Removes a check likewise.
    pub(super) async fn remove_check(&self, id: &str) -> Result<(), RegistryError> {
        self.remove_from("check", id).await
    }

    async fn remove_from(&self, kind: &str, id: &str) -> Result<(), RegistryError> {
        let path = ["agent", kind, "deregister", id];
        match self.client.send(&Request::put(&path)).await {
            Ok(_) => Ok(()),
            Err(Fault::Refused(refusal))
                if refusal.status == StatusCode::NOT_FOUND
                    || refusal.saying.to_lowercase().contains("unknown") =>
            {
                Ok(())
            }
            Err(fault) => Err(fault.into_error(self.client.address())),
        }
    }

    /// A sign of life.
    pub(super) async fn beat(
        &self,
        check: &str,
        health: Health,
        note: &str,
        timeout: Duration,
    ) -> Result<Beat, RegistryError> {
        let path = ["agent", "check", "update", check];
        let request = Request::put(&path).within(timeout).json(&Update {
            status: status(health),
            output: &note[..note.floor_char_boundary(MAX_NOTE)],
        })?;
        match self.client.send(&request).await {
            Ok(_) => Ok(Beat::Taken),
            // Which of the two an agent answers for an unknown check, and in which words, depends on its version and its ACLs.
            Err(Fault::Refused(refusal))
                if [StatusCode::NOT_FOUND, StatusCode::INTERNAL_SERVER_ERROR]
                    .contains(&refusal.status) =>
            {
                Ok(Beat::Forgotten(
                    Fault::Refused(refusal)
                        .into_error(self.client.address())
                        .to_string(),
                ))
            }
            Err(fault) => Err(fault.into_error(self.client.address())),
        }
    }

    async fn send(&self, request: &Request<'_>) -> Result<Answer, RegistryError> {
        let answer = self.client.send(request).await;
        answer.map_err(|fault| fault.into_error(self.client.address()))
    }

    fn parse<T: DeserializeOwned>(&self, answer: Answer) -> Result<T, RegistryError> {
        serde_json::from_slice(&answer.body).map_err(|error| {
            let address = self.client.address();
            Fault::nonsense(address, error).into_error(address)
        })
    }
}

// === impl Held ===

impl Held {
    /// Whether a node registered it, and nobody else who happens to use the same words.
    pub(super) fn is_of(&self, node: &NodeId) -> bool {
        self.id == id(&self.service, node)
    }

    /// The start of the node that registered it; empty if it does not say.
    pub(super) fn boot(&self) -> &str {
        self.meta
            .as_ref()
            .and_then(|meta| meta.get(BOOT))
            .map_or("", String::as_str)
    }

    /// Where it is dialled, for messages.
    pub(super) fn place(&self) -> String {
        match self.address.as_str() {
            "" => format!("port {} of the agent's own address", self.port),
            address => format!("{address}:{}", self.port),
        }
    }

    /// Whether it is what this body would make it.
    pub(super) fn is(&self, body: &Body) -> bool {
        self.service == body.name
            && self.address == body.address
            && self.port == i64::from(body.port)
            && self.tags.as_ref().unwrap_or(&BTreeSet::new()) == &body.tags
            && self.meta.as_ref().unwrap_or(&BTreeMap::new()) == &body.meta
            && self
                .weights
                .as_ref()
                .is_none_or(|weights| weights.passing == i64::from(body.weights.passing))
    }
}
