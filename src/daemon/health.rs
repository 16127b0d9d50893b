//! Whether a daemon answers, asked the way that everybody else asks.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use super::node::Node;
use crate::{
    transport::Session,
    wire::message::{Purpose, Query, Reply, Role, StateView},
};

/// How long the answer may take. It comes from memory, and what is slower than this helps nobody who wants to run a pipe.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Asks a daemon from inside its process. An answer has been through a session, its driver, and a task of the runtime: a timer that goes
/// off would prove none of these. The session is kept, so that a daemon without descriptors left is no dead one.
#[derive(Debug)]
pub struct Health {
    node: Arc<Node>,
    session: Option<Session>,
}

// === impl Health ===

impl Health {
    pub(super) fn new(node: Arc<Node>) -> Self {
        Self {
            node,
            session: None,
        }
    }

    /// How the daemon is; `None` when it did not answer in time.
    pub async fn ask(&mut self) -> Option<StateView> {
        let answer = timeout(ANSWER_WITHIN, self.answer()).await.ok().flatten();
        if answer.is_none() {
            self.session = None;
        }
        answer
    }

    async fn answer(&mut self) -> Option<StateView> {
        let session = match self.session.take().filter(|open| !open.is_closed()) {
            Some(session) => session,
            None => self.node.connect_inside(Role::Client).await.ok()?,
        };
        let session = self.session.insert(session);
        let (mut send, mut recv) = session.open_bidi(&Purpose::Query).await.ok()?;
        send.message(&Query::State).await.ok()?;
        match recv.message::<Reply>().await {
            Ok(Some(Reply::State(state))) => Some(state),
            _ => None,
        }
    }
}
