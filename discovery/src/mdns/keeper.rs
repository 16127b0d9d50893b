//! The task that keeps one node announced.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep, timeout},
};
use tracing::warn;

use super::{
    Mdns,
    lease::Command,
    link::{Link, View},
    responder::Responder,
    txt,
};
use crate::{
    Backoff, Health, LeaseState, Pace, Registration, RegistryError, ServiceDef, clock::at,
};

/// How long the own instance may be missing from what is seen before it is announced again: somebody's goodbye for the same name
/// takes effect after a second, and an announcement in between would be lost with it.
const MISSING: Duration = Duration::from_secs(1);
/// How often that time doubles when it is in vain: up to about a minute, when everybody asks again anyway.
const MISSING_DOUBLINGS: u32 = 6;
/// How long `deregister` waits for the library to take notice; it does so within milliseconds.
const GOODBYE: Duration = Duration::from_millis(500);
/// How long it then waits for the goodbye to go out a second time, which the library does after 120 ms.
const GOODBYE_AGAIN: Duration = Duration::from_millis(200);
/// What is to be announced.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) what: Registration,
    pub(super) health: Health,
    /// Counts the changes.
    pub(super) generation: u64,
}

/// The task of a lease.
pub(super) struct Keeper {
    mdns: Mdns,
    wanted: Wanted,
    state: watch::Sender<LeaseState>,
    /// Tells this registration from later ones of the same node in this process.
    number: u64,
    standing: Standing,
    backoff: Backoff,
}

/// How it stands.
enum Standing {
    /// Announced; `missing` is when to announce again because the instance, once seen, is seen no more.
    Announced {
        responder: Responder,
        view: watch::Receiver<View>,
        seen: bool,
        missing: Option<Instant>,
        /// How often that was in vain.
        again: u32,
    },
    /// Not announced. The link is kept to see whether the other holder of the name leaves.
    Waiting {
        until: Instant,
        why: RegistryError,
        link: Option<Arc<Link>>,
    },
}

/// What happened to a lease.
enum Event {
    Command(Option<Command>),
    Seen,
    Due,
}

// === impl Keeper ===

impl Keeper {
    /// Of a node that is well. Nothing is announced yet.
    pub(super) fn new(mdns: Mdns, what: Registration) -> Self {
        static REGISTRATIONS: AtomicU64 = AtomicU64::new(0);
        Self {
            mdns,
            wanted: Wanted {
                what,
                health: Health::Passing,
                generation: 0,
            },
            state: watch::Sender::new(LeaseState::Pending),
            number: REGISTRATIONS.fetch_add(1, Ordering::Relaxed),
            standing: Standing::waiting(),
            backoff: Backoff::default(),
        }
    }

    pub(super) fn state(&self) -> watch::Receiver<LeaseState> {
        self.state.subscribe()
    }

