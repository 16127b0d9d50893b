//! What happens to pipes, as it happens: server-sent events.
//!
//! A reader is told how a pipe is now, not each thing that has happened to it: changes that come within a moment are one event. Nobody waits
//! for a reader. What a slow one has missed is counted, and the count is told before what follows.

use std::{collections::BTreeSet, convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::{Extension, Path, State as Shared},
    http::StatusCode,
    response::sse::{Event, KeepAlive, Sse},
};
use futures_util::{
    Stream, StreamExt as _,
    stream::{self, unfold},
};
use serde_json::json;
use tokio::{
    sync::{
        OwnedSemaphorePermit,
        broadcast::{
            Receiver,
            error::{RecvError, TryRecvError},
        },
    },
    time::sleep,
};

use super::pipes::{Pipe, find};
use crate::{
    api::{guard::Caller, problem::Problem, state::State, unstuck::Patience},
    id::PipeId,
    wire::message::PipeView,
};

/// How long changes are gathered before they are told: an eye sees no more.
const GATHER: Duration = Duration::from_millis(200);

/// How often a comment is sent when nothing happens, so that whatever is in between takes the connection for a live one.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Pipes that are told of at the beginning at most.
const MOST_AT_FIRST: usize = 1_000;

/// Events of all pipes that this node conducts: `hello` first, then a `pipe` for each that runs, and again whenever it has changed; `lost` says how
/// many changes a slow reader has missed.
#[utoipa::path(get, path = "/v1/events", tag = "pipes", responses(
    (status = 200, description = "The events", body = String, content_type = "text/event-stream"),
    (status = 503, description = "There are too many readers", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn of_all(
    Shared(state): Shared<Arc<State>>,
    Extension(caller): Extension<Caller>,
    Extension(patience): Extension<Patience>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let follower = Follower::new(&state, caller, None)?;
    patience.bear();
    Ok(follower.tell())
}

/// Events of one pipe, until it is over.
#[utoipa::path(get, path = "/v1/pipes/{id}/events", tag = "pipes",
    params(("id" = String, Path, description = "Its name, or enough of the beginning or the end of it")),
    responses(
        (status = 200, description = "The events", body = String, content_type = "text/event-stream"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Several pipes are meant", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "There are too many readers", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn of_one(
    Shared(state): Shared<Arc<State>>,
    Extension(caller): Extension<Caller>,
    Extension(patience): Extension<Patience>,
    Path(pipe): Path<String>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let pipe = find(&state, &caller, pipe, false).await?.pipe;
    let follower = Follower::new(&state, caller, Some(pipe))?;
    patience.bear();
    Ok(follower.tell())
}

/// What has changed within a moment.
#[derive(Debug, Default, PartialEq, Eq)]
struct Gathered {
    changed: BTreeSet<PipeId>,
    /// Changes that came while nobody took them, and were thrown away.
    lost: u64,
}

/// Waits for a change, and takes what else comes within a moment; `None` when nothing more will.
async fn gather(changes: &mut Receiver<PipeId>) -> Option<Gathered> {
    let mut gathered = Gathered::default();
    match changes.recv().await {
        Ok(pipe) => {
            gathered.changed.insert(pipe);
        }
        Err(RecvError::Lagged(missed)) => gathered.lost += missed,
        Err(RecvError::Closed) => return None,
    }
    sleep(GATHER).await;
    // As many as there are now: what changes all the time must not keep this from telling.
    for _ in 0..changes.len() {
        match changes.try_recv() {
            Ok(pipe) => {
                gathered.changed.insert(pipe);
            }
            Err(TryRecvError::Lagged(missed)) => gathered.lost += missed,
            Err(TryRecvError::Empty | TryRecvError::Closed) => break,
        }
    }
    Some(gathered)
}

/// Somebody who reads events.
struct Follower {
    state: Arc<State>,
    caller: Caller,
    changes: Receiver<PipeId>,
    /// The only pipe that is wanted.
    only: Option<PipeId>,
    is_over: bool,
    _permit: OwnedSemaphorePermit,
}

// === impl Follower ===

impl Follower {
    fn new(state: &Arc<State>, caller: Caller, only: Option<PipeId>) -> Result<Self, Problem> {
        let permit = state.followers.clone().try_acquire_owned();
        let permit = permit.map_err(|_| {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            Problem::new(status, "busy", "too many read events already")
        })?;
        Ok(Self {
            changes: state.observer.follow(),
            state: state.clone(),
            caller,
            only,
            is_over: false,
            _permit: permit,
        })
    }

    fn tell(mut self) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
        let first = self.at_first();
        let closing = self.state.closing().clone();
        let later = unfold(self, |mut follower| async move {
            let events = follower.next().await?;
            Some((stream::iter(events), follower))
        });
        let events = stream::iter(first).chain(later.flatten());
        let events = events.take_until(closing.cancelled_owned()).map(Ok);
        Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
    }

    /// Who tells, and what runs now.
    fn at_first(&mut self) -> Vec<Event> {
        let hello =
            json!({ "node": self.state.observer.node(), "version": env!("CARGO_PKG_VERSION") });
        let mut events = vec![Event::default().event("hello").data(hello.to_string())];
        match self.only {
            Some(only) => events.extend(self.pipes([only].into())),
            None => {
                let (live, _) = self.state.observer.pipes(false, MOST_AT_FIRST);
                // The oldest first, as they began.
                events.extend(live.into_iter().rev().filter_map(|view| self.event(view)));
            }
        }
        events
    }

    /// What has changed; `None` when nothing more will.
    async fn next(&mut self) -> Option<Vec<Event>> {
        if self.is_over {
            return None;
        }
        loop {
            let Gathered { mut changed, lost } = gather(&mut self.changes).await?;
            if let Some(only) = self.only {
                changed.retain(|pipe| *pipe == only);
                // It may be among what was missed.
                if lost > 0 {
                    changed.insert(only);
                }
            }
            let mut events = Vec::new();
            if lost > 0 {
                let data = json!({ "lost": lost }).to_string();
                events.push(Event::default().event("lost").data(data));
            }
            events.extend(self.pipes(changed));
            if !events.is_empty() {
                return Some(events);
            }
        }
    }

    /// How these pipes are now, with what their stages said where only one is wanted.
    fn pipes(&mut self, names: BTreeSet<PipeId>) -> Vec<Event> {
        let mut events = Vec::new();
        for name in names {
            let Some(mut view) = self.state.observer.pipe(&self.caller.asker(), name) else {
                continue;
            };
            if self.only.is_some() {
                self.is_over = view.state.is_over();
            } else {
                view.hide_stderr();
            }
            events.extend(self.event(view));
        }
        events
    }

    fn event(&self, view: PipeView) -> Option<Event> {
        let pipe = Pipe::for_caller(view, &self.caller);
        // It is made of strings, numbers and lists.
        Event::default().event("pipe").json_data(pipe).ok()
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::broadcast::channel;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn changes_within_a_moment_are_told_together() {
        let (tell, mut changes) = channel(16);
        let pipes = [1, 2, 1, 1].map(PipeId::from_u128);
        for pipe in pipes {
            tell.send(pipe).unwrap();
        }
        let told = gather(&mut changes).await.unwrap();
        assert_eq!((told.changed, told.lost), (pipes.into(), 0));
        drop(tell);
        assert_eq!(gather(&mut changes).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_slow_reader_has_missed_is_counted_and_nobody_has_waited_for_it() {
        let (tell, mut changes) = channel(4);
        for number in 0..100 {
            tell.send(PipeId::from_u128(number)).unwrap();
        }
        let told = gather(&mut changes).await.unwrap();
        assert_eq!(told.lost, 96);
        assert_eq!(told.changed, (96..100).map(PipeId::from_u128).collect());
    }
}
