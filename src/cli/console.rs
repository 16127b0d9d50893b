//! What a running pipe shows on this process's stderr: the stages' own lines, progress, notes.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{caret::printable, engine::Watcher, render::text};
use crate::{
    id::StageNumber,
    wire::message::{Exit, Outcome, StagePlan, StageProgress, StageRecord, StderrMode},
};

/// Longest line that is held back until its end comes; what is longer is written in pieces. PIPE_BUF would be 4 KiB; compilers and
/// Java write lines longer than that.
const LONGEST_LINE: usize = 64 << 10;

/// Lines that `--stderr failed` keeps of each stage: enough for an error and its context.
const KEPT_LINES: usize = 10;

/// How often progress is drawn at most: 10 Hz read as motion and cost nothing.
const DRAWS_PER_SECOND: u8 = 10;

/// How often progress is a line where it cannot be drawn: often enough to see a pipe move, rarely enough for a log.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// How long a stage may stand still before progress says so: shorter pauses are how pipes work.
const STALLED_AFTER: Duration = Duration::from_secs(1);

/// Writes what a pipe has to say to stderr, every line whole.
pub(crate) struct Console<W> {
    out: W,
    mode: StderrMode,
    tag: bool,
    verbose: bool,
    quiet: bool,
    progress: Progress,
    stages: BTreeMap<StageNumber, Stage>,
}

/// How progress is shown.
enum Progress {
    /// Not at all.
    None,
    /// Drawn in place, on a terminal.
    Bars(MultiProgress),
    /// As lines, where nothing can be drawn over.
    Lines {
        since: Instant,
        told: Option<Duration>,
    },
}

#[derive(Default)]
struct Stage {
    /// `app@node`, once everybody agreed.
    name: String,
    /// The beginning of a line whose end has not come.
    partial: Vec<u8>,
    /// The last lines, when they are shown only if the stage fails.
    kept: VecDeque<Vec<u8>>,
    bar: Option<ProgressBar>,
}

/// How a [`Console`] behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConsoleOptions {
    /// Which stages' stderr is shown.
    pub mode: StderrMode,
    /// Whether every line says where it comes from.
    pub tag: bool,
    /// Whether progress is drawn.
    pub progress: bool,
    /// Whether what nodes ignored is told.
    pub verbose: bool,
    /// Whether notes are left out.
    pub quiet: bool,
}

// === impl Console ===

impl<W: Write + Send> Console<W> {
    /// A console that writes there.
    pub(crate) fn new(out: W, options: ConsoleOptions) -> Self {
        let target = ProgressDrawTarget::stderr_with_hz;
        let progress = match (options.progress, io::stderr().is_terminal()) {
            (false, _) => Progress::None,
            (true, true) => {
                Progress::Bars(MultiProgress::with_draw_target(target(DRAWS_PER_SECOND)))
            }
            (true, false) => Progress::Lines {
                since: Instant::now(),
                told: None,
            },
        };
        Self {
            out,
            mode: options.mode,
            tag: options.tag,
            verbose: options.verbose,
            quiet: options.quiet,
            progress,
            stages: BTreeMap::new(),
        }
    }

    /// Ends progress, and shows the last lines of the stages that failed, if only those are wanted.
    fn show_last(&mut self, records: &[StageRecord]) {
        if let Progress::Bars(bars) = std::mem::replace(&mut self.progress, Progress::None) {
            // A terminal that is gone takes no last drawing.
            let _gone = bars.clear();
        }
        for (number, mut stage) in std::mem::take(&mut self.stages) {
            let partial = std::mem::take(&mut stage.partial);
            if !partial.is_empty() {
                self.line(&mut stage, partial);
            }
            let failed = records
                .iter()
                .any(|record| record.stage == number && record.exit != Exit::Code(0));
            if failed && self.mode == StderrMode::Failed {
                for line in std::mem::take(&mut stage.kept) {
                    self.write(&stage.name, &line);
                }
            }
        }
    }

    fn line(&mut self, stage: &mut Stage, mut line: Vec<u8>) {
        // As the stage wrote it, unless that would put one stage's tag into another's line.
        if (self.tag || self.mode == StderrMode::Failed) && line.last() != Some(&b'\n') {
            line.push(b'\n');
        }
        match self.mode {
            StderrMode::All => self.write(&stage.name, &line),
            StderrMode::Failed => {
                if stage.kept.len() == KEPT_LINES {
                    stage.kept.pop_front();
                }
                stage.kept.push_back(line);
            }
            StderrMode::None => {}
        }
    }

    /// Writes one line by one call, so that lines of several writers do not mix.
    fn write(&mut self, name: &str, line: &[u8]) {
        let mut whole = Vec::with_capacity(line.len() + name.len() + 2);
        if self.tag && !name.is_empty() {
            whole.extend_from_slice(name.as_bytes());
            whole.extend_from_slice(b": ");
        }
        whole.extend_from_slice(line);
        let out = &mut self.out;
        // Nobody can be told that stderr is gone; the pipe's output and status do not depend on it.
        let mut put = || drop(out.write_all(&whole));
        match &self.progress {
            Progress::Bars(bars) => bars.suspend(put),
            Progress::None | Progress::Lines { .. } => put(),
        }
    }

