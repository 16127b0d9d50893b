//! Keeps one node announced in every registry that can.
//!
//! ```text
//!             accepted                    found by a look-up
//!   Pending ----------> Live ----------------------------------> Live
//!      ^  |              |  |  not found for ten seconds
//!      |  | refused      |  +----------------------------------> Invisible (looked for again)
//!      |  v              v  lost: the lease itself makes it anew
//!      Retrying <--------+  superseded, or the lease's task has ended: registered again, slowly
//! ```

mod keeper;
mod visibility;

use std::sync::Arc;

use tokio::{sync::watch, task::JoinSet};

use self::keeper::Keeper;
use crate::{Health, LeaseState, Registration, Registry, directory};

/// How the announcement stands in one registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
    /// The registry, named as in [`Source`](crate::Source).
    pub registry: Arc<str>,
    /// How it stands.
    pub state: LeaseState,
}

/// Keeps a node announced: registers until it is accepted, looks whether the node can be found, and takes it all back at the end.
///
/// Dropping it ends the renewal and takes nothing back.
#[derive(Debug)]
pub struct Announcer {
    wanted: watch::Sender<Wanted>,
    states: watch::Receiver<Arc<[Announced]>>,
    tasks: JoinSet<()>,
}

/// What the registries are to know.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    Announced(Box<Wish>),
    Withdrawn,
}

/// What is announced.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wish {
    what: Registration,
    health: Health,
    /// Why it is as well as that.
    note: String,
}

// === impl Announcer ===

impl Announcer {
    /// Begins to announce in all of these registries that can, [`Health::Passing`].
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    #[must_use]
    pub fn new(registries: &[Arc<dyn Registry>], what: Registration) -> Self {
        let names = directory::names(registries);
        let can: Vec<_> = registries
            .iter()
            .zip(names)
            .filter(|(registry, _)| registry.abilities().registers)
            .collect();
        let pending = |(_, name): &(&Arc<dyn Registry>, Arc<str>)| Announced {
            registry: Arc::clone(name),
            state: LeaseState::Pending,
        };
        let states = watch::Sender::new(can.iter().map(pending).collect());
        let wanted = watch::Sender::new(Wanted::Announced(Box::new(Wish {
            what,
            health: Health::Passing,
            note: String::new(),
        })));
        let mut tasks = JoinSet::new();
        for (index, (registry, name)) in can.into_iter().enumerate() {
            let registry = Arc::clone(registry);
            let keeper = Keeper::new(registry, name, index, wanted.subscribe(), states.clone());
            tasks.spawn(keeper.run());
        }
        Self {
            wanted,
            states: states.subscribe(),
            tasks,
        }
    }

    /// How it stands, now and later: one entry for each registry that can be registered with, in their order.
    #[must_use]
    pub fn states(&self) -> watch::Receiver<Arc<[Announced]>> {
        self.states.clone()
    }

    /// Changes what is announced. Registries are told only what differs.
    pub fn announce(&self, new: Registration) {
        self.change(|wish| wish.what = new);
    }

    /// Says how well the node is; registries that know no health are told nothing.
    pub fn set_health(&self, new: Health, why: &str) {
        self.change(|wish| {
            wish.health = new;
            why.clone_into(&mut wish.note);
        });
    }

    fn change(&self, change: impl FnOnce(&mut Wish)) {
        self.wanted.send_if_modified(|wanted| {
            let Wanted::Announced(wish) = wanted else {
                return false;
            };
            let before = wish.clone();
            change(wish);
            *wish != before
        });
    }

    /// Takes everything back and returns when the registries have agreed. A registration that is under way is waited for, or half of it
    /// would stay behind. The caller sets the deadline; a registry that did not answer by then forgets the node after its TTL.
    pub async fn withdraw(mut self) {
        self.wanted.send_replace(Wanted::Withdrawn);
        while self.tasks.join_next().await.is_some() {}
    }
}

#[cfg(test)]
mod tests;
