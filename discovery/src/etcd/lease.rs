//! Keeping a node announced.

use std::{mem::replace, sync::Arc, time::Duration};

use async_trait::async_trait;
use etcd_client::{Client, LeaseKeepAliveStream, LeaseKeeper};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout},
};
use tracing::{debug, warn};

use super::{announcement::Announcement, cluster::Cluster, connection::CALL, failure::Failure};
use crate::{Backoff, Health, Lease, LeaseState, Pace, RegistryError, ServiceDef, clock::at};

/// Renewals in a TTL: two may be lost.
const RENEWALS: u32 = 3;
/// Renewals between two looks whether all keys are still there, 30 s with a TTL of 15 s: a guard against fingers, which are slow.
const RENEWALS_PER_AUDIT: u32 = 6;
/// Orders that may wait. Who gives one waits for its outcome, so this many callers at once are already unusual.
const ORDERS: usize = 8;

/// One registration. Dropping it ends its task, and nothing else.
#[derive(Debug)]
pub(super) struct EtcdLease {
    cluster: Arc<Cluster>,
    lease: i64,
    orders: mpsc::Sender<Order>,
    state: watch::Receiver<LeaseState>,
    task: Task,
}

#[derive(Debug)]
struct Task(JoinHandle<()>);

/// What a lease is told to change, and who wants to know the outcome.
#[derive(Debug)]
struct Order {
    change: Change,
    outcome: oneshot::Sender<Result<(), RegistryError>>,
}

#[derive(Debug)]
enum Change {
    Health(Health),
    Services(Vec<ServiceDef>),
}

/// The task behind a lease.
struct Renewal {
    announcement: Announcement,
    ttl: Duration,
    orders: mpsc::Receiver<Order>,
    state: watch::Sender<LeaseState>,
    backoff: Backoff,
}

/// Why a renewal stopped.
enum Stop {
    /// Nobody wants it any more.
    Dropped,
    Failed(Failure),
}

/// What came of writing.
enum Published {
    Done,
    /// It has to be tried again then, for this reason.
    Later(Instant, RegistryError),
}

// === impl EtcdLease ===

impl EtcdLease {
    /// Keeps an announcement that was just made.
    pub(super) fn keep(announcement: Announcement, ttl: Duration) -> Self {
        let (orders, receiver) = mpsc::channel(ORDERS);
        let (sender, state) = watch::channel(LeaseState::Live);
        let (cluster, lease) = (Arc::clone(&announcement.cluster), announcement.lease);
        let renewal = Renewal {
            announcement,
            ttl,
            orders: receiver,
            state: sender,
            backoff: Backoff::default(),
        };
        Self {
            cluster,
            lease,
            orders,
            state,
            task: Task(tokio::spawn(renewal.run())),
        }
    }

    async fn order(&self, change: Change) -> Result<(), RegistryError> {
        let ended = || RegistryError::unavailable("the lease's task has ended");
        let (outcome, result) = oneshot::channel();
        let order = Order { change, outcome };
        self.orders.send(order).await.map_err(|_| ended())?;
        result.await.map_err(|_| ended())?
    }
}

#[async_trait]
impl Lease for EtcdLease {
    fn state(&self) -> watch::Receiver<LeaseState> {
        self.state.clone()
    }

    async fn set_health(&self, health: Health, _note: &str) -> Result<(), RegistryError> {
        self.order(Change::Health(health)).await
    }

    async fn update(&self, services: Vec<ServiceDef>) -> Result<(), RegistryError> {
        self.order(Change::Services(services)).await
    }

