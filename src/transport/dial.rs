//! Reaching a daemon.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use tokio::{
    net::{TcpSocket, TcpStream, UnixStream, lookup_host, unix::UCred},
    time::timeout,
};

use super::{
    address::{Address, PeerAddress},
    error::DialError,
    handshake::{HANDSHAKE_TIMEOUT, greet_within},
    session::Session,
};
use crate::{mux::Side, wire::message::Hello};

/// Addresses of one name that are tried: both families of a host with a few interfaces. More are a misconfigured name.
const MOST_TRIES: usize = 8;

/// How long reaching a daemon may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For the name, and for each of its addresses: placement can always try another node.
    pub connect: Duration,
    /// For preface and Hello.
    pub handshake: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            handshake: HANDSHAKE_TIMEOUT,
        }
    }
}

/// Connects to a daemon and greets it. The name is resolved anew and each of its addresses is tried in turn.
///
/// # Errors
///
/// Returns why it was not reached, with every address that was tried.
pub async fn dial(
    address: &Address,
    hello: Hello,
    timeouts: Timeouts,
) -> Result<Session, DialError> {
    dial_from(address, None, hello, timeouts).await
}

/// The same from a given local address, so that a node is known by the address that the registry has of it. Addresses of the other
/// family are dialled from whatever the kernel chooses.
///
/// # Errors
///
/// As [`dial`].
pub async fn dial_from(
    address: &Address,
    local: Option<IpAddr>,
    hello: Hello,
    timeouts: Timeouts,
) -> Result<Session, DialError> {
    let name = || address.to_string();
    let greeted = match address {
        Address::Tcp(text) => {
            let (stream, peer) = connect(text, local, timeouts.connect).await?;
            let peer = PeerAddress::Tcp(peer);
            greet_within(stream, Side::Dialler, hello, peer, timeouts.handshake).await
        }
        Address::Unix(path) => {
            let unix = |source| DialError::Unix {
                address: name(),
                source,
            };
            let stream = timeout(timeouts.connect, UnixStream::connect(path))
                .await
                .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
                .map_err(unix)?;
            let peer = stream.peer_cred().map_err(unix)?.into();
            greet_within(stream, Side::Dialler, hello, peer, timeouts.handshake).await
        }
    };
    greeted.map_err(|source| DialError::Handshake {
        address: name(),
        source,
    })
}

/// Tries every address of a name.
async fn connect(
    name: &str,
    local: Option<IpAddr>,
    each: Duration,
) -> Result<(TcpStream, SocketAddr), DialError> {
    let found = timeout(each, resolve(name))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let addresses = found.map_err(|source| DialError::Resolve {
        address: name.to_owned(),
        source,
    })?;
    let mut tried = Vec::new();
    for address in addresses.into_iter().take(MOST_TRIES) {
        let connected = timeout(each, connect_one(address, local))
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        match connected {
            Ok(stream) => return Ok((stream, address)),
            Err(error) => tried.push((address, error)),
        }
    }
    Err(DialError::Connect {
        address: name.to_owned(),
        tried,
    })
}

/// The addresses of `host:port`. Only the system's resolver knows an address with the name of its interface, `fe80::1%eth0`, and it
/// takes no brackets.
async fn resolve(name: &str) -> io::Result<Vec<SocketAddr>> {
    let with_interface = name
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("]:"))
        .filter(|(host, _)| host.contains('%'));
    let parsed = with_interface.and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    Ok(match parsed {
        Some(place) => lookup_host(place).await?.collect(),
        None => lookup_host(name).await?.collect(),
    })
}

async fn connect_one(address: SocketAddr, local: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    if let Some(local) = local.filter(|local| {
        // Nothing but loopback reaches loopback.
        local.is_ipv4() == address.is_ipv4() && !address.ip().is_loopback()
    }) {
        socket.bind(SocketAddr::new(local, 0))?;
    }
    socket.connect(address).await
}

impl From<UCred> for PeerAddress {
    fn from(credentials: UCred) -> Self {
        Self::Unix {
            // 0 for a peer outside this PID namespace.
            pid: credentials.pid().filter(|pid| *pid > 0),
            uid: credentials.uid(),
        }
    }
}
