//! What a pipe's start reads. The index of all nodes and the listings of the apps in use are kept, and built anew only when a snapshot, a
//! greeting or this node's own settings changed: that takes milliseconds in a large cluster, and reading takes microseconds.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use dpipes_discovery::{Candidate, ServiceName, Snapshot};
use futures_util::future::join_all;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use super::{FIRST_USE, app_service, index, tier, warm};
use crate::{
    daemon::{node::Node, sessions::Greetings, settings::Settings},
    id::NodeId,
    plan::{self, ClusterView, Here, Index, Listing, Mark},
};

/// How long the first use of an app waits for what is said of that app alone, where the nodes' own entries list it already. A healthy
/// registry answers in milliseconds, and says which single apps an operator took out; one that is slow is not worth more.
const LISTED_FIRST_USE: Duration = Duration::from_millis(250);

/// How long the listing of an app that nobody uses is kept, as its watch is.
const IDLE: Duration = Duration::from_secs(600);

/// Listings kept at most: beyond it the one that was not used for the longest time goes. They only save the time to build them.
const MAX_LISTINGS: usize = 256;

/// How long a change waits for more of them before the index is built anew without a pipe that asks: a node's registration comes in
/// several steps, and a cluster that flaps must not keep a processor busy.
const SETTLE: Duration = Duration::from_millis(100);

/// The index as it was built last.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Cache {
    built: Mutex<Option<Built>>,
}

#[derive(Debug)]
struct Built {
    of: Origin,
    index: Arc<Index>,
    listings: HashMap<String, Kept>,
}

/// What an index was built of: while all of it is the same, so is the index.
#[derive(Debug)]
struct Origin {
    registered: Arc<[Candidate]>,
    said: Arc<Greetings>,
    settings: watch::Receiver<Settings>,
    leaving: bool,
}

#[derive(Debug)]
struct Kept {
    of: Arc<[Candidate]>,
    listing: Arc<Listing>,
    used: Instant,
}

// === impl Cache ===

impl Cache {
    /// The index of what is known now, with the listings of some apps.
    fn read(
        &self,
        node: &Node,
        registered: &Snapshot,
        apps: &[(&str, Arc<Snapshot>)],
    ) -> (Arc<Index>, Vec<(String, Arc<Listing>)>) {
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        let said = node.sessions().said();
        let leaving = node.is_leaving();
        let built = match built.take().filter(|built| {
            let of = &built.of;
            Arc::ptr_eq(&of.registered, &registered.candidates)
                && Arc::ptr_eq(&of.said, &said)
                && of.leaving == leaving
                && !of.settings.has_changed().unwrap_or(false)
        }) {
            Some(same) => built.insert(same),
            None => {
                // Taken before the settings are read, so that a change in between is seen the next time.
                let settings = node.follow_settings();
                built.insert(Built {
                    index: Arc::new(index::build(node, registered, &said)),
                    listings: HashMap::new(),
                    of: Origin {
                        registered: Arc::clone(&registered.candidates),
                        said,
                        settings,
                        leaving,
                    },
                })
            }
        };
        let listings = apps.iter().map(|(app, snapshot)| {
            let listing = built.listing(app, &snapshot.candidates);
            ((*app).to_owned(), listing)
        });
        let listings = listings.collect();
        (Arc::clone(&built.index), listings)
    }
}

impl Built {
    fn listing(&mut self, app: &str, said: &Arc<[Candidate]>) -> Arc<Listing> {
        let now = Instant::now();
        if let Some(kept) = self.listings.get_mut(app)
            && Arc::ptr_eq(&kept.of, said)
        {
            kept.used = now;
            return Arc::clone(&kept.listing);
        }
        let mark = |candidate: &Candidate| Mark {
            health: tier(candidate),
            weight: candidate.instance.weight,
        };
        let said_of = said.iter().map(|c| (c.instance.node.as_str(), mark(c)));
        let listing = Arc::new(self.index.listing_with(app, said_of));
        let kept = Kept {
            of: Arc::clone(said),
            listing: Arc::clone(&listing),
            used: now,
        };
        self.listings.retain(|_, kept| now - kept.used < IDLE);
        if self.listings.len() >= MAX_LISTINGS
            && let Some(oldest) = self.listings.iter().min_by_key(|(_, kept)| kept.used)
        {
            let oldest = oldest.0.clone();
            self.listings.remove(&oldest);
        }
        self.listings.insert(app.to_owned(), kept);
        listing
    }
}