    async fn deregister(mut self: Box<Self>) -> Result<(), RegistryError> {
        // First the task, or it would put the keys back.
        self.task.0.abort();
        let _ = (&mut self.task.0).await;
        Ok(Announcement::revoke(&self.cluster, self.lease).await?)
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

// === impl Published ===

impl Published {
    /// When to write again.
    const fn next(&self) -> Option<Instant> {
        match self {
            Self::Done => None,
            Self::Later(next, _) => Some(*next),
        }
    }
}

// === impl Renewal ===

impl Renewal {
    async fn run(mut self) {
        loop {
            let failure = match self.renew().await {
                Stop::Dropped => return,
                Stop::Failed(failure) => failure,
            };
            let error = failure.error();
            if let RegistryError::Conflict { holder, .. } = &error {
                let holder = holder.clone();
                self.state.send_replace(LeaseState::Superseded { holder });
                return self.refuse(&error).await;
            }
            self.retrying(&error);
            if !self.pause(&error).await {
                return;
            }
        }
    }

    /// Resumes the lease or makes it anew, and renews until that fails.
    async fn renew(&mut self) -> Stop {
        match self.resume().await {
            Ok((keeper, answers)) => self.live(keeper, answers).await,
            Err(failure) => Stop::Failed(failure),
        }
    }

    async fn resume(&mut self) -> Result<(LeaseKeeper, LeaseKeepAliveStream), Failure> {
        match self.open().await {
            Err(Failure::LeaseGone) => {
                self.announcement.lost();
                self.announcement.find_host().await?;
                self.ttl = self.announcement.grant().await?;
                self.open().await
            }
            other => other,
        }
    }

    /// Opens a stream of renewals; the first one is done with it.
    async fn open(&self) -> Result<(LeaseKeeper, LeaseKeepAliveStream), Failure> {
        let lease = self.announcement.lease;
        let keep = |mut client: Client| async move { client.lease_keep_alive(lease).await };
        self.announcement.cluster.connection.call(keep).await
    }

    /// Renews the lease and keeps what is written up to date. That the second fails, for want of rights perhaps, does not end the first.
    async fn live(&mut self, mut keeper: LeaseKeeper, mut answers: LeaseKeepAliveStream) -> Stop {
        let period = self.ttl / RENEWALS;
        let mut ticks = interval_at(Instant::now() + period, period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut renewals = 0;
        let mut publish = Some(Instant::now());
        loop {
            let done = tokio::select! {
                order = self.orders.recv() => {
                    let Some(order) = order else { return Stop::Dropped };
                    self.obey(order).await.map(|done| publish = done.next())
                }
                () = at(publish) => self.publish().await.map(|done| publish = done.next()),
                _ = ticks.tick() => {
                    renewals += 1;
                    let renewed = self.renew_once(&mut keeper, &mut answers).await;
                    if renewed.is_ok() && publish.is_none() {
                        // Not at the first success: a stream that opens and ends at once is opened ever more slowly.
                        self.backoff.reset();
                    }
                    match renewed {
                        Ok(()) if renewals % RENEWALS_PER_AUDIT == 0 => {
                            self.audit().await.map(|next| publish = publish.or(next))
                        }
                        other => other,
                    }
                }
                // Unasked for, this can only be bad news; a message would be a late answer.
                answer = answers.message() => self.check(answer),
            };
            if let Err(failure) = done {
                return Stop::Failed(failure);
            }
        }
    }

    /// Writes what differs. An error says that the lease itself is in question.
    async fn publish(&mut self) -> Result<Published, Failure> {
        let Err(failure) = self.announcement.publish().await else {
            let again = self
                .state
                .send_if_modified(|state| replace(state, LeaseState::Live) != LeaseState::Live);
            if again {
                debug!(node = %self.announcement.wanted.node, "the node is announced again");
            }
            return Ok(Published::Done);
        };
        let error = failure.error();
        if matches!(failure, Failure::LeaseGone) || matches!(error, RegistryError::Conflict { .. })
        {
            return Err(failure);
        }
        self.retrying(&error);
        let next = Instant::now() + self.wait_after(&error);
        Ok(Published::Later(next, error))
    }

    async fn renew_once(
        &self,
        keeper: &mut LeaseKeeper,
        answers: &mut LeaseKeepAliveStream,
    ) -> Result<(), Failure> {
        let at = &self.announcement.cluster.connection.endpoints;
        // A stream to a member without a leader stays open and silent: only the clock tells.
        let renewed = timeout(CALL, async {
            keeper.keep_alive().await?;
            answers.message().await
        });
        self.check(renewed.await.map_err(|_| Failure::silence(at))?)
    }

    fn check(
        &self,
        answer: Result<Option<etcd_client::LeaseKeepAliveResponse>, etcd_client::Error>,
    ) -> Result<(), Failure> {
        let at = &self.announcement.cluster.connection.endpoints;
        match answer {
            Ok(Some(answer)) if answer.ttl() > 0 => Ok(()),
            Ok(Some(_)) => Err(Failure::LeaseGone),
            Ok(None) => {
                let detail = format!("{}: the renewal stream ended", at.shown);
                Err(RegistryError::unavailable(detail).into())
            }
            Err(error) => Err(Failure::new(&error, at)),
        }
    }

    /// Looks whether somebody deleted keys, and returns when to write then. That it could not look is no reason to stop renewing.
    async fn audit(&mut self) -> Result<Option<Instant>, Failure> {
        match self.announcement.audit().await {
            Ok(true) => Ok(None),
            Ok(false) => {
                warn!(node = %self.announcement.wanted.node, "keys of this node are gone; writing them again");
                Ok(Some(Instant::now()))
            }
            Err(Failure::LeaseGone) => Err(Failure::LeaseGone),
            Err(failure) => {
                debug!(error = %failure.error(), "could not look whether all keys are there");
                Ok(None)
            }
        }
    }

    /// Does what is ordered, and tells the outcome.
    async fn obey(&mut self, order: Order) -> Result<Published, Failure> {
        self.note(order.change);
        let done = self.publish().await;
        let outcome = match &done {
            Ok(Published::Done) => Ok(()),
            Ok(Published::Later(_, error)) => Err(error.clone()),
            Err(failure) => Err(failure.error()),
        };
        // Who does not wait does not want to know.
        let _ = order.outcome.send(outcome);
        done
    }

    fn note(&mut self, change: Change) {
        match change {
            Change::Health(health) => self.announcement.health = health,
            Change::Services(services) => self.announcement.wanted.services = services,
        }
    }

    fn retrying(&self, error: &RegistryError) {
        let detail = error.to_string();
        self.state.send_modify(|state| {
            let since = match state {
                LeaseState::Retrying { since, .. } => *since,
                _ => {
                    let node = &self.announcement.wanted.node;
                    warn!(%node, error = %detail, "the node may vanish from the registry");
                    Instant::now()
                }
            };
            *state = LeaseState::Retrying { since, detail };
        });
    }

    fn wait_after(&mut self, error: &RegistryError) -> Duration {
        self.backoff.wait(Pace::after(error).unwrap_or(Pace::Slow))
    }

    /// Waits before the next try. Orders are noted for it, and told why they cannot be done now.
    async fn pause(&mut self, error: &RegistryError) -> bool {
        let until = Instant::now() + self.wait_after(error);
        loop {
            tokio::select! {
                () = sleep_until(until) => return true,
                order = self.orders.recv() => {
                    let Some(order) = order else { return false };
                    self.note(order.change);
                    let _ = order.outcome.send(Err(error.clone()));
                }
            }
        }
    }

    /// Another start of this node has taken over: tells everybody who asks, for ever.
    async fn refuse(&mut self, error: &RegistryError) {
        while let Some(order) = self.orders.recv().await {
            let _ = order.outcome.send(Err(error.clone()));
        }
    }
}
