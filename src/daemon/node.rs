use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Instant,
};

use async_trait::async_trait;
use dpipes_discovery::{Announced, Directory, Snapshot};
use tokio::{net::UnixStream, sync::watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument as _;

use super::{
    access::{self, NotAllowed},
    members::{Host, Members},
    metrics::Metrics,
    pipes::Pipes,
    running::Running,
    serve,
    sessions::Sessions,
    settings::{Access, Settings},
    versions::Versions,
    view,
};
use crate::{
    coordinator::{Cluster, Defaults, Runs},
    exec::Launcher,
    id::NodeId,
    negotiate::{DIGEST, OBJECTS, ZSTD, rules::Others},
    plan::ClusterView,
    transport::{self, PeerAddress, Session, Side, pump::Transfer},
    wire::message::{AppsOffered, Ending, Hello, Load, Phase, Role, SourceView, Tried},
};

/// The state that a daemon's tasks share.
#[derive(Debug)]
pub(super) struct Node {
    id: NodeId,
    boot: String,
    started: Instant,
    /// Set once and for good: what happens to a registry later makes nobody unready.
    was_ready: AtomicBool,
    kind: Kind,
    settings: watch::Receiver<Settings>,
    /// Known once the listeners are bound.
    advertise: OnceLock<SocketAddr>,
    launcher: Launcher,
    pipes: Pipes,
    running: Running,
    runs: Runs,
    metrics: Metrics,
    sessions: Sessions,
    directory: Directory,
    /// Followed for as long as the node lives, so that a pipe's start reads memory.
    registered: watch::Receiver<Arc<Snapshot>>,
    cache: view::cluster::Cache,
    announced: OnceLock<watch::Receiver<Arc<[Announced]>>>,
    members: Members,
    versions: Versions,
    /// Stages now prepared or running.
    stages: AtomicU32,
    tasks: TaskTracker,
    /// Every session that is served, to be told of the end.
    served: Mutex<Vec<Session>>,
    /// No new peers and no new pipes.
    closing: CancellationToken,
    /// Everything ends now.
    ending: CancellationToken,
    /// The status of the first stage that ended, for a daemon that leaves after one.
    first_exit: watch::Sender<Option<u8>>,
}

/// What a daemon is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A process of its own that listens for peers.
    Daemon,
    /// Part of a client that found no daemon. Its stages are its user's own: they inherit environment, directory and umask.
    Embedded {
        /// The client's working directory.
        cwd: PathBuf,
        /// The client's search path.
        search_path: Vec<PathBuf>,
    },
}

/// Holds the slots of prepared or running stages.
#[must_use = "dropping it gives the slots back"]
#[derive(Debug)]
pub(super) struct Slots {
    node: Arc<Node>,
    count: u32,
}

// === impl Node ===

impl Node {
    pub(super) fn new(
        settings: watch::Receiver<Settings>,
        kind: Kind,
        launcher: Launcher,
        directory: Directory,
    ) -> Arc<Self> {
        let id = settings.borrow().node.clone();
        let metrics = Metrics::new(&settings.borrow());
        Arc::new(Self {
            id: id.clone(),
            boot: crate::id::PipeId::generate().to_string(),
            started: Instant::now(),
            was_ready: AtomicBool::new(false),
            kind,
            settings,
            advertise: OnceLock::new(),
            launcher,
            pipes: Pipes::default(),
            running: Running::default(),
            runs: Runs::new(id.clone()),
            metrics,
            sessions: Sessions::default(),
            members: Members::default(),
            registered: directory.subscribe(&view::primary_service()),
            cache: view::cluster::Cache::default(),
            directory,
            announced: OnceLock::new(),
            versions: Versions::default(),
            stages: AtomicU32::new(0),
            tasks: TaskTracker::new(),
            served: Mutex::default(),
            closing: CancellationToken::new(),
            ending: CancellationToken::new(),
            first_exit: watch::Sender::new(None),
        })
    }

