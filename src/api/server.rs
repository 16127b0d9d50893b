//! Accepts connections and keeps each within its limits.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::{
    guard::Peer,
    state::State,
    unstuck::{Patience, Unstuck},
};
use crate::{
    daemon::{ListenError, bind_unix, settings::Listen},
    transport::PeerAddress,
};

/// Connections at one time. People and scrapers take a few each; what is beyond waits in the kernel's queue.
const CONNECTIONS: usize = 256;

/// How long the head of a request may take, and how long a connection may lie idle between two.
const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// Bytes of a request's head at most: a path of some kilobytes for a pipeline, and the headers of a browser.
const MOST_HEAD: usize = 64 << 10;

/// Headers of a request at most. Browsers send some twenty.
const MOST_HEADERS: usize = 64;

/// How long answers that go on may take when the daemon leaves. What has not ended by then is cut off.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);

/// How long to wait after accept failed, as it does when descriptors are used up.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// A bound listener.
#[derive(Debug)]
pub(super) enum Server {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

/// The file of a socket, which goes with it.
#[derive(Debug)]
pub(super) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // One that is gone already is as good.
        let _gone = std::fs::remove_file(&self.0);
    }
}

// === impl Server ===

impl Server {
    pub(super) async fn bind(listen: &Listen) -> Result<Self, ListenError> {
        let (at, bound) = match listen {
            Listen::Tcp(address) => {
                let bound = TcpListener::bind(address).await.map(Self::Tcp);
                (address.clone(), bound)
            }
            Listen::Unix { path, .. } => {
                let bound = bind_unix(path).await;
                let bound = bound.map(|listener| Self::Unix(listener, SocketFile(path.clone())));
                (format!("unix:{}", path.display()), bound)
            }
        };
        bound.map_err(|error| ListenError { at, error })
    }

    /// Where it listens, as users write it.
    pub(super) fn address(&self) -> String {
        match self {
            Self::Tcp(listener) => listener.local_addr().map_or_else(
                |error| error.to_string(),
                |address| format!("http://{address}"),
            ),
            Self::Unix(_, file) => format!("unix:{}", file.0.display()),
        }
    }

    /// Accepts until the API is closed.
    pub(super) async fn serve(self, router: Router, state: Arc<State>, tasks: TaskTracker) {
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        let accepting = async {
            loop {
                // It is never closed.
                let Ok(permit) = room.clone().acquire_owned().await else {
                    return;
                };
                if let Err(error) = self.accept(permit, &router, &state, &tasks).await {
                    warn!(%error, at = %self.address(), "accept failed");
                    sleep(ACCEPT_BACKOFF).await;
                }
            }
        };
        tokio::select! {
            () = accepting => {}
            () = state.closing().cancelled() => {}
        }
    }

    async fn accept(
        &self,
        permit: OwnedSemaphorePermit,
        router: &Router,
        state: &Arc<State>,
        tasks: &TaskTracker,
    ) -> io::Result<()> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                // Answers are written in one go; a small one must not wait for the next.
                stream.set_nodelay(true)?;
                let peer = PeerAddress::Tcp(address);
                tasks.spawn(attend(permit, stream, peer, router.clone(), state.clone()));
            }
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                let peer = stream.peer_cred()?.into();
                tasks.spawn(attend(permit, stream, peer, router.clone(), state.clone()));
            }
        }
        Ok(())
    }
}

/// Serves one connection to its end.
async fn attend<I>(
    _permit: OwnedSemaphorePermit,
    stream: I,
    peer: PeerAddress,
    router: Router,
    state: Arc<State>,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let patience = Patience::default();
    let io = TokioIo::new(Unstuck::new(stream, patience.clone()));
    let service = router
        .layer(Extension(patience))
        .layer(Extension(Peer(peer)));
    // A peer that closes its end is gone, though it might only have nothing more to say: runs are not to outlive those who read them.
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(MOST_HEAD)
        .max_headers(MOST_HEADERS)
        .serve_connection(io, TowerToHyperService::new(service));
    tokio::pin!(serving);
    let served = tokio::select! {
        served = &mut serving => served,
        () = state.closing().cancelled() => {
            serving.as_mut().graceful_shutdown();
            timeout(LEAVE_WITHIN, serving).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = served {
        debug!(%error, "connection failed");
    }
}
