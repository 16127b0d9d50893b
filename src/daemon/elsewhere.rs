//! What the other nodes conduct. Each is asked over the session that is kept with it; one that does not answer in time is named, for its part is
//! missing then.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures_util::{Stream, StreamExt as _, stream};
use tokio::time::{Instant, timeout_at};

use super::{node::Node, view::cluster};
use crate::{
    id::PipeName,
    plan::{NodeCandidate, Tier},
    wire::message::{Conductor, NotDone, PipeView, Purpose, Query, Reply, Silent},
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
    let query = Query::Pipes {
        over,
        cluster: false,
    };
    let mut answers = ask_all(node, query).await;
    let mut all = Elsewhere::default();
    while let Some((other, answer)) = answers.next().await {
        let why = match answer {
            Ok(Reply::Pipes {
                pipes, left_out, ..
            }) => {
                all.left_out += left_out;
                all.pipes
                    .extend(pipes.into_iter().map(|pipe| of(&other, pipe)));
                continue;
            }
            Ok(_) => "is too old to tell".to_owned(),
            Err(why) => why,
        };
        all.silent.push(Silent {
            node: other.node,
            why,
        });
    }
    all.silent.sort_by(|one, other| one.node.cmp(&other.node));
    all
}

/// Asks every node but this one for the pipe that is meant, and says who conducts it. What its stages said stays there: the other node cannot know
/// who wants it.
pub(super) async fn pipe(
    node: &Arc<Node>,
    name: &PipeName,
) -> Result<(PipeView, Conductor), NotDone> {
    let query = Query::Pipe {
        pipe: name.to_string(),
        cluster: false,
    };
    let mut answers = ask_all(node, query).await;
    let mut found = None;
    while let Some((other, answer)) = answers.next().await {
        match answer {
            Ok(Reply::Pipe(_)) if found.is_some() => return Err(NotDone::Ambiguous),
            Ok(Reply::Pipe(pipe)) => {
                let mut pipe = of(&other, pipe);
                pipe.hide_stderr();
                let conductor = Conductor {
                    node: other.node,
                    address: other.addresses.into_iter().next(),
                };
                found = Some((pipe, conductor));
                // Nobody else has it.
                if matches!(name, PipeName::Whole(_)) {
                    break;
                }
            }
            Ok(Reply::NotDone {
                reason: NotDone::Ambiguous,
                ..
            }) => return Err(NotDone::Ambiguous),
            // It is not there, or nobody knows.
            Ok(_) | Err(_) => {}
        }
    }
    found.ok_or(NotDone::NoSuchPipe)
}

/// A pipe that another node has told of. Older ones do not say that it is theirs, and none speaks for another.
fn of(other: &NodeCandidate, mut pipe: PipeView) -> PipeView {
    pipe.entry = Some(other.node.clone());
    pipe
}

/// What a node has answered, or why it did not.
type Answer = Result<Reply, String>;

/// Asks every node but this one. The quickest answer comes first, and all of them are there in time.
async fn ask_all(
    node: &Arc<Node>,
    query: Query,
) -> impl Stream<Item = (NodeCandidate, Answer)> + Unpin + use<> {
    let view = cluster::view(node, &BTreeSet::new()).await;
    let until = Instant::now() + ANSWER_WITHIN;
    let others = view.nodes().iter().filter(|other| !other.here);
    let asked: Vec<_> = others
        .map(|other| ask_until(until, node.clone(), other.clone(), query.clone()))
        .collect();
    Box::pin(stream::iter(asked).buffer_unordered(AT_ONCE))
}

async fn ask_until(
    until: Instant,
    node: Arc<Node>,
    other: NodeCandidate,
    query: Query,
) -> (NodeCandidate, Answer) {
    let answer = timeout_at(until, ask(&node, &other, &query)).await;
    let late = |_| {
        let seconds = ANSWER_WITHIN.as_secs();
        Err(format!("did not answer within {seconds} s"))
    };
    (other, answer.unwrap_or_else(late))
}

async fn ask(node: &Arc<Node>, other: &NodeCandidate, query: &Query) -> Answer {
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
    send.message(query)
        .await
        .map_err(|error| error.to_string())?;
    match recv.message::<Reply>().await {
        Ok(Some(reply)) => Ok(reply),
        Ok(None) => Err("did not answer".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