    /// Progress as lines, `elapsed` after the start.
    fn progress_to_a_file(&mut self, stages: &[StageProgress], elapsed: Duration) {
        let Progress::Lines { told, .. } = &mut self.progress else {
            return;
        };
        if told.is_some_and(|told| elapsed.saturating_sub(told) < LINE_EVERY) {
            return;
        }
        *told = Some(elapsed);
        for now in stages {
            let Some(stage) = self.stages.get(&now.stage) else {
                continue;
            };
            let line = format!("dpipes: {}  {}\n", stage.name, progress_text(now, elapsed));
            self.write("", line.as_bytes());
        }
    }
}

impl<W: Write + Send> Watcher for Console<W> {
    fn is_silent(&self) -> bool {
        !self.verbose && matches!(self.progress, Progress::None)
    }

    fn agreed(&mut self, stages: &[StagePlan]) {
        for plan in stages {
            let stage = self.stages.entry(plan.stage).or_default();
            stage.name = printable(&format!("{}@{}", plan.app, plan.node));
            let bars = match &self.progress {
                Progress::Bars(bars) => Some(bars),
                Progress::None | Progress::Lines { .. } => None,
            };
            stage.bar = bars.map(|bars| {
                let bar = bars.add(ProgressBar::new_spinner());
                bar.set_style(
                    ProgressStyle::with_template("  {prefix:<24!} {msg}")
                        .expect("the template is constant"),
                );
                bar.set_prefix(stage.name.clone());
                bar
            });
            if self.verbose {
                self.note(&placed(plan));
            }
            if self.verbose && !plan.ignored.is_empty() {
                self.note(&format!(
                    "{} ignored: {}",
                    plan.node,
                    plan.ignored.join(" ")
                ));
            }
        }
    }

    fn progress(&mut self, stages: &[StageProgress]) {
        if let Progress::Lines { since, .. } = &self.progress {
            let elapsed = since.elapsed();
            self.progress_to_a_file(stages, elapsed);
        }
        for now in stages {
            let Some(bar) = self
                .stages
                .get(&now.stage)
                .and_then(|stage| stage.bar.as_ref())
            else {
                continue;
            };
            bar.set_message(progress_text(now, bar.elapsed()));
        }
    }

    fn note(&mut self, text: &str) {
        if !self.quiet {
            self.write("", format!("dpipes: {}\n", printable(text)).as_bytes());
        }
    }

    fn finish(&mut self, outcome: &Outcome) {
        self.show_last(&outcome.stages);
    }

    fn stderr(&mut self, number: StageNumber, bytes: &[u8]) {
        let mut stage = self.stages.remove(&number).unwrap_or_default();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            stage.partial.extend_from_slice(piece);
            if piece.ends_with(b"\n") || stage.partial.len() >= LONGEST_LINE {
                let line = std::mem::take(&mut stage.partial);
                self.line(&mut stage, line);
            }
        }
        self.stages.insert(number, stage);
    }

    fn stderr_end(&mut self, number: StageNumber) {
        let Some(mut stage) = self.stages.remove(&number) else {
            return;
        };
        let partial = std::mem::take(&mut stage.partial);
        if !partial.is_empty() {
            self.line(&mut stage, partial);
        }
        self.stages.insert(number, stage);
    }
}

/// Where a stage runs and why there.
fn placed(plan: &StagePlan) -> String {
    let program = plan.accept.as_ref().map(|accept| &accept.program);
    let more: Vec<&str> = [program, Some(&plan.why)]
        .into_iter()
        .flatten()
        .filter(|text| !text.is_empty())
        .map(String::as_str)
        .collect();
    let colon = if more.is_empty() { "" } else { ": " };
    format!(
        "stage {} `{}` on {} ({}){colon}{}",
        plan.stage,
        plan.app,
        plan.node,
        plan.address,
        more.join("; ")
    )
}

/// How far a stage is: what it wrote, else what it read; how fast; whether it stands still.
fn progress_text(now: &StageProgress, elapsed: Duration) -> String {
    // Nobody counts in a kernel pipe, so a zero on the other side does not say that the stage stands still.
    let known = match (now.bytes_in, now.bytes_out) {
        (None, Some(0)) | (Some(0), None) => None,
        (read, written) => written.or(read),
    };
    let Some(moved) = known else {
        return "running".to_owned();
    };
    let rate = u128::from(moved) * 1_000 / elapsed.as_millis().max(1);
    let rate = text::bytes(u64::try_from(rate).unwrap_or(u64::MAX));
    let stalled = Duration::from_millis(now.stalled_ms);
    let state = if stalled >= STALLED_AFTER {
        format!("  stalled {}", text::age(now.stalled_ms))
    } else {
        String::new()
    };
    format!("{:>10}  {rate:>10}/s{state}", text::bytes(moved))
}

