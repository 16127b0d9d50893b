//! Who is there: what the registries say, what the nodes said themselves, and which of them answer.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
    time::Duration,
};

use dpipes_discovery::{
    Candidate, Health, NodeEntry, NodeId as RegistryNode, NodeList, Probe, ServiceName, Snapshot,
};
use futures_util::future::join_all;
use tokio::time::{sleep, timeout};

use super::{
    node::{Kind, Node},
    settings::StaticNode,
};
use crate::{
    coordinator::Cluster as _,
    id::NodeId,
    plan::{ClusterView, NodeCandidate, Offered, Source, Tier},
    wire::message::{AppsOffered, NodeState, NodeView, SourceView, milliseconds},
};

/// The service that every node registers.
const PRIMARY: &str = "dpipesd";

/// What stands before an app's name in the service that offers it.
pub(super) const APP_PREFIX: &str = "dp.";

/// Port of a node whose address names none.
pub(super) const DEFAULT_PORT: u16 = 3_747;

/// How long a pipe's start waits for nodes that never said what they run. The first use of a cluster pays it, later ones do not.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);

/// How often sessions to known nodes are looked after. A node that comes up is usable within so long.
const WARM_INTERVAL: Duration = Duration::from_secs(5);

/// Nodes to which sessions are kept open without need. In larger clusters only those in use are.
const MAX_WARM: usize = 64;

/// A static list as the registry takes it.
pub(super) fn node_list(nodes: &[StaticNode]) -> Result<NodeList, String> {
    let entry = |node: &StaticNode| {
        let name = RegistryNode::new(node.name.as_str()).map_err(|error| error.to_string())?;
        let entry = NodeEntry::new(name, &node.addr)?
            .with_weight(node.weight)
            .with_labels(node.labels.clone());
        match &node.apps {
            Some(apps) => entry.with_apps(apps.iter().cloned()),
            None => Ok(entry),
        }
    };
    nodes.iter().map(entry).collect()
}

/// The name under which nodes are registered.
pub(super) fn primary_service() -> ServiceName {
    ServiceName::new(PRIMARY).expect("a constant that is a legal name")
}

/// Everything known of the nodes that might run these apps.
pub(super) async fn cluster(node: &Arc<Node>, apps: &BTreeSet<String>) -> ClusterView {
    let registered = node.directory().snapshot(&primary_service()).await;
    let mut listed: BTreeMap<NodeId, BTreeSet<String>> = BTreeMap::new();
    for app in apps {
        // A name that no registry can carry is nobody's service; nodes that run anything may still have it.
        let Ok(service) = ServiceName::new(format!("{APP_PREFIX}{app}")) else {
            continue;
        };
        for candidate in node.directory().snapshot(&service).await.candidates.iter() {
            if let Some(id) = own_id(&candidate.instance.node) {
                listed.entry(id).or_default().insert(app.clone());
            }
        }
    }
    ask_silent(node, &registered).await;
    let mut nodes: Vec<NodeCandidate> = Vec::new();
    for candidate in registered.candidates.iter() {
        nodes.extend(registered_node(node, candidate, &listed));
    }
    let here = nodes.iter().any(|candidate| candidate.here);
    if !here && runs_stages(node, &registered) {
        nodes.push(this_node(node));
    }
    ClusterView::new(nodes, plan_sources(&registered))
}

/// An embedded entry with a registry only conducts; without one it runs the stages itself.
fn runs_stages(node: &Node, registered: &Snapshot) -> bool {
    match node.kind() {
        Kind::Daemon => true,
        Kind::Embedded { .. } => registered.sources.is_empty(),
    }
}

fn this_node(node: &Node) -> NodeCandidate {
    let load = node.load();
    NodeCandidate {
        node: node.id().clone(),
        addresses: node.advertise().into_iter().collect(),
        apps: offered(node.offered()),
        labels: node.settings().labels.clone(),
        health: if node.is_leaving() {
            Tier::Warning
        } else {
            Tier::Passing
        },
        ejected: false,
        weight: dpipes_discovery::DEFAULT_WEIGHT,
        load: Some((load.stages, load.capacity)),
        source: "here".to_owned(),
        here: true,
    }
}

