//! One pipe over time: what single answers of the entry do not tell.

use std::collections::VecDeque;

use crate::wire::message::{PipeView, Waits};

/// Rates that are kept of a pipe: with one a second, half a minute, as wide as a graph is on a wide screen.
pub(super) const KEPT: usize = 30;

/// A pipe, as it was told of last, and what came of it lately.
#[derive(Clone, Debug)]
pub(super) struct Tracked {
    /// What the entry told last.
    pub(super) view: PipeView,
    /// Bytes a second that leave it, once that is known.
    pub(super) rate: Option<u64>,
    rates: VecDeque<u64>,
    stages: Vec<Spent>,
}

/// What a stage has spent its time on.
#[derive(Clone, Copy, Debug, Default)]
struct Spent {
    /// In all, when it was told of last.
    all: Waits,
    /// Between the last two times that it was told of.
    lately: Option<Waits>,
}

// === impl Tracked ===

impl Tracked {
    /// A pipe of which nothing was told before.
    pub(super) fn new(view: PipeView) -> Self {
        let rate = last_rate(&view);
        let stages = view.stages.iter().map(|stage| Spent {
            all: stage.waits.unwrap_or_default(),
            lately: None,
        });
        Self {
            rate,
            rates: rate.into_iter().collect(),
            stages: stages.collect(),
            view,
        }
    }

    /// The same pipe, told of again.
    pub(super) fn follow(mut self, view: PipeView) -> Self {
        self.rate = last_rate(&view).or_else(|| delivered_rate(&self.view, &view));
        if let Some(rate) = self.rate {
            if self.rates.len() == KEPT {
                self.rates.pop_front();
            }
            self.rates.push_back(rate);
        }
        self.stages.resize(view.stages.len(), Spent::default());
        for (spent, stage) in self.stages.iter_mut().zip(view.stages.iter()) {
            spent.follow(stage.waits.unwrap_or_default());
        }
        self.view = view;
        self
    }

    /// Its rates, the oldest first.
    pub(super) fn rates(&self) -> impl DoubleEndedIterator<Item = u64> {
        self.rates.iter().copied()
    }

    /// What the stage with this index spends its time on, lately where that is known; `None` where nobody looks.
    pub(super) fn spent(&self, index: usize) -> Option<Waits> {
        let all = self.view.stages.get(index)?.waits?;
        let lately = self.stages.get(index).and_then(|spent| spent.lately);
        Some(lately.unwrap_or(all)).filter(|waits| waits.total_ms() > 0)
    }
}

// === impl Spent ===

impl Spent {
    /// Entries learn of their stages about once a second: what says nothing new leaves what was said before.
    fn follow(&mut self, all: Waits) {
        let more = all.since(&self.all);
        if more.total_ms() > 0 {
            *self = Self {
                all,
                lately: Some(more),
            };
        }
    }
}

/// What the last stage writes a second.
fn last_rate(view: &PipeView) -> Option<u64> {
    view.stages.last()?.rate_out
}

/// What went to the client between two answers, a second of the entry's own time. The last stage of a pipe of one node may be read by nobody
/// who counts.
fn delivered_rate(before: &PipeView, now: &PipeView) -> Option<u64> {
    let ms = now
        .elapsed_ms
        .checked_sub(before.elapsed_ms)
        .filter(|ms| *ms > 0)?;
    let more = u128::from(now.delivered.saturating_sub(before.delivered));
    Some(u64::try_from(more * 1_000 / u128::from(ms)).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::top::samples::pipe;

    #[test]
    fn the_last_stage_tells_the_rate_and_otherwise_the_client_does() {
        let counted = Tracked::new(pipe(7, 3));
        assert_eq!(counted.rate, Some(3_072));
        let at = |elapsed_ms, delivered| {
            let mut view = pipe(7, 1);
            view.stages_mut()[0].rate_out = None;
            PipeView {
                elapsed_ms,
                delivered,
                ..view
            }
        };
        let first = Tracked::new(at(1_000, 500));
        assert_eq!(first.rate, None);
        let second = first.follow(at(3_000, 4_500));
        assert_eq!(second.rate, Some(2_000));
        let same_moment = second.clone().follow(at(3_000, 4_500));
        assert_eq!(same_moment.rate, None, "there is no rate without time");
        let backwards = second.follow(at(4_000, 0));
        assert_eq!(backwards.rate, Some(0));
        assert_eq!(backwards.rates().collect::<Vec<_>>(), [2_000, 0]);
    }

    #[test]
    fn no_more_rates_are_kept_than_are_shown() {
        let mut tracked = Tracked::new(pipe(7, 3));
        for _ in 0..100 {
            tracked = tracked.follow(pipe(7, 3));
        }
        assert_eq!(tracked.rates().count(), KEPT);
    }

    #[test]
    fn time_is_what_was_spent_lately() {
        let at = |input_ms, work_ms| {
            let mut view = pipe(7, 1);
            view.stages_mut()[0].waits = Some(Waits {
                input_ms,
                output_ms: 0,
                work_ms,
            });
            view
        };
        let mut tracked = Tracked::new(at(1_000, 0));
        assert_eq!(tracked.spent(0).unwrap().input_ms, 1_000);
        tracked = tracked.follow(at(1_100, 900));
        let lately = Waits {
            input_ms: 100,
            output_ms: 0,
            work_ms: 900,
        };
        assert_eq!(tracked.spent(0), Some(lately));
        tracked = tracked.follow(at(1_100, 900));
        assert_eq!(tracked.spent(0), Some(lately), "nothing new was told");
        assert_eq!(tracked.spent(9), None);
    }
}
