use std::path::PathBuf;

use crate::daemon::settings::Listen;

/// What is served, and to whom. Read at the start of a daemon only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestSettings {
    /// Where to listen.
    pub listen: Vec<Listen>,
    /// Whether the dashboard is served.
    pub ui: bool,
    /// Whether metrics are served.
    pub metrics: bool,
    /// The file with the token of those who may change something over TCP; made if it is not there.
    pub token_file: PathBuf,
    /// Whether changes over TCP take the token.
    pub require_token: bool,
    /// Names under which it may be asked over TCP, besides those of this machine.
    pub hosts: Vec<String>,
}

// === impl RestSettings ===

impl RestSettings {
    /// Whether anybody can come over TCP.
    #[must_use]
    pub fn has_tcp(&self) -> bool {
        let mut listen = self.listen.iter();
        listen.any(|listen| matches!(listen, Listen::Tcp(_)))
    }
}