fn registered_node(
    node: &Node,
    candidate: &Candidate,
    listed: &BTreeMap<NodeId, BTreeSet<String>>,
) -> Option<NodeCandidate> {
    let instance = &candidate.instance;
    let id = own_id(&instance.node)?;
    let here = id == *node.id();
    let source = candidate
        .from
        .first()
        .map(ToString::to_string)
        .unwrap_or_default();
    if here {
        return Some(NodeCandidate {
            weight: instance.weight,
            source,
            ..this_node(node)
        });
    }
    let session = node.sessions().peek(&id);
    let said = session
        .as_ref()
        .and_then(|session| session.peer().hello.apps.clone());
    let apps = match (instance.meta.get("apps").map(String::as_str), said) {
        (Some("listed"), _) => Offered::Listed(listed.get(&id).cloned().unwrap_or_default()),
        (_, Some(said)) => offered(said),
        (Some("any"), None) => Offered::Any,
        (_, None) => Offered::Unknown,
    };
    let mut labels: BTreeMap<String, String> = session
        .map(|session| session.peer().hello.labels.clone())
        .unwrap_or_default();
    labels.extend(
        instance.meta.iter().filter_map(|(key, value)| {
            Some((key.strip_prefix("label_")?.to_owned(), value.clone()))
        }),
    );
    Some(NodeCandidate {
        node: id,
        addresses: candidate.addrs.iter().map(ToString::to_string).collect(),
        apps,
        labels,
        health: tier(candidate),
        ejected: candidate.ejected,
        weight: instance.weight,
        load: None,
        source,
        here: false,
    })
}

fn tier(candidate: &Candidate) -> Tier {
    match candidate.instance.health {
        _ if candidate.absent => Tier::Absent,
        Health::Passing => Tier::Passing,
        Health::Unknown => Tier::Unknown,
        Health::Warning => Tier::Warning,
        Health::Critical => Tier::Critical,
    }
}

fn offered(apps: AppsOffered) -> Offered {
    match apps {
        AppsOffered::Any => Offered::Any,
        AppsOffered::Listed(apps) => Offered::Listed(apps),
    }
}

/// Opens sessions to nodes whose registry does not say what they run, for their greeting does.
async fn ask_silent(node: &Arc<Node>, registered: &Snapshot) {
    let silent = registered.candidates.iter().filter(|candidate| {
        let asks = candidate
            .instance
            .meta
            .get("apps")
            .is_none_or(|apps| apps == "ask");
        asks && !candidate.ejected
            && own_id(&candidate.instance.node)
                .is_some_and(|id| id != *node.id() && node.sessions().peek(&id).is_none())
    });
    let asking: Vec<_> = silent
        .take(MAX_WARM)
        .map(|candidate| ask(node, candidate))
        .collect();
    if !asking.is_empty() {
        // Whoever has not answered by then is a candidate of unknown abilities.
        let _ = timeout(ASK_TIMEOUT, join_all(asking)).await;
    }
}

async fn ask(node: &Arc<Node>, candidate: &Candidate) {
    let Some(id) = own_id(&candidate.instance.node) else {
        return;
    };
    let addresses: Vec<String> = candidate.addrs.iter().map(ToString::to_string).collect();
    let opened = node.sessions().open(node, &id, &addresses).await;
    let probe = match &opened {
        Ok(_) => Probe::Answered,
        Err(tried) if tried.iter().all(|tried| tried.error.contains("refused")) => Probe::Refused,
        Err(_) => Probe::Lost,
    };
    node.directory().probed(&candidate.instance.node, probe);
}

/// Keeps sessions to the known nodes open, so that pipes find them warm and dead nodes are known before they are needed.
pub(super) async fn keep_warm(node: Arc<Node>) {
    // Watched as long as the node lives, so that a pipe's start reads memory.
    let registered = node.directory().subscribe(&primary_service());
    loop {
        let snapshot = registered.borrow().clone();
        let known = snapshot.candidates.iter().filter(|candidate| {
            own_id(&candidate.instance.node).is_some_and(|id| id != *node.id())
        });
        join_all(known.take(MAX_WARM).map(|candidate| ask(&node, candidate))).await;
        tokio::select! {
            () = sleep(jittered(WARM_INTERVAL)) => {}
            () = node.closing().cancelled() => return,
        }
    }
}

/// Between four fifths and six fifths of a time, so that nodes that started together do not go on together.
fn jittered(time: Duration) -> Duration {
    let chance = RandomState::new().hash_one(0_u8) % 401;
    time.mul_f64(0.8 + f64::from(u32::try_from(chance).unwrap_or(0)) / 1_000.0)
}

/// Whether the registry lists this node at this address.
pub(super) async fn is_listed(own: &Node, node: &NodeId, address: &str) -> bool {
    let registered = own.directory().snapshot(&primary_service()).await;
    registered.candidates.iter().any(|candidate| {
        candidate.instance.node.as_str() == node.as_str()
            && candidate
                .addrs
                .iter()
                .any(|listed| listed.to_string() == address)
    })
}

