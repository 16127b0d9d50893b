//! When a run is over, and when somebody has been waited for long enough.

use std::time::Duration;

use tokio::time::Instant;

use super::{Phase, Stdout, Watch};
use crate::wire::message::{Failure, LinkEnd};

impl Watch<'_> {
    /// Acts on whatever clock ran out; `false` when nothing more is waited for.
    pub(super) async fn on_wake(
        &mut self,
        deadline: Option<(u64, Instant)>,
        link_deadline: Instant,
    ) -> bool {
        let now = Instant::now();
        match self.phase {
            Phase::Ending(until) => return now < until,
            Phase::Running => {
                if let Some((after_ms, at)) = deadline
                    && now >= at
                {
                    self.fail(Failure::TimedOut { after_ms }).await;
                } else if self.awaits_link() && now >= link_deadline {
                    let node = self.places[self.places.len() - 1].clone();
                    self.lost(&node, "it did not open the link to the client".to_owned())
                        .await;
                }
            }
        }
        true
    }

    pub(super) fn next_deadline(
        &self,
        deadline: Option<(u64, Instant)>,
        link_deadline: Instant,
    ) -> Instant {
        /// A wake-up that changes nothing, where no clock runs.
        const IDLE: Duration = Duration::from_secs(3_600);
        match self.phase {
            Phase::Ending(until) => until,
            Phase::Running => {
                let link = self.awaits_link().then_some(link_deadline);
                let limit = deadline.map(|(_, at)| at);
                [link, limit]
                    .into_iter()
                    .flatten()
                    .min()
                    .unwrap_or_else(|| Instant::now() + IDLE)
            }
        }
    }

    /// Whether somebody is there who has yet to open the link to the client.
    fn awaits_link(&self) -> bool {
        self.stdout == Stdout::Awaited && self.is_last_alive()
    }

    fn is_last_alive(&self) -> bool {
        let last = self.places.last().and_then(|node| self.nodes.get(node));
        last.is_some_and(|node| node.alive)
    }

    pub(super) fn is_over(&self) -> bool {
        let reported = self.nodes.values().all(|node| {
            !node.alive
                || node
                    .stages
                    .iter()
                    .all(|stage| self.records[stage.index()].is_some())
        });
        let stdout = match self.stdout {
            Stdout::Over => true,
            // Without a node to open or feed it nothing more will come.
            Stdout::Awaited | Stdout::Flowing => !self.is_last_alive(),
        };
        let stderr = self.records.iter().flatten().all(|record| {
            let alive = self.nodes.get(&record.node).is_some_and(|node| node.alive);
            record.bytes_err.unwrap_or(0) == 0
                || self.stderr_over.get(&record.stage) == Some(&true)
                || !alive
        });
        let first = self.records.first().and_then(Option::as_ref);
        let stdin = self.stdin_end.is_some()
            || first.is_none_or(|record| record.input != LinkEnd::Finished);
        reported && (stdout || self.nothing_flows()) && stderr && stdin
    }

    /// After a failure the last stage may never have opened its link.
    fn nothing_flows(&self) -> bool {
        self.phase != Phase::Running && self.stdout == Stdout::Awaited
    }
}
