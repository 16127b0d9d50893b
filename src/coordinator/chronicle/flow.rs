//! From what a node has counted so far to what happens now.

use tokio::time::{Duration, Instant};

use crate::wire::message::{StageProgress, Waits};

/// The least time that a rate is taken over: reports come each second, or more often, and a shorter one jumps.
const RATE_OVER: Duration = Duration::from_millis(700);

/// After so long what a stage has spent its time on is put aside; what counts as lately is between one and two of it.
const LATELY: Duration = Duration::from_secs(3);

/// What a stage's reports come to.
#[derive(Clone, Debug, Default)]
pub(super) struct Flow {
    mark: Option<(Instant, StageProgress)>,
    rates: (Option<u64>, Option<u64>),
    now: Waits,
    /// As it was at two moments, the older one first.
    before: [Option<(Instant, Waits)>; 2],
}

// === impl Flow ===

impl Flow {
    /// Takes a report.
    pub(super) fn note(&mut self, progress: &StageProgress) {
        let now = Instant::now();
        match &self.mark {
            Some((at, earlier)) if now - *at >= RATE_OVER => {
                let over = now - *at;
                let rate = |read: Option<u64>, earlier: Option<u64>| {
                    Some(per_second(read?.saturating_sub(earlier?), over))
                };
                self.rates = (
                    rate(progress.bytes_in, earlier.bytes_in),
                    rate(progress.bytes_out, earlier.bytes_out),
                );
                self.mark = Some((now, *progress));
            }
            Some(_) => {}
            None => self.mark = Some((now, *progress)),
        }
        self.now = progress.waits.unwrap_or_default();
        let [_, newer] = self.before;
        if newer.is_none_or(|(at, _)| now - at >= LATELY) {
            self.before = [newer, Some((now, self.now))];
        }
    }

    /// Bytes per second into the stage and out of it.
    pub(super) const fn rates(&self) -> (Option<u64>, Option<u64>) {
        self.rates
    }

    /// What it has spent its time on in the last seconds.
    pub(super) fn lately(&self) -> Option<Waits> {
        let earlier = self.before[0].map_or_else(Waits::default, |(_, waits)| waits);
        let lately = self.now.since(&earlier);
        (lately.total_ms() > 0).then_some(lately)
    }
}

fn per_second(bytes: u64, over: Duration) -> u64 {
    let rate = u128::from(bytes) * 1_000 / over.as_millis().max(1);
    u64::try_from(rate).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::StageNumber;

    fn progress(bytes: u64, work_ms: u64, input_ms: u64) -> StageProgress {
        StageProgress {
            stage: StageNumber::FIRST,
            bytes_in: None,
            bytes_out: Some(bytes),
            stalled_ms: 0,
            waits: Some(Waits {
                input_ms,
                output_ms: 0,
                work_ms,
            }),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_is_that_of_the_last_second() {
        let mut flow = Flow::default();
        flow.note(&progress(1_000, 0, 0));
        assert_eq!(flow.rates(), (None, None));
        for (after_ms, bytes, rate) in [
            (200, 2_000, None),
            (800, 3_000, Some(2_000)),
            (1_000, 3_000, Some(0)),
        ] {
            tokio::time::advance(Duration::from_millis(after_ms)).await;
            flow.note(&progress(bytes, 0, 0));
            assert_eq!(flow.rates(), (None, rate));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_stage_did_long_ago_does_not_count_as_lately() {
        let mut flow = Flow::default();
        assert_eq!(flow.lately(), None);
        for second in 1..=20_u64 {
            tokio::time::advance(Duration::from_secs(1)).await;
            // It works for ten seconds, and waits then.
            let (work, input) = (second.min(10) * 1_000, second.saturating_sub(10) * 1_000);
            flow.note(&progress(0, work, input));
            let lately = flow.lately().unwrap();
            match second {
                ..=10 => assert_eq!(lately.input_ms, 0),
                17.. => assert_eq!(lately.work_ms, 0),
                _ => {}
            }
            assert!(lately.total_ms() <= 6_000, "{lately:?}");
        }
    }
}
