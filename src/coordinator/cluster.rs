use std::{collections::BTreeSet, fmt::Debug, time::Duration};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::Runs;
use crate::{
    id::NodeId,
    plan::ClusterView,
    transport::Session,
    wire::message::{Ending, SourceView, Tried},
};

/// What a coordinator needs of the daemon it runs in.
#[async_trait]
pub trait Cluster: Debug + Send + Sync + 'static {
    /// The entry's own name.
    fn node(&self) -> &NodeId;

    /// Terms for pipes that ask for no others.
    fn defaults(&self) -> Defaults;

    /// Who is there, for stages of these apps. Reads memory; the first use of an app may wait for its first answer, 2 s at most.
    async fn view(&self, apps: &BTreeSet<String>) -> ClusterView;

    /// Apps with names like this one, the most similar first, and who offers them: for the message that nobody offers it. Asks the
    /// registries for their list of services, 2 s at most.
    async fn near(&self, app: &str, view: &ClusterView) -> Vec<(String, Vec<NodeId>)>;

    /// Where the knowledge in [`view`](Self::view) comes from, and how old it is.
    fn sources(&self) -> Vec<SourceView>;

    /// An open session to a node, dialled if need be. The error lists every address with its own failure.
    async fn session(&self, node: &NodeId, addresses: &[String]) -> Result<Session, Vec<Tried>>;

    /// Where streams that belong to a run are delivered.
    fn runs(&self) -> &Runs;

    /// Counts a run that has begun.
    fn count_begun(&self);

    /// Counts a run that is over.
    fn count_over(&self, ending: &Ending);

    /// Cancelled when the entry must end its runs now.
    fn ending(&self) -> CancellationToken;
}

/// Terms for pipes that ask for no others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// How long a pipe outlives the loss of its entry.
    pub lease: Duration,
    /// From SIGTERM to SIGKILL.
    pub kill_grace: Duration,
    /// Credit of a link, in bytes.
    pub window: u32,
    /// Placement: `spread`, `pack` or `pin`.
    pub policy: String,
    /// Whether this entry can compress.
    pub compress: bool,
    /// Whether this entry runs stages in its user's own shell environment.
    pub embedded: bool,
}
