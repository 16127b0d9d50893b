//! What backend, watches and leases share: the connection, the keys, and what was already complained about.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use etcd_client::{GetOptions, GetResponse, KeyValue};
use tracing::warn;

use super::{Config, connection::Connection, failure::Failure, keys::Keys, value};
use crate::{Instance, NodeId, RegistryError, ServiceName};

/// Largest answer: some 100,000 instances. gRPC's own limit of 4 MiB would end at 13,000 instances of one service.
pub(super) const MAX_ANSWER: usize = 32 << 20;
/// Most unusable keys that are remembered as told of; beyond it nothing more is logged, so that a flood of them fills neither log nor
/// memory.
const MAX_TOLD: usize = 1000;
/// How much of an unusable key, and of what is wrong with it, is shown and remembered: both may be as long as somebody likes. Keys of
/// ours are shorter, prefix aside.
const MAX_SHOWN: usize = 400;

/// A cluster as seen from here.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) connection: Connection,
    pub(super) keys: Keys,
    /// Unusable keys that were logged.
    told: Mutex<BTreeSet<Vec<u8>>>,
}

/// The instances of a service at one moment.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    pub(super) instances: BTreeMap<NodeId, Instance>,
    /// The revision of the store that it shows.
    pub(super) revision: i64,
}

// === impl Cluster ===

impl Cluster {
    pub(super) fn new(config: Config) -> Result<Arc<Self>, RegistryError> {
        let keys = Keys::new(&config.prefix);
        Ok(Arc::new(Self {
            connection: Connection::new(Arc::new(config))?,
            keys,
            told: Mutex::default(),
        }))
    }

    /// Reads keys.
    pub(super) async fn get(&self, key: &str, options: GetOptions) -> Result<GetResponse, Failure> {
        let get = |client: etcd_client::Client| {
            let (key, options) = (key.to_owned(), options.clone());
            async move {
                let mut kv = client.kv_client().max_decoding_message_size(MAX_ANSWER);
                kv.get(key, Some(options)).await
            }
        };
        self.connection.call(get).await
    }

    /// The instances of a service now.
    pub(super) async fn read(&self, service: &ServiceName) -> Result<Moment, Failure> {
        let prefix = self.keys.service(service);
        let answer = self.get(&prefix, GetOptions::new().with_prefix()).await?;
        let instances = answer.kvs().iter().filter_map(|kv| self.instance(kv));
        Ok(Moment {
            instances: instances.map(|i| (i.node.clone(), i)).collect(),
            revision: answer.header().map_or(0, |header| header.revision()),
        })
    }

    /// The instance behind a key. An unusable one is logged, once.
    pub(super) fn instance(&self, kv: &KeyValue) -> Option<Instance> {
        let decoded = match self.keys.parse(kv.key()) {
            Some((service, node)) => value::decode(service, node, kv.value()),
            None => Err("the key names no service and node".to_owned()),
        };
        decoded
            .map_err(|problem| {
                let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
                let key = &kv.key()[..kv.key().len().min(MAX_SHOWN)];
                if told.len() < MAX_TOLD && told.insert(key.to_vec()) {
                    // Anybody who may write the prefix chose these texts: a line break in them must not look like a line of the log.
                    let key = String::from_utf8_lossy(key);
                    let problem: String = problem.chars().take(MAX_SHOWN).collect();
                    let (key, problem) = (key.escape_debug(), problem.escape_debug());
                    warn!(%key, %problem, "an unusable entry is left out");
                }
            })
            .ok()
    }
}
