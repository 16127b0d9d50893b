//! One registry's part of an announcement.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tracing::{debug, error, info, warn};

use super::{Announced, Wanted, Wish, visibility::look};
use crate::{Backoff, Lease, LeaseState, Pace, Registry, RegistryError};

/// How long a registration has to last for the next one to be made eagerly. Two nodes that take one name from each other must not go
/// on doing so every few seconds; this is twice the longest wait.
const STEADY: Duration = Duration::from_secs(120);

/// What to say of a node that was accepted and is not found.
const INVISIBLE: &str =
    "registered but not visible: may the registry's token read nodes and services?";

/// Keeps a node announced in one registry.
pub(super) struct Keeper {
    registry: Arc<dyn Registry>,
    name: Arc<str>,
    index: usize,
    wanted: watch::Receiver<Wanted>,
    states: watch::Sender<Arc<[Announced]>>,
    backoff: Backoff,
    /// Said once, until something else is to be said.
    last_said: String,
}

/// Why a lease is no longer held.
enum Released {
    /// The wish is gone.
    Withdrawn,
    /// More has changed than a lease can be told: the node is announced anew, over the old entry.
    Changed,
    /// It does not take over what it was told. Registering all of it says why not, and goes on trying.
    Refused(RegistryError),
    /// It no longer renews.
    Over(RegistryError),
}

// === impl Keeper ===

impl Keeper {
    pub(super) fn new(
        registry: Arc<dyn Registry>,
        name: Arc<str>,
        index: usize,
        wanted: watch::Receiver<Wanted>,
        states: watch::Sender<Arc<[Announced]>>,
    ) -> Self {
        Self {
            registry,
            name,
            index,
            wanted,
            states,
            backoff: Backoff::default(),
            last_said: String::new(),
        }
    }

    /// Registers as often as it takes, until the wish is gone.
    pub(super) async fn run(mut self) {
        // A lease that is to be replaced lives until its successor has been accepted, so that the node never vanishes in between.
        let mut old: Option<Box<dyn Lease>> = None;
        loop {
            let wanted = self.wanted.borrow_and_update().clone();
            let Wanted::Announced(wish) = wanted else {
                if let Some(lease) = old {
                    self.deregister(lease).await;
                }
                return;
            };
            // Not given up when something else is wanted: half a registration would stay behind.
            let error = match self.registry.register(wish.what.clone()).await {
                Err(error) => error,
                Ok(lease) => {
                    drop(old.take());
                    info!(registry = %self.name, node = %wish.what.node, "registered");
                    self.last_said.clear();
                    let registered = Instant::now();
                    let released = self.hold(&*lease, (*wish).clone()).await;
                    match released {
                        Released::Withdrawn => return self.deregister(lease).await,
                        Released::Changed => {
                            self.backoff.reset();
                            old = Some(lease);
                            continue;
                        }
                        Released::Refused(error) => {
                            old = Some(lease);
                            self.calm_down(registered);
                            error
                        }
                        Released::Over(error) => {
                            self.calm_down(registered);
                            error
                        }
                    }
                }
            };
            self.say(&error);
            let Some(pace) = Pace::after(&error) else {
                return;
            };
            let until = Instant::now() + self.backoff.wait(pace);
            self.pause(until, &wish, &error).await;
        }
    }

    /// Begins with short waits again after a registration that has lasted.
    fn calm_down(&mut self, registered: Instant) {
        if registered.elapsed() >= STEADY {
            self.backoff.reset();
        }
    }

    /// Waits until then, or until what is wanted now may be accepted where `tried` was not.
    async fn pause(&mut self, until: Instant, tried: &Wish, error: &RegistryError) {
        // In trouble, a registry takes no more of a new wish than of the old one, and must not be asked at every change.
        let depends = matches!(
            error,
            RegistryError::Rejected { .. } | RegistryError::Conflict { .. }
        );
        let wanted = self.wanted.wait_for(|wanted| match wanted {
            Wanted::Withdrawn => true,
            Wanted::Announced(wish) => depends && wish.what != tried.what,
        });
        tokio::select! {
            () = sleep_until(until) => {}
            _ = wanted => {}
        }
    }

