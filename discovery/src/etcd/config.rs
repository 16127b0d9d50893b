//! How an etcd cluster is reached and where its keys are.

use std::path::PathBuf;

use crate::{Secret, Tls};

/// Where a member listens when nobody says so.
pub const DEFAULT_ENDPOINT: &str = "127.0.0.1:2379";
/// What every key begins with when nobody says so.
pub const DEFAULT_PREFIX: &str = "/dpipes/v1/";

/// An etcd cluster: plain data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Members: `host:port`, `http://…` or `https://…`.
    pub endpoints: Vec<String>,
    /// What every key begins with. A `/` is added where it does not end with one.
    pub prefix: String,
    /// The user, where the cluster wants to know.
    pub user: Option<String>,
    /// That user's password.
    pub password: Password,
    /// TLS, where the endpoints are `https`.
    pub tls: Tls,
}

/// A user's password.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Password {
    /// None.
    #[default]
    None,
    /// This one.
    Value(Secret),
    /// What the file says.
    File(PathBuf),
}

// === impl Config ===

impl Config {
    /// A cluster with these members, all else as it is by default.
    #[must_use]
    pub fn new(endpoints: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            endpoints: endpoints.into_iter().map(Into::into).collect(),
            prefix: DEFAULT_PREFIX.to_owned(),
            user: None,
            password: Password::None,
            tls: Tls::default(),
        }
    }
}