/// Where the registry says that this node is dialled.
pub(super) fn listed_address(own: &Node) -> Option<String> {
    let registered = own
        .directory()
        .subscribe(&primary_service())
        .borrow()
        .clone();
    let here = |candidate: &&Candidate| candidate.instance.node.as_str() == own.id().as_str();
    let candidate = registered.candidates.iter().find(here)?;
    candidate.addrs.first().map(ToString::to_string)
}

/// Tells the directory what came of a session that a pipe needed.
pub(super) fn report(node: &Node, id: &NodeId, reached: bool) {
    let Ok(id) = RegistryNode::new(id.as_str()) else {
        return;
    };
    if reached {
        node.directory().succeeded(&id);
    } else {
        node.directory().failed(&id);
    }
}

/// Every known node, for people.
pub(super) async fn nodes(node: &Arc<Node>) -> Vec<NodeView> {
    let view = node.view(&BTreeSet::new()).await;
    let registered = node.directory().snapshot(&primary_service()).await;
    let listed = listed_apps(node, &registered).await;
    view.nodes()
        .iter()
        .map(|candidate| node_view(node, candidate, listed.get(&candidate.node)))
        .collect()
}

/// What registries list of each node, where they can tell.
async fn listed_apps(
    node: &Arc<Node>,
    registered: &Snapshot,
) -> BTreeMap<NodeId, BTreeSet<String>> {
    let mut listed: BTreeMap<NodeId, BTreeSet<String>> = registered
        .candidates
        .iter()
        .filter(|candidate| {
            candidate
                .instance
                .meta
                .get("apps")
                .is_some_and(|apps| apps == "listed")
        })
        .filter_map(|candidate| Some((own_id(&candidate.instance.node)?, BTreeSet::new())))
        .collect();
    let (services, _) = node.directory().services().await;
    for service in services {
        let Some(app) = service.as_str().strip_prefix(APP_PREFIX).map(str::to_owned) else {
            continue;
        };
        for candidate in node.directory().snapshot(&service).await.candidates.iter() {
            if let Some(apps) = own_id(&candidate.instance.node).and_then(|id| listed.get_mut(&id))
            {
                apps.insert(app.clone());
            }
        }
    }
    listed
}

fn node_view(
    node: &Node,
    candidate: &NodeCandidate,
    listed: Option<&BTreeSet<String>>,
) -> NodeView {
    let session = node.sessions().peek(&candidate.node);
    let hello = session.as_ref().map(|session| &session.peer().hello);
    let (state, detail) = match (&session, candidate.here) {
        (_, true) if node.is_leaving() => (NodeState::Draining, String::new()),
        (_, true) => (NodeState::Here, String::new()),
        (Some(_), _) if candidate.health == Tier::Warning => (NodeState::Draining, String::new()),
        (Some(_), _) => (NodeState::Up, String::new()),
        (None, _) if candidate.ejected || candidate.health == Tier::Critical => {
            (NodeState::Avoided, "does not answer".to_owned())
        }
        (None, _) => (NodeState::Unknown, String::new()),
    };
    let own = candidate.here.then(|| node.offered());
    NodeView {
        node: candidate.node.clone(),
        address: candidate
            .addresses
            .first()
            .cloned()
            .unwrap_or_else(|| "here".to_owned()),
        state,
        detail,
        apps: own
            .or_else(|| listed.cloned().map(AppsOffered::Listed))
            .or_else(|| hello.and_then(|hello| hello.apps.clone())),
        load: if candidate.here {
            Some(node.load())
        } else {
            hello.map(|hello| hello.load)
        },
        version: if candidate.here {
            Some(env!("CARGO_PKG_VERSION").to_owned())
        } else {
            hello.map(|hello| hello.version.clone())
        },
        labels: candidate.labels.clone(),
        source: candidate.source.clone(),
        seen_ms: session.map(|session| milliseconds(session.heard_ago())),
    }
}

/// Where the knowledge comes from, and how old it is.
pub(super) fn sources(node: &Node) -> Vec<SourceView> {
    let snapshot = node
        .directory()
        .subscribe(&primary_service())
        .borrow()
        .clone();
    let view = |source: &dpipes_discovery::Source| SourceView {
        name: source.name.to_string(),
        age_ms: source.updated.map(|at| milliseconds(at.elapsed())),
        stale: source.stale.clone(),
    };
    snapshot.sources.iter().map(view).collect()
}

fn plan_sources(registered: &Snapshot) -> Vec<Source> {
    let source = |source: &dpipes_discovery::Source| Source {
        name: source.name.to_string(),
        age: source.updated.map(|at| at.elapsed()),
        stale: source.stale.clone(),
    };
    registered.sources.iter().map(source).collect()
}

/// Registries allow the same names as dpipes does; one that is not legal here is skipped.
fn own_id(node: &RegistryNode) -> Option<NodeId> {
    NodeId::new(node.as_str()).ok()
}
