//! What clients want to know of the pipes that are conducted here, and what they may do to them.

use std::sync::Arc;

use rustix::process::geteuid;
use tracing::info;

use super::{elsewhere, node::Node};
use crate::{
    coordinator::Order,
    id::{PipeName, StageNumber},
    transport::PeerAddress,
    wire::{
        limits,
        message::{NotDone, PipeView, Reply},
    },
};

/// Pipes that are told of at most: more than anybody reads, and what is looked at for them is little.
const MOST_PIPES: usize = 1_000;

/// Stages that are told of at most; so many take three quarters of a message.
const MOST_STAGES: usize = 2_000;

/// Bytes that they may take. The answer is one message, and has a little more in it.
const ROOM: usize = limits::MAX_MESSAGE / 4 * 3;

/// The pipes, the newest first, as many as one message holds; with `cluster` also those of every other node that answers.
pub(super) async fn pipes(node: &Arc<Node>, over: bool, cluster: bool) -> Reply {
    let (mut pipes, mut left_out) = node.runs().views(over, MOST_PIPES);
    let mut silent = Vec::new();
    if cluster {
        let others = elsewhere::pipes(node, over).await;
        pipes.extend(others.pipes);
        pipes.sort_by_key(PipeView::newest_first);
        left_out += others.left_out;
        silent = others.silent;
    }
    // A list has no room for it.
    pipes.iter_mut().for_each(PipeView::hide_stderr);
    let found = pipes.len();
    let mut room = ROOM;
    let fits = |view: &&PipeView| {
        let length = serde_json::to_vec(view).map_or(ROOM, |json| json.len());
        let left = room.checked_sub(length);
        room = left.unwrap_or_default();
        left.is_some()
    };
    let told = pipes.iter().take_while(fits).count();
    pipes.truncate(told);
    Reply::Pipes {
        pipes,
        left_out: left_out + (found - told) as u64,
        silent,
    }
}

/// One pipe, for whoever is at `asker`; with `cluster` also one of another node. What its stages said is for those alone who may end it.
pub(super) async fn pipe(
    node: &Arc<Node>,
    asker: &PeerAddress,
    name: &str,
    cluster: bool,
) -> Reply {
    match look_for(node, asker, name, cluster).await {
        Ok(view) => Reply::Pipe(view),
        Err(reason) => Reply::NotDone {
            reason,
            instead: None,
        },
    }
}

async fn look_for(
    node: &Arc<Node>,
    asker: &PeerAddress,
    name: &str,
    cluster: bool,
) -> Result<PipeView, NotDone> {
    let name = PipeName::new(name).ok_or(NotDone::NoSuchPipe)?;
    match the_one(node, &name) {
        Err(NotDone::NoSuchPipe) if cluster => {
            let (view, _) = elsewhere::pipe(node, &name).await?;
            Ok(view)
        }
        found => found.map(|found| shown_to(asker, found)),
    }
}

/// A pipe as whoever is at `asker` may see it, given who asked for it.
pub(super) fn shown_to(
    asker: &PeerAddress,
    (mut view, owner): (PipeView, PeerAddress),
) -> PipeView {
    if !may(asker, &owner, geteuid().as_raw()) {
        view.hide_stderr();
    }
    view
}

/// The stages that run here.
pub(super) fn stages(node: &Node) -> Reply {
    let (stages, left_out) = node.running().views(MOST_STAGES);
    Reply::Stages { stages, left_out }
}

/// Ends a pipe, or sends its apps a signal, for whoever is at `asker`, who is called `by` where it is told. Who may do it to the pipe of another node
/// that node alone can judge, so it is only named.
pub(super) async fn kill(
    node: &Arc<Node>,
    (asker, by): (&PeerAddress, &str),
    name: &str,
    signal: Option<i32>,
    stage: Option<StageNumber>,
) -> Reply {
    let name = PipeName::new(name);
    let told = || {
        let name = name.as_ref().ok_or(NotDone::NoSuchPipe)?;
        let (view, owner) = the_one(node, name)?;
        if view.state.is_over() {
            return Err(NotDone::Over);
        }
        if !may(asker, &owner, geteuid().as_raw()) {
            return Err(NotDone::NotYours);
        }
        let is_there = |stage: StageNumber| stage.index() < view.stages.len();
        if !stage.is_none_or(is_there) {
            return Err(NotDone::NoSuchStage);
        }
        let order = match signal {
            Some(signal) => Order::Signal { signal, stage },
            None => Order::End {
                reason: format!("killed by {by}"),
            },
        };
        info!(pipe = %view.pipe, by, ?order, "order for a pipe");
        if node.runs().order(view.pipe, order) {
            Ok(view.pipe)
        } else {
            Err(NotDone::Busy)
        }
    };
    match told() {
        Ok(pipe) => Reply::Killed { pipe },
        Err(reason) => {
            let instead = match &name {
                Some(name) if reason == NotDone::NoSuchPipe => {
                    elsewhere::pipe(node, name).await.ok()
                }
                _ => None,
            };
            Reply::NotDone {
                reason,
                instead: instead.map(|(_, conductor)| conductor),
            }
        }
    }
}

/// The pipe of which a name was given, or a part of it.
fn the_one(node: &Node, name: &PipeName) -> Result<(PipeView, PeerAddress), NotDone> {
    let mut meant = node.runs().find(name);
    match (meant.pop(), meant.is_empty()) {
        (None, _) => Err(NotDone::NoSuchPipe),
        (Some(one), true) => Ok(one),
        (Some(_), false) => Err(NotDone::Ambiguous),
    }
}

/// Whether somebody may do something to a pipe, where `own` is the user that the daemon runs as. As with processes it takes the same user, or
/// root; over TCP nobody has a name, so the same address has to do.
fn may(asker: &PeerAddress, owner: &PeerAddress, own: u32) -> bool {
    match (asker, owner) {
        (PeerAddress::InProcess, _) => true,
        (PeerAddress::Unix { uid, .. }, _) if *uid == 0 || *uid == own => true,
        (PeerAddress::Unix { uid, .. }, PeerAddress::Unix { uid: owner, .. }) => uid == owner,
        (PeerAddress::Tcp(asker), PeerAddress::Tcp(owner)) => asker.ip() == owner.ip(),
        (PeerAddress::Unix { .. } | PeerAddress::Tcp(_), _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipes_are_killed_by_their_user_by_root_and_by_the_daemons_own() {
        let unix = |uid| PeerAddress::Unix { pid: None, uid };
        let tcp = |address: &str| PeerAddress::Tcp(address.parse().unwrap());
        let may = |asker: &PeerAddress, owner: &PeerAddress| may(asker, owner, 990);
        for mighty in [unix(0), unix(990), PeerAddress::InProcess] {
            assert!(may(&mighty, &unix(1_000)) && may(&mighty, &tcp("10.0.0.1:1")));
        }
        assert!(may(&unix(1_000), &unix(1_000)));
        assert!(!may(&unix(1_000), &unix(1_001)));
        assert!(!may(&unix(1_000), &tcp("127.0.0.1:1")));
        assert!(may(&tcp("10.0.0.1:1"), &tcp("10.0.0.1:2")));
        assert!(!may(&tcp("10.0.0.1:1"), &tcp("10.0.0.2:1")));
        assert!(!may(&tcp("127.0.0.1:1"), &unix(0)));
    }
}
