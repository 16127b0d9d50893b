//! Keeps a node registered: heartbeats, repair, and what its owner wants changed.
//!
//! ```text
//!            heartbeat unknown, something missing
//!  registered ------------------------------------> repair (with backoff) ---> registered
//!      |  heartbeats go on meanwhile, for a node that only lacks an app must not vanish      |
//!      +---------------- another start of the same node took over -----------> over <-------+
//! ```

use std::{ops::RangeInclusive, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::Instant,
};
use tracing::{info, warn};

use super::{
    agent::{Agent, Beat},
    body::{Body, bodies, id, ttl_check, validate},
    client::REQUEST,
    pace,
};
use crate::{
    Backoff, Health, LeaseState, NodeId, Pace, Registration, RegistryError, ServiceDef, clock::at,
};

/// Shortest wait for the answer to a heartbeat, however short the TTL is.
const MIN_REQUEST: Duration = Duration::from_secs(1);

/// Possible TTLs: shorter ones expire while an agent is busy, with longer ones the dead look alive.
const TTLS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);

/// What the owner of a lease wants.
#[derive(Debug)]
pub(super) enum Command {
    /// The node is as well as this.
    Health {
        health: Health,
        note: String,
        reply: oneshot::Sender<Result<(), RegistryError>>,
    },
    /// These are its services.
    Services {
        services: Vec<ServiceDef>,
        reply: oneshot::Sender<Result<(), RegistryError>>,
    },
}

/// Whose registration it is.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) node: NodeId,
    pub(super) boot: String,
    /// What the agent knows the node's own service by.
    pub(super) primary: String,
}

/// A registration and how it stands.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) agent: Arc<Agent>,
    pub(super) what: Registration,
    pub(super) health: Health,
    pub(super) note: String,
    standing: Standing,
    beat_at: Instant,
    /// Heartbeats without an answer since the last one that had one.
    missed: u32,
    look_at: Instant,
    state: watch::Sender<LeaseState>,
}

/// How a registration stands at the agent.
#[derive(Debug)]
enum Standing {
    /// All of it is there.
    Registered,
    /// Some of it may be missing; it is put there again at this time.
    Repair { at: Instant, backoff: Backoff },
    /// Somebody else has it now. The end.
    Over(RegistryError),
}

// === impl Keeper ===

impl Keeper {
    /// Registers a node: the agent has all of it, or an error is returned and what it has ends by itself.
    pub(super) async fn register(
        agent: Arc<Agent>,
        what: Registration,
    ) -> Result<Self, RegistryError> {
        if !TTLS.contains(&what.ttl) {
            return Err(RegistryError::Rejected {
                detail: format!("a TTL of {:?} is not possible: {TTLS:?} is", what.ttl),
            });
        }
        let now = Instant::now();
        let mut keeper = Self {
            agent,
            health: Health::Passing,
            note: String::new(),
            standing: Standing::Registered,
            beat_at: now + pace::beat(what.ttl),
            missed: 0,
            look_at: now + pace::look(what.ttl),
            state: watch::Sender::new(LeaseState::Pending),
            what,
        };
        keeper.put_all().await?;
        keeper.state.send_replace(LeaseState::Live);
        Ok(keeper)
    }

    pub(super) fn state(&self) -> watch::Receiver<LeaseState> {
        self.state.subscribe()
    }

    pub(super) fn identity(&self) -> Identity {
        Identity {
            node: self.what.node.clone(),
            boot: self.what.boot().to_owned(),
            primary: self.primary(),
        }
    }

