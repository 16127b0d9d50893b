//! Consul, over the HTTP API of its agent.
//!
//! A node registers itself with one TTL check and its apps with checks that are aliases of it, so that one heartbeat keeps all alive
//! and its absence fails all at once. A watch is a chain of questions which the agent answers when there is news.
//!
//! ```text
//! registry calls --> Agent (what they mean) --> Client (HTTP, token, TLS) --> the agent
//! Lease --commands--> Keeper (its task: heartbeats, repair) --> Agent
//! ```

mod address;
mod agent;
mod body;
mod client;
mod config;
mod connector;
mod entry;
mod fault;
mod keeper;
mod lease;
mod pace;
mod reconcile;
mod token;
mod watch;

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use futures_util::stream::BoxStream;

pub use self::config::*;
use self::{agent::Agent, client::Scope, keeper::Keeper, lease::ConsulLease, watch::Question};
use crate::{
    Abilities, Instance, Lease, Names, NodeId, Registration, Registry, RegistryError, ServiceName,
};

/// Nodes found through Consul. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Consul {
    agent: Arc<Agent>,
}

// === impl Consul ===

impl Consul {
    /// A registry of this configuration. Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Rejected`] when the configuration makes no sense: the address is none, or a file of TLS cannot be used.
    pub fn new(config: Config, names: Names) -> Result<Self, RegistryError> {
        Ok(Self {
            agent: Arc::new(Agent::new(config, names)?),
        })
    }

    /// What the agent is asked to find out about a service.
    fn question(&self, asked: &ServiceName) -> Question {
        let Agent { config, names, .. } = &*self.agent;
        let app = match config.layout {
            Layout::Services => None,
            Layout::Node => asked.as_str().strip_prefix(&names.app_prefix),
        };
        Question {
            service: app.map_or(asked, |_| &names.primary).clone(),
            filter: app.map(|app| format!("\"{app}\" in Service.Tags")),
            asked: asked.clone(),
        }
    }
}

#[async_trait]
impl Registry for Consul {
    fn name(&self) -> &'static str {
        "consul"
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            registers: true,
            reports_health: true,
            lists_services: true,
        }
    }

    fn watch(
        &self,
        service: &ServiceName,
    ) -> BoxStream<'static, Result<Vec<Instance>, RegistryError>> {
        watch::watch(Arc::clone(&self.agent), self.question(service))
    }

    async fn register(&self, what: Registration) -> Result<Box<dyn Lease>, RegistryError> {
        let keeper = Keeper::register(Arc::clone(&self.agent), what).await?;
        Ok(Box::new(ConsulLease::new(keeper)))
    }

    async fn find(
        &self,
        service: &ServiceName,
        node: &NodeId,
    ) -> Result<Option<Instance>, RegistryError> {
        let question = self.question(service);
        let id = body::id(question.service.as_str(), node);
        // As entries name their node: those of our making by their id, others in one of three ways.
        let mut filter = format!(
            "(Service.ID == \"{id}\" or Service.Meta.{} == \"{node}\" or Node.Node == \"{node}\")",
            body::NODE
        );
        if let Some(more) = &question.filter {
            filter = format!("{filter} and {more}");
        }
        let seen = self
            .agent
            .look_up(Scope::Catalog, &question.service, Some(filter))
            .await?;
        let mut set = question.answer(seen.set).into_iter();
        Ok(set.find(|instance| &instance.node == node))
    }

    async fn services(&self) -> Result<BTreeSet<ServiceName>, RegistryError> {
        let Agent { config, names, .. } = &*self.agent;
        let catalog = self.agent.catalog().await?;
        let mut services: BTreeSet<ServiceName> = BTreeSet::new();
        if config.layout == Layout::Node
            && let Some(Some(tags)) = catalog.get(names.primary.as_str())
        {
            let apps = tags.difference(&config.tags);
            let apps = apps.map(|app| ServiceName::new(format!("{}{app}", names.app_prefix)));
            services.extend(apps.flatten());
        }
        // Services of others may have names that are none here, and cannot be asked for.
        services.extend(catalog.into_keys().flat_map(ServiceName::new));
        Ok(services)
    }
}
