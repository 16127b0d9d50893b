//! The end of what stages wrote to stderr: what one wants to see first of a stage that failed.

use super::Chronicle;
use crate::{
    id::{PipeId, StageNumber},
    wire::message::PipeView,
};

/// Bytes that are kept of each stage: a dozen lines.
const KEPT: usize = 1 << 10;

/// Bytes that are kept of all runs that are over. Beyond it the oldest lose theirs.
pub(super) const MOST: usize = 8 << 20;

/// Where what a stage writes to stderr is left.
#[derive(Debug)]
pub(in crate::coordinator) struct Tail {
    chronicle: Chronicle,
    pipe: PipeId,
    stage: StageNumber,
    last: Vec<u8>,
}

// === impl Tail ===

impl Tail {
    pub(super) const fn new(chronicle: Chronicle, pipe: PipeId, stage: StageNumber) -> Self {
        Self {
            chronicle,
            pipe,
            stage,
            last: Vec::new(),
        }
    }

    /// Leaves some more.
    pub(in crate::coordinator) fn push(&mut self, bytes: &[u8]) {
        keep_last(&mut self.last, bytes);
        let text = String::from_utf8_lossy(&self.last).into_owned();
        self.chronicle.with(self.pipe, |run| {
            if let Some(stage) = run.view.stages_mut().get_mut(self.stage.index()) {
                stage.stderr = text;
            }
        });
    }
}

fn keep_last(last: &mut Vec<u8>, bytes: &[u8]) {
    let bytes = &bytes[bytes.len().saturating_sub(KEPT)..];
    let too_much = (last.len() + bytes.len()).saturating_sub(KEPT);
    last.drain(..too_much);
    last.extend_from_slice(bytes);
}

/// Bytes that a run has of it.
pub(super) fn length(view: &PipeView) -> usize {
    view.stages.iter().map(|stage| stage.stderr.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_bytes_are_kept() {
        let mut last = Vec::new();
        keep_last(&mut last, b"first");
        keep_last(&mut last, &[b'x'; KEPT - 2]);
        assert!(last.starts_with(b"stx") && last.len() == KEPT);
        keep_last(&mut last, &[b'y'; 3 * KEPT]);
        assert_eq!(last, [b'y'; KEPT]);
    }
}
