//! A daemon as those see it who watch and steer it from inside its process, on behalf of somebody outside.

use std::{path::Path, sync::Arc};

use tokio::{net::UnixListener, sync::broadcast};

use super::{listener, node::Node, orders, query};
use crate::{
    id::{NodeId, PipeId, StageNumber},
    transport::{PeerAddress, Session},
    wire::message::{Load, Phase, PipeView, Query, Reply, Role},
};

/// A handle to a daemon. It shows what the daemon knows and asks it for what clients may ask for; clones are handles to the same daemon.
#[derive(Clone, Debug)]
pub struct Observer {
    node: Arc<Node>,
}

// === impl Observer ===

impl Observer {
    pub(super) const fn new(node: Arc<Node>) -> Self {
        Self { node }
    }

    /// The daemon's name.
    #[must_use]
    pub fn node(&self) -> &NodeId {
        self.node.id()
    }

    /// Whether somebody may ask anything at all, as the access rules are now.
    ///
    /// # Errors
    ///
    /// A sentence that says why not.
    pub async fn admit(&self, asker: &PeerAddress) -> Result<(), String> {
        let admitted = self.node.admit(asker).await;
        admitted.map_err(|refusal| refusal.to_string())
    }

    /// The answer that `asker` gets to a query.
    pub async fn ask(&self, asker: &PeerAddress, query: Query) -> Reply {
        query::reply(&self.node, asker, query).await
    }

    /// Ends a pipe, or sends its apps a signal, as `asker` may, who is called `by` where it is told.
    pub async fn kill(
        &self,
        (asker, by): (&PeerAddress, &str),
        pipe: &str,
        signal: Option<i32>,
        stage: Option<StageNumber>,
    ) -> Reply {
        orders::kill(&self.node, (asker, by), pipe, signal, stage).await
    }

    /// The pipes that this node conducts, the newest first and `most` at most, with `over` also those of the last hour, and how many more there
    /// are. Without what their stages wrote to stderr.
    #[must_use]
    pub fn pipes(&self, over: bool, most: usize) -> (Vec<PipeView>, u64) {
        let (mut pipes, left_out) = self.node.runs().views(over, most);
        pipes.iter_mut().for_each(PipeView::hide_stderr);
        (pipes, left_out)
    }

    /// One of them, as `asker` may see it.
    #[must_use]
    pub fn pipe(&self, asker: &PeerAddress, pipe: PipeId) -> Option<PipeView> {
        let found = self.node.runs().get(pipe)?;
        Some(orders::shown_to(asker, found))
    }

    /// The pipes of which something changes from now on.
    #[must_use]
    pub fn follow(&self) -> broadcast::Receiver<PipeId> {
        self.node.runs().follow()
    }

    /// A session for somebody outside who is at `client`, to run pipes on.
    ///
    /// # Errors
    ///
    /// A sentence, when the process is out of descriptors.
    pub async fn connect(&self, client: PeerAddress) -> Result<Session, String> {
        self.node.connect_as(Role::Client, client).await
    }

    /// The stages that are prepared or running here, and how many may be.
    #[must_use]
    pub fn load(&self) -> Load {
        self.node.load()
    }

    /// How far it is in its life.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.node.phase()
    }

    /// What it counts, in the text format of Prometheus.
    #[must_use]
    pub fn metrics(&self) -> String {
        self.node.metrics().text(&self.node)
    }

    /// Notes that the configuration was to be read again, and was wrong.
    pub fn note_reload_failed(&self) {
        self.node.metrics().reload_failed();
    }
}

/// Opens a unix socket that only its owner and group may use. A socket that nobody serves any more is replaced.
///
/// # Errors
///
/// Returns the kernel's error; `AddrInUse` when somebody serves it.
pub async fn bind_unix(path: &Path) -> std::io::Result<UnixListener> {
    listener::bind_unix(path).await
}
