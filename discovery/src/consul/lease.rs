//! The handle of a registration.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
};

use super::{
    agent::Agent,
    keeper::{Command, Identity, Keeper},
};
use crate::{Health, Lease, LeaseState, RegistryError, ServiceDef};

/// Commands that wait for the keeper. Who sends one waits for its end, so there are as many as there are callers.
const COMMANDS: usize = 16;

/// A registration and the task that keeps it, which ends with this handle.
#[derive(Debug)]
pub(super) struct ConsulLease {
    agent: Arc<Agent>,
    identity: Identity,
    state: watch::Receiver<LeaseState>,
    commands: mpsc::Sender<Command>,
    /// Aborted on drop.
    task: JoinSet<()>,
}

// === impl ConsulLease ===

impl ConsulLease {
    /// Lets a keeper go on by itself.
    pub(super) fn new(keeper: Keeper) -> Self {
        let (commands, obeyed) = mpsc::channel(COMMANDS);
        let agent = Arc::clone(&keeper.agent);
        let (identity, state) = (keeper.identity(), keeper.state());
        let mut task = JoinSet::new();
        task.spawn(keeper.keep(obeyed));
        Self {
            agent,
            identity,
            state,
            commands,
            task,
        }
    }

    async fn command(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<(), RegistryError>>) -> Command + Send,
    ) -> Result<(), RegistryError> {
        let ended =
            || RegistryError::unavailable("the task that renews the registration has ended");
        let (reply, done) = oneshot::channel();
        self.commands
            .send(command(reply))
            .await
            .map_err(|_| ended())?;
        done.await.unwrap_or_else(|_| Err(ended()))
    }
}

#[async_trait]
impl Lease for ConsulLease {
    fn state(&self) -> watch::Receiver<LeaseState> {
        self.state.clone()
    }

    async fn set_health(&self, health: Health, note: &str) -> Result<(), RegistryError> {
        let note = note.to_owned();
        self.command(|reply| Command::Health {
            health,
            note,
            reply,
        })
        .await
    }

    async fn update(&self, services: Vec<ServiceDef>) -> Result<(), RegistryError> {
        self.command(|reply| Command::Services { services, reply })
            .await
    }

    async fn deregister(mut self: Box<Self>) -> Result<(), RegistryError> {
        // First the task, or it puts back what is taken away.
        self.task.shutdown().await;
        let Identity {
            node,
            boot,
            primary,
        } = &self.identity;
        let held = self.agent.held(node).await?;
        if held.iter().any(|held| held.boot() > boot.as_str()) {
            // A newer start of the node has taken these entries over.
            return Ok(());
        }
        // The node goes last: an app whose target is gone keeps its last health.
        let apps = held.iter().filter(|held| held.is_of(node));
        for app in apps.filter(|held| &held.id != primary) {
            self.agent.remove(&app.id).await?;
        }
        self.agent.remove(primary).await
    }
}