    pub(super) fn id(&self) -> &NodeId {
        &self.id
    }

    pub(super) fn kind(&self) -> &Kind {
        &self.kind
    }

    /// The settings as they are now; a reload does not change what was taken here.
    pub(super) fn settings(&self) -> Settings {
        self.settings.borrow().clone()
    }

    /// How the data of links are moved.
    pub(super) fn transfer(&self) -> Transfer {
        if self.settings.borrow().splice {
            Transfer::Splice
        } else {
            Transfer::Copy
        }
    }

    /// The settings, to be told that they changed from now on.
    pub(super) fn follow_settings(&self) -> watch::Receiver<Settings> {
        let mut settings = self.settings.clone();
        settings.mark_unchanged();
        settings
    }

    /// Differs at each start and sorts by time.
    pub(super) fn boot(&self) -> &str {
        &self.boot
    }

    pub(super) fn started(&self) -> Instant {
        self.started
    }

    /// Notes that whatever its settings require was there.
    pub(super) fn set_ready(&self) {
        self.was_ready.store(true, Ordering::Release);
    }

    pub(super) fn phase(&self) -> Phase {
        let is_ready =
            || self.was_ready.load(Ordering::Acquire) || !self.settings.borrow().discovery.required;
        if self.is_leaving() {
            Phase::Draining
        } else if is_ready() {
            Phase::Ready
        } else {
            Phase::Starting
        }
    }

    /// How this node stands in its registries; empty before it announces itself, and for a node that does not.
    pub(super) fn announced(&self) -> Arc<[Announced]> {
        let states = self.announced.get();
        states.map_or_else(|| Arc::from([]), |states| states.borrow().clone())
    }

    /// The same, now and later; `None` for a node that does not announce itself.
    pub(super) fn watch_announced(&self) -> Option<watch::Receiver<Arc<[Announced]>>> {
        self.announced.get().cloned()
    }

    pub(super) fn set_announced(&self, states: watch::Receiver<Arc<[Announced]>>) {
        // There is one announcer in a node's life.
        let _ = self.announced.set(states);
    }

    pub(super) fn set_advertise(&self, address: SocketAddr) {
        // Only the first listener's address counts; it is set once, before anything is served.
        let _ = self.advertise.set(address);
    }

    /// Where peers dial this node: as configured, else as the registry lists it, else the first address that is listened on; `None`
    /// when it listens to no network.
    pub(super) fn advertise(&self) -> Option<String> {
        let configured = self.settings.borrow().advertise.clone();
        let own = self.advertise.get();
        let is_loopback = |own: &SocketAddr| own.ip().is_loopback();
        configured
            .or_else(|| view::listed_address(self, own.is_none_or(is_loopback)))
            .or_else(|| own.map(ToString::to_string))
    }

    pub(super) fn launcher(&self) -> &Launcher {
        &self.launcher
    }

    pub(super) fn pipes(&self) -> &Pipes {
        &self.pipes
    }

    pub(super) fn running(&self) -> &Running {
        &self.running
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(super) fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    pub(super) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// What the registries say of all nodes now.
    pub(super) fn registered(&self) -> Arc<Snapshot> {
        self.registered.borrow().clone()
    }

    /// The same, to wait for changes.
    pub(super) fn follow_registered(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.registered.clone()
    }

    pub(super) fn cache(&self) -> &view::cluster::Cache {
        &self.cache
    }

    pub(super) fn versions(&self) -> &Versions {
        &self.versions
    }

    pub(super) fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    pub(super) fn closing(&self) -> &CancellationToken {
        &self.closing
    }

    pub(super) fn ending_token(&self) -> &CancellationToken {
        &self.ending
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.closing.is_cancelled()
    }

    pub(super) fn first_exit(&self) -> &watch::Sender<Option<u8>> {
        &self.first_exit
    }

    /// Runs a task that is of no use to a node that leaves, and must not hold it up then.
    pub(super) fn until_closing(&self, task: impl Future<Output = ()> + Send + 'static) {
        let closing = self.closing.clone();
        self.tasks
            .spawn(async move { closing.run_until_cancelled_owned(task).await });
    }

    /// Takes slots for stages, or says how many are taken.
    pub(super) fn take_slots(self: &Arc<Self>, count: u32) -> Result<Slots, u32> {
        let max = self.settings.borrow().rules.max_stages;
        let taken = self
            .stages
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |taken| {
                taken.checked_add(count).filter(|&all| all <= max)
            });
        taken.map(|_| Slots {
            node: self.clone(),
            count,
        })
    }

