use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::time::Instant;

use crate::{
    id::PipeId,
    transport::PeerAddress,
    wire::message::{
        Ending, Failure, Outcome, PipeState, PipeView, StagePlan, StageRecord, StageView,
        milliseconds,
    },
};

/// For how long a pipe that is over is remembered: long enough to ask what became of what one has just seen fail.
const REMEMBERED_FOR: Duration = Duration::from_secs(3_600);

/// Pipes that are over and remembered at most. With a pipeline of usual length each is some hundred bytes.
const MOST_REMEMBERED: usize = 10_000;

/// Stages of all of them together at most, for a pipe may have a thousand: some ten megabytes.
const MOST_STAGES: usize = 50_000;

/// Bytes of a pipeline that are kept. Nobody reads more in a list, and ten thousand of the longest would be gigabytes.
const LONGEST_PIPELINE: usize = 1 << 10;

/// What becomes of the runs of an entry: those that go on, and the last of those that are over.
///
/// The lock is held for short work in memory only. It is taken a handful of times for each run, never for data.
#[derive(Clone, Default)]
pub(super) struct Chronicle {
    book: Arc<Mutex<Book>>,
}

#[derive(Default)]
struct Book {
    live: BTreeMap<PipeId, Written>,
    /// The oldest first.
    over: VecDeque<Written>,
    /// Of those that are over.
    stages: usize,
}

/// A run and the clock that its times are read from.
struct Written {
    view: PipeView,
    owner: PeerAddress,
    began: Instant,
}

/// A run's own page. Dropped before its outcome was noted, the run failed without a word.
#[derive(Debug)]
pub(super) struct Page {
    chronicle: Chronicle,
    pipe: PipeId,
}

// === impl Chronicle ===

impl Chronicle {
    /// Begins the page of a run.
    pub(super) fn begin(&self, pipe: PipeId, pipeline: &str, owner: PeerAddress) -> Page {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let view = PipeView {
            pipe,
            pipeline: shortened(pipeline),
            client: owner.to_string(),
            began_ms: milliseconds(since.unwrap_or_default()),
            age_ms: 0,
            elapsed_ms: 0,
            state: PipeState::Agreeing,
            stages: Vec::new(),
            failure: None,
        };
        let run = Written {
            view,
            owner,
            began: Instant::now(),
        };
        self.book().live.insert(pipe, run);
        Page {
            chronicle: self.clone(),
            pipe,
        }
    }

    /// The runs that go on, and `over` those that do not, the newest first.
    pub(super) fn read(&self, over: bool, most: usize) -> (Vec<PipeView>, u64) {
        let mut book = self.book();
        book.forget();
        let past = book.over.iter().filter(|_| over);
        let mut all: Vec<&Written> = book.live.values().chain(past).collect();
        all.sort_by_key(|run| std::cmp::Reverse((run.view.began_ms, run.view.pipe)));
        let left_out = all.len().saturating_sub(most);
        // Only what is told is copied.
        let told = all.into_iter().take(most).map(Written::now).collect();
        (told, left_out as u64)
    }

    /// The runs whose pipes' names begin or end like this, two at most, and who asked for each.
    pub(super) fn find(&self, name: &str) -> Vec<(PipeView, PeerAddress)> {
        let name = name.to_ascii_uppercase();
        let mut book = self.book();
        book.forget();
        let is_meant = |run: &&Written| {
            let full = run.view.pipe.to_string();
            full.starts_with(&name) || full.ends_with(&name)
        };
        let all = book.live.values().chain(&book.over);
        all.filter(is_meant)
            .take(2)
            .map(|run| (run.now(), run.owner.clone()))
            .collect()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Chronicle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let book = self.book();
        f.debug_struct("Chronicle")
            .field("live", &book.live.len())
            .field("over", &book.over.len())
            .finish()
    }
}

// === impl Written ===

impl Written {
    fn now(&self) -> PipeView {
        let age_ms = milliseconds(self.began.elapsed());
        let elapsed_ms = if self.view.state.is_over() {
            self.view.elapsed_ms
        } else {
            age_ms
        };
        PipeView {
            age_ms,
            elapsed_ms,
            ..self.view.clone()
        }
    }

    /// How long it has been over.
    fn over_for(&self) -> Duration {
        let lasted = Duration::from_millis(self.view.elapsed_ms);
        self.began.elapsed().saturating_sub(lasted)
    }
}

// === impl Book ===

impl Book {
    fn close(&mut self, pipe: PipeId, ending: Result<(), Failure>) {
        let Some(mut run) = self.live.remove(&pipe) else {
            return;
        };
        run.view.elapsed_ms = milliseconds(run.began.elapsed());
        run.view.state = match ending {
            Ok(()) => PipeState::Complete,
            Err(_) => PipeState::Failed,
        };
        run.view.failure = ending.err();
        self.stages += run.view.stages.len();
        self.over.push_back(run);
        self.forget();
    }

