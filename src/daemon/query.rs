//! Answers to `dpipes nodes` and `dpipes apps`.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::time::timeout;

use super::node::Node;
use crate::{
    id::NodeId,
    transport::{RecvStream, SendStream, code},
    wire::message::{AppView, AppsOffered, NodeState, Query, Reply},
};

/// How long a client may take from opening a query to asking it: both are sent in one go.
const QUERY_TIMEOUT: Duration = Duration::from_secs(10);

/// Answers one query.
pub(super) async fn answer(node: &Arc<Node>, mut send: SendStream, mut recv: RecvStream) {
    let reply = match timeout(QUERY_TIMEOUT, recv.message::<Query>()).await {
        Ok(Ok(Some(Query::Nodes))) => Reply::Nodes {
            nodes: node.nodes().await,
            sources: node.source_views(),
        },
        Ok(Ok(Some(Query::Apps))) => apps(node).await,
        Ok(Ok(Some(Query::Unknown))) => Reply::Unsupported,
        Ok(Ok(None) | Err(_)) | Err(_) => return send.reset(code::FAILED, "no query came"),
    };
    if send.message(&reply).await.is_ok() {
        // A client that left does not need the end of its answer.
        let _ = send.finish().await;
    }
}

async fn apps(node: &Arc<Node>) -> Reply {
    let mut by_app: BTreeMap<String, Vec<NodeId>> = BTreeMap::new();
    let mut any = Vec::new();
    for view in node.nodes().await {
        if view.state == NodeState::Avoided {
            continue;
        }
        match view.apps {
            Some(AppsOffered::Listed(apps)) => {
                for app in apps {
                    by_app.entry(app).or_default().push(view.node.clone());
                }
            }
            Some(AppsOffered::Any) => any.push(view.node),
            None => {}
        }
    }
    let apps = by_app
        .into_iter()
        .map(|(app, nodes)| AppView { app, nodes })
        .collect();
    Reply::Apps {
        apps,
        any,
        sources: node.source_views(),
    }
}
