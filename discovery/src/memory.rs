//! A registry in memory, for embedding and tests.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use tokio::sync::{oneshot, watch};

use crate::{
    Abilities, Health, Instance, Lease, LeaseState, NodeId, Registration, Registry, RegistryError,
    ServiceDef, ServiceName,
};

/// The generation of an entry that its owner has taken back.
const DEREGISTERED: u64 = u64::MAX;

/// A registry in memory. Clones share their contents.
#[derive(Clone)]
pub struct Memory {
    state: watch::Sender<State>,
}

#[derive(Default)]
struct State {
    nodes: BTreeMap<NodeId, Entry>,
    /// Counts registrations, so that a lease knows its own entry.
    generation: u64,
    /// Set while the registry plays dead.
    broken: Option<RegistryError>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    generation: u64,
    what: Registration,
    health: Health,
}

/// One registration. Its task puts the entry back when the registry forgot it; once the lease is dropped, it waits out the TTL.
#[derive(Debug)]
struct MemoryLease {
    memory: Memory,
    wanted: Arc<Mutex<Entry>>,
    live: watch::Sender<LeaseState>,
    /// Closes when the lease is dropped.
    _alive: oneshot::Sender<()>,
}

// === impl Memory ===

impl Memory {
    /// An empty registry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Plays dead: every watch ends with this error, and every call fails with it, until [`mend`](Self::mend).
    pub fn break_with(&self, error: RegistryError) {
        self.state.send_modify(|state| state.broken = Some(error));
    }

    /// Works again.
    pub fn mend(&self) {
        self.state.send_modify(|state| state.broken = None);
    }

    /// Forgets every node, as a registry does that restarts without its data.
    pub fn wipe(&self) {
        self.state.send_modify(|state| state.nodes.clear());
    }

    fn remove(&self, node: &NodeId, generation: u64) {
        self.state.send_if_modified(|state| {
            let own = |entry: &Entry| entry.generation == generation;
            state.nodes.get(node).is_some_and(own) && state.nodes.remove(node).is_some()
        });
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            state: watch::Sender::new(State::default()),
        }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes = self.state.borrow().nodes.len();
        f.debug_struct("Memory").field("nodes", &nodes).finish()
    }
}

impl State {
    fn set(&self, service: &ServiceName) -> Result<Vec<Instance>, RegistryError> {
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        let instances = self.nodes.values().flat_map(|e| e.what.instances(e.health));
        Ok(instances.filter(|i| &i.service == service).collect())
    }
}

#[async_trait]
impl Registry for Memory {
    fn name(&self) -> &'static str {
        "memory"
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
        /// What the stream said last.
        enum Said {
            Nothing,
            Set(Vec<Instance>),
            Error,
        }
        let service = service.clone();
        let start = (self.state.subscribe(), Said::Nothing);
        stream::unfold(start, move |(mut state, said)| {
            let service = service.clone();
            async move {
                if matches!(said, Said::Error) {
                    return None;
                }
                loop {
                    let set = state.borrow_and_update().set(&service);
                    match (set, &said) {
                        (Err(error), _) => return Some((Err(error), (state, Said::Error))),
                        (Ok(set), Said::Set(last)) if &set == last => {}
                        (Ok(set), _) => return Some((Ok(set.clone()), (state, Said::Set(set)))),
                    }
                    state.changed().await.ok()?;
                }
            }
        })
        .boxed()
    }

    async fn register(&self, what: Registration) -> Result<Box<dyn Lease>, RegistryError> {
        let node = what.node.clone();
        let ttl = what.ttl;
        let mut result = Err(RegistryError::stream_ended());
        self.state.send_if_modified(|state| {
            if let Some(error) = &state.broken {
                result = Err(error.clone());
            } else if let Some(holder) = state.nodes.get(&node)
                && holder.what.boot() > what.boot()
            {
                result = Err(conflict(&node, &holder.what));
            } else {
                state.generation += 1;
                let entry = Entry {
                    generation: state.generation,
                    what,
                    health: Health::Passing,
                };
                state.nodes.insert(node.clone(), entry.clone());
                result = Ok(entry);
            }
            result.is_ok()
        });
        let wanted = Arc::new(Mutex::new(result?));
        let (alive, dropped) = oneshot::channel::<()>();
        let live = watch::Sender::new(LeaseState::Live);
        tokio::spawn(renew(
            self.clone(),
            Arc::clone(&wanted),
            live.clone(),
            dropped,
            ttl,
        ));
        Ok(Box::new(MemoryLease {
            memory: self.clone(),
            wanted,
            live,
            _alive: alive,
        }))
    }

    async fn services(&self) -> Result<BTreeSet<ServiceName>, RegistryError> {
        let state = self.state.borrow();
        if let Some(error) = &state.broken {
            return Err(error.clone());
        }
        let names = |entry: &Entry| {
            let what = entry.what.clone();
            std::iter::once(what.primary.name).chain(what.services.into_iter().map(|def| def.name))
        };
        Ok(state.nodes.values().flat_map(names).collect())
    }
}