    /// Keeps it until the commands end.
    pub(super) async fn keep(mut self, mut commands: mpsc::Receiver<Command>) {
        loop {
            let next = match &self.standing {
                Standing::Over(_) => None,
                Standing::Repair { at, .. } => Some(self.beat_at.min(*at)),
                Standing::Registered => Some(self.beat_at.min(self.look_at)),
            };
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.obey(command).await,
                    None => return,
                },
                () = at(next) => self.tick(Instant::now()).await,
            }
        }
    }

    async fn tick(&mut self, now: Instant) {
        if now >= self.beat_at {
            let _ = self.beat().await;
        }
        match &self.standing {
            Standing::Repair { at, .. } if now >= *at => {
                let _ = self.repair().await;
            }
            Standing::Registered if now >= self.look_at => {
                self.look_at = now + pace::look(self.what.ttl);
                if let Err(error) = self.put_missing().await {
                    self.failed(error);
                }
            }
            _ => {}
        }
    }

    async fn obey(&mut self, command: Command) {
        // Who no longer waits for the reply has dropped its receiver, which is no fault.
        match command {
            Command::Health {
                health,
                note,
                reply,
            } => {
                (self.health, self.note) = (health, note);
                let _ = reply.send(self.say_health().await);
            }
            Command::Services { services, reply } => {
                let _ = reply.send(self.change(services).await);
            }
        }
    }

    async fn say_health(&mut self) -> Result<(), RegistryError> {
        self.beat().await?;
        match self.standing {
            Standing::Registered => Ok(()),
            // It is forgotten, and as good as now put there anew.
            _ => self.repair().await,
        }
    }

    async fn change(&mut self, services: Vec<ServiceDef>) -> Result<(), RegistryError> {
        let wanted = Registration {
            services,
            ..self.what.clone()
        };
        let new = self.bodies_of(&wanted);
        validate(&new)?;
        let old = self.bodies_of(&self.what);
        self.what = wanted;
        match &self.standing {
            Standing::Over(error) => return Err(error.clone()),
            Standing::Repair { .. } => return self.repair().await,
            Standing::Registered => {}
        }
        let result = self.put_difference(&old, &new).await;
        result.inspect_err(|error| self.failed(error.clone()))
    }

    /// Sends a heartbeat and draws the conclusions. `Ok` means that there was an answer, which may have been that repair is needed.
    async fn beat(&mut self) -> Result<(), RegistryError> {
        if let Standing::Over(error) = &self.standing {
            return Err(error.clone());
        }
        let result = self.try_beat().await;
        match result {
            Ok(beat) => {
                self.missed = 0;
                self.beat_at = Instant::now() + pace::beat(self.what.ttl);
                match (beat, &self.standing) {
                    (Beat::Taken, Standing::Registered) => self.well(),
                    (Beat::Forgotten(why), Standing::Registered) => self.needs_repair(why),
                    _ => {}
                }
                Ok(())
            }
            Err(error) => {
                self.beat_at = Instant::now() + pace::retry(self.what.ttl, self.missed);
                self.missed = self.missed.saturating_add(1);
                self.failing(&error);
                Err(error)
            }
        }
    }

    async fn try_beat(&self) -> Result<Beat, RegistryError> {
        let limit = REQUEST.min(self.what.ttl).max(MIN_REQUEST);
        let primary = self.primary();
        match self.agent.held_as(&primary, limit).await? {
            None => {
                let agent = self.agent.place();
                Ok(Beat::Forgotten(format!(
                    "{agent} knows no `{primary}` any more; registering it again"
                )))
            }
            Some(held) if held.boot() > self.what.boot() => Err(self.conflict(held.place())),
            Some(held) if held.boot() < self.what.boot() => Ok(Beat::Forgotten(format!(
                "an earlier start of the node, at {}, has registered itself again",
                held.place()
            ))),
            Some(_) => {
                let check = ttl_check(&primary);
                self.agent
                    .beat(&check, self.health, &self.note, limit)
                    .await
            }
        }
    }

    /// In the midst of many registrations. An error means that there must be no more of them.
    pub(super) async fn beat_if_due(&mut self) -> Result<(), RegistryError> {
        if Instant::now() >= self.beat_at
            && let Err(error @ RegistryError::Conflict { .. }) = self.beat().await
        {
            return Err(error);
        }
        Ok(())
    }

    /// Registers everything anew, and decides when to try again.
    async fn repair(&mut self) -> Result<(), RegistryError> {
        if let Standing::Over(error) = &self.standing {
            return Err(error.clone());
        }
        match self.put_all().await {
            Ok(()) => {
                info!(node = %self.what.node, "registered again");
                self.standing = Standing::Registered;
                self.look_at = Instant::now() + pace::look(self.what.ttl);
                self.well();
                Ok(())
            }
            Err(error) => {
                self.failed(error.clone());
                Err(error)
            }
        }
    }

    pub(super) fn conflict(&self, holder: String) -> RegistryError {
        RegistryError::Conflict {
            node: self.what.node.clone(),
            holder,
        }
    }

    pub(super) fn primary(&self) -> String {
        id(self.what.primary.name.as_str(), &self.what.node)
    }

    pub(super) fn bodies_of(&self, what: &Registration) -> Vec<Body> {
        bodies(&self.agent.config, &self.agent.names, what, self.health)
    }

    fn well(&self) {
        self.state.send_if_modified(|state| {
            let news = *state != LeaseState::Live;
            *state = LeaseState::Live;
            news
        });
    }

    /// Something failed, and the heartbeats tell whether it matters.
    fn failing(&mut self, error: &RegistryError) {
        if let RegistryError::Conflict { holder, .. } = error {
            self.standing = Standing::Over(error.clone());
            let holder = holder.clone();
            self.state.send_replace(LeaseState::Superseded { holder });
            return;
        }
        self.say(error.to_string());
    }

    /// A registration failed: it has to be made again, later.
    fn failed(&mut self, error: RegistryError) {
        if !matches!(error, RegistryError::Conflict { .. }) {
            let mut backoff = match std::mem::replace(&mut self.standing, Standing::Registered) {
                Standing::Repair { backoff, .. } => backoff,
                _ => Backoff::default(),
            };
            let pace = Pace::after(&error).unwrap_or(Pace::Slow);
            let at = Instant::now() + backoff.wait(pace);
            self.standing = Standing::Repair { at, backoff };
        }
        self.failing(&error);
    }

    fn needs_repair(&mut self, why: String) {
        self.standing = Standing::Repair {
            at: Instant::now(),
            backoff: Backoff::default(),
        };
        self.say(why);
    }

    fn say(&self, why: String) {
        self.state.send_if_modified(|state| {
            let since = match state {
                LeaseState::Retrying { detail, .. } if *detail == why => return false,
                LeaseState::Retrying { since, .. } => *since,
                _ => {
                    warn!(node = %self.what.node, %why, "the registration is in danger");
                    Instant::now()
                }
            };
            *state = LeaseState::Retrying { since, detail: why };
            true
        });
    }
}
