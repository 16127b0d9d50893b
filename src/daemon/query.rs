//! Answers to `dpipes nodes`, `dpipes apps`, `dpipes ps` and `dpipesd healthcheck`.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use super::{node::Node, view::people};
use crate::{
    transport::{RecvStream, SendStream, code},
    wire::{
        limits,
        message::{PipeView, Query, Reply},
    },
};

/// How long a client may take from opening a query to asking it: both are sent in one go.
const QUERY_TIMEOUT: Duration = Duration::from_secs(10);

/// Pipes that are told of at most: more than anybody reads, and what is looked at for them is little.
const MOST_PIPES: usize = 1_000;

/// Bytes that they may take. The answer is one message, and has a little more in it.
const ROOM: usize = limits::MAX_MESSAGE / 4 * 3;

/// Answers one query.
pub(super) async fn answer(node: &Arc<Node>, mut send: SendStream, mut recv: RecvStream) {
    let reply = match timeout(QUERY_TIMEOUT, recv.message::<Query>()).await {
        Ok(Ok(Some(Query::Nodes))) => people::nodes(node).await,
        Ok(Ok(Some(Query::Apps))) => people::apps(node).await,
        Ok(Ok(Some(Query::App { app }))) => people::app(node, app).await,
        Ok(Ok(Some(Query::Pipes { over }))) => pipes(node, over),
        Ok(Ok(Some(Query::State))) => Reply::State(people::itself(node)),
        Ok(Ok(Some(Query::Unknown))) => Reply::Unsupported,
        Ok(Ok(None) | Err(_)) | Err(_) => return send.reset(code::FAILED, "no query came"),
    };
    if send.message(&reply).await.is_ok() {
        // A client that left does not need the end of its answer.
        let _ = send.finish().await;
    }
}

/// The pipes that are conducted here, the newest first, as many as one message holds.
fn pipes(node: &Node, over: bool) -> Reply {
    let (mut pipes, left_out) = node.runs().views(over, MOST_PIPES);
    let found = pipes.len();
    let mut room = ROOM;
    let mut fits = |view: &&PipeView| {
        let length = serde_json::to_vec(view).map_or(ROOM, |json| json.len());
        let left = room.checked_sub(length);
        room = left.unwrap_or_default();
        left.is_some()
    };
    let told = pipes.iter().take_while(&mut fits).count();
    pipes.truncate(told);
    Reply::Pipes {
        pipes,
        left_out: left_out + (found - told) as u64,
    }
}
