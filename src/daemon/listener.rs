//! Accepts peers: the cheap part only. Each handshake runs in a task of its own, so that a silent peer holds up nobody.

use std::{
    hash::{BuildHasher as _, RandomState},
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    task::{AbortHandle, JoinSet},
    time::sleep,
};
use tracing::{debug, info, warn};

use super::{node::Node, settings::Listen};
use crate::{
    transport::{self, PeerAddress, Side},
    wire::message::{Hello, Role},
};

/// Handshakes that go on at one time. Each may take ten seconds and a descriptor. One more ends any of them: honest peers take
/// milliseconds, so that it is nearly always one whose peer is silent.
const MAX_HANDSHAKES: usize = 64;

/// How long to wait after accept failed, as it does when descriptors are used up: trying at once would only burn the processor.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// Why a daemon could not listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {at}: {error}")]
pub struct ListenError {
    /// Where.
    pub at: String,
    /// Why.
    #[source]
    pub error: io::Error,
}

/// A bound listener.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

// === impl Listener ===

impl Listener {
    /// Binds; `None` for an optional unix socket that another daemon holds.
    pub(super) async fn bind(listen: &Listen) -> Result<Option<Self>, ListenError> {
        match listen {
            Listen::Tcp(address) => {
                let bound = TcpListener::bind(address).await;
                bound
                    .map(|listener| Some(Self::Tcp(listener)))
                    .map_err(|error| ListenError {
                        at: address.clone(),
                        error,
                    })
            }
            Listen::Unix { path, required } => match bind_unix(path).await {
                Ok(listener) => Ok(Some(Self::Unix(listener, path.clone()))),
                Err(error) if !required => {
                    info!(path = %path.display(), %error, "going on without the default unix socket");
                    Ok(None)
                }
                Err(error) => Err(ListenError {
                    at: format!("unix:{}", path.display()),
                    error,
                }),
            },
        }
    }

    /// Where it listens, as users write it.
    pub(super) fn address(&self) -> String {
        match self {
            Self::Tcp(listener) => listener
                .local_addr()
                .map_or_else(|error| error.to_string(), |address| address.to_string()),
            Self::Unix(_, path) => format!("unix:{}", path.display()),
        }
    }

    /// The TCP address, where it is one.
    pub(super) fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(..) => None,
        }
    }

    /// Accepts until the node closes its doors, then removes the unix socket.
    pub(super) async fn serve(self, node: Arc<Node>) {
        let mut handshakes: JoinSet<()> = JoinSet::new();
        let mut pending: Vec<AbortHandle> = Vec::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.accept() => accepted,
                () = node.closing().cancelled() => break,
                Some(_) = handshakes.join_next() => continue,
            };
            match accepted {
                Ok(peer) => {
                    pending.retain(|handshake| !handshake.is_finished());
                    if pending.len() >= MAX_HANDSHAKES {
                        pending.swap_remove(any_below(pending.len())).abort();
                    }
                    let greeting = node.clone();
                    pending.push(handshakes.spawn(async move { greet(peer, &greeting).await }));
                }
                Err(error) => {
                    warn!(%error, at = %self.address(), "accept failed");
                    tokio::select! {
                        () = sleep(ACCEPT_BACKOFF) => {}
                        () = node.closing().cancelled() => break,
                    }
                }
            }
        }
        if let Self::Unix(listener, path) = self {
            // The name goes first, so that nobody connects to a socket that is being closed.
            if let Err(error) = std::fs::remove_file(&path) {
                debug!(path = %path.display(), %error, "unix socket was gone already");
            }
            drop(listener);
        }
    }

    async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => listener
                .accept()
                .await
                .map(|(stream, address)| Accepted::Tcp(stream, address)),
            Self::Unix(listener, _) => listener
                .accept()
                .await
                .map(|(stream, _)| Accepted::Unix(stream)),
        }
    }
}

enum Accepted {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
}

async fn greet(peer: Accepted, node: &Arc<Node>) {
    let hello = node.hello(Role::Node);
    let session = match peer {
        Accepted::Tcp(stream, address) => {
            let peer = PeerAddress::Tcp(address);
            match node.admit(&peer).await {
                Ok(()) => transport::greet(stream, Side::Acceptor, hello, peer).await,
                Err(refusal) if node.may_be_found() => {
                    let judge = async |theirs: &Hello| {
                        let judged = node.admit_after_all(address, theirs, refusal.clone()).await;
                        judged.map_err(|refusal| {
                            info!(peer = %address, %refusal, "peer refused");
                            refusal.to_string()
                        })
                    };
                    transport::greet_if(stream, hello, peer, &refusal.to_string(), judge).await
                }
                Err(refusal) => {
                    info!(peer = %address, %refusal, "peer refused");
                    return transport::refuse(stream, &refusal.to_string()).await;
                }
            }
        }
        Accepted::Unix(stream) => {
            let Ok(cred) = stream.peer_cred() else {
                return;
            };
            let address = PeerAddress::Unix {
                // 0 for a peer outside this PID namespace.
                pid: cred.pid().filter(|pid| *pid > 0),
                uid: cred.uid(),
            };
            transport::greet(stream, Side::Acceptor, hello, address).await
        }
    };
    match session {
        Ok(session) => {
            node.sessions().adopt(node, &session);
            node.serve_session(session);
        }
        Err(error) => debug!(%error, "handshake failed"),
    }
}

/// A number below `end` that nobody can foretell.
fn any_below(end: usize) -> usize {
    let chance = RandomState::new().hash_one(0_u8) % end as u64;
    usize::try_from(chance).unwrap_or(0)
}

/// Binds a unix socket that only its owner and group may use. A socket that nobody serves any more is replaced.
async fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt as _;
    if path.exists() {
        match UnixStream::connect(path).await {
            Ok(_) => {
                return Err(io::Error::new(
                    io::ErrorKind::AddrInUse,
                    "another daemon listens there",
                ));
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path)?
            }
            Err(error) => return Err(error),
        }
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.exists()) {
        std::fs::create_dir_all(parent)?;
        std::fs::set_permissions(parent, std::fs::Permissions::from_mode(0o755))?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}
