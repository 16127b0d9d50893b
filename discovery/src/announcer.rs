//! Keeps one node announced in every registry that can.
//!
//! ```text
//!             accepted                    found by a look-up
//!   Pending ----------> Live ----------------------------------> Live
//!      ^  |              |  |  not found for ten seconds
//!      |  | refused      |  +----------------------------------> Invisible (looked for again)
//!      |  v              v  lost: the lease itself makes it anew
//!      Retrying <--------+  superseded: registered again, slowly
//! ```

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tracing::{debug, error, info, warn};

use crate::{
    Backoff, Health, Lease, LeaseState, Pace, Registration, Registry, RegistryError, directory,
};

/// How long an accepted node may take to be found: more than any registry needs to spread the news, and less than a person waits.
const VISIBLE_WITHIN: Duration = Duration::from_secs(10);
/// How often it is looked for meanwhile.
const LOOK: Duration = Duration::from_millis(500);
/// How often a node that was not found is looked for afterwards: a right that was granted is noticed within a minute.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// How long one look may take. A registry in trouble must not keep the announcer from news.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);

/// What to say of a node that was accepted and is not found.
const INVISIBLE: &str =
    "registered but not visible: may the registry's token read nodes and services?";

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
    Announced {
        what: Box<Registration>,
        health: Health,
        note: String,
    },
    Withdrawn,
}

/// One registry's part.
struct Keeper {
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
    /// The wish is gone, and what was announced is taken back.
    Withdrawn,
    /// More than the services has changed: the node is announced anew, over the old entry.
    Changed(Box<dyn Lease>),
    /// Another start of the node has the name.
    Superseded(String),
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
        let wanted = watch::Sender::new(Wanted::Announced {
            what: Box::new(what),
            health: Health::Passing,
            note: String::new(),
        });
        let mut tasks = JoinSet::new();
        for (index, (registry, name)) in can.into_iter().enumerate() {
            let keeper = Keeper {
                registry: Arc::clone(registry),
                name,
                index,
                wanted: wanted.subscribe(),
                states: states.clone(),
                backoff: Backoff::default(),
                last_said: String::new(),
            };
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
        self.change(|what, _, _| *what = new);
    }

    /// Says how well the node is; registries that know no health are told nothing.
    pub fn set_health(&self, new: Health, why: &str) {
        self.change(|_, health, note| {
            *health = new;
            why.clone_into(note);
        });
    }

    fn change(&self, change: impl FnOnce(&mut Registration, &mut Health, &mut String)) {
        self.wanted.send_if_modified(|wanted| {
            let before = wanted.clone();
            if let Wanted::Announced { what, health, note } = wanted {
                change(what, health, note);
            }
            *wanted != before
        });
    }

    /// Takes everything back and returns when the registries have agreed. The caller sets the deadline; a registry that did not
    /// answer by then forgets the node after its TTL.
    pub async fn withdraw(mut self) {
        self.wanted.send_replace(Wanted::Withdrawn);
        while self.tasks.join_next().await.is_some() {}
    }
}

// === impl Keeper ===

impl Keeper {
    async fn run(mut self) {
        // A lease that is to be replaced lives until its successor has been accepted, so that the node never vanishes in between.
        let mut old: Option<Box<dyn Lease>> = None;
        loop {
            let wanted = self.wanted.borrow_and_update().clone();
            let Wanted::Announced { what, health, note } = wanted else {
                if let Some(lease) = old {
                    self.deregister(lease).await;
                }
                return;
            };
            // Not given up when something else is wanted: half a registration would stay behind.
            let error = match self.registry.register((*what).clone()).await {
                Err(error) => error,
                Ok(lease) => {
                    drop(old.take());
                    info!(registry = %self.name, node = %what.node, "registered");
                    self.last_said.clear();
                    self.backoff.reset();
                    match self.hold(lease, (*what).clone(), health, note).await {
                        Released::Withdrawn => return,
                        Released::Changed(lease) => {
                            old = Some(lease);
                            continue;
                        }
                        Released::Superseded(holder) => RegistryError::Conflict {
                            node: what.node,
                            holder,
                        },
                    }
                }
            };
            if !self.wait_after(&error).await {
                return;
            }
        }
    }