    /// Announces the node, says what came of it, and keeps it announced until the commands end.
    pub(super) async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        accepted: oneshot::Sender<Result<(), RegistryError>>,
    ) {
        let first = self.announce().await;
        let failed = first.is_err();
        // Nobody waits any more: then the channel of commands is closed too.
        let _whoever_waits = accepted.send(first);
        if failed {
            return;
        }
        loop {
            match self.event(&mut commands).await {
                Event::Command(None) => return self.withdraw().await,
                Event::Command(Some(Command::Deregister(reply))) => {
                    self.withdraw().await;
                    let _whoever_waits = reply.send(Ok(()));
                    return;
                }
                Event::Command(Some(Command::Health(health, reply))) => {
                    self.wanted.health = health;
                    let _whoever_waits = reply.send(self.change().await);
                }
                Event::Command(Some(Command::Update(services, reply))) => {
                    let _whoever_waits = reply.send(self.update(services).await);
                }
                Event::Seen => self.inspect().await,
                Event::Due => self.try_again().await,
            }
        }
    }

    async fn event(&mut self, commands: &mut mpsc::Receiver<Command>) -> Event {
        let due = match &self.standing {
            Standing::Announced { missing, .. } => *missing,
            Standing::Waiting { until, .. } => Some(*until),
        };
        let view = match &mut self.standing {
            Standing::Announced { view, .. } => Some(view),
            Standing::Waiting { .. } => None,
        };
        tokio::select! {
            command = commands.recv() => Event::Command(command),
            () = changed(view) => Event::Seen,
            () = at(due) => Event::Due,
        }
    }

    /// Announces what is wanted, and from then on stands for it.
    async fn announce(&mut self) -> Result<(), RegistryError> {
        let link = self.mdns.link()?;
        self.claim(&link)?;
        let standing = match std::mem::replace(&mut self.standing, Standing::waiting()) {
            Standing::Announced { responder, .. } if Arc::ptr_eq(responder.link(), &link) => {
                Some(responder)
            }
            _ => None,
        };
        let mut responder = standing
            .unwrap_or_else(|| Responder::new(&link, &self.mdns.settings, &self.wanted.what));
        let announced = match responder.announce(&self.wanted).await {
            Ok(()) => self.judged(&link).await,
            refused => refused,
        };
        if let Err(error) = announced {
            self.leave(responder).await;
            return Err(error);
        }
        self.standing = Standing::Announced {
            responder,
            view: link.view(),
            seen: false,
            missing: None,
            again: 0,
        };
        self.backoff.reset();
        self.state.send_replace(LeaseState::Live);
        Ok(())
    }

    /// Waits until all who are on the link had time to answer, and looks whether another one has the name.
    async fn judged(&self, link: &Link) -> Result<(), RegistryError> {
        let mut view = link.view();
        let known = view.wait_for(|view| view.full || view.dead.is_some()).await;
        if let Some(error) = known.ok().and_then(|view| view.dead.clone()) {
            return Err(error);
        }
        self.rival(link).map_or(Ok(()), Err)
    }

    /// Announces a change; a lease that waits keeps it for later.
    async fn change(&mut self) -> Result<(), RegistryError> {
        self.wanted.generation += 1;
        if let Standing::Waiting { why, .. } = &self.standing {
            return Err(why.clone());
        }
        let result = self.announce().await;
        if let Err(error) = &result {
            self.fail(error.clone()).await;
        }
        result
    }

    async fn update(&mut self, services: Vec<ServiceDef>) -> Result<(), RegistryError> {
        let prefix = &self.mdns.settings.names.app_prefix;
        let mut what = self.wanted.what.clone();
        // The tags name the apps: those that go, go there too.
        for gone in &what.services {
            if let Some(app) = gone.name.as_str().strip_prefix(&**prefix) {
                what.primary.tags.remove(app);
            }
        }
        what.services = services;
        txt::encode(&what, prefix, self.wanted.generation, self.wanted.health)?;
        self.wanted.what = what;
        self.change().await
    }

    /// Looks at what is seen on the link.
    async fn inspect(&mut self) {
        let Standing::Announced {
            responder,
            view,
            seen,
            missing,
            again,
        } = &mut self.standing
        else {
            return;
        };
        let link = Arc::clone(responder.link());
        let look = view.borrow_and_update().clone();
        if let Some(error) = look.dead {
            return self.wait(error, None);
        }
        let node = &self.wanted.what.node;
        let holder = look.sets.nodes.get(node);
        match holder.is_some_and(|holder| holder.boot == self.wanted.what.boot()) {
            true => (*seen, *missing, *again) = (true, None, 0),
            false if *seen && look.full && missing.is_none() => {
                *missing = Some(Instant::now() + MISSING);
            }
            false => {}
        }
        if let Some(rival) = self.rival(&link) {
            self.fail(rival).await;
        }
    }

    /// It is time to announce again.
    async fn try_again(&mut self) {
        if let Standing::Waiting {
            why: why @ RegistryError::Conflict { .. },
            link: Some(link),
            ..
        } = &self.standing
            && !link.is_dead()
            && self.rival(link).is_some()
        {
            let (why, link) = (why.clone(), Arc::clone(link));
            return self.wait(why, Some(link));
        }
        let again = match &self.standing {
            Standing::Announced { again, .. } => again.saturating_add(1),
            Standing::Waiting { .. } => 0,
        };
        if let Err(error) = self.announce().await {
            self.fail(error).await;
        } else if again > 0
            && let Standing::Announced {
                seen,
                missing,
                again: tries,
                ..
            } = &mut self.standing
        {
            // It was seen before, and until it is seen again nothing else may come to look at.
            (*seen, *tries) = (true, again);
            *missing = Some(Instant::now() + MISSING * (1 << again.min(MISSING_DOUBLINGS)));
        }
    }

    /// Takes back what is announced, and waits. A rival is looked out for meanwhile.
    async fn fail(&mut self, why: RegistryError) {
        self.withdraw().await;
        let link = match why {
            RegistryError::Conflict { .. } => self.mdns.used_link(),
            _ => None,
        };
        self.wait(why, link);
    }

    /// Waits before the next try, and says why.
    fn wait(&mut self, why: RegistryError, link: Option<Arc<Link>>) {
        let pace = Pace::after(&why).unwrap_or(Pace::Slow);
        self.state.send_modify(|state| {
            let detail = why.to_string();
            let since = match state {
                LeaseState::Retrying { since, .. } => *since,
                _ => {
                    warn!(node = %self.wanted.what.node, error = %detail, "the node is not announced any more");
                    Instant::now()
                }
            };
            *state = LeaseState::Retrying { since, detail };
        });
        self.standing = Standing::Waiting {
            until: Instant::now() + self.backoff.wait(pace),
            why,
            link,
        };
    }

    /// Takes the node's name in this process.
    fn claim(&self, link: &Link) -> Result<(), RegistryError> {
        if let Some(rival) = self.rival(link) {
            return Err(rival);
        }
        let what = &self.wanted.what;
        let own = (self.number, what.boot().to_owned());
        link.owners().insert(what.node.clone(), own);
        Ok(())
    }

    /// Another holder of the node's name: one of this process, or a newer start on the link.
    fn rival(&self, link: &Link) -> Option<RegistryError> {
        let what = &self.wanted.what;
        let conflict = |holder: String| RegistryError::Conflict {
            node: what.node.clone(),
            holder,
        };
        let owners = link.owners();
        if let Some((number, boot)) = owners.get(&what.node)
            && (boot.as_str(), *number) > (what.boot(), self.number)
        {
            return Some(conflict("in this process".to_owned()));
        }
        drop(owners);
        let view = link.view();
        let view = view.borrow();
        let holder = view.sets.nodes.get(&what.node)?;
        let newer = holder.boot.as_str() > what.boot();
        newer.then(|| conflict(format!("{}, started later", holder.at)))
    }

    async fn withdraw(&mut self) {
        let standing = std::mem::replace(&mut self.standing, Standing::waiting());
        if let Standing::Announced { responder, .. } = standing {
            self.leave(responder).await;
        }
    }

    /// Says goodbye, unless another registration of this process has the name now.
    async fn leave(&self, responder: Responder) {
        let link = Arc::clone(responder.link());
        let node = &self.wanted.what.node;
        {
            let mut owners = link.owners();
            match owners.get(node) {
                Some((number, _)) if *number == self.number => owners.remove(node),
                _ => return,
            };
        }
        if timeout(GOODBYE, responder.withdraw()).await.is_ok() {
            sleep(GOODBYE_AGAIN).await;
        }
        let holder = link.view().borrow().sets.nodes.get(node).cloned();
        if let Some(holder) = holder.filter(|holder| holder.boot == self.wanted.what.boot()) {
            link.forget(&holder.fullname).await;
        }
    }
}

/// Waits for another view; for ever without one. Its sender lives in the link that the lease holds.
async fn changed(view: Option<&mut watch::Receiver<View>>) {
    let changed = match view {
        Some(view) => view.changed().await.is_ok(),
        None => false,
    };
    if !changed {
        std::future::pending().await
    }
}

impl Standing {
    /// Before the first announcement, and while one changes.
    fn waiting() -> Self {
        Self::Waiting {
            until: Instant::now(),
            why: RegistryError::unavailable("not announced yet"),
            link: None,
        }
    }
}
