//! What `dpipes nodes`, `dpipes apps` and `dpipesd healthcheck` show.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dpipes_discovery::{Candidate, Snapshot};
use tokio::time::timeout;

use super::{
    APP_PREFIX, FIRST_USE, app_service, cluster, find, index::lists_nothing, sources, tier, warm,
};
use crate::{
    daemon::node::Node,
    id::NodeId,
    plan::{ClusterView, NodeCandidate, Offered, Tier},
    wire::message::{
        AppView, AppsOffered, NodeState, NodeView, OfferView, Reply, StateView, milliseconds,
    },
};

/// Apps that no node lists itself and whose services are looked up for a list of all apps: each costs a watch for ten minutes.
const MAX_LOOKED_UP: usize = 32;

/// Every known node.
pub(in crate::daemon) async fn nodes(node: &Arc<Node>) -> Reply {
    let mut view = cluster::view(node, &BTreeSet::new()).await;
    // Who asks afresh wants to hear how the nodes are, not that nobody looked yet.
    if warm::ask_unknown(node, &node.registered()).await {
        view = cluster::at_once(node);
    }
    let registered = node.registered();
    let nodes = view
        .nodes()
        .iter()
        .map(|candidate| node_view(node, candidate, &registered))
        .collect();
    Reply::Nodes {
        nodes,
        sources: sources(node),
    }
}

/// Every app that is known by name, over all nodes.
pub(in crate::daemon) async fn apps(node: &Arc<Node>) -> Reply {
    let mut first = cluster::view(node, &BTreeSet::new()).await;
    if warm::ask_silent(node, &node.registered()).await {
        first = cluster::at_once(node);
    }
    let services = timeout(FIRST_USE, node.directory().services()).await;
    let services = services.map(|(services, _)| services).unwrap_or_default();
    let listed: BTreeSet<&str> = first.apps().collect();
    let unlisted: BTreeSet<String> = services
        .iter()
        .filter_map(|service| service.as_str().strip_prefix(APP_PREFIX))
        .filter(|app| !listed.contains(app))
        .take(MAX_LOOKED_UP)
        .map(str::to_owned)
        .collect();
    let view = if unlisted.is_empty() {
        first
    } else {
        cluster::view(node, &unlisted).await
    };
    let offering = |app: &str| {
        let all = view.offering(app).into_iter();
        let mut nodes: Vec<_> = all.filter(|name| is_usable(&view, name)).collect();
        nodes.sort();
        AppView {
            app: app.to_owned(),
            nodes,
        }
    };
    let apps: BTreeMap<&str, AppView> = view.apps().map(|app| (app, offering(app))).collect();
    Reply::Apps {
        apps: apps
            .into_values()
            .filter(|app| !app.nodes.is_empty())
            .collect(),
        any: any(&view),
        sources: sources(node),
    }
}

/// Every node that offers one app, with what is said of that app there.
pub(in crate::daemon) async fn app(node: &Arc<Node>, app: String) -> Reply {
    let view = cluster::view(node, &BTreeSet::from([app.clone()])).await;
    let registered = node.registered();
    let said = match app_service(&app) {
        Some(service) => Some(node.directory().snapshot(&service).await),
        None => None,
    };
    let mut offers: Vec<OfferView> = view
        .offering(&app)
        .iter()
        .filter_map(|name| view.node(name))
        .map(|candidate| {
            let of_app = said
                .as_ref()
                .and_then(|said| Some((find(said, &candidate.node)?, &**said)));
            let of_node = find(&registered, &candidate.node).map(|found| (found, &*registered));
            offer_view(candidate, of_app, of_node)
        })
        .collect();
    offers.sort_by(|a, b| a.node.cmp(&b.node));
    let near = if offers.is_empty() {
        cluster::near(node, &app, &view).await
    } else {
        Vec::new()
    };
    Reply::App {
        offers,
        any: any(&view),
        near,
        sources: sources(node),
        app,
    }
}

/// The node itself, from memory alone: who asks wants to know whether it answers.
pub(in crate::daemon) fn itself(node: &Node) -> StateView {
    let registered = node.registered();
    let others = registered.candidates.len() - usize::from(find(&registered, node.id()).is_some());
    let pipes: BTreeSet<_> = node
        .pipes()
        .names()
        .into_iter()
        .chain(node.runs().names())
        .collect();
    StateView {
        node: node.id().clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        phase: node.phase(),
        uptime_ms: milliseconds(node.started().elapsed()),
        pipes: pipes.len() as u64,
        nodes: others as u64 + 1,
        sources: sources(node),
    }
}

/// Nodes that run any program.
fn any(view: &ClusterView) -> Vec<NodeId> {
    let runs_any = |node: &&NodeCandidate| node.apps == Offered::Any && is_usable(view, &node.node);
    let nodes = view.nodes().iter().filter(runs_any);
    nodes.map(|node| node.node.clone()).collect()
}

