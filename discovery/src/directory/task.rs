//! The thin tasks around the folds.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use tokio::{sync::mpsc, time::Instant};
use tracing::{debug, warn};

use super::{Feed, Shared, lock};
use crate::{Backoff, Instance, NodeId, Pace, Registry, RegistryError, ServiceName, clock::at};

/// How often a service beyond the cap on watches is looked up.
const POLL: Duration = Duration::from_secs(10);
/// How long a service without a reader stays watched: an app used once is likely used again.
const IDLE: Duration = Duration::from_secs(600);
/// How often idle services are looked for.
const SWEEP: Duration = Duration::from_secs(60);
/// How long a registry may take over a suspect; the next one should not wait behind a dead registry.
const SUSPECT: Duration = Duration::from_secs(1);

/// How long a watch has to last for its end to be a new fault. One that answers and ends at once, for a proxy cuts it off perhaps, is
/// begun ever more slowly.
const STEADY: Duration = Duration::from_secs(1);

/// How a service is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Watch,
    Poll,
}

/// Follows one service in one registry, for ever or until that is known to be useless.
pub(super) async fn follow(registry: Arc<dyn Registry>, index: usize, feed: Arc<Feed>, mode: Mode) {
    let mut backoff = Backoff::default();
    let mut deadline = None;
    let mut last_error = String::new();
    loop {
        let mut answers = match mode {
            Mode::Watch => registry.watch(&feed.service),
            Mode::Poll => polled(Arc::clone(&registry), feed.service.clone()),
        };
        let (begun, mut answered) = (Instant::now(), false);
        let error = loop {
            tokio::select! {
                item = answers.next() => match item {
                    Some(Ok(set)) => {
                        answered = true;
                        last_error.clear();
                        deadline = feed.change(index, |fold| fold.answer(set, Instant::now()));
                    }
                    Some(Err(error)) => break error,
                    None => break RegistryError::stream_ended(),
                },
                () = at(deadline) => deadline = feed.change(index, |fold| fold.expire(Instant::now())),
            }
        };
        drop(answers);
        if answered && begun.elapsed() >= STEADY {
            backoff.reset();
        }
        let text = error.to_string();
        if text != last_error {
            let (registry, service) = (&feed.names[index], &feed.service);
            warn!(%registry, %service, error = %text, "registry failed; what it said last stays in use");
            last_error.clone_from(&text);
        }
        deadline = feed.change(index, |fold| fold.error(text));
        let Some(pace) = Pace::after(&error) else {
            return;
        };
        let retry = Instant::now() + backoff.wait(pace);
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(retry) => break,
                () = at(deadline) => deadline = feed.change(index, |fold| fold.expire(Instant::now())),
            }
        }
    }
}

/// A watch made of look-ups.
fn polled(
    registry: Arc<dyn Registry>,
    service: ServiceName,
) -> BoxStream<'static, Result<Vec<Instance>, RegistryError>> {
    stream::unfold(None, move |last: Option<Instant>| {
        let (registry, service) = (Arc::clone(&registry), service.clone());
        async move {
            if let Some(last) = last {
                tokio::time::sleep_until(last + POLL).await;
            }
            Some((registry.lookup(&service).await, Some(Instant::now())))
        }
    })
    .boxed()
}

/// Publishes when ejections end, and ends watches that nobody reads.
pub(super) async fn keep_time(shared: Arc<Shared>) {
    let mut sweep = tokio::time::interval(SWEEP);
    loop {
        let deadline = lock(&shared.outliers).deadline(Instant::now());
        tokio::select! {
            () = shared.changed.notified() => {}
            () = at(deadline) => {
                for running in lock(&shared.feeds).values() {
                    running.feed.publish();
                }
            }
            now = sweep.tick() => sweep_idle(&shared, now),
        }
    }
}

fn sweep_idle(shared: &Shared, now: Instant) {
    let mut feeds = lock(&shared.feeds);
    feeds.retain(|service, running| {
        if running.feed.snapshot.receiver_count() > 0 {
            running.idle_since = None;
            return true;
        }
        let keep = now - *running.idle_since.get_or_insert(now) < IDLE;
        if !keep {
            debug!(%service, "nobody asked for it lately; the watch ends");
        }
        keep
    });
    // Collected before the outliers are locked: whoever publishes locks the folds first.
    let mut known = BTreeSet::new();
    for running in feeds.values() {
        for fold in lock(&running.feed.folds).iter() {
            known.extend(fold.known().keys().cloned());
        }
    }
    lock(&shared.outliers).forget(now, |node| known.contains(node));
}

/// Hands suspects to every registry, one after the other.
pub(super) async fn suspect(registries: Vec<Arc<dyn Registry>>, mut nodes: mpsc::Receiver<NodeId>) {
    while let Some(node) = nodes.recv().await {
        for registry in &registries {
            let _ = tokio::time::timeout(SUSPECT, registry.suspect(&node)).await;
        }
    }
}