    /// Waits as the error demands, or until something else is wanted. `false` when more tries are useless.
    async fn wait_after(&mut self, error: &RegistryError) -> bool {
        let text = error.to_string();
        if text != self.last_said {
            match error {
                RegistryError::Unavailable { .. } => {
                    warn!(registry = %self.name, error = %text, "cannot register; trying again");
                }
                _ => error!(registry = %self.name, error = %text, "cannot register"),
            }
            self.last_said.clone_from(&text);
        }
        self.report(LeaseState::Retrying {
            since: Instant::now(),
            detail: text,
        });
        let Some(pace) = Pace::after(error) else {
            return false;
        };
        let wait = self.backoff.wait(pace);
        let _ = timeout(wait, self.wanted.changed()).await;
        true
    }

    /// Keeps a registration as wanted, until it cannot be.
    async fn hold(
        &mut self,
        lease: Box<dyn Lease>,
        mut what: Registration,
        mut health: Health,
        mut note: String,
    ) -> Released {
        if health != Health::Passing {
            self.told("health", lease.set_health(health, &note).await);
        }
        let mut state = lease.state();
        let is_visible = watch::Sender::new(true);
        let mut visible = is_visible.subscribe();
        let mut looking = JoinSet::new();
        looking.spawn(look(Arc::clone(&self.registry), what.clone(), is_visible));
        loop {
            let now = state.borrow_and_update().clone();
            match now {
                LeaseState::Superseded { holder } => return Released::Superseded(holder),
                LeaseState::Live if !*visible.borrow_and_update() => self.invisible(),
                other => self.report(other),
            }
            tokio::select! {
                Ok(()) = state.changed() => {}
                Ok(()) = visible.changed() => {}
                Ok(()) = self.wanted.changed() => {
                    let wanted = self.wanted.borrow_and_update().clone();
                    let Wanted::Announced { what: new, health: new_health, note: new_note } = wanted else {
                        self.deregister(lease).await;
                        return Released::Withdrawn;
                    };
                    if what.services != new.services {
                        let told = lease.update(new.services.clone()).await;
                        self.told("services", told);
                        what.services.clone_from(&new.services);
                    }
                    if what != *new {
                        return Released::Changed(lease);
                    }
                    if (health, &note) != (new_health, &new_note) {
                        (health, note) = (new_health, new_note);
                        let told = lease.set_health(health, &note).await;
                        self.told("health", told);
                    }
                }
                // The announcer is gone, and this task is about to be aborted.
                else => return Released::Withdrawn,
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

    /// What came of telling the lease something. It keeps what it was told and says it again by itself.
    fn told(&self, what: &str, result: Result<(), RegistryError>) {
        if let Err(error) = result {
            debug!(registry = %self.name, what, %error, "the registry did not take it yet");
        }
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

/// Looks whether the registry shows a node that it has accepted, and says so when it does not.
async fn look(registry: Arc<dyn Registry>, what: Registration, is_visible: watch::Sender<bool>) {
    let late = Instant::now() + VISIBLE_WITHIN;
    loop {
        let look = registry.find(&what.primary.name, &what.node);
        match timeout(LOOK_TIMEOUT, look).await {
            Ok(Ok(Some(found))) if found.boot() == what.boot() => {
                is_visible.send_if_modified(|visible| !std::mem::replace(visible, true));
                return;
            }
            Ok(Ok(_)) if Instant::now() >= late => {
                is_visible.send_if_modified(|visible| std::mem::replace(visible, false));
            }
            // No answer is no news: whether the registry is well is the lease's and the directory's to say.
            _ => {}
        }
        sleep(if Instant::now() < late {
            LOOK
        } else {
            LOOK_AGAIN
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Memory, NodeId, ServiceDef, ServiceName};

    fn service(name: &str) -> ServiceName {
        ServiceName::new(name).unwrap()
    }

    fn node(boot: &str, apps: &[&str]) -> Registration {
        let mut primary = ServiceDef::new(service("noded"));
        primary.meta.insert("boot".to_owned(), boot.to_owned());
        Registration {
            node: NodeId::new("n1").unwrap(),
            host: "::1".to_owned(),
            port: 1,
            primary,
            services: apps
                .iter()
                .map(|app| ServiceDef::new(service(app)))
                .collect(),
            ttl: Duration::from_secs(15),
        }
    }

    fn registries(memory: &Memory) -> Vec<Arc<dyn Registry>> {
        vec![Arc::new(memory.clone())]
    }

    async fn becomes(announcer: &Announcer, wanted: impl Fn(&LeaseState) -> bool) {
        let mut states = announcer.states();
        let reached = states.wait_for(|all| all.iter().all(|one| wanted(&one.state)));
        timeout(Duration::from_secs(600), reached)
            .await
            .unwrap()
            .unwrap();
    }

    async fn offered(memory: &Memory, name: &str) -> Vec<crate::Instance> {
        memory.lookup(&service(name)).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_is_announced_changed_and_taken_back() {
        let memory = Memory::new();
        let announcer = Announcer::new(&registries(&memory), node("1", &["a"]));
        becomes(&announcer, |state| *state == LeaseState::Live).await;
        assert_eq!(offered(&memory, "a").await.len(), 1);

        let mut watch = memory.watch(&service("noded"));
        announcer.announce(node("1", &["b"]));
        announcer.set_health(Health::Warning, "draining");
        while offered(&memory, "b").await.first().map(|one| one.health) != Some(Health::Warning) {
            tokio::task::yield_now().await;
        }
        assert!(offered(&memory, "a").await.is_empty());

        let mut labelled = node("1", &["b"]);
        labelled
            .primary
            .meta
            .insert("label_zone".to_owned(), "z".to_owned());
        announcer.announce(labelled);
        while offered(&memory, "noded").await[0].meta.len() != 2 {
            tokio::task::yield_now().await;
        }
        while offered(&memory, "noded").await[0].health != Health::Warning {
            tokio::task::yield_now().await;
        }

        announcer.withdraw().await;
        assert!(offered(&memory, "noded").await.is_empty());
        use futures_util::StreamExt as _;
        let mut last = watch.next().await.unwrap().unwrap();
        while !last.is_empty() {
            assert_eq!(
                last.len(),
                1,
                "never gone and never there twice before the end"
            );
            last = watch.next().await.unwrap().unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_registry_that_fails_is_tried_until_it_works() {
        let memory = Memory::new();
        memory.break_with(RegistryError::unavailable("unplugged"));
        let announcer = Announcer::new(&registries(&memory), node("1", &[]));
        becomes(
            &announcer,
            |state| matches!(state, LeaseState::Retrying { detail, .. } if detail == "unplugged"),
        )
        .await;
        memory.mend();
        becomes(&announcer, |state| *state == LeaseState::Live).await;
    }

    #[tokio::test(start_paused = true)]
    async fn an_older_start_waits_until_the_newer_one_has_left() {
        let memory = Memory::new();
        let newer = Announcer::new(&registries(&memory), node("2", &[]));
        becomes(&newer, |state| *state == LeaseState::Live).await;
        let older = Announcer::new(&registries(&memory), node("1", &[]));
        becomes(&older, |state| {
            matches!(state, LeaseState::Retrying { detail, .. } if detail.contains("another live node"))
        })
        .await;
        newer.withdraw().await;
        becomes(&older, |state| *state == LeaseState::Live).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_withdrawal_does_not_wait_for_a_registry_that_never_accepted() {
        let memory = Memory::new();
        memory.break_with(RegistryError::unavailable("unplugged"));
        let announcer = Announcer::new(&registries(&memory), node("1", &[]));
        timeout(Duration::from_secs(1), announcer.withdraw())
            .await
            .unwrap();
    }
}
