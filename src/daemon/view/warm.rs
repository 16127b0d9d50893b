//! Sessions that are open before they are needed, and what they tell of nodes whose registry knows no health.

use std::{
    hash::{BuildHasher as _, DefaultHasher, Hash as _, Hasher as _, RandomState},
    sync::Arc,
    time::Duration,
};

use dpipes_discovery::{Candidate, Probe, Snapshot};
use futures_util::future::join_all;
use tokio::time::{sleep, timeout};

use super::{FIRST_USE, find, index, own_id};
use crate::{
    daemon::node::Node, id::NodeId, plan::Tier, transport::PING_EVERY, wire::message::Tried,
};

/// How often nodes are looked after. A node that comes up is usable within so long.
const INTERVAL: Duration = Duration::from_secs(5);

/// How long a node may take to answer the ping of an open session: a thousand times what a loaded one takes in one network.
const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// Nodes that are looked after at most, and so the dials at one time. In larger clusters these are the nodes in use, and a choice of the
/// others that differs from node to node, so that not everybody dials the same few.
const MAX_WARM: usize = 64;

/// Opens sessions to nodes whose registry does not say what they run, for their greeting does. Returns whether anybody was asked.
pub(super) async fn ask_silent(node: &Arc<Node>, registered: &Snapshot) -> bool {
    ask(node, registered, says_no_apps).await
}

/// The same for nodes of which nobody knows what they run, or whether they are there.
pub(super) async fn ask_unknown(node: &Arc<Node>, registered: &Snapshot) -> bool {
    let is_unknown = |candidate: &Candidate| {
        index::lists_nothing(&candidate.instance)
            || says_no_apps(candidate)
            || super::tier(candidate) == Tier::Unknown
    };
    ask(node, registered, is_unknown).await
}

fn says_no_apps(candidate: &Candidate) -> bool {
    index::must_be_asked(&candidate.instance.meta)
}

/// Asks the nodes of one kind that have no open session.
async fn ask(node: &Arc<Node>, registered: &Snapshot, kind: impl Fn(&Candidate) -> bool) -> bool {
    let asking: Vec<_> = registered
        .candidates
        .iter()
        .filter(|candidate| !candidate.ejected && kind(candidate))
        .filter_map(|candidate| Some((own_id(&candidate.instance.node)?, candidate)))
        .filter(|(id, _)| id != node.id() && node.sessions().peek(id).is_none())
        .take(MAX_WARM)
        .map(|(id, candidate)| look_after(node, id, candidate))
        .collect();
    if asking.is_empty() {
        return false;
    }
    // Whoever has not answered by then is a candidate of unknown abilities.
    let _ = timeout(FIRST_USE, join_all(asking)).await;
    true
}

/// Keeps sessions open to the nodes in use and to some others, and tells the directory who answers where no registry says it.
pub(in crate::daemon) async fn keep_warm(node: Arc<Node>) {
    let registered = node.follow_registered();
    loop {
        // Not at once: nodes that start together would dial each other at the same moment, and hold two sessions where one does.
        sleep(jittered(INTERVAL)).await;
        let snapshot = registered.borrow().clone();
        let chosen = chosen(&node, &snapshot);
        let looking = chosen
            .into_iter()
            .map(|(id, candidate)| look_after(&node, id, candidate));
        join_all(looking).await;
        node.sessions().forget(|id| find(&snapshot, id).is_some());
    }
}

/// Whom to look after: the nodes with an open session first, then those of whom nobody knows how they are, then others that are well.
fn chosen<'a>(node: &Node, registered: &'a Snapshot) -> Vec<(NodeId, &'a Candidate)> {
    let mut known: Vec<_> = registered
        .candidates
        .iter()
        .filter_map(|candidate| {
            let id = own_id(&candidate.instance.node).filter(|id| id != node.id())?;
            // A registry that reports health need not be doubted before the node is wanted.
            let wanted = candidate.probed || super::tier(candidate) <= Tier::Unknown;
            wanted.then(|| {
                let open = node.sessions().peek(&id).is_some();
                (
                    (!open, !candidate.probed, lot(node.id(), &id)),
                    id,
                    candidate,
                )
            })
        })
        .collect();
    if known.len() > MAX_WARM {
        known.select_nth_unstable_by_key(MAX_WARM, |(order, _, _)| *order);
        known.truncate(MAX_WARM);
    }
    known.into_iter().map(|(_, id, c)| (id, c)).collect()
}

/// A number for each pair of nodes, always the same.
fn lot(own: &NodeId, other: &NodeId) -> u64 {
    let mut hasher = DefaultHasher::new();
    (own.as_str(), other.as_str()).hash(&mut hasher);
    hasher.finish()
}

/// Makes sure of a session to a node, and reports what that tells of it.
async fn look_after(node: &Arc<Node>, id: NodeId, candidate: &Candidate) {
    let directory = node.directory();
    let name = &candidate.instance.node;
    if let Some(session) = node.sessions().peek(&id) {
        // Every session is pinged by itself; whoever answered the last ping is well.
        if candidate.probed {
            let heard = session.heard_ago() <= PING_EVERY + PING_TIMEOUT;
            directory.probed(name, if heard { Probe::Answered } else { Probe::Lost });
        }
        return;
    }
    let addresses: Vec<String> = candidate.addrs.iter().map(ToString::to_string).collect();
    let opened = node.sessions().open(node, &id, &addresses).await;
    match (candidate.probed, opened) {
        (true, Ok(_)) => directory.probed(name, Probe::Answered),
        (true, Err(tried)) if tried.iter().all(nobody_listens) => {
            directory.probed(name, Probe::Refused);
        }
        (true, Err(_)) => directory.probed(name, Probe::Lost),
        (false, Ok(_)) => directory.succeeded(name),
        (false, Err(_)) => directory.failed(name),
    }
}

/// Whether the node's host said that nothing listens there. A node that refuses this peer is alive.
fn nobody_listens(tried: &Tried) -> bool {
    tried
        .error
        .to_ascii_lowercase()
        .contains("connection refused")
}

/// Between four fifths and six fifths of a time, so that nodes that started together do not go on together.
fn jittered(time: Duration) -> Duration {
    let chance = RandomState::new().hash_one(0_u8) % 401;
    time.mul_f64(0.8 + f64::from(u32::try_from(chance).unwrap_or(0)) / 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_varies_by_a_fifth() {
        for _ in 0..1_000 {
            let time = jittered(INTERVAL);
            assert!(
                (Duration::from_secs(4)..=Duration::from_secs(6)).contains(&time),
                "{time:?}"
            );
        }
    }

    #[test]
    fn only_a_refused_connection_says_that_nobody_listens() {
        let tried = |error: &str| Tried {
            node: NodeId::new("a").unwrap(),
            address: String::new(),
            error: error.to_owned(),
        };
        assert!(nobody_listens(&tried(
            "10.0.0.1:3747: Connection refused (os error 111)"
        )));
        assert!(!nobody_listens(&tried(
            "refused by the peer: 10.0.0.3 is not a member"
        )));
        assert!(!nobody_listens(&tried("connect timeout")));
    }

    #[test]
    fn every_node_looks_after_others() {
        let name = |i: usize| NodeId::new(format!("n{i}")).unwrap();
        let first = |own: usize| (0..200).min_by_key(|other| lot(&name(own), &name(*other)));
        let firsts: std::collections::BTreeSet<_> = (0..100).map(first).collect();
        assert!(firsts.len() > 50, "{}", firsts.len());
    }
}