    /// The stages that are prepared or running, and how many may be.
    pub(super) fn load(&self) -> Load {
        Load {
            stages: self.stages.load(Ordering::Acquire),
            capacity: self.settings.borrow().rules.max_stages,
        }
    }

    /// What this node runs.
    pub(super) fn offered(&self) -> AppsOffered {
        let settings = self.settings.borrow();
        match settings.rules.others {
            Others::Allow => AppsOffered::Any,
            Others::Deny => AppsOffered::Listed(settings.rules.apps.keys().cloned().collect()),
        }
    }

    /// The optional abilities of the protocol that it has.
    pub(super) fn features(&self) -> BTreeSet<String> {
        let compresses = self.settings.borrow().terms.compress;
        let zstd = compresses.then_some(ZSTD);
        let features = [OBJECTS, DIGEST].into_iter().chain(zstd);
        features.map(str::to_owned).collect()
    }

    /// What this node says of itself; the handshake adds the nonce.
    pub(super) fn hello(&self, role: Role) -> Hello {
        let is_node = role == Role::Node;
        Hello {
            role,
            node: is_node.then(|| self.id.clone()),
            boot: self.boot.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            features: self.features(),
            nonce: String::new(),
            advertise: self.advertise().filter(|_| is_node),
            apps: is_node.then(|| self.offered()),
            labels: if is_node {
                self.settings.borrow().labels.clone()
            } else {
                Default::default()
            },
            load: self.load(),
        }
    }

    /// Serves what the peer of a session opens, in a task of its own.
    pub(super) fn serve_session(self: &Arc<Self>, session: Session) {
        // The socket of a client on this machine tells of its death, and it may be suspended for as long as its user likes.
        let is_local = !matches!(session.peer().address, PeerAddress::Tcp(_));
        let is_client = session.peer().hello.role == Role::Client;
        session.set_lease((!(is_local && is_client)).then(|| self.settings.borrow().terms.lease));
        let mut served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        served.retain(|session| !session.is_closed());
        served.push(session.clone());
        drop(served);
        self.tasks
            .spawn(serve::serve(self.clone(), session).in_current_span());
    }

    /// Every session that is open.
    pub(super) fn open_sessions(&self) -> Vec<Session> {
        let served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        served
            .iter()
            .filter(|session| !session.is_closed())
            .cloned()
            .collect()
    }

    /// How many sessions are open with nodes, and how many with clients.
    pub(super) fn session_counts(&self) -> (usize, usize) {
        let mut open = self.open_sessions();
        // Those with itself are none of anybody else.
        open.retain(|session| session.peer().hello.node.as_ref() != Some(&self.id));
        let is_node = |session: &&Session| session.peer().hello.role == Role::Node;
        let nodes = open.iter().filter(is_node).count();
        (nodes, open.len() - nodes)
    }

    /// A session with itself, so that a stage placed here is served like any other.
    pub(super) async fn connect_to_self(self: &Arc<Self>) -> Result<Session, Vec<Tried>> {
        self.connect_inside(Role::Node).await.map_err(|error| {
            vec![Tried {
                node: self.id.clone(),
                address: "here".to_owned(),
                error,
            }]
        })
    }

    /// A session from inside this process: the other end is served like that of any peer.
    pub(super) async fn connect_inside(self: &Arc<Self>, role: Role) -> Result<Session, String> {
        self.connect_as(role, PeerAddress::InProcess).await
    }

