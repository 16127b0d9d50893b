//! What all requests share.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use serde::Serialize;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use super::{settings::RestSettings, token::Token};
use crate::daemon::Observer;

/// Readers of events at one time: browsers and scripts of some people. Each costs a task and looks at pipes a few times a second.
const FOLLOWERS: usize = 64;

/// Reloads that wait for the daemon at most.
const RELOADS: usize = 4;

/// A wish that the configuration is read again. The answer says what is wrong with it, if anything is.
pub type ReloadRequest = oneshot::Sender<Result<(), String>>;

/// Where such wishes are left.
pub type Reloads = mpsc::Sender<ReloadRequest>;

/// The effective configuration, for those who may see it. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Described {
    now: Arc<Mutex<Configuration>>,
}

/// A configuration without its secrets.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(super) struct Configuration {
    /// The values, as in a configuration file.
    #[schema(value_type = Object)]
    pub(super) values: serde_json::Value,
    /// Where each came from: a file, a variable as `$NAME`, a flag, or `built-in`.
    pub(super) origins: BTreeMap<String, String>,
}

/// What all requests share.
#[derive(Debug)]
pub(super) struct State {
    pub(super) observer: Observer,
    pub(super) settings: RestSettings,
    pub(super) token: Option<Token>,
    pub(super) described: Described,
    pub(super) reloads: Reloads,
    pub(super) followers: Arc<Semaphore>,
    closing: CancellationToken,
}

// === impl Described ===

impl Described {
    /// Puts another one in its place.
    pub fn set(&self, (values, origins): (serde_json::Value, BTreeMap<String, String>)) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        *now = Configuration { values, origins };
    }

    pub(super) fn get(&self) -> Configuration {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        now.clone()
    }
}

// === impl State ===

impl State {
    pub(super) fn new(
        observer: Observer,
        settings: RestSettings,
        token: Option<Token>,
        described: Described,
        reloads: Reloads,
    ) -> Self {
        Self {
            observer,
            settings,
            token,
            described,
            reloads,
            followers: Arc::new(Semaphore::new(FOLLOWERS)),
            closing: CancellationToken::new(),
        }
    }

    /// Cancelled when everything here ends.
    pub(super) const fn closing(&self) -> &CancellationToken {
        &self.closing
    }
}

/// A channel for wishes that the configuration is read again.
#[must_use]
pub fn reloads() -> (Reloads, mpsc::Receiver<ReloadRequest>) {
    mpsc::channel(RELOADS)
}
