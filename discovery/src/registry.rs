//! The trait that every backend implements, and its contract.

use std::{collections::BTreeSet, error::Error, fmt, sync::Arc};

use async_trait::async_trait;
use futures_util::{StreamExt, stream::BoxStream};
use thiserror::Error;
use tokio::{sync::watch, time::Instant};

use crate::{Health, Instance, NodeId, Registration, ServiceDef, ServiceName};

/// What lies behind an error.
pub type Cause = Arc<dyn Error + Send + Sync>;

/// What a backend can do beside watching.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Abilities {
    /// [`Registry::register`] announces something. Without it, it succeeds and does nothing.
    pub registers: bool,
    /// Instances carry a health other than [`Health::Unknown`].
    pub reports_health: bool,
    /// [`Registry::services`] works.
    pub lists_services: bool,
}

/// Why a registry did not do it.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// No connection, a timeout, no leader, a stream that ended: try again.
    #[error("{detail}")]
    Unavailable {
        /// What happened.
        detail: String,
        /// What lies behind it.
        #[source]
        cause: Option<Cause>,
    },
    /// The credentials do not suffice: try again slowly, say it loudly.
    #[error("denied: {detail}")]
    Denied {
        /// What was denied.
        detail: String,
    },
    /// The registry will never take this: a bug or a bad configuration.
    #[error("rejected: {detail}")]
    Rejected {
        /// What it did not like.
        detail: String,
    },
    /// Another live node has this name.
    #[error("another live node is called `{node}`: {holder}")]
    Conflict {
        /// The name.
        node: NodeId,
        /// Who holds it.
        holder: String,
    },
    /// This registry cannot do that.
    #[error("this registry has no {ability}")]
    Unsupported {
        /// What it lacks.
        ability: &'static str,
    },
}

/// How a registration stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseState {
    /// Not accepted yet.
    Pending,
    /// Accepted and renewed.
    Live,
    /// Lost; being made anew.
    Retrying {
        /// Since when.
        since: Instant,
        /// Why.
        detail: String,
    },
    /// Accepted, but look-ups do not find it.
    Invisible {
        /// What may be the reason.
        detail: String,
    },
    /// Over: another start of this node holds the name now, and the lease no longer renews.
    Superseded {
        /// Who holds it.
        holder: String,
    },
}

/// A place where nodes announce themselves and are found.
///
/// # Contract
///
/// * **Every item of [`watch`](Self::watch) is the full set**, the first one too; no deltas leave a backend.
/// * The first item comes promptly: the set or an error. The empty set is a value: "known to be empty".
/// * **Errors come inline and end the stream.** A stream that ends without one means `Unavailable`. A backend never retries a watch,
///   and leaves its own name out of errors: who asked adds it.
/// * One item is one consistent moment, every state of health included. Malformed entries are skipped singly and logged once.
/// * **Dropping the stream cancels** all that it started, and never blocks.
/// * Key prefixes in the registry end with a separator: `dp.log` never finds `dp.logger`. Names compare exactly, case included.
/// * No secrets in `meta` and `tags`; tokens live in the backend's configuration, whose `Debug` redacts them.
#[async_trait]
pub trait Registry: fmt::Debug + Send + Sync + 'static {
    /// A short name for messages, as `static`.
    fn name(&self) -> &'static str;

    /// What it can do.
    fn abilities(&self) -> Abilities;

    /// Follows a service; see the contract above.
    fn watch(
        &self,
        service: &ServiceName,
    ) -> BoxStream<'static, Result<Vec<Instance>, RegistryError>>;

    /// Announces a node. `Ok` once the registry has accepted all of it.
    async fn register(&self, what: Registration) -> Result<Box<dyn Lease>, RegistryError>;

    /// The present set of a service.
    async fn lookup(&self, service: &ServiceName) -> Result<Vec<Instance>, RegistryError> {
        let first = self.watch(service).next().await;
        first.unwrap_or_else(|| Err(RegistryError::stream_ended()))
    }

    /// One node's instance of a service.
    async fn find(
        &self,
        service: &ServiceName,
        node: &NodeId,
    ) -> Result<Option<Instance>, RegistryError> {
        let set = self.lookup(service).await?;
        Ok(set.into_iter().find(|instance| &instance.node == node))
    }

    /// Every service there is.
    async fn services(&self) -> Result<BTreeSet<ServiceName>, RegistryError> {
        Err(RegistryError::Unsupported {
            ability: "list of services",
        })
    }

    /// Takes note that a node could not be dialled. A backend that can look again does; the others do nothing.
    async fn suspect(&self, node: &NodeId) {
        let _ = node;
    }
}

/// A registration that is kept alive.
///
/// It renews itself in a task of its own and re-creates itself after loss, with the last `update` and `set_health`. Dropping it stops
/// the renewal and nothing else; [`deregister`](Self::deregister) removes everything.
#[must_use = "dropping a lease stops its renewal: the node vanishes from the registry after its TTL"]
#[async_trait]
pub trait Lease: fmt::Debug + Send + Sync {
    /// How it stands, now and later.
    fn state(&self) -> watch::Receiver<LeaseState>;

    /// Says how well the node is; reaches all its services.
    async fn set_health(&self, health: Health, note: &str) -> Result<(), RegistryError>;

    /// Replaces the services beside the primary: adds and removes, touches no other.
    async fn update(&self, services: Vec<ServiceDef>) -> Result<(), RegistryError>;

    /// Removes everything. The caller sets the deadline.
    async fn deregister(self: Box<Self>) -> Result<(), RegistryError>;
}

// === impl RegistryError ===

impl RegistryError {
    /// An [`Unavailable`](Self::Unavailable) without a cause.
    #[must_use]
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::Unavailable {
            detail: detail.into(),
            cause: None,
        }
    }

    /// What a stream that ends without an error means.
    #[must_use]
    pub fn stream_ended() -> Self {
        Self::unavailable("the registry ended the watch")
    }
}