/// Everything known of the nodes that might run these apps.
pub(in crate::daemon) async fn view(node: &Arc<Node>, apps: &BTreeSet<String>) -> ClusterView {
    let registered = registered(node).await;
    if registered.sources.is_empty() {
        return assemble(node, &registered, &[]);
    }
    let (index, _) = node.cache().read(node, &registered, &[]);
    let asked: Vec<(&str, ServiceName)> = apps
        .iter()
        .filter_map(|app| Some((app.as_str(), app_service(app)?)))
        .collect();
    let stale = stale(&registered);
    let snapshots = join_all(asked.iter().map(|(app, service)| {
        let limit = match index.listing(app) {
            Some(_) => LISTED_FIRST_USE,
            None => FIRST_USE,
        };
        first(node, service, &stale, limit)
    }))
    .await;
    let said: Vec<_> = asked.iter().map(|(app, _)| *app).zip(snapshots).collect();
    let view = assemble(node, &registered, &said);
    // Nodes that nobody asked yet may have what no other lists.
    let all_listed = apps.iter().all(|app| !view.offering(app).is_empty());
    if all_listed || !warm::ask_silent(node, &registered).await {
        return view;
    }
    assemble(node, &node.registered(), &said)
}

/// What is in memory, whoever has not answered yet.
pub(super) fn at_once(node: &Node) -> ClusterView {
    assemble(node, &node.registered(), &[])
}

/// What every node registered; the very first use waits for it.
async fn registered(node: &Node) -> Arc<Snapshot> {
    let now = node.registered();
    if now.is_complete() {
        return now;
    }
    node.directory().snapshot(&super::primary_service()).await
}

/// What is said of one app. The first use waits for the registries that answered last time they were asked for the nodes.
async fn first(
    node: &Node,
    service: &ServiceName,
    stale: &[&str],
    limit: Duration,
) -> Arc<Snapshot> {
    let mut receiver = node.directory().subscribe(service);
    let spoke = |snapshot: &Arc<Snapshot>| {
        snapshot.sources.iter().all(|source| {
            source.updated.is_some()
                || source.stale.is_some()
                || stale.contains(&source.name.as_ref())
        })
    };
    let now = receiver.borrow().clone();
    if spoke(&now) {
        return now;
    }
    let _ = timeout(limit, receiver.wait_for(spoke)).await;
    receiver.borrow().clone()
}

/// The registries that cannot be read now: they are not waited for a second time.
fn stale(registered: &Snapshot) -> Vec<&str> {
    let stale = registered.sources.iter().filter(|s| s.stale.is_some());
    stale.map(|source| source.name.as_ref()).collect()
}

fn assemble(node: &Node, registered: &Snapshot, said: &[(&str, Arc<Snapshot>)]) -> ClusterView {
    let (index, listings) = node.cache().read(node, registered, said);
    let load = node.load();
    let here = index.position(node.id()).map(|at| Here {
        at,
        load: (load.stages, load.capacity),
    });
    ClusterView::of(index, listings, here)
}

/// Builds the index anew soon after something changed, so that no pipe has to wait for that.
pub(in crate::daemon) async fn keep_current(node: Arc<Node>) {
    let mut registered = node.follow_registered();
    while registered.changed().await.is_ok() {
        tokio::time::sleep(SETTLE).await;
        let snapshot = registered.borrow_and_update().clone();
        node.cache().read(&node, &snapshot, &[]);
    }
}

/// Apps with names like this one, and who offers them. Only asked after an app was not found: the registries' lists of services
/// know apps that no node's own entry lists.
pub(in crate::daemon) async fn near(
    node: &Arc<Node>,
    app: &str,
    view: &ClusterView,
) -> Vec<(String, Vec<NodeId>)> {
    let services = timeout(FIRST_USE, node.directory().services()).await;
    let services = services.map(|(services, _)| services).unwrap_or_default();
    let registered = services
        .iter()
        .filter_map(|service| service.as_str().strip_prefix(super::APP_PREFIX));
    let near: Vec<String> = plan::near(app, view.apps().chain(registered))
        .into_iter()
        .map(str::to_owned)
        .collect();
    let fuller = self::view(node, &near.iter().cloned().collect()).await;
    near.into_iter()
        .map(|app| {
            let mut nodes = fuller.offering(&app);
            nodes.sort();
            (app, nodes)
        })
        .filter(|(_, nodes)| !nodes.is_empty())
        .collect()
}
