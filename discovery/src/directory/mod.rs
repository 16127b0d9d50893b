//! One layer above all registries: what they say, held and merged.
//!
//! The core is pure ([`fold`], [`merge`], [`outliers`]: answers, errors and a clock in, a snapshot out). Around it there is one thin
//! task for each registry and service asked for, and one that keeps time for all.

mod fold;
mod merge;
mod outliers;
mod snapshot;
mod task;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{
    sync::{Notify, mpsc, watch},
    task::JoinSet,
    time::Instant,
};

use self::{fold::Fold, outliers::Outliers};
pub use self::{
    fold::{ABSENT_LINGER, RECONNECT_LINGER},
    outliers::Probe,
    snapshot::{Address, Candidate, Snapshot, Source},
};
use crate::{Instance, NodeId, Registry, RegistryError, ServiceName};

/// How long the first use of a service waits for its first answer: more than any healthy registry needs.
pub const FIRST_ANSWER: Duration = Duration::from_secs(2);
/// Watches per registry; further services are polled. Some registries spend a connection or more on each, and throttle beyond.
pub const MAX_WATCHES: usize = 64;
/// Services followed at one time. Beyond it one that nobody reads is dropped for each new one, for whoever asks may make names up; those
/// that are read are never dropped.
pub const MAX_SERVICES: usize = 1_024;
/// Suspects waiting to be handed to registries. They are hints; more than this at once help nobody and are dropped.
const SUSPECTS: usize = 64;

/// What all registries know, watched as long as somebody reads. Clones are the same directory; the last one ends its tasks.
#[derive(Clone, Debug)]
pub struct Directory {
    owner: Arc<Owner>,
}

struct Owner {
    shared: Arc<Shared>,
    /// Aborted on drop.
    _tasks: JoinSet<()>,
}

struct Shared {
    registries: Vec<Arc<dyn Registry>>,
    names: Arc<[Arc<str>]>,
    feeds: Mutex<BTreeMap<ServiceName, Running>>,
    outliers: Arc<Mutex<Outliers>>,
    /// An ejection began or ended.
    changed: Notify,
    suspects: mpsc::Sender<NodeId>,
}

/// A service that is watched.
struct Running {
    feed: Arc<Feed>,
    /// Aborted on drop.
    _tasks: JoinSet<()>,
    mode: task::Mode,
    idle_since: Option<Instant>,
}

/// One service's state, shared by its tasks.
struct Feed {
    service: ServiceName,
    names: Arc<[Arc<str>]>,
    outliers: Arc<Mutex<Outliers>>,
    folds: Mutex<Vec<Fold>>,
    snapshot: watch::Sender<Arc<Snapshot>>,
}

// === impl Directory ===