/// Writes our own line to stderr; a stderr that is gone is nobody's concern.
pub(crate) fn say(line: &str) {
    let _gone = writeln!(anstream::AutoStream::auto(io::stderr()), "{line}");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cli::render::samples::{plan, record};

    fn console(mode: StderrMode, tag: bool) -> Console<Writes> {
        agreed(ConsoleOptions {
            mode,
            tag,
            progress: false,
            verbose: false,
            quiet: false,
        })
    }

    fn agreed(options: ConsoleOptions) -> Console<Writes> {
        let mut console = Console::new(Writes::default(), options);
        console.agreed(&[plan(0), plan(1)]);
        console
    }

    /// Every write by itself.
    #[derive(Default)]
    struct Writes(Vec<String>);

    impl Write for Writes {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.push(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_of_two_stages_never_mix() {
        let mut console = console(StderrMode::All, true);
        let (one, two) = (StageNumber::new(1), StageNumber::new(2));
        console.stderr(one, b"first ha");
        console.stderr(two, b"second\nthi");
        console.stderr(one, b"lf\n");
        console.stderr_end(two);
        console.show_last(&[]);
        assert_eq!(
            console.out.0,
            [
                "sort@node-c: second\n",
                "cat@node-a: first half\n",
                "sort@node-c: thi\n"
            ]
        );
    }

    #[test]
    fn only_failed_stages_are_heard_when_asked_so() {
        let mut console = console(StderrMode::Failed, false);
        for n in 0..20 {
            console.stderr(StageNumber::new(1), format!("a{n}\n").as_bytes());
            console.stderr(StageNumber::new(2), format!("b{n}\n").as_bytes());
        }
        console.show_last(&[record(0, Exit::Code(0)), record(1, Exit::Code(1))]);
        let expected: Vec<String> = (10..20).map(|n| format!("b{n}\n")).collect();
        assert_eq!(console.out.0, expected);
    }

    #[test]
    fn where_stages_run_is_told_when_asked_for() {
        let console = agreed(ConsoleOptions {
            mode: StderrMode::All,
            tag: false,
            progress: false,
            verbose: true,
            quiet: false,
        });
        let first = console.out.0[0].as_str();
        assert!(
            first.starts_with("dpipes: stage 1 `cat` on node-a (10.0.0.11:3747)"),
            "{first}"
        );
    }

    #[test]
    fn progress_without_a_terminal_is_a_line_now_and_then() {
        let mut console = agreed(ConsoleOptions {
            mode: StderrMode::All,
            tag: false,
            progress: true,
            verbose: false,
            quiet: false,
        });
        let now = StageProgress {
            stage: StageNumber::FIRST,
            bytes_in: None,
            bytes_out: Some(2_048),
            stalled_ms: 0,
            waits: None,
        };
        console.progress_to_a_file(&[now], Duration::from_secs(1));
        console.progress_to_a_file(&[now], Duration::from_millis(1_500));
        console.progress_to_a_file(&[now], Duration::from_secs(2));
        assert_eq!(console.out.0.len(), 2, "{:?}", console.out.0);
        assert_eq!(
            console.out.0[0],
            "dpipes: cat@node-a     2.0 KiB     2.0 KiB/s\n"
        );
    }

    #[test]
    fn progress_tells_speed_and_stalls() {
        let mut now = StageProgress {
            stage: StageNumber::FIRST,
            bytes_in: None,
            bytes_out: Some(2_048),
            stalled_ms: 0,
            waits: None,
        };
        assert_eq!(
            progress_text(&now, Duration::from_secs(2)).trim(),
            "2.0 KiB     1.0 KiB/s"
        );
        now.stalled_ms = 5_000;
        assert!(progress_text(&now, Duration::from_secs(2)).ends_with("stalled 5s"));
        for (read, written) in [(None, None), (Some(0), None), (None, Some(0))] {
            (now.bytes_in, now.bytes_out) = (read, written);
            assert_eq!(progress_text(&now, Duration::ZERO), "running");
        }
    }

    proptest! {
        #[test]
        fn no_byte_is_lost_however_it_is_cut(text in "[a-z\n]{0,200}", cuts in proptest::collection::vec(0_usize..200, 0..9)) {
            let mut console = console(StderrMode::All, false);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).chain([0, text.len()]).collect();
            cuts.sort_unstable();
            for pair in cuts.windows(2) {
                console.stderr(StageNumber::FIRST, &text.as_bytes()[pair[0]..pair[1]]);
            }
            console.stderr_end(StageNumber::FIRST);
            let expected = text.clone();
            prop_assert_eq!(console.out.0.concat(), expected);
            prop_assert!(console.out.0.iter().all(|line| line.matches('\n').count() <= 1));
        }
    }
}
