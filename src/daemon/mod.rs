//! A node: listens, keeps sessions, runs stages, and coordinates the runs of its clients.
//!
//! Order of leaving: stop accepting, refuse new pipes, let running ones drain, end what is left, close sessions, join every task.

mod abort;
mod access;
mod announce;
mod elsewhere;
mod health;
mod links;
mod listener;
mod members;
mod metrics;
mod node;
mod objects;
mod observer;
mod orders;
mod own_addresses;
mod pace;
mod part;
mod pipes;
mod prepare;
mod query;
mod registries;
mod running;
mod serve;
mod sessions;
pub mod settings;
mod stage;
mod told;
mod versions;
mod view;
mod watched;

use std::{io, sync::Arc, time::Duration};

use dpipes_discovery::Directory;
use futures_util::future::join_all;
use tokio::{sync::watch, time::timeout};
use tracing::{info, warn};

pub use self::{
    health::Health,
    listener::{ListenError, leaving_socket},
    node::Kind,
    observer::{Observer, bind_unix},
};
use self::{listener::Listener, members::Members, node::Node, settings::Settings};
use crate::{
    exec::{Launcher, LauncherSettings},
    transport::Session,
    wire::message::Role,
};

/// How long everything may take that comes after the last pipe ended: closing sessions lingers two seconds at most, processes are
/// dead by then.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);

/// A running node. Dropping it without [`Daemon::drain`] leaves its tasks to the runtime's end.
#[derive(Debug)]
pub struct Daemon {
    node: Arc<Node>,
    listening: Vec<String>,
}

/// Why a daemon did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// It could not listen.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// It could not start its helpers.
    #[error("cannot start the process keeper: {0}")]
    Launcher(#[source] io::Error),
    /// A registry's settings make no sense.
    #[error("registry {name}: {detail}")]
    Registry {
        /// The registry's kind.
        name: &'static str,
        /// What is wrong.
        detail: String,
    },
}

/// Shims that an embedded entry has made while it negotiates. It runs one pipe, and what that does not take is made in vain.
const EMBEDDED_SHIMS: usize = 2;

// === impl Daemon ===

impl Daemon {
    /// Starts a node that listens. Returns when it does.
    ///
    /// # Errors
    ///
    /// See [`StartError`]. A registry that does not answer is no error; [`Daemon::ready`] waits for it where that is wanted.
    pub async fn start(settings: watch::Receiver<Settings>) -> Result<Self, StartError> {
        Self::begin(settings, Kind::Daemon).await
    }

    /// Starts a node inside a client. It listens to nobody; [`Daemon::connect`] is the way in.
    ///
    /// # Errors
    ///
    /// See [`StartError`].
    pub async fn embedded(settings: Settings, kind: Kind) -> Result<Self, StartError> {
        let settings = Settings {
            listen: Vec::new(),
            ..settings
        };
        Self::begin(watch::channel(settings).1, kind).await
    }

    async fn begin(settings: watch::Receiver<Settings>, kind: Kind) -> Result<Self, StartError> {
        let now = settings.borrow().clone();
        let mut listeners = Vec::new();
        for listen in &now.listen {
            listeners.extend(Listener::bind(listen).await?);
        }
        let mut launching = LauncherSettings::default();
        if matches!(kind, Kind::Embedded { .. }) {
            launching.spare_shims = EMBEDDED_SHIMS;
        }
        let launcher = Launcher::start(launching).map_err(StartError::Launcher)?;
        let registries = registries::build(&now)?;
        let listening = listeners.iter().map(Listener::address).collect();
        let tcp = own_addresses::best(listeners.iter().filter_map(Listener::tcp));
        let directory = Directory::new(registries.clone());
        let node = Node::new(settings, kind, launcher, directory);
        if let Some(address) = tcp.and_then(own_addresses::dialable) {
            node.set_advertise(address);
        }
        for listener in listeners {
            node.tasks().spawn(listener.serve(node.clone()));
        }
        if !registries.is_empty() {
            node.until_closing(view::warm::keep_warm(node.clone()));
            node.until_closing(view::cluster::keep_current(node.clone()));
            node.until_closing(Members::follow(node.clone()));
        }
        if node.kind() == &Kind::Daemon {
            announce::begin(&node, &registries, tcp);
        }
        for warning in now.warnings() {
            warn!("{warning}");
        }
        info!(node = %node.id(), ?listening, "node started");
        Ok(Self { node, listening })
    }

    /// Where it listens, as users write it.
    #[must_use]
    pub fn addresses(&self) -> &[String] {
        &self.listening
    }

    /// Waits until every registry has answered and accepted this node, where the settings require that; else returns at once. It takes
    /// as long as the registries do, so whoever waits must be able to give up. Cancel safe.
    pub async fn ready(&self) {
        if self.node.settings().discovery.required {
            registries::ready(&self.node).await;
        }
        self.node.set_ready();
    }

    /// A session for a client inside this process.
    ///
    /// # Errors
    ///
    /// A sentence, when the process is out of descriptors.
    pub async fn connect(&self) -> Result<Session, String> {
        self.node.connect_inside(Role::Client).await
    }

    /// A way to ask this daemon how it is, for as long as it is there.
    #[must_use]
    pub fn health(&self) -> Health {
        Health::new(self.node.clone())
    }

    /// A handle for those who watch and steer it.
    #[must_use]
    pub fn observer(&self) -> Observer {
        Observer::new(self.node.clone())
    }

    /// Resolves when the daemon was told to leave after one app and that app has ended, with its status.
    pub async fn first_exit(&self) -> u8 {
        let mut first = self.node.first_exit().subscribe();
        match first.wait_for(Option::is_some).await {
            Ok(status) => status.unwrap_or_default(),
            Err(_) => 0,
        }
    }

    /// Leaves gracefully: no new pipes; running ones may go on for the configured time, or until `force` resolves; then they are ended.
    pub async fn drain(&self, force: impl Future<Output = ()>) {
        let node = &self.node;
        let limit = node.settings().drain_timeout;
        info!(
            ?limit,
            pipes = node.pipes().running(),
            runs = node.runs().len(),
            "draining"
        );
        // No session is told to go away: pipes that run still open links and streams on them, an app's first word to stderr among these.
        // What would begin anew is refused where it is asked for.
        node.closing().cancel();
        tokio::select! {
            () = idle(node) => {}
            () = force => warn!("told to end now"),
            () = tokio::time::sleep(limit) => warn!("pipes still run after the drain timeout; they are ended"),
        }
        node.ending_token().cancel();
        // Every part has its own deadlines: kill-grace, then force.
        let grace = node.settings().terms.kill_grace + LEAVE_TIMEOUT;
        if timeout(grace, idle(node)).await.is_err() {
            warn!("a pipe could not be ended in time");
        }
        let sessions = node.open_sessions();
        let closed = join_all(sessions.iter().map(|session| {
            session.close("this node is leaving");
            session.disconnected()
        }));
        // Peers that do not close their ends are not waited for longer than it takes to linger, however many there are.
        let _ = timeout(LEAVE_TIMEOUT, closed).await;
        node.launcher().shutdown().await;
        node.tasks().close();
        let _ = timeout(LEAVE_TIMEOUT, node.tasks().wait()).await;
        info!("left");
    }
}

/// Resolves when no part and no run is left. Both only ever end from now on, and tell nobody, so this looks a few times a second.
async fn idle(node: &Node) {
    const LOOK: Duration = Duration::from_millis(20);
    while node.pipes().running() + node.runs().len() > 0 {
        tokio::time::sleep(LOOK).await;
    }
}
