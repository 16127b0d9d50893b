//! Nodes found through etcd.
//!
//! ```text
//! Etcd ── Cluster ─┬─ Connection   one client; deadlines, quick retries, credentials
//!                  ├─ Keys, value  what lies where, and how
//!                  ├─ watch        range, then changes
//!                  └─ EtcdLease ── Announcement   one lease for all keys of a node
//! ```

mod announcement;
mod cluster;
mod config;
mod connection;
mod endpoints;
mod failure;
mod keys;
mod lease;
mod own_address;
mod tls;
mod value;
mod watch;

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use etcd_client::GetOptions;
use futures_util::stream::BoxStream;

pub use self::config::*;
use self::{announcement::Announcement, cluster::Cluster, failure::Failure, lease::EtcdLease};
use crate::{
    Abilities, Instance, Lease, Names, NodeId, Registration, Registry, RegistryError, ServiceName,
};

/// Nodes found through etcd. Clones share one connection.
#[derive(Clone, Debug)]
pub struct Etcd {
    cluster: Arc<Cluster>,
}

impl Etcd {
    /// A registry of this configuration. Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Rejected`] when the configuration makes no sense.
    pub fn new(config: Config, names: Names) -> Result<Self, RegistryError> {
        // Every service has keys of its own: no name has to be told from another here.
        drop(names);
        let cluster = Cluster::new(config)?;
        Ok(Self { cluster })
    }
}

#[async_trait]
impl Registry for Etcd {
    fn name(&self) -> &'static str {
        "etcd"
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
        watch::follow(Arc::clone(&self.cluster), service.clone())
    }

    async fn register(&self, what: Registration) -> Result<Box<dyn Lease>, RegistryError> {
        let mut announcement = Announcement::new(Arc::clone(&self.cluster), what);
        announcement.find_host().await?;
        let ttl = announcement.grant().await?;
        // A lease is granted to anybody; only the keys tell whether this node may register.
        match announcement.publish().await {
            Ok(()) => Ok(Box::new(EtcdLease::keep(announcement, ttl))),
            Err(failure) => {
                let error = failure.error();
                if !matches!(error, RegistryError::Unavailable { .. }) {
                    // Should that fail too, the empty lease ends by itself.
                    let _ = Announcement::revoke(&self.cluster, announcement.lease).await;
                }
                Err(error)
            }
        }
    }

    async fn lookup(&self, service: &ServiceName) -> Result<Vec<Instance>, RegistryError> {
        let moment = self.cluster.read(service).await?;
        Ok(moment.instances.into_values().collect())
    }

    async fn find(
        &self,
        service: &ServiceName,
        node: &NodeId,
    ) -> Result<Option<Instance>, RegistryError> {
        let key = self.cluster.keys.instance(service, node);
        let answer = self.cluster.get(&key, GetOptions::new()).await?;
        Ok(answer
            .kvs()
            .first()
            .and_then(|kv| self.cluster.instance(kv)))
    }

    async fn services(&self) -> Result<BTreeSet<ServiceName>, RegistryError> {
        let all = self.cluster.keys.all();
        let options = GetOptions::new().with_prefix().with_keys_only();
        let answer = self.cluster.get(all, options).await;
        let answer = answer.map_err(|failure: Failure| failure.error())?;
        let names = answer
            .kvs()
            .iter()
            .map(|kv| self.cluster.keys.parse(kv.key()));
        Ok(names.flatten().map(|(service, _)| service).collect())
    }
}
