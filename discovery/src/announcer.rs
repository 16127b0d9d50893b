//! Keeps one node announced in every registry that can.

use std::sync::Arc;

use tokio::sync::watch;

use crate::{Health, LeaseState, Registration, Registry};

/// How the announcement stands in one registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
    /// The registry, named as in [`Source`](crate::Source).
    pub registry: Arc<str>,
    /// How it stands.
    pub state: LeaseState,
}

/// Keeps a node announced: registers until it is accepted, looks whether the node is visible, and takes it all back at the end.
/// Dropping it ends the renewal and withdraws nothing.
#[derive(Debug)]
pub struct Announcer {
    states: watch::Sender<Arc<[Announced]>>,
}

impl Announcer {
    /// Begins to announce in all of these registries that can.
    #[must_use]
    pub fn new(registries: &[Arc<dyn Registry>], wanted: Registration) -> Self {
        let _ = (registries, wanted);
        Self {
            states: watch::Sender::new(Arc::from([])),
        }
    }

    /// How it stands, now and later; one entry for each registry that can be registered with.
    #[must_use]
    pub fn states(&self) -> watch::Receiver<Arc<[Announced]>> {
        self.states.subscribe()
    }

    /// Changes what is announced. Only what differs is told to the registries.
    pub fn announce(&self, wanted: Registration) {
        let _ = wanted;
    }

    /// Says how well the node is.
    pub fn set_health(&self, health: Health, note: &str) {
        let _ = (health, note);
    }

    /// Takes everything back. The caller sets the deadline.
    pub async fn withdraw(self) {}
}
