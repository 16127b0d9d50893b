//! Accepts peers: the cheap part only. Each handshake runs in a task of its own, so that a silent peer holds up nobody.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher as _, RandomState},
    io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream, UnixListener, UnixStream, unix::UCred},
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{access, node::Node, settings::Listen};
use crate::{
    transport::{self, PeerAddress, Side},
    wire::message::{Hello, Role},
};

/// Handshakes that go on at one time, for each listener. Each may take ten seconds and a descriptor. A script that starts some hundred pipes at
/// once is to find room; a daemon with a thousand descriptors is to have some left.
const MAX_HANDSHAKES: usize = 512;

/// Honest peers take milliseconds, and among hundreds of others on a small machine a good part of a second. When there is no room, whoever
/// has taken longer than this makes some: any one of the source that has the most of such, so that a silent crowd from one host ends its
/// own. With a crowd that says nothing a thousand are let in within a second, as many as the kernel's queue holds.
const LATE_AFTER: Duration = Duration::from_millis(500);

/// Connections that the kernel keeps until they are accepted. One beyond them is not answered, and its host tries again after a second.
/// The 128 that listeners have by themselves are there within a millisecond when a stranger makes connections without end.
const QUEUE: i32 = 1_024;

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
                let bound = bound.and_then(|listener| {
                    rustix::net::listen(&listener, QUEUE)?;
                    Ok(listener)
                });
                bound
                    .map(|listener| Some(Self::Tcp(listener)))
                    .map_err(|error| ListenError {
                        at: address.clone(),
                        error,
                    })
            }
            Listen::Unix { path, required } => match bind_unix(path).await {
                Ok(listener) => Ok(Some(Self::Unix(listener, path.clone()))),
                // Another daemon of this user has it, and clients find that one.
                Err(error) if !required && error.kind() == io::ErrorKind::AddrInUse => {
                    info!(path = %path.display(), %error, "going on without the default unix socket");
                    Ok(None)
                }
                Err(error) if !required => {
                    warn!(
                        "no unix socket at {}: {error}; clients on this machine and dpipesd healthcheck find no daemon. Set \
                         DPIPES_RUNTIME_DIR to a directory that this user may write, for them and for the daemon",
                        path.display()
                    );
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

    /// Accepts until the node closes its doors. Its unix socket is then out of the way of clients and of a successor, and answers
    /// questions under another name until the last pipe has ended.
    pub(super) async fn serve(self, node: Arc<Node>) {
        self.accept_until(&node, node.closing()).await;
        let Self::Unix(_, path) = &self else {
            return;
        };
        let aside = leaving_socket(path);
        match std::fs::rename(path, &aside) {
            Ok(()) => {
                let _removed = Removed(&aside);
                self.accept_until(&node, node.ending_token()).await;
            }
            Err(error) => debug!(path = %path.display(), %error, "unix socket was gone already"),
        }
    }

    async fn accept_until(&self, node: &Arc<Node>, over: &CancellationToken) {
        let mut handshakes: JoinSet<()> = JoinSet::new();
        // The oldest first.
        let mut pending: VecDeque<Pending> = VecDeque::new();
        loop {
            pending.retain(|handshake| !handshake.task.is_finished());
            // When there is no room: the moment from which on the oldest has to make some.
            let late = pending
                .front()
                .filter(|_| pending.len() >= MAX_HANDSHAKES)
                .map(|oldest| oldest.began + LATE_AFTER);
            let accepted = tokio::select! {
                accepted = self.accept(), if late.is_none() => accepted,
                () = over.cancelled() => return,
                Some(_) = handshakes.join_next() => continue,
                () = sleep_until(late.unwrap_or_else(Instant::now)), if late.is_some() => {
                    end_a_late_one(&mut pending);
                    continue;
                }
            };
            match accepted {
                Ok(peer) => {
                    let (from, greeting) = (peer.source(), node.clone());
                    let task = handshakes.spawn(async move { greet(peer, &greeting).await });
                    let began = Instant::now();
                    pending.push_back(Pending { from, began, task });
                }
                Err(error) => {
                    warn!(%error, at = %self.address(), "accept failed");
                    tokio::select! {
                        () = sleep(ACCEPT_BACKOFF) => {}
                        () = over.cancelled() => return,
                    }
                }
            }
        }
    }

    async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => listener
                .accept()
                .await
                .map(|(stream, address)| Accepted::Tcp(stream, address)),
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                let user = stream.peer_cred()?;
                Ok(Accepted::Unix(stream, user))
            }
        }
    }
}

