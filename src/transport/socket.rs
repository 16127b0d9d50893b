//! Sockets that can carry a session.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

use rustix::net::sockopt;
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, Interest, ReadHalf, WriteHalf},
    net::{TcpStream, UnixStream, tcp, unix},
};

/// Idle time before the kernel probes a TCP connection: a second opinion beside the session's own pings.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);

/// Time between two probes.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);

/// Unanswered probes that end a connection.
const KEEPALIVE_PROBES: u32 = 3;

/// A connection in both directions that a session can be carried by.
pub trait Connected: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// The reading half.
    type Reader: AsyncRead + OfSocket + Unpin + Send + Sync + 'static;
    /// The writing half.
    type Writer: AsyncWrite + OfSocket + Unpin + Send + 'static;

    /// Sets what a session needs. Whatever cannot be set stays as it is.
    fn prepare(&self) {}

    /// Parts the directions, which are then used by two tasks at once.
    fn into_halves(self) -> (Self::Reader, Self::Writer);
}

/// Half of a connection that may be one of the kernel's sockets.
pub trait OfSocket {
    /// The socket, if what is written to it and read from it is what travels: then the kernel can move bytes between it and a pipe. A
    /// connection that encrypts in this process has none.
    fn socket(&self) -> Option<Socket<'_>> {
        None
    }
}

/// A socket of the kernel, non-blocking, known to the runtime.
#[derive(Clone, Copy, Debug)]
pub enum Socket<'a> {
    /// TCP.
    Tcp(&'a TcpStream),
    /// A unix socket.
    Unix(&'a UnixStream),
}

impl Socket<'_> {
    /// Waits until it may be readable or writable. Cancel safe.
    pub(super) async fn ready(&self, interest: Interest) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.ready(interest).await,
            Self::Unix(stream) => stream.ready(interest).await,
        }
        .map(drop)
    }

    /// Tries something that returns [`io::ErrorKind::WouldBlock`] when, and only when, the socket is not ready for it.
    pub(super) fn attempt<T>(
        &self,
        interest: Interest,
        act: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        match self {
            Self::Tcp(stream) => stream.try_io(interest, act),
            Self::Unix(stream) => stream.try_io(interest, act),
        }
    }
}

impl AsFd for Socket<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

impl OfSocket for tcp::OwnedReadHalf {
    fn socket(&self) -> Option<Socket<'_>> {
        Some(Socket::Tcp(self.as_ref()))
    }
}

impl OfSocket for tcp::OwnedWriteHalf {
    fn socket(&self) -> Option<Socket<'_>> {
        Some(Socket::Tcp(self.as_ref()))
    }
}

impl OfSocket for unix::OwnedReadHalf {
    fn socket(&self) -> Option<Socket<'_>> {
        Some(Socket::Unix(self.as_ref()))
    }
}

impl OfSocket for unix::OwnedWriteHalf {
    fn socket(&self) -> Option<Socket<'_>> {
        Some(Socket::Unix(self.as_ref()))
    }
}

impl OfSocket for ReadHalf<DuplexStream> {}

impl OfSocket for WriteHalf<DuplexStream> {}

impl Connected for TcpStream {
    type Reader = tcp::OwnedReadHalf;
    type Writer = tcp::OwnedWriteHalf;

    fn prepare(&self) {
        let set = || -> io::Result<()> {
            self.set_nodelay(true)?;
            sockopt::set_socket_keepalive(self, true)?;
            sockopt::set_tcp_keepidle(self, KEEPALIVE_IDLE)?;
            sockopt::set_tcp_keepintvl(self, KEEPALIVE_INTERVAL)?;
            sockopt::set_tcp_keepcnt(self, KEEPALIVE_PROBES)?;
            // TCP_USER_TIMEOUT is never set: it ends connections to live peers that do not read for a while.
            Ok(())
        };
        if let Err(error) = set() {
            tracing::debug!(%error, "socket options not set");
        }
        // BBR halves the throughput of loopback, where there is no path to model.
        let loopback = self.peer_addr().is_ok_and(|peer| peer.ip().is_loopback());
        if loopback && sockopt::tcp_congestion(self).is_ok_and(|name| name == "bbr") {
            let quicker = ["cubic", "reno"];
            let found = quicker
                .iter()
                .any(|name| sockopt::set_tcp_congestion(self, name).is_ok());
            tracing::trace!(found, "replaced bbr on loopback");
        }
    }

    fn into_halves(self) -> (Self::Reader, Self::Writer) {
        self.into_split()
    }
}

impl Connected for UnixStream {
    type Reader = unix::OwnedReadHalf;
    type Writer = unix::OwnedWriteHalf;

    fn into_halves(self) -> (Self::Reader, Self::Writer) {
        self.into_split()
    }
}

impl Connected for DuplexStream {
    type Reader = ReadHalf<Self>;
    type Writer = WriteHalf<Self>;

    fn into_halves(self) -> (Self::Reader, Self::Writer) {
        tokio::io::split(self)
    }
}
