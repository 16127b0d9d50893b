//! Following a service by questions that the agent answers when there is news.

use std::{sync::Arc, time::Duration};

use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::warn;

use super::{
    agent::{Agent, Seen},
    client::Scope,
    pace::{self, Next, POLL},
};
use crate::{Instance, RegistryError, ServiceName};

/// Longest time between an answer and the next question for which the answer's index is believed: less than a server needs to restart.
const MAX_GAP: Duration = Duration::from_secs(1);

/// What is asked about a service. An app is asked for by the node's own service where that is all there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    /// The service that is asked for.
    pub(super) service: ServiceName,
    /// Which of its instances.
    pub(super) filter: Option<String>,
    /// What the instances are instances of.
    pub(super) asked: ServiceName,
}

/// One watch. Nothing runs while nobody polls it.
#[derive(Debug)]
struct Watch {
    agent: Arc<Agent>,
    question: Question,
    since: Since,
    last: Option<Vec<Instance>>,
    /// No question before this.
    not_before: Instant,
    led: bool,
}

/// Where to wait from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Since {
    /// From no place: the answer comes at once. The first time, and when the counting began anew, for an index from before that would
    /// be waited for in vain.
    Start,
    /// From the state with this index.
    Index(u64),
    /// The answer had no index: something in between leaves it out.
    Unknown,
}

// === impl Question ===

impl Question {
    /// Gives the instances the name that was asked for.
    pub(super) fn answer(&self, mut set: Vec<Instance>) -> Vec<Instance> {
        for instance in &mut set {
            instance.service.clone_from(&self.asked);
        }
        set
    }
}

/// Follows what a question asks for, until the first error or until the stream is dropped.
pub(super) fn watch(
    agent: Arc<Agent>,
    question: Question,
) -> BoxStream<'static, Result<Vec<Instance>, RegistryError>> {
    let watch = Watch {
        agent,
        question,
        since: Since::Start,
        last: None,
        not_before: Instant::now(),
        led: true,
    };
    stream::unfold(Some(watch), async |watch| {
        let mut watch = watch?;
        match watch.news().await {
            Ok(set) => Some((Ok(set), Some(watch))),
            Err(error) => Some((Err(error), None)),
        }
    })
    .boxed()
}

// === impl Watch ===

impl Watch {
    /// The next set that differs from the last one.
    async fn news(&mut self) -> Result<Vec<Instance>, RegistryError> {
        loop {
            let seen = self.ask().await?;
            self.since = self.since.then(seen.index);
            if self.led && !seen.led {
                let service = &self.question.asked;
                warn!(%service, "the servers have no leader: what they say may be old");
            }
            self.led = seen.led;
            self.not_before = Instant::now() + pace::pause(seen.set.len());
            let set = self.question.answer(seen.set);
            // The same again is a wait that ran out, or a change of something else.
            if self.last.as_ref() != Some(&set) {
                self.last = Some(set.clone());
                return Ok(set);
            }
        }
    }

    async fn ask(&self) -> Result<Seen, RegistryError> {
        let Question {
            service, filter, ..
        } = &self.question;
        let now = || self.agent.look_up(Scope::Catalog, service, filter.clone());
        let Some(last) = &self.last else {
            return now().await;
        };
        let primary = service == &self.agent.names.primary;
        match Next::after(last.len(), primary) {
            Next::Poll(wait) => {
                sleep(wait).await;
                now().await
            }
            Next::Wait => {
                let since = match self.since {
                    // Nobody asked for a while: the server may have begun anew without this watch having seen an error.
                    Since::Index(_) if self.not_before.elapsed() > MAX_GAP => Since::Start,
                    since => since,
                };
                sleep_until(self.not_before).await;
                match (since, self.agent.waiting.try_acquire()) {
                    (Since::Start, _) => now().await,
                    (Since::Index(index), Ok(_permit)) => {
                        self.agent.wait_for(service, filter.clone(), index).await
                    }
                    (Since::Index(_), Err(_)) | (Since::Unknown, _) => {
                        sleep(POLL).await;
                        now().await
                    }
                }
            }
        }
    }
}

// === impl Since ===

impl Since {
    /// Where to wait from after an answer with this index.
    fn then(self, index: u64) -> Self {
        match self {
            _ if index == 0 => Self::Unknown,
            Self::Index(last) if index < last => Self::Start,
            _ => Self::Index(index),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_that_falls_is_not_waited_from() {
        assert_eq!(Since::Start.then(7), Since::Index(7));
        assert_eq!(Since::Index(7).then(7), Since::Index(7));
        assert_eq!(Since::Index(7).then(3), Since::Start);
        assert_eq!(Since::Index(7).then(0), Since::Unknown);
        assert_eq!(Since::Unknown.then(3), Since::Index(3));
    }
}
