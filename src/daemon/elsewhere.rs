//! What the other nodes conduct. Each is asked over the session that is kept with it; one that does not answer in time is named, for its part is
//! missing then.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream};
use tokio::time::{Instant, timeout_at};

use super::{node::Node, view::cluster};
use crate::{
    id::NodeId,
    plan::{NodeCandidate, Tier},
    wire::message::{PipeView, Purpose, Query, Reply, Silent},
};

/// How long all of them together may take: an answer comes from memory, and who looks at a list wants to see it.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Nodes that are asked at one time. Each answer may be a megabyte.
const AT_ONCE: usize = 16;

/// What the other nodes have said.
#[derive(Debug, Default)]
pub(super) struct Elsewhere {
    pub(super) pipes: Vec<PipeView>,
    pub(super) left_out: u64,
    pub(super) silent: Vec<Silent>,
}

/// Asks every node but this one for the pipes that it conducts.
pub(super) async fn pipes(node: &Arc<Node>, over: bool) -> Elsewhere {
    let view = cluster::view(node, &BTreeSet::new()).await;
    let until = Instant::now() + ANSWER_WITHIN;
    let others = view.nodes().iter().filter(|other| !other.here);
    let asked: Vec<_> = others
        .map(|other| ask_until(until, node.clone(), other.clone(), over))
        .collect();
    let mut answers = stream::iter(asked).buffer_unordered(AT_ONCE);
    let mut all = Elsewhere::default();
    while let Some((name, answer)) = answers.next().await {
        match answer {
            Ok((pipes, left_out)) => {
                all.pipes.extend(pipes);
                all.left_out += left_out;
            }
            Err(why) => all.silent.push(Silent { node: name, why }),
        }
    }
    all.silent.sort_by(|one, other| one.node.cmp(&other.node));
    all
}

/// What a node conducts, or why that is not known.
type Answer = Result<(Vec<PipeView>, u64), String>;

async fn ask_until(
    until: Instant,
    node: Arc<Node>,
    other: NodeCandidate,
    over: bool,
) -> (NodeId, Answer) {
    let answer = timeout_at(until, ask(&node, &other, over)).await;
    let late = |_| {
        let seconds = ANSWER_WITHIN.as_secs();
        Err(format!("did not answer within {seconds} s"))
    };
    (other.node, answer.unwrap_or_else(late))
}

async fn ask(node: &Arc<Node>, other: &NodeCandidate, over: bool) -> Answer {
    // Nobody waits again for one that has just kept somebody waiting.
    let is_given_up = other.ejected || other.health == Tier::Critical;
    let session = match node.sessions().peek(&other.node) {
        Some(session) => session,
        None if is_given_up => return Err("lately did not answer".to_owned()),
        None => {
            let opened = node.sessions().open(node, &other.node, &other.addresses);
            opened.await.map_err(|tried| {
                let errors = tried.into_iter().map(|tried| tried.error);
                errors.collect::<Vec<_>>().join("; ")
            })?
        }
    };
    let opened = session.open_bidi(&Purpose::Query).await;
    let (mut send, mut recv) = opened.map_err(|error| error.to_string())?;
    let query = Query::Pipes {
        over,
        cluster: false,
    };
    send.message(&query)
        .await
        .map_err(|error| error.to_string())?;
    match recv.message::<Reply>().await {
        Ok(Some(Reply::Pipes {
            mut pipes,
            left_out,
            ..
        })) => {
            for pipe in &mut pipes {
                // Older nodes do not say it, and none speaks for another.
                pipe.entry = Some(other.node.clone());
            }
            Ok((pipes, left_out))
        }
        Ok(_) => Err("is too old to tell".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
