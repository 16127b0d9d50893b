//! Where a peer is, and who it is.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr};

use thiserror::Error;

use crate::wire::{Version, message::Hello};

/// What marks an address as a path.
const UNIX: &str = "unix:";

/// Where a daemon can be dialled.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// `host:port`, resolved anew at each dial, because names move.
    Tcp(String),
    /// `unix:/path`.
    Unix(PathBuf),
}

/// A text that is no address.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is no address: `host:port` and `unix:/path` are")]
pub struct InvalidAddress(pub String);

/// Where a peer was found to be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PeerAddress {
    /// At the other end of a TCP connection.
    Tcp(SocketAddr),
    /// At the other end of a unix socket, as the kernel says.
    Unix {
        /// The process, if the kernel tells.
        pid: Option<i32>,
        /// The user it runs as.
        uid: u32,
    },
    /// In this process.
    InProcess,
}

/// The other side of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// What it said of itself.
    pub hello: Hello,
    /// Where it is.
    pub address: PeerAddress,
    /// The version of the protocol that both speak.
    pub version: Version,
}

// === impl Address ===

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidAddress(text.to_owned());
        if let Some(path) = text.strip_prefix(UNIX) {
            return if path.is_empty() {
                Err(invalid())
            } else {
                Ok(Self::Unix(path.into()))
            };
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(invalid)?;
        let bracketed = host.starts_with('[') && host.ends_with(']');
        let port_is_good = port.parse::<u16>().is_ok_and(|port| port > 0);
        let host_is_good = !host.is_empty()
            && !host.contains(char::is_whitespace)
            && (bracketed || !host.contains(':'));
        if port_is_good && host_is_good {
            Ok(Self::Tcp(text.to_owned()))
        } else {
            Err(invalid())
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address.to_string())
    }
}

// === impl PeerAddress ===

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix {
                pid: Some(pid),
                uid,
            } => write!(f, "process {pid} of user {uid}"),
            Self::Unix { pid: None, uid } => write!(f, "a process of user {uid}"),
            Self::InProcess => f.write_str("this process"),
        }
    }
}
