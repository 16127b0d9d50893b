//! The stages of a part as those see them who watch: what flows, and what each spends its time on.
//!
//! Nothing is timed where bytes are moved. The stages' pipes are looked at a few times a second instead, which costs two system calls for a pipe,
//! and the time since the last look is put down to what is seen. Over some seconds that is as good, and it is the same for what the kernel
//! splices, what passes through memory, and what is compressed.

use std::time::Duration;

use super::{metrics::Metrics, stage::StageHandle};
use crate::transport::pump::Meter;

/// What has been looked at of a part so far.
#[derive(Debug)]
pub(super) struct Watched {
    /// Bytes into and out of each stage that the metrics have been told of.
    counted: Vec<(u64, u64)>,
}

// === impl Watched ===

impl Watched {
    pub(super) fn new(stages: usize) -> Self {
        Self {
            counted: vec![(0, 0); stages],
        }
    }

    /// Looks at all of them when this much time has passed since the last look. Returns whether anything has moved meanwhile.
    pub(super) fn look(
        &mut self,
        passed: Duration,
        stages: &[StageHandle],
        metrics: &Metrics,
    ) -> bool {
        // A stage without a meter on its output writes into a kernel pipe that the next one reads.
        for joined in stages.split_inclusive(|stage| stage.meters().output.is_some()) {
            let (Some(first), Some(last)) = (joined.first(), joined.last()) else {
                continue;
            };
            let fill = |meter: &Option<_>| meter.as_deref().map(Meter::fill);
            let (input, output) = (fill(&first.meters().input), fill(&last.meters().output));
            for stage in joined {
                if let Some(on) = stage.spent(passed, input, output) {
                    metrics.spent(stage.app(), on, passed);
                }
            }
        }
        self.count(stages, metrics)
    }

    /// Tells the metrics of the bytes that have come since they were last told. Returns whether there were any.
    pub(super) fn count(&mut self, stages: &[StageHandle], metrics: &Metrics) -> bool {
        let mut moved = false;
        for (stage, (told_in, told_out)) in stages.iter().zip(&mut self.counted) {
            let bytes = |meter: &Option<_>| meter.as_deref().map_or(0, Meter::bytes);
            let (read, written) = (bytes(&stage.meters().input), bytes(&stage.meters().output));
            metrics.moved(stage.app(), read - *told_in, written - *told_out);
            moved |= (*told_in, *told_out) != (read, written);
            (*told_in, *told_out) = (read, written);
        }
        moved
    }
}