/// Whether a list of what can be used names the node.
fn is_usable(view: &ClusterView, node: &NodeId) -> bool {
    view.node(node)
        .is_some_and(|node| !node.ejected && node.health != Tier::Critical)
}

/// The registries that list a node, and the age of the newest answer among them.
fn origin(candidate: &Candidate, snapshot: &Snapshot) -> (String, Option<u64>) {
    let listing = snapshot.sources.iter();
    let listing = listing.filter(|source| candidate.from.contains(&source.name));
    let ages = listing.filter_map(|source| source.updated.map(|at| milliseconds(at.elapsed())));
    (candidate.from.join(","), ages.min())
}

fn offer_view(
    node: &NodeCandidate,
    of_app: Option<(&Candidate, &Snapshot)>,
    of_node: Option<(&Candidate, &Snapshot)>,
) -> OfferView {
    let app = of_app.map(|(candidate, _)| candidate);
    let health = app.map_or(node.health, |app| tier(app).max(node.health));
    let weight = match (app.map(|app| app.instance.weight), node.weight) {
        (Some(0), _) | (_, 0) => 0,
        (weight, own) => weight.unwrap_or(own),
    };
    let (source, known_ms) = of_app.or(of_node).map_or_else(
        || (node.source.clone(), None),
        |(candidate, snapshot)| origin(candidate, snapshot),
    );
    let detail = if weight == 0 {
        "taken out by an operator"
    } else if node.ejected {
        "lately did not answer"
    } else if app.is_none() && of_node.is_some() && !node.here {
        // Its own entry lists the app, and the app's service does not name it: not registered yet, or not to be seen.
        "listed by the node alone"
    } else {
        ""
    };
    OfferView {
        node: node.node.clone(),
        health: health.to_string(),
        weight,
        detail: detail.to_owned(),
        version: app.and_then(|app| app.instance.meta.get("version").cloned()),
        source,
        known_ms,
    }
}

fn node_view(node: &Node, candidate: &NodeCandidate, registered: &Snapshot) -> NodeView {
    let session = node.sessions().peek(&candidate.node);
    let said = node.sessions().said();
    let said = said.get(&candidate.node);
    let listed = find(registered, &candidate.node);
    let meta = |key: &str| listed.and_then(|listed| listed.instance.meta.get(key).cloned());
    let probed = listed.is_some_and(|listed| listed.probed);
    let (state, detail) = state(node, candidate, probed, session.is_some());
    let (source, known_ms) = listed.map_or_else(
        || (candidate.source.clone(), None),
        |listed| origin(listed, registered),
    );
    NodeView {
        node: candidate.node.clone(),
        address: candidate
            .addresses
            .first()
            .cloned()
            .unwrap_or_else(|| "here".to_owned()),
        state,
        detail: detail.to_owned(),
        apps: match &candidate.apps {
            _ if !candidate.here
                && listed.is_some_and(|listed| lists_nothing(&listed.instance)) =>
            {
                said.and_then(|said| said.apps.clone())
            }
            Offered::Any => Some(AppsOffered::Any),
            Offered::Listed(apps) => Some(AppsOffered::Listed(apps.clone())),
            Offered::Unknown => None,
        },
        load: if candidate.here {
            Some(node.load())
        } else {
            session.as_ref().map(|session| session.peer().hello.load)
        },
        version: if candidate.here {
            Some(env!("CARGO_PKG_VERSION").to_owned())
        } else {
            said.map(|said| said.version.clone())
                .or_else(|| meta("version"))
        },
        labels: candidate.labels.clone(),
        source,
        seen_ms: session.map(|session| milliseconds(session.heard_ago())),
        weight: listed.map(|listed| listed.instance.weight),
        known_ms,
    }
}

fn state(
    node: &Node,
    candidate: &NodeCandidate,
    probed: bool,
    is_open: bool,
) -> (NodeState, &'static str) {
    match candidate.health {
        _ if candidate.here && node.is_leaving() => (NodeState::Draining, ""),
        _ if candidate.weight == 0 => (NodeState::Out, "taken out by an operator"),
        _ if candidate.here => (NodeState::Here, ""),
        _ if candidate.ejected => (NodeState::Avoided, "does not answer"),
        Tier::Critical if probed => (NodeState::Avoided, "does not answer"),
        Tier::Critical => (NodeState::Critical, "its registry says so"),
        Tier::Absent => (NodeState::Absent, "no longer registered"),
        Tier::Warning => (NodeState::Draining, ""),
        Tier::Passing | Tier::Unknown if is_open => (NodeState::Up, ""),
        // Its registry vouches for it; nobody here needed it yet.
        Tier::Passing => (NodeState::Up, ""),
        Tier::Unknown => (NodeState::Unknown, ""),
    }
}