/// Where a daemon that leaves can still be asked how it is, given its unix socket.
#[must_use]
pub fn leaving_socket(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".leaving");
    name.into()
}

/// A file that goes with this, also when the task that has it is ended.
struct Removed<'a>(&'a Path);

impl Drop for Removed<'_> {
    fn drop(&mut self) {
        // One that is gone already is as good.
        let _gone = std::fs::remove_file(self.0);
    }
}

/// Where a peer comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Source {
    Host(IpAddr),
    /// Over a unix socket.
    User(u32),
}

/// A handshake that goes on.
struct Pending {
    from: Source,
    began: Instant,
    task: AbortHandle,
}

enum Accepted {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream, UCred),
}

// === impl Accepted ===

impl Accepted {
    fn source(&self) -> Source {
        match self {
            Self::Tcp(_, address) => Source::Host(access::canonical(address.ip())),
            Self::Unix(_, user) => Source::User(user.uid()),
        }
    }
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
                            node.metrics().peer_refused();
                            refusal.to_string()
                        })
                    };
                    transport::greet_if(stream, hello, peer, &refusal.to_string(), judge).await
                }
                Err(refusal) => {
                    info!(peer = %address, %refusal, "peer refused");
                    node.metrics().peer_refused();
                    return transport::refuse(stream, &refusal.to_string()).await;
                }
            }
        }
        Accepted::Unix(stream, user) => {
            transport::greet(stream, Side::Acceptor, hello, user.into()).await
        }
    };
    match session {
        Ok(session) => {
            node.sessions().adopt(node, &session);
            node.serve_session(session);
        }
        Err(error) => {
            node.metrics().handshake_broken();
            debug!(%error, "handshake failed");
        }
    }
}

/// Ends one of those that are late: the oldest is.
fn end_a_late_one(pending: &mut VecDeque<Pending>) {
    let is_late = |handshake: &&Pending| handshake.began.elapsed() >= LATE_AFTER;
    let late = pending.iter().take_while(is_late);
    let sources: Vec<_> = late.map(|handshake| handshake.from).collect();
    if let Some(ended) = pending.remove(any_of_the_largest(&sources)) {
        ended.task.abort();
    }
}

/// The place of one of the source that occurs most often, by chance.
fn any_of_the_largest(sources: &[Source]) -> usize {
    let mut counts: HashMap<_, usize> = HashMap::new();
    for source in sources {
        *counts.entry(source).or_default() += 1;
    }
    let most = counts.values().copied().max().unwrap_or(0);
    let places: Vec<_> = (0..sources.len())
        .filter(|&place| counts.get(&sources[place]) == Some(&most))
        .collect();
    let place = places.get(any_below(places.len()));
    place.copied().unwrap_or(0)
}

/// A number below `end` that nobody can foretell.
fn any_below(end: usize) -> usize {
    let chance = RandomState::new().hash_one(0_u8) % end.max(1) as u64;
    usize::try_from(chance).unwrap_or(0)
}

/// Binds a unix socket that only its owner and group may use. A socket that nobody serves any more is replaced.
pub(super) async fn bind_unix(path: &Path) -> io::Result<UnixListener> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_from_one_host_ends_its_own_handshakes() {
        let from = |last| Source::Host(IpAddr::from([10, 0, 0, last]));
        let here = Source::User(1_000);
        let sources = [from(1), from(2), here, from(2), from(3)];
        for _ in 0..200 {
            assert!([1, 3].contains(&any_of_the_largest(&sources)));
        }
        let ended: std::collections::BTreeSet<_> = (0..200)
            .map(|_| any_of_the_largest(&[from(1), from(2), here]))
            .collect();
        assert_eq!(ended.len(), 3, "of as many from everywhere it is any");
    }
}
