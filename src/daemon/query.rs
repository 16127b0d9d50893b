//! Answers to `dpipes nodes`, `apps`, `ps`, `inspect` and `kill`, and to `dpipesd healthcheck`.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use super::{node::Node, orders, view::people};
use crate::{
    transport::{PeerAddress, RecvStream, SendStream, code},
    wire::message::{Query, Reply},
};

/// How long a client may take from opening a query to asking it: both are sent in one go.
const QUERY_TIMEOUT: Duration = Duration::from_secs(10);

/// Answers one query of whoever is at `asker`.
pub(super) async fn answer(
    node: &Arc<Node>,
    asker: &PeerAddress,
    mut send: SendStream,
    mut recv: RecvStream,
) {
    let Ok(Ok(Some(query))) = timeout(QUERY_TIMEOUT, recv.message::<Query>()).await else {
        return send.reset(code::FAILED, "no query came");
    };
    let reply = reply(node, asker, query).await;
    if send.message(&reply).await.is_ok() {
        // A client that left does not need the end of its answer.
        let _ = send.finish().await;
    }
}

/// The answer to a query.
pub(super) async fn reply(node: &Arc<Node>, asker: &PeerAddress, query: Query) -> Reply {
    match query {
        Query::Nodes => people::nodes(node).await,
        Query::Apps => people::apps(node).await,
        Query::App { app } => people::app(node, app).await,
        Query::Pipes { over, cluster } => orders::pipes(node, over, cluster).await,
        Query::Pipe { pipe, cluster } => orders::pipe(node, asker, &pipe, cluster).await,
        Query::Stages => orders::stages(node),
        Query::Kill {
            pipe,
            signal,
            stage,
        } => orders::kill(node, (asker, &asker.to_string()), &pipe, signal, stage).await,
        Query::State => Reply::State(people::itself(node)),
        Query::Unknown => Reply::Unsupported,
    }
}