    /// The same, where the other end is to take it for one of whoever is at `peer`.
    pub(super) async fn connect_as(
        self: &Arc<Self>,
        role: Role,
        peer: PeerAddress,
    ) -> Result<Session, String> {
        let (near, far) = UnixStream::pair().map_err(|error| error.to_string())?;
        let greet = |io, side, role, peer| transport::greet(io, side, self.hello(role), peer);
        let (near, far) = tokio::join!(
            greet(near, Side::Dialler, role, PeerAddress::InProcess),
            greet(far, Side::Acceptor, Role::Node, peer)
        );
        self.serve_session(far.map_err(|error| error.to_string())?);
        near.map_err(|error| error.to_string())
    }

    /// Whether a peer may ask something of this node, as the settings and the registry are now.
    pub(super) async fn admit(&self, peer: &PeerAddress) -> Result<(), NotAllowed> {
        let PeerAddress::Tcp(address) = peer else {
            // The permissions of the unix socket have decided, or it is this very process.
            return Ok(());
        };
        let access = self.settings.borrow().access.clone();
        let peer = Host::of(*address);
        let members = match access {
            Access::Members if !peer.ip().is_loopback() => self.members.check(peer).await,
            _ => (false, 0),
        };
        access::check(&access, peer.ip(), members)
    }

    /// A second look at a peer that [`admit`](Self::admit) refused, now that it said who it is: the registries may have learned of its
    /// node since their last answer.
    pub(super) async fn admit_after_all(
        &self,
        peer: SocketAddr,
        hello: &Hello,
        refusal: NotAllowed,
    ) -> Result<(), NotAllowed> {
        let (Role::Node, Some(node)) = (hello.role, &hello.node) else {
            return Err(refusal);
        };
        let found = self.members.find(self, Host::of(peer), node).await;
        found.map_err(|why| refusal.because(&why))
    }

    /// Whether a refused peer may be known to the registries by now.
    pub(super) fn may_be_found(&self) -> bool {
        self.settings.borrow().access == Access::Members && !self.registered().sources.is_empty()
    }

    pub(super) fn members(&self) -> &Members {
        &self.members
    }

    pub(super) fn runs(&self) -> &Runs {
        &self.runs
    }
}

/// A coordinator's view of its daemon. The handle is the shared one, for sessions are served in tasks of their own.
#[async_trait]
impl Cluster for Arc<Node> {
    fn node(&self) -> &NodeId {
        &self.id
    }

    fn defaults(&self) -> Defaults {
        let settings = self.settings.borrow();
        Defaults {
            lease: settings.terms.lease,
            kill_grace: settings.terms.kill_grace,
            window: settings.terms.window,
            policy: settings.terms.policy.clone(),
            compress: settings.terms.compress,
            embedded: matches!(self.kind, Kind::Embedded { .. }),
        }
    }

    async fn view(&self, apps: &BTreeSet<String>) -> ClusterView {
        view::cluster::view(self, apps).await
    }

    async fn near(&self, app: &str, view: &ClusterView) -> Vec<(String, Vec<NodeId>)> {
        view::cluster::near(self, app, view).await
    }

    fn sources(&self) -> Vec<SourceView> {
        view::sources(self)
    }

    async fn session(&self, node: &NodeId, addresses: &[String]) -> Result<Session, Vec<Tried>> {
        let opened = self.sessions.open(self, node, addresses).await;
        view::report(self, node, opened.is_ok());
        opened
    }

    fn runs(&self) -> &Runs {
        &self.runs
    }

    fn count_begun(&self) {
        self.metrics.pipe_started();
    }

    fn count_over(&self, ending: &Ending) {
        self.metrics.pipe_finished(ending);
    }

    fn ending(&self) -> CancellationToken {
        self.ending.clone()
    }
}

// === impl Slots ===

impl Drop for Slots {
    fn drop(&mut self) {
        self.node.stages.fetch_sub(self.count, Ordering::AcqRel);
    }
}