/// Keeps the entry there and as wanted until the lease is dropped; then leaves it for a TTL.
async fn renew(
    memory: Memory,
    wanted: Arc<Mutex<Entry>>,
    live: watch::Sender<LeaseState>,
    mut dropped: oneshot::Receiver<()>,
    ttl: Duration,
) {
    let mut state = memory.state.subscribe();
    loop {
        state.borrow_and_update();
        let mut superseded = None;
        memory.state.send_if_modified(|state| {
            // Read under the registry's lock: an entry that is being taken back must not be put there again.
            let entry = lock(&wanted).clone();
            if entry.generation == DEREGISTERED || state.broken.is_some() {
                return false;
            }
            match state.nodes.get(&entry.what.node) {
                Some(there) if there.generation != entry.generation => {
                    superseded = Some(holder(&there.what));
                    false
                }
                Some(there) if *there == entry => false,
                _ => {
                    state.nodes.insert(entry.what.node.clone(), entry);
                    true
                }
            }
        });
        if let Some(holder) = superseded {
            live.send_replace(LeaseState::Superseded { holder });
            return;
        }
        tokio::select! {
            biased;
            _ = &mut dropped => break,
            _ = state.changed() => {}
        }
    }
    let entry = lock(&wanted).clone();
    if entry.generation != DEREGISTERED {
        tokio::time::sleep(ttl).await;
        memory.remove(&entry.what.node, entry.generation);
    }
}

fn lock(wanted: &Mutex<Entry>) -> MutexGuard<'_, Entry> {
    wanted.lock().unwrap_or_else(PoisonError::into_inner)
}

fn conflict(node: &NodeId, holder: &Registration) -> RegistryError {
    RegistryError::Conflict {
        node: node.clone(),
        holder: self::holder(holder),
    }
}

fn holder(what: &Registration) -> String {
    format!("{}:{}", what.host, what.port)
}

// === impl MemoryLease ===

impl MemoryLease {
    fn change(&self, change: impl Fn(&mut Entry)) -> Result<(), RegistryError> {
        let wanted = {
            let mut wanted = lock(&self.wanted);
            change(&mut wanted);
            wanted.clone()
        };
        let mut result = Ok(());
        self.memory.state.send_if_modified(|state| {
            if let Some(error) = &state.broken {
                result = Err(error.clone());
                return false;
            }
            let node = wanted.what.node.clone();
            match state.nodes.get(&node) {
                Some(holder) if holder.generation != wanted.generation => {
                    result = Err(conflict(&node, &holder.what));
                    false
                }
                _ => {
                    state.nodes.insert(node, wanted.clone());
                    true
                }
            }
        });
        result
    }
}

#[async_trait]
impl Lease for MemoryLease {
    fn state(&self) -> watch::Receiver<LeaseState> {
        self.live.subscribe()
    }

    async fn set_health(&self, health: Health, _note: &str) -> Result<(), RegistryError> {
        self.change(|entry| entry.health = health)
    }

    async fn update(&self, services: Vec<ServiceDef>) -> Result<(), RegistryError> {
        self.change(|entry| entry.what.services.clone_from(&services))
    }

    async fn deregister(self: Box<Self>) -> Result<(), RegistryError> {
        let (node, generation) = {
            let mut wanted = lock(&self.wanted);
            let own = (wanted.what.node.clone(), wanted.generation);
            // The task may look once more before it sees the lease gone; it must not put the entry back.
            wanted.generation = DEREGISTERED;
            own
        };
        self.memory.remove(&node, generation);
        Ok(())
    }
}
