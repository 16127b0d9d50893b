use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

use crate::{
    id::{Attempt, NodeId, PipeId},
    media::Coding,
    transport::{RecvStream, code},
    wire::message::LinkEndpoint,
};

/// How long the name of a pipe that was here is remembered, so that no delayed or repeated message starts an app twice. Ten minutes
/// outlive every lease, retry and reconnect by far.
const MEMORY: Duration = Duration::from_secs(600);

/// Names remembered at most, about 64 bytes each: beyond it the oldest tenth is forgotten early, and 100,000 pipes in ten minutes are
/// more than fork and exec can start.
const MAX_REMEMBERED: usize = 100_000;

/// Links that wait for a part's loop at most: one for each stage that a pipe can have, for they may all be opened in one moment.
const LINKS: usize = 1_024;

/// The parts of pipes that run on this node, and the names of those that did.
#[derive(Clone, Default)]
pub(super) struct Pipes {
    table: Arc<Mutex<HashMap<(PipeId, Attempt), Slot>>>,
}

enum Slot {
    Here(mpsc::Sender<ArrivedLink>),
    Was(Instant),
}

/// A link that a neighbour or the entry opened.
#[derive(Debug)]
pub(super) struct ArrivedLink {
    pub(super) from: LinkEndpoint,
    pub(super) to: LinkEndpoint,
    pub(super) digest: String,
    pub(super) coding: Coding,
    /// The node at the other end of its session; `None` for an entry inside a client.
    pub(super) peer: Option<NodeId>,
    pub(super) stream: RecvStream,
}

/// A part's place in [`Pipes`].
#[must_use = "dropping it ends the part for its neighbours"]
#[derive(Debug)]
pub(super) struct Entered {
    pipes: Pipes,
    key: (PipeId, Attempt),
    pub(super) links: mpsc::Receiver<ArrivedLink>,
}

// === impl Pipes ===

impl Pipes {
    /// Enters a part; `None` when one of this name is here or was, for a stage is started at most once.
    pub(super) fn enter(&self, pipe: PipeId, attempt: Attempt) -> Option<Entered> {
        let key = (pipe, attempt);
        let (send, links) = mpsc::channel(LINKS);
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        forget_old(&mut table);
        if table.contains_key(&key) {
            return None;
        }
        table.insert(key, Slot::Here(send));
        Some(Entered {
            pipes: self.clone(),
            key,
            links,
        })
    }

    /// Hands a link to its part. A link of a pipe that is not here is stopped.
    pub(super) fn deliver(&self, pipe: PipeId, attempt: Attempt, link: ArrivedLink) {
        let part = match self
            .table
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&(pipe, attempt))
        {
            Some(Slot::Here(part)) => Some(part.clone()),
            Some(Slot::Was(_)) | None => None,
        };
        let refused = match part {
            Some(part) => part
                .try_send(link)
                .err()
                .map(mpsc::error::TrySendError::into_inner),
            None => Some(link),
        };
        if let Some(link) = refused {
            link.stream.stop(code::UNKNOWN_PIPE, "no such pipe here");
        }
    }

    /// The pipes that have a part here.
    pub(super) fn names(&self) -> Vec<PipeId> {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let here = table
            .iter()
            .filter(|(_, slot)| matches!(slot, Slot::Here(_)));
        here.map(|((pipe, _), _)| *pipe).collect()
    }

    /// How many parts are here.
    pub(super) fn running(&self) -> usize {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table
            .values()
            .filter(|slot| matches!(slot, Slot::Here(_)))
            .count()
    }
}

impl fmt::Debug for Pipes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipes")
            .field("running", &self.running())
            .finish()
    }
}

fn forget_old(table: &mut HashMap<(PipeId, Attempt), Slot>) {
    /// Below so many there is nothing worth a walk through the table.
    const WORTH_IT: usize = 1_024;
    if table.len() < WORTH_IT
        || !table.len().is_multiple_of(WORTH_IT) && table.len() < MAX_REMEMBERED
    {
        return;
    }
    table.retain(|_, slot| !matches!(slot, Slot::Was(since) if since.elapsed() > MEMORY));
    if table.len() >= MAX_REMEMBERED {
        let mut ends: Vec<Instant> = table
            .values()
            .filter_map(|slot| {
                if let Slot::Was(at) = slot {
                    Some(*at)
                } else {
                    None
                }
            })
            .collect();
        ends.sort_unstable();
        if let Some(&until) = ends.get(ends.len() / 10) {
            table.retain(|_, slot| !matches!(slot, Slot::Was(since) if *since <= until));
        }
    }
}

// === impl Entered ===

impl Drop for Entered {
    fn drop(&mut self) {
        let mut table = self
            .pipes
            .table
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        table.insert(self.key, Slot::Was(Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_is_entered_once_for_each_attempt() {
        let pipes = Pipes::default();
        let pipe = PipeId::from_u128(7);
        let entered = pipes.enter(pipe, Attempt::FIRST).unwrap();
        assert!(pipes.enter(pipe, Attempt::FIRST).is_none());
        assert!(pipes.enter(pipe, Attempt::FIRST.next()).is_some());
        drop(entered);
        assert!(
            pipes.enter(pipe, Attempt::FIRST).is_none(),
            "a name that was here is remembered"
        );
        assert_eq!(pipes.running(), 0);
    }

    #[test]
    fn the_memory_of_names_is_bounded() {
        let pipes = Pipes::default();
        let running = PipeId::from_u128(u128::MAX);
        let entered = pipes.enter(running, Attempt::FIRST).unwrap();
        for number in 0..(MAX_REMEMBERED as u128 + 5_000) {
            drop(pipes.enter(PipeId::from_u128(number), Attempt::FIRST));
        }
        assert!(pipes.table.lock().unwrap().len() <= MAX_REMEMBERED + 1);
        assert_eq!(pipes.running(), 1, "what runs is never forgotten");
        drop(entered);
        let enters = |number| pipes.enter(PipeId::from_u128(number), Attempt::FIRST);
        assert!(enters(0).is_some(), "the oldest names are forgotten");
        let newest = MAX_REMEMBERED as u128 + 4_999;
        assert!(enters(newest).is_none(), "the newest are not");
        assert!(enters(newest / 2).is_none());
    }
}
