//! One responder and one browse, shared by everything that uses them.
//!
//! A [`Link`] is started by its first user and ends with its last: then the thread and the sockets are gone. Its task follows the
//! browse, asks again every minute, and looks after the interfaces. When the last of these goes down the link is dead: its watches
//! end with an error, its leases wait for another one.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::StreamExt;
use mdns_sd::{Error, IfKind, Receiver, ServiceDaemon, ServiceEvent};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};

use super::{
    Settings,
    book::{Book, Sets},
    interfaces::Interfaces,
};
use crate::{NodeId, RegistryError, clock::at};

/// When the set of a fresh browse counts as full. The question goes out at once and again after a second, for an answer that was
/// multicast within the last second is not repeated before that second is over; then it takes some 100 ms to come, and 200 ms are
/// for its addresses. The directory waits two seconds for a first answer.
pub(super) const FULL_AFTER: Duration = Duration::from_millis(1_500);
/// How often the whole question is asked again. The library doubles its own interval up to an hour, and a node that was cut off
/// would be found that late.
const ASK_AGAIN: Duration = Duration::from_secs(60);
/// How often the interfaces are looked at: it costs a system call, and whoever pulled a cable learns it by then.
const LOOK: Duration = Duration::from_secs(2);
/// How long a command waits for a place in the library's queue of 100: its thread empties that many within milliseconds.
const QUEUE: Duration = Duration::from_secs(2);
/// How often it tries meanwhile.
const QUEUE_RETRY: Duration = Duration::from_millis(20);

/// What is seen on the link.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    /// Counts the browses; a watch lives in one of them.
    pub(super) browse: u64,
    /// Why the browse before this one ended.
    pub(super) ended: Option<RegistryError>,
    /// Why there will be no other one.
    pub(super) dead: Option<RegistryError>,
    /// Whether the sets are full.
    pub(super) full: bool,
    pub(super) sets: Arc<Sets>,
}

/// The responder and its browse.
pub(super) struct Link {
    daemon: ServiceDaemon,
    view: Arc<watch::Sender<View>>,
    forget: mpsc::Sender<Forget>,
    /// Which registration of this process holds a node: its number and its start.
    owners: Mutex<HashMap<NodeId, (u64, String)>>,
    task: JoinHandle<()>,
}

/// Takes an instance out of the sets; answered when it is out.
struct Forget(String, oneshot::Sender<()>);

/// Says that the link is dead, however its task ends.
struct Obituary(Arc<watch::Sender<View>>);

/// The task of a link.
struct Follower {
    settings: Arc<Settings>,
    daemon: ServiceDaemon,
    view: Obituary,
    book: Book,
    interfaces: Interfaces,
    /// Whether it began with more than the loopback interface.
    led_away: bool,
}

/// How one browse ended.
enum End {
    /// The library closed its channel.
    Closed,
    /// There is nothing to speak on any more.
    Dead(RegistryError),
}

// === impl Link ===

impl Link {
    /// Starts the thread, the browse and the task.
    pub(super) fn start(settings: &Arc<Settings>) -> Result<Arc<Self>, RegistryError> {
        let interfaces = Interfaces::read(&settings.config)?;
        let daemon = ServiceDaemon::new().map_err(unavailable)?;
        let view = Arc::new(watch::Sender::new(View::default()));
        let (forget, forgets) = mpsc::channel(16);
        let mut follower = Follower {
            settings: Arc::clone(settings),
            daemon: daemon.clone(),
            view: Obituary(Arc::clone(&view)),
            book: Book::default(),
            led_away: interfaces.lead_away(),
            interfaces,
        };
        let events = match follower.begin() {
            Ok(events) => events,
            Err(error) => {
                shut_down(&daemon);
                return Err(unavailable(error));
            }
        };
        let task = tokio::spawn(follower.run(events, forgets));
        Ok(Arc::new(Self {
            daemon,
            view,
            forget,
            owners: Mutex::default(),
            task,
        }))
    }

    /// Whether new users need another one.
    pub(super) fn is_dead(&self) -> bool {
        self.view.borrow().dead.is_some() || self.task.is_finished()
    }

    /// What is seen, now and later.
    pub(super) fn view(&self) -> watch::Receiver<View> {
        self.view.subscribe()
    }

    /// Gives a command to the library's thread.
    pub(super) async fn tell<T>(
        &self,
        mut command: impl FnMut(&ServiceDaemon) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let deadline = Instant::now() + QUEUE;
        loop {
            match command(&self.daemon) {
                Err(Error::Again) if Instant::now() < deadline => sleep(QUEUE_RETRY).await,
                result => return result,
            }
        }
    }

    /// Takes an instance out of the sets, without waiting for the goodbye to take effect.
    pub(super) async fn forget(&self, fullname: &str) {
        let (done, forgotten) = oneshot::channel();
        let asked = self.forget.send(Forget(fullname.to_owned(), done)).await;
        if asked.is_ok() {
            // An answer that does not come means that the task is gone, and the sets with it.
            let _gone = forgotten.await;
        }
    }

    /// The registrations of this process.
    pub(super) fn owners(&self) -> MutexGuard<'_, HashMap<NodeId, (u64, String)>> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
        shut_down(&self.daemon);
    }
}

impl Drop for Obituary {
    fn drop(&mut self) {
        self.0.send_if_modified(|view| {
            let died = view.dead.is_none();
            view.dead.get_or_insert_with(RegistryError::stream_ended);
            died
        });
    }
}

