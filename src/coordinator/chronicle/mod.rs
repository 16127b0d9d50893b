//! What becomes of the runs of an entry, for those who watch: a page for each run.

mod flow;
mod limit;
mod page;
mod tail;

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::{sync::broadcast, time::Instant};

use self::flow::Flow;
pub(super) use self::{page::Page, tail::Tail};
use crate::{
    id::{NodeId, PipeId, PipeName},
    transport::PeerAddress,
    wire::message::{Failure, PipeState, PipeView, milliseconds},
};

/// For how long a pipe that is over is remembered: long enough to ask what became of what one has just seen fail.
const REMEMBERED_FOR: Duration = Duration::from_secs(3_600);

/// Pipes that are over and remembered at most. With a pipeline of usual length each is some hundred bytes.
const MOST_REMEMBERED: usize = 10_000;

/// Stages of all of them together at most, for a pipe may have a thousand: some ten megabytes.
const MOST_STAGES: usize = 50_000;

/// Bytes of a pipeline that are kept. Nobody reads more in a list, and ten thousand of the longest would be gigabytes.
const LONGEST_PIPELINE: usize = 1 << 10;

/// Changes that wait for one who follows them, 16 bytes each. Who is further behind is told that some are missing.
const CHANGES: usize = 4_096;

/// What becomes of the runs of an entry: those that go on, and the last of those that are over.
///
/// The lock is held for short work in memory only. It is taken a handful of times for each run and once for each report of a node, never for data.
#[derive(Clone)]
pub(super) struct Chronicle {
    entry: NodeId,
    book: Arc<Mutex<Book>>,
    changes: broadcast::Sender<PipeId>,
}

#[derive(Default)]
struct Book {
    live: BTreeMap<PipeId, Arc<Written>>,
    /// The oldest first.
    over: VecDeque<Arc<Written>>,
    /// Of those that are over.
    stages: usize,
    /// Bytes of stderr that are kept of those that are over.
    tails: usize,
    /// How many of the oldest have lost theirs.
    bare: usize,
}

/// A run and the clock that its times are read from.
#[derive(Clone)]
struct Written {
    view: PipeView,
    owner: PeerAddress,
    began: Instant,
    /// One for each stage.
    flows: Vec<Flow>,
    delivered: Arc<AtomicU64>,
}

// === impl Chronicle ===

impl Chronicle {
    /// One without a page, of this entry.
    pub(super) fn new(entry: NodeId) -> Self {
        Self {
            entry,
            book: Arc::default(),
            changes: broadcast::Sender::new(CHANGES),
        }
    }

    /// Begins the page of a run.
    pub(super) fn begin(&self, pipe: PipeId, pipeline: &str, owner: PeerAddress) -> Page {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let view = PipeView {
            pipe,
            entry: Some(self.entry.clone()),
            pipeline: shortened(pipeline),
            client: owner.to_string(),
            began_ms: milliseconds(since.unwrap_or_default()),
            age_ms: 0,
            elapsed_ms: 0,
            state: PipeState::Agreeing,
            stages: Arc::default(),
            delivered: 0,
            limit: None,
            failure: None,
        };
        let run = Written {
            view,
            owner,
            began: Instant::now(),
            flows: Vec::new(),
            delivered: Arc::default(),
        };
        let delivered = run.delivered.clone();
        self.book().live.insert(pipe, Arc::new(run));
        self.changed(pipe);
        Page::new(self.clone(), pipe, delivered)
    }

    /// The runs that go on, and `over` those that do not, the newest first.
    pub(super) fn read(&self, over: bool, most: usize) -> (Vec<PipeView>, u64) {
        // What is shared is looked at while others write: only a run that changes meanwhile is copied for it.
        let mut runs: Vec<Arc<Written>> = {
            let mut book = self.book();
            book.forget();
            let past = book.over.iter().filter(|_| over);
            book.live.values().chain(past).cloned().collect()
        };
        runs.sort_by_cached_key(|run| run.view.newest_first());
        let left_out = runs.len().saturating_sub(most) as u64;
        let views = runs.iter().take(most).map(|run| run.now());
        (views.collect(), left_out)
    }

