//! Sockets that can carry a session.

use std::{io, time::Duration};

use rustix::net::sockopt;
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadHalf, WriteHalf},
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
    type Reader: AsyncRead + Unpin + Send + 'static;
    /// The writing half.
    type Writer: AsyncWrite + Unpin + Send + 'static;

    /// Sets what a session needs. Whatever cannot be set stays as it is.
    fn prepare(&self) {}

    /// Parts the directions, which are then used by two tasks at once.
    fn into_halves(self) -> (Self::Reader, Self::Writer);
}

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
