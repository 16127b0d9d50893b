//! The handle of one announced node.

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot, watch};

use super::{Mdns, keeper::Keeper, txt};
use crate::{Health, Lease, LeaseState, Registration, RegistryError, ServiceDef};

/// Commands that may wait: a lease has one user, and each command is answered.
const COMMANDS: usize = 16;

/// A lease; its task ends with it.
#[derive(Debug)]
struct MdnsLease {
    commands: mpsc::Sender<Command>,
    state: watch::Receiver<LeaseState>,
}

pub(super) type Reply = oneshot::Sender<Result<(), RegistryError>>;

/// What the user of a lease wants.
#[derive(Debug)]
pub(super) enum Command {
    Health(Health, Reply),
    Update(Vec<ServiceDef>, Reply),
    Deregister(Reply),
}

/// Announces a node; returns once it is announced.
pub(super) async fn register(
    mdns: Mdns,
    what: Registration,
) -> Result<Box<dyn Lease>, RegistryError> {
    // What can never be announced is refused before anything is started.
    txt::encode(&what, &mdns.settings.names.app_prefix, 0, Health::Passing)?;
    let (commands, receiver) = mpsc::channel(COMMANDS);
    let (accepted, answer) = oneshot::channel();
    let keeper = Keeper::new(mdns, what);
    let state = keeper.state();
    // In a task, so that whoever gives up waiting leaves nothing announced: the closed channel ends it.
    tokio::spawn(keeper.run(receiver, accepted));
    answer
        .await
        .unwrap_or_else(|_| Err(RegistryError::stream_ended()))?;
    Ok(Box::new(MdnsLease { commands, state }))
}

// === impl MdnsLease ===

impl MdnsLease {
    async fn ask(&self, command: impl FnOnce(Reply) -> Command) -> Result<(), RegistryError> {
        let (reply, answer) = oneshot::channel();
        let gone = || RegistryError::unavailable("the task of the lease has ended");
        let sent = self.commands.send(command(reply)).await;
        sent.map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

#[async_trait]
impl Lease for MdnsLease {
    fn state(&self) -> watch::Receiver<LeaseState> {
        self.state.clone()
    }

    async fn set_health(&self, health: Health, _note: &str) -> Result<(), RegistryError> {
        self.ask(|reply| Command::Health(health, reply)).await
    }

    async fn update(&self, services: Vec<ServiceDef>) -> Result<(), RegistryError> {
        self.ask(|reply| Command::Update(services, reply)).await
    }

    async fn deregister(self: Box<Self>) -> Result<(), RegistryError> {
        self.ask(Command::Deregister).await
    }
}