    /// Keeps a registration as wanted, until it cannot be.
    async fn hold(&mut self, lease: &dyn Lease, registered: Wish) -> Released {
        let mut state = lease.state();
        let is_visible = watch::Sender::new(true);
        let mut visible = is_visible.subscribe();
        let mut looking = JoinSet::new();
        let what = registered.what.clone();
        looking.spawn(look(Arc::clone(&self.registry), what, is_visible));
        // What the lease was told, or is being told. Whoever registers is well.
        let mut told = Wish {
            health: crate::Health::Passing,
            note: String::new(),
            ..registered
        };
        let mut telling: Option<BoxFuture<'_, Result<(), RegistryError>>> = None;
        let mut ended = self.wanted.clone();
        self.wanted.mark_changed();
        loop {
            match state.borrow_and_update().clone() {
                LeaseState::Superseded { holder } => {
                    let node = told.what.node;
                    return Released::Over(RegistryError::Conflict { node, holder });
                }
                LeaseState::Live if !*visible.borrow_and_update() => self.invisible(),
                other => self.report(other),
            }
            tokio::select! {
                changed = state.changed() => if changed.is_err() {
                    let detail = "the task that renews the registration has ended; registering again";
                    return Released::Over(RegistryError::unavailable(detail));
                },
                Ok(()) = visible.changed() => {}
                result = done(&mut telling) => {
                    telling = None;
                    match result {
                        Ok(()) => {}
                        Err(error @ RegistryError::Rejected { .. }) => return Released::Refused(error),
                        // It keeps what it was told and says it again by itself.
                        Err(error) => debug!(registry = %self.name, %error, "the registry did not take it yet"),
                    }
                }
                // One thing is told after the other, and news is not missed meanwhile.
                Ok(()) = self.wanted.changed(), if telling.is_none() => {
                    let wish = match &*self.wanted.borrow_and_update() {
                        Wanted::Withdrawn => return Released::Withdrawn,
                        Wanted::Announced(wish) => (**wish).clone(),
                    };
                    let services = std::mem::replace(&mut told.what.services, wish.what.services.clone());
                    if told.what != wish.what {
                        return Released::Changed;
                    }
                    let (services, health) = (services != wish.what.services, (told.health, &told.note) != (wish.health, &wish.note));
                    told = wish.clone();
                    telling = Some(Box::pin(tell(lease, wish, services, health)));
                }
                // A lease that is slow to take something is not waited for any more.
                () = withdrawn(&mut ended), if telling.is_some() => return Released::Withdrawn,
            }
        }
    }

    async fn deregister(&self, lease: Box<dyn Lease>) {
        match lease.deregister().await {
            Ok(()) => info!(registry = %self.name, "deregistered"),
            Err(error) => {
                warn!(registry = %self.name, %error, "cannot deregister; the registry forgets this node after its TTL");
            }
        }
    }

    /// Says that it has to be tried again, and why; the same reason only once.
    fn say(&mut self, error: &RegistryError) {
        let detail = error.to_string();
        if detail != self.last_said {
            match error {
                RegistryError::Unavailable { .. } => {
                    warn!(registry = %self.name, error = %detail, "cannot register; trying again");
                }
                _ => error!(registry = %self.name, error = %detail, "cannot register"),
            }
            self.last_said.clone_from(&detail);
        }
        let since = match &self.states.borrow()[self.index].state {
            LeaseState::Retrying { since, .. } => *since,
            _ => Instant::now(),
        };
        self.report(LeaseState::Retrying { since, detail });
    }

    fn invisible(&mut self) {
        if self.last_said != INVISIBLE {
            warn!(registry = %self.name, "{INVISIBLE}");
            INVISIBLE.clone_into(&mut self.last_said);
        }
        self.report(LeaseState::Invisible {
            detail: INVISIBLE.to_owned(),
        });
    }

    fn report(&self, state: LeaseState) {
        self.states.send_if_modified(|states| {
            if states[self.index].state == state {
                return false;
            }
            let mut all = states.to_vec();
            all[self.index].state = state;
            *states = all.into();
            true
        });
    }
}

/// Tells a lease what differs.
async fn tell(
    lease: &dyn Lease,
    wish: Wish,
    services: bool,
    health: bool,
) -> Result<(), RegistryError> {
    let updated = match services {
        true => lease.update(wish.what.services).await,
        false => Ok(()),
    };
    if health {
        // Told even where the services were not taken: it reaches those that are there.
        let said = lease.set_health(wish.health, &wish.note).await;
        return updated.and(said);
    }
    updated
}

/// What comes of telling; for ever nothing while nothing is told.
async fn done(
    telling: &mut Option<BoxFuture<'_, Result<(), RegistryError>>>,
) -> Result<(), RegistryError> {
    match telling {
        Some(telling) => telling.await,
        None => std::future::pending().await,
    }
}

async fn withdrawn(wanted: &mut watch::Receiver<Wanted>) {
    let _gone = wanted.wait_for(|wanted| *wanted == Wanted::Withdrawn).await;
}
