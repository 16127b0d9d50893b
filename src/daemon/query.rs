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
    let reply = match timeout(QUERY_TIMEOUT, recv.message::<Query>()).await {
        Ok(Ok(Some(Query::Nodes))) => people::nodes(node).await,
        Ok(Ok(Some(Query::Apps))) => people::apps(node).await,
        Ok(Ok(Some(Query::App { app }))) => people::app(node, app).await,
        Ok(Ok(Some(Query::Pipes { over, cluster }))) => orders::pipes(node, over, cluster).await,
        Ok(Ok(Some(Query::Pipe { pipe }))) => orders::pipe(node, asker, &pipe),
        Ok(Ok(Some(Query::Stages))) => orders::stages(node),
        Ok(Ok(Some(Query::Kill {
            pipe,
            signal,
            stage,
        }))) => orders::kill(node, asker, &pipe, signal, stage),
        Ok(Ok(Some(Query::State))) => Reply::State(people::itself(node)),
        Ok(Ok(Some(Query::Unknown))) => Reply::Unsupported,
        Ok(Ok(None) | Err(_)) | Err(_) => return send.reset(code::FAILED, "no query came"),
    };
    if send.message(&reply).await.is_ok() {
        // A client that left does not need the end of its answer.
        let _ = send.finish().await;
    }
}
