//! Answers to `dpipes nodes`, `dpipes apps` and `dpipesd healthcheck`.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use super::{node::Node, view::people};
use crate::{
    transport::{RecvStream, SendStream, code},
    wire::message::{Query, Reply},
};

/// How long a client may take from opening a query to asking it: both are sent in one go.
const QUERY_TIMEOUT: Duration = Duration::from_secs(10);

/// Answers one query.
pub(super) async fn answer(node: &Arc<Node>, mut send: SendStream, mut recv: RecvStream) {
    let reply = match timeout(QUERY_TIMEOUT, recv.message::<Query>()).await {
        Ok(Ok(Some(Query::Nodes))) => people::nodes(node).await,
        Ok(Ok(Some(Query::Apps))) => people::apps(node).await,
        Ok(Ok(Some(Query::App { app }))) => people::app(node, app).await,
        Ok(Ok(Some(Query::State))) => Reply::State(people::itself(node)),
        Ok(Ok(Some(Query::Unknown))) => Reply::Unsupported,
        Ok(Ok(None) | Err(_)) | Err(_) => return send.reset(code::FAILED, "no query came"),
    };
    if send.message(&reply).await.is_ok() {
        // A client that left does not need the end of its answer.
        let _ = send.finish().await;
    }
}