impl Directory {
    /// A directory of these registries, the most trusted first. Asks nobody before somebody subscribes.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    #[must_use]
    pub fn new(registries: Vec<Arc<dyn Registry>>) -> Self {
        let names = names(&registries).into();
        let (suspects, suspected) = mpsc::channel(SUSPECTS);
        let shared = Arc::new(Shared {
            registries: registries.clone(),
            names,
            feeds: Mutex::default(),
            outliers: Arc::default(),
            changed: Notify::new(),
            suspects,
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(task::keep_time(Arc::clone(&shared)));
        tasks.spawn(task::suspect(registries, suspected));
        Self {
            owner: Arc::new(Owner {
                shared,
                _tasks: tasks,
            }),
        }
    }

    /// Follows a service. The first subscription begins to watch it; ten minutes after the last receiver is gone the watch ends.
    #[must_use]
    pub fn subscribe(&self, service: &ServiceName) -> watch::Receiver<Arc<Snapshot>> {
        let shared = &self.owner.shared;
        let mut feeds = lock(&shared.feeds);
        if let Some(running) = feeds.get_mut(service) {
            running.idle_since = None;
            return running.feed.snapshot.subscribe();
        }
        if feeds.len() >= MAX_SERVICES {
            let unread = feeds
                .iter()
                .filter(|(_, running)| running.feed.snapshot.receiver_count() == 0)
                // Those found idle first, the longest first; then those that were read since the last look.
                .min_by_key(|(_, running)| (running.idle_since.is_none(), running.idle_since))
                .map(|(service, _)| service.clone());
            if let Some(unread) = unread {
                feeds.remove(&unread);
            }
        }
        let watched = feeds.values().filter(|r| r.mode == task::Mode::Watch);
        let mode = if watched.count() < MAX_WATCHES {
            task::Mode::Watch
        } else {
            task::Mode::Poll
        };
        let folds = vec![Fold::default(); shared.registries.len()];
        let empty = merge::merge(
            service,
            &shared.names,
            &folds,
            &Outliers::default(),
            Instant::now(),
        );
        let feed = Arc::new(Feed {
            service: service.clone(),
            names: Arc::clone(&shared.names),
            outliers: Arc::clone(&shared.outliers),
            folds: Mutex::new(folds),
            snapshot: watch::Sender::new(Arc::new(empty)),
        });
        let mut tasks = JoinSet::new();
        for (index, registry) in shared.registries.iter().enumerate() {
            tasks.spawn(task::follow(
                Arc::clone(registry),
                index,
                Arc::clone(&feed),
                mode,
            ));
        }
        let receiver = feed.snapshot.subscribe();
        let running = Running {
            feed,
            _tasks: tasks,
            mode,
            idle_since: None,
        };
        feeds.insert(service.clone(), running);
        receiver
    }

    /// The present snapshot. The first use of a service waits until every registry has answered or failed, [`FIRST_ANSWER`] at most.
    pub async fn snapshot(&self, service: &ServiceName) -> Arc<Snapshot> {
        let mut receiver = self.subscribe(service);
        let complete = receiver.wait_for(|snapshot| snapshot.is_complete());
        let _ = tokio::time::timeout(FIRST_ANSWER, complete).await;
        receiver.borrow().clone()
    }

    /// Every service that any registry lists, and the error of each registry that does not say; [`FIRST_ANSWER`] at most.
    pub async fn services(&self) -> (BTreeSet<ServiceName>, Vec<(Arc<str>, RegistryError)>) {
        let shared = &self.owner.shared;
        let asked = shared.registries.iter().map(|registry| {
            let services = registry.services();
            tokio::time::timeout(FIRST_ANSWER, services)
        });
        let (mut all, mut errors) = (BTreeSet::new(), Vec::new());
        for (answer, name) in join_all(asked).await.into_iter().zip(shared.names.iter()) {
            let answer =
                answer.unwrap_or_else(|_| Err(RegistryError::unavailable("no answer in time")));
            match answer {
                Ok(services) => all.extend(services),
                Err(error) => errors.push((Arc::clone(name), error)),
            }
        }
        (all, errors)
    }

    /// One node's entries of a service as the registries have them now, past all that is held in memory. A registry that fails, or
    /// takes longer than `limit`, has none.
    pub async fn find(
        &self,
        service: &ServiceName,
        node: &NodeId,
        limit: Duration,
    ) -> Vec<Instance> {
        let registries = &self.owner.shared.registries;
        let asked = registries
            .iter()
            .map(|registry| tokio::time::timeout(limit, registry.find(service, node)));
        let answers = join_all(asked).await.into_iter();
        answers.filter_map(|answer| answer.ok()?.ok()?).collect()
    }

    /// A dial failed: leaves the node out for 5 s, doubling to 60 s, and tells the registries.
    pub fn failed(&self, node: &NodeId) {
        let shared = &self.owner.shared;
        let changed = lock(&shared.outliers).failed(node, Instant::now());
        // A full queue drops the hint, and the node is ejected nevertheless.
        let _ = shared.suspects.try_send(node.clone());
        if changed {
            shared.republish(node);
        }
    }

    /// A dial or a request went well: the node is used again.
    pub fn succeeded(&self, node: &NodeId) {
        let changed = lock(&self.owner.shared.outliers).succeeded(node);
        if changed {
            self.owner.shared.republish(node);
        }
    }

    /// A probe of a node whose registry knows no health ended.
    pub fn probed(&self, node: &NodeId, probe: Probe) {
        let changed = lock(&self.owner.shared.outliers).probed(node, probe, Instant::now());
        if changed {
            self.owner.shared.republish(node);
        }
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.shared.names.iter()).finish()
    }
}

// === impl Shared ===

impl Shared {
    /// Publishes every feed anew that has this node, after its ejection began or ended. Every pipe's start reports its nodes: feeds
    /// without them must cost nothing.
    fn republish(&self, node: &NodeId) {
        for running in lock(&self.feeds).values() {
            if running.feed.has(node) {
                running.feed.publish();
            }
        }
        self.changed.notify_one();
    }
}

// === impl Feed ===

impl Feed {
    /// Changes one registry's fold and publishes what comes of it; returns when that fold next needs a look.
    fn change(&self, index: usize, change: impl FnOnce(&mut Fold)) -> Option<Instant> {
        let deadline = {
            let mut folds = lock(&self.folds);
            change(&mut folds[index]);
            folds[index].deadline()
        };
        self.publish();
        deadline
    }

    fn has(&self, node: &NodeId) -> bool {
        let snapshot = self.snapshot.borrow();
        let candidates = &snapshot.candidates;
        candidates
            .binary_search_by(|candidate| candidate.instance.node.cmp(node))
            .is_ok()
    }

    fn publish(&self) {
        self.snapshot.send_if_modified(|last| {
            // Under this lock, so that an older merge never replaces a newer one.
            let mut new = {
                let (folds, outliers) = (lock(&self.folds), lock(&self.outliers));
                merge::merge(
                    &self.service,
                    &self.names,
                    &folds,
                    &outliers,
                    Instant::now(),
                )
            };
            let differs = new.differs(last);
            if new.candidates == last.candidates {
                // The same pointer for the same set: whoever built something on it need not look.
                new.candidates = Arc::clone(&last.candidates);
            }
            *last = Arc::new(new);
            differs
        });
    }
}

/// What each registry is called in messages: its own name, and `NAME-2` for the second of one kind.
pub(crate) fn names(registries: &[Arc<dyn Registry>]) -> Vec<Arc<str>> {
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    let name = |registry: &Arc<dyn Registry>| {
        let count = seen.entry(registry.name()).or_default();
        *count += 1;
        match count {
            1 => registry.name().into(),
            n => format!("{}-{n}", registry.name()).into(),
        }
    };
    registries.iter().map(name).collect()
}

/// Locks for a short copy. A panic while holding leaves whole values behind, so poison is no reason to stop.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(crate) mod testing {
    use std::collections::{BTreeMap, BTreeSet};

    use crate::{Health, Instance, NodeId, ServiceName};

    pub(crate) fn service() -> ServiceName {
        ServiceName::new("noded").unwrap()
    }

    pub(crate) fn instance(node: &str) -> Instance {
        Instance {
            service: service(),
            node: NodeId::new(node).unwrap(),
            host: node.to_owned(),
            port: 3747,
            weight: 10,
            health: Health::Unknown,
            tags: BTreeSet::new(),
            meta: BTreeMap::new(),
        }
    }
}