    /// The runs whose pipes' names begin or end like this, two at most, and who asked for each.
    pub(super) fn find(&self, name: &PipeName) -> Vec<(PipeView, PeerAddress)> {
        let part = match name {
            PipeName::Whole(pipe) => return self.get(*pipe).into_iter().collect(),
            PipeName::Part(part) => part.as_str(),
        };
        let mut book = self.book();
        book.forget();
        let is_meant = |run: &&Arc<Written>| {
            let full = run.view.pipe.to_string();
            full.starts_with(part) || full.ends_with(part)
        };
        let all = book.live.values().chain(&book.over);
        all.filter(is_meant)
            .take(2)
            .map(|run| run.shown())
            .collect()
    }

    /// The run of this pipe, and who asked for it. One that goes on is found at once, one that is over is looked for.
    pub(super) fn get(&self, pipe: PipeId) -> Option<(PipeView, PeerAddress)> {
        let mut book = self.book();
        book.forget();
        let is_meant = |run: &&Arc<Written>| run.view.pipe == pipe;
        let past = || book.over.iter().rev().find(is_meant);
        let run = book.live.get(&pipe).or_else(past);
        run.map(|run| run.shown())
    }

    /// The names of runs that change from now on.
    pub(super) fn follow(&self) -> broadcast::Receiver<PipeId> {
        self.changes.subscribe()
    }

    /// Writes something down about a run that goes on.
    fn with(&self, pipe: PipeId, change: impl FnOnce(&mut Written)) {
        if let Some(run) = self.book().live.get_mut(&pipe) {
            change(Arc::make_mut(run));
        }
        self.changed(pipe);
    }

    fn changed(&self, pipe: PipeId) {
        // Nobody may be following.
        let _followers = self.changes.send(pipe);
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
        let mut view = self.view.clone();
        view.age_ms = milliseconds(self.began.elapsed());
        if !view.state.is_over() {
            view.elapsed_ms = view.age_ms;
            view.delivered = self.delivered.load(Ordering::Relaxed);
            let lately: Vec<_> = self.flows.iter().map(Flow::lately).collect();
            view.limit = limit::limit(&view.stages, &limit::evened(&lately));
        }
        view
    }

    fn shown(&self) -> (PipeView, PeerAddress) {
        (self.now(), self.owner.clone())
    }

    /// Writes down how it ended.
    fn end(&mut self, ending: Result<(), Failure>) {
        let view = &mut self.view;
        view.elapsed_ms = milliseconds(self.began.elapsed());
        view.state = match ending {
            Ok(()) => PipeState::Complete,
            Err(_) => PipeState::Failed,
        };
        view.failure = ending.err();
        view.delivered = self.delivered.load(Ordering::Relaxed);
        for stage in view.stages_mut() {
            (stage.rate_in, stage.rate_out) = (None, None);
        }
        let waits: Vec<_> = view.stages.iter().map(|stage| stage.waits).collect();
        view.limit = limit::limit(&view.stages, &waits);
        self.flows = Vec::new();
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
        Arc::make_mut(&mut run).end(ending);
        self.stages += run.view.stages.len();
        self.tails += tail::length(&run.view);
        self.over.push_back(run);
        self.forget();
        self.forget_tails();
    }

    /// Forgets what is old, and the oldest of what is too much.
    fn forget(&mut self) {
        while let Some(oldest) = self.over.front() {
            let too_many = self.over.len() > MOST_REMEMBERED || self.stages > MOST_STAGES;
            if !too_many && oldest.over_for() < REMEMBERED_FOR {
                return;
            }
            self.stages -= oldest.view.stages.len();
            self.tails -= tail::length(&oldest.view);
            self.bare = self.bare.saturating_sub(1);
            self.over.pop_front();
        }
    }

    /// Forgets the oldest of what was written to stderr, when it is too much.
    fn forget_tails(&mut self) {
        while self.tails > tail::MOST {
            let Some(run) = self.over.get_mut(self.bare) else {
                return;
            };
            self.bare += 1;
            self.tails -= tail::length(&run.view);
            Arc::make_mut(run).view.hide_stderr();
        }
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
    use crate::wire::message::{Ending, Outcome};

    fn chronicle() -> Chronicle {
        Chronicle::new(NodeId::new("a").unwrap())
    }

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
        let chronicle = chronicle();
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
        let chronicle = chronicle();
        drop(begin(&chronicle, 1));
        let (past, _) = chronicle.read(true, 10);
        assert_eq!(past[0].state, PipeState::Failed);
        assert!(matches!(past[0].failure, Some(Failure::Entry { .. })));
    }

    #[tokio::test]
    async fn what_is_remembered_is_bounded_and_the_newest_come_first() {
        let chronicle = chronicle();
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
