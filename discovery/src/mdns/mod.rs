//! Mdns.

mod config;

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::{BoxStream, StreamExt};

pub use self::config::*;
use crate::{
    Abilities, Instance, Lease, Names, Registration, Registry, RegistryError, ServiceName,
};

/// Nodes found through Mdns.
#[derive(Clone, Debug)]
pub struct Mdns {
    config: Arc<Config>,
    names: Arc<Names>,
}

impl Mdns {
    /// A registry of this configuration. Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Rejected`] when the configuration makes no sense.
    pub fn new(config: Config, names: Names) -> Result<Self, RegistryError> {
        Ok(Self {
            config: Arc::new(config),
            names: Arc::new(names),
        })
    }
}

#[async_trait]
impl Registry for Mdns {
    fn name(&self) -> &'static str {
        "mdns"
    }

    fn abilities(&self) -> Abilities {
        Abilities::default()
    }

    fn watch(
        &self,
        _service: &ServiceName,
    ) -> BoxStream<'static, Result<Vec<Instance>, RegistryError>> {
        let _ = (&self.config, &self.names);
        futures_util::stream::empty().boxed()
    }

    async fn register(&self, _what: Registration) -> Result<Box<dyn Lease>, RegistryError> {
        Err(RegistryError::Unsupported {
            ability: "registration",
        })
    }
}
