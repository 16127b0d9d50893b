//! What a backend needs to know of TLS.

use std::path::PathBuf;

/// How a server is known, and how this side shows who it is. All files are PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The authorities that are believed, instead of the system's.
    pub ca: Option<PathBuf>,
    /// This side's certificate. Needs `key`.
    pub cert: Option<PathBuf>,
    /// This side's private key. Needs `cert`.
    pub key: Option<PathBuf>,
    /// The name that the server's certificate must have, if it is not the host of the address.
    pub server_name: Option<String>,
    /// Whether the server's certificate is looked at. `false` is for trying things out, and whoever obeys it says so at every start.
    pub verify: bool,
}

// === impl Tls ===

impl Default for Tls {
    fn default() -> Self {
        Self {
            ca: None,
            cert: None,
            key: None,
            server_name: None,
            verify: true,
        }
    }
}