/// Ends the library's thread. When its queue is full a thread of its own waits for a place, for a drop must not.
fn shut_down(daemon: &ServiceDaemon) {
    if matches!(daemon.shutdown(), Err(Error::Again)) {
        let daemon = daemon.clone();
        std::thread::spawn(move || {
            let deadline = std::time::Instant::now() + QUEUE;
            while matches!(daemon.shutdown(), Err(Error::Again))
                && std::time::Instant::now() < deadline
            {
                #[expect(
                    clippy::disallowed_methods,
                    reason = "a thread for nothing else, and bounded"
                )]
                std::thread::sleep(QUEUE_RETRY);
            }
        });
    }
}

/// What an error of the library means where nothing of ours can be wrong.
pub(super) fn unavailable(error: Error) -> RegistryError {
    let detail = match &error {
        Error::Again => "the multicast DNS queue is full".to_owned(),
        Error::DaemonShutdown => "the multicast DNS thread has ended".to_owned(),
        other => other.to_string(),
    };
    RegistryError::Unavailable {
        detail,
        cause: Some(Arc::new(error)),
    }
}

// === impl Follower ===

impl Follower {
    /// Chooses the interfaces and begins to browse.
    fn begin(&mut self) -> Result<Receiver<ServiceEvent>, Error> {
        let wanted = &self.settings.config.interfaces;
        if !wanted.is_empty() {
            let kinds: Vec<IfKind> = wanted.iter().map(IfKind::from).collect();
            self.daemon.disable_interface(IfKind::All)?;
            self.daemon.enable_interface(kinds)?;
        }
        self.daemon.browse(&self.settings.service_type)
    }

    async fn run(mut self, first: Receiver<ServiceEvent>, mut forgets: mpsc::Receiver<Forget>) {
        let mut events = first;
        loop {
            let error = match self.follow(events, &mut forgets).await {
                End::Closed => RegistryError::unavailable("the answers came too fast to follow"),
                End::Dead(error) => return self.die(error),
            };
            self.book = Book::default();
            events = match self.daemon.browse(&self.settings.service_type) {
                Ok(events) => events,
                Err(error) => return self.die(unavailable(error)),
            };
            self.view.0.send_modify(|view| {
                view.browse += 1;
                view.ended = Some(error);
                view.full = false;
                view.sets = Arc::default();
            });
        }
    }

    fn die(&self, error: RegistryError) {
        self.view.0.send_modify(|view| view.dead = Some(error));
    }

    /// Follows one browse and those that replace it.
    async fn follow(
        &mut self,
        first: Receiver<ServiceEvent>,
        forgets: &mut mpsc::Receiver<Forget>,
    ) -> End {
        let mut events = first.into_stream();
        let mut next: Option<Receiver<ServiceEvent>> = None;
        let mut starts = 0;
        let start = Instant::now();
        let mut full_at = Some(start + FULL_AFTER);
        let mut ask_at = start + ASK_AGAIN;
        let mut look = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                event = events.next() => match (event, next.take()) {
                    (None, None) => return End::Closed,
                    // The old channel is read to its end before the new one, which begins by telling all that is known.
                    (None, Some(new)) => {
                        events = new.into_stream();
                        starts = 0;
                        self.book.begin_round();
                    }
                    (Some(event), waiting) => {
                        next = waiting;
                        self.take(event, &mut starts);
                    }
                },
                Some(Forget(fullname, done)) = forgets.recv() => {
                    self.book.removed(&fullname, Instant::now());
                    self.publish(None);
                    let _waited_for = done.send(());
                }
                () = at(self.book.publish_at()) => self.publish(None),
                () = at(full_at) => {
                    full_at = None;
                    self.publish(Some(true));
                }
                () = sleep_until(ask_at) => {
                    ask_at = Instant::now() + ASK_AGAIN;
                    // A full queue passes, and the next minute comes.
                    next = self.daemon.browse(&self.settings.service_type).ok().or(next);
                }
                _ = look.tick() => if let Err(error) = self.look() {
                    return End::Dead(error);
                },
            }
        }
    }

    fn take(&mut self, event: ServiceEvent, starts: &mut u32) {
        let now = Instant::now();
        match event {
            ServiceEvent::SearchStarted(_) => {
                // The first one comes before what is known already, the second one after it.
                *starts += 1;
                if *starts == 2 {
                    self.book.end_round(now);
                }
            }
            ServiceEvent::ServiceResolved(service) => {
                self.book.resolved(&service, &self.interfaces, now);
            }
            ServiceEvent::ServiceRemoved(_, fullname) => self.book.removed(&fullname, now),
            _ => {}
        }
    }

    fn publish(&mut self, full: Option<bool>) {
        let sets = self.book.sets(&self.settings.names.primary, Instant::now());
        self.view.0.send_if_modified(|view| {
            let changed = *view.sets != sets || full.is_some_and(|full| view.full != full);
            if changed {
                view.sets = Arc::new(sets);
                view.full = full.unwrap_or(view.full);
            }
            changed
        });
    }

    /// Whether there is still something to speak on.
    fn look(&mut self) -> Result<(), RegistryError> {
        let found = Interfaces::present(&self.settings.config)?;
        if found.is_empty() || (self.led_away && !found.lead_away()) {
            return Err(RegistryError::unavailable(
                found.lack(&self.settings.config),
            ));
        }
        self.led_away = found.lead_away();
        self.interfaces = found;
        Ok(())
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link")
            .field("dead", &self.is_dead())
            .finish_non_exhaustive()
    }
}
