//! The registries that a node asks and is announced in.

use std::sync::Arc;

#[cfg(feature = "consul")]
use dpipes_discovery::consul::Consul;
#[cfg(feature = "etcd")]
use dpipes_discovery::etcd::Etcd;
#[cfg(feature = "mdns")]
use dpipes_discovery::mdns::Mdns;
use dpipes_discovery::{Announced, LeaseState, Names, Registry, Snapshot, StaticNodes};
use tracing::info;

use super::{
    StartError,
    node::Node,
    settings::{RegistrySettings, Settings},
    view,
};

/// Builds what the settings name. Nothing is connected yet, so that a registry that is down keeps no daemon from starting.
pub(super) fn build(settings: &Settings) -> Result<Vec<Arc<dyn Registry>>, StartError> {
    let names = || Names {
        primary: view::primary_service(),
        app_prefix: view::APP_PREFIX.to_owned(),
        port: view::DEFAULT_PORT,
    };
    let one = |registry: &RegistrySettings| -> Result<Arc<dyn Registry>, String> {
        Ok(match registry {
            RegistrySettings::StaticFile(path) => Arc::new(StaticNodes::file(path, names())),
            RegistrySettings::StaticList(nodes) => {
                Arc::new(StaticNodes::inline(view::node_list(nodes)?, names()))
            }
            #[cfg(feature = "consul")]
            RegistrySettings::Consul(config) => {
                Arc::new(Consul::new(config.clone(), names()).map_err(|error| error.to_string())?)
            }
            #[cfg(feature = "etcd")]
            RegistrySettings::Etcd(config) => {
                Arc::new(Etcd::new(config.clone(), names()).map_err(|error| error.to_string())?)
            }
            #[cfg(feature = "mdns")]
            RegistrySettings::Mdns(config) => {
                Arc::new(Mdns::new(config.clone(), names()).map_err(|error| error.to_string())?)
            }
        })
    };
    let named = |registry: &RegistrySettings| {
        one(registry).map_err(|detail| StartError::Registry {
            name: registry.kind(),
            detail,
        })
    };
    settings.registries.iter().map(named).collect()
}

/// Waits until every registry has answered, and accepted this node.
pub(super) async fn ready(node: &Node) {
    info!("waiting for the registries, which `discovery: required` asks for");
    let mut registered = node.directory().subscribe(&view::primary_service());
    let answered = |snapshot: &Arc<Snapshot>| {
        snapshot
            .sources
            .iter()
            .all(|source| source.updated.is_some())
    };
    let _ = registered.wait_for(answered).await;
    if let Some(mut states) = node.watch_announced() {
        let is_live = |one: &Announced| one.state == LeaseState::Live;
        let _ = states.wait_for(|all| all.iter().all(is_live)).await;
    }
}