    /// Forgets what is old, and the oldest of what is too much.
    fn forget(&mut self) {
        while let Some(oldest) = self.over.front() {
            let too_many = self.over.len() > MOST_REMEMBERED || self.stages > MOST_STAGES;
            if !too_many && oldest.over_for() < REMEMBERED_FOR {
                return;
            }
            self.stages -= oldest.view.stages.len();
            self.over.pop_front();
        }
    }
}

// === impl Page ===

impl Page {
    /// Every node has agreed.
    pub(super) fn agreed(&self, stages: &[StagePlan]) {
        let stages = stages.iter().map(|stage| StageView {
            stage: stage.stage,
            app: stage.app.clone(),
            node: stage.node.clone(),
            exit: None,
            bytes_in: None,
            bytes_out: None,
        });
        let stages = stages.collect();
        self.with(|view| {
            view.state = PipeState::Starting;
            view.stages = stages;
        });
    }

    /// Every program runs.
    pub(super) fn started(&self) {
        self.with(|view| view.state = PipeState::Running);
    }

    /// A stage is over.
    pub(super) fn ended(&self, record: &StageRecord) {
        self.with(|view| {
            let stage = view.stages.get_mut(record.stage.index());
            if let Some(stage) = stage {
                stage.exit = Some(record.exit);
                stage.bytes_in = record.bytes_in;
                stage.bytes_out = record.bytes_out;
            }
        });
    }

    /// The run is over.
    pub(super) fn close(self, outcome: &Outcome) {
        let ending = match &outcome.ending {
            Ending::Complete => Ok(()),
            Ending::Failed(failure) => Err(failure.clone()),
        };
        self.chronicle.book().close(self.pipe, ending);
    }

    fn with(&self, change: impl FnOnce(&mut PipeView)) {
        if let Some(run) = self.chronicle.book().live.get_mut(&self.pipe) {
            change(&mut run.view);
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // Nothing is left of it where it was closed.
        let detail = "the run was given up".to_owned();
        let failure = Failure::Entry { detail };
        self.chronicle.book().close(self.pipe, Err(failure));
    }
}

/// What is kept of a pipeline.
fn shortened(pipeline: &str) -> String {
    if pipeline.len() <= LONGEST_PIPELINE {
        return pipeline.to_owned();
    }
    let end = pipeline.floor_char_boundary(LONGEST_PIPELINE);
    format!("{}...", &pipeline[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(chronicle: &Chronicle, number: u128) -> Page {
        let pipe = PipeId::from_u128(number);
        chronicle.begin(pipe, "seq 3 | sort", PeerAddress::InProcess)
    }

    fn over(ending: Ending) -> Outcome {
        Outcome {
            ending,
            stages: Vec::new(),
            streams: 0,
            elapsed_ms: 0,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_is_live_until_it_is_closed_and_remembered_for_an_hour() {
        let chronicle = Chronicle::default();
        let page = begin(&chronicle, 1);
        tokio::time::advance(Duration::from_secs(3)).await;
        page.started();
        let (live, _) = chronicle.read(false, 10);
        assert_eq!(live[0].state, PipeState::Running);
        assert_eq!(live[0].elapsed_ms, 3_000);
        page.close(&over(Ending::Complete));
        tokio::time::advance(REMEMBERED_FOR - Duration::from_secs(1)).await;
        assert_eq!(chronicle.read(false, 10).0, []);
        let (past, _) = chronicle.read(true, 10);
        assert_eq!(past[0].state, PipeState::Complete);
        assert_eq!((past[0].elapsed_ms, past[0].age_ms), (3_000, 3_602_000));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(chronicle.read(true, 10).0, []);
    }

    #[tokio::test]
    async fn a_page_that_is_dropped_is_a_run_that_failed() {
        let chronicle = Chronicle::default();
        drop(begin(&chronicle, 1));
        let (past, _) = chronicle.read(true, 10);
        assert_eq!(past[0].state, PipeState::Failed);
        assert!(matches!(past[0].failure, Some(Failure::Entry { .. })));
    }

    #[tokio::test]
    async fn what_is_remembered_is_bounded_and_the_newest_come_first() {
        let chronicle = Chronicle::default();
        let live = begin(&chronicle, 0);
        for number in 1..=MOST_REMEMBERED as u128 + 5 {
            begin(&chronicle, number).close(&over(Ending::Complete));
        }
        let (all, left_out) = chronicle.read(true, 7);
        assert_eq!((all.len(), left_out), (7, MOST_REMEMBERED as u64 + 1 - 7));
        let newest = PipeId::from_u128(MOST_REMEMBERED as u128 + 5);
        assert_eq!(all[0].pipe, newest);
        assert_eq!(chronicle.read(false, 7).0.len(), 1);
        drop(live);
    }

    #[test]
    fn a_very_long_pipeline_is_cut_between_characters() {
        let cut = shortened(&"ä".repeat(LONGEST_PIPELINE));
        assert!(cut.len() <= LONGEST_PIPELINE + 3 && cut.ends_with("ä..."));
        assert_eq!(shortened("a | b"), "a | b");
    }
}
