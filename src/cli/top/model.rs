//! What is shown, made of answers and keys alone: rows, their order, and the pipe that is selected.

use std::{cmp::Reverse, collections::HashMap};

use super::{dialog::Mode, short, tracked::Tracked};
use crate::{
    cli::caret::Message,
    id::{NodeId, PipeId, StageNumber},
    wire::message::{NodeState, NodeView, PipeState, PipeView, Silent},
};

/// What an entry told at one time.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// The pipes.
    pub(super) pipes: Vec<PipeView>,
    /// How many more there are.
    pub(super) left_out: u64,
    /// Nodes whose pipes are missing.
    pub(super) silent: Vec<Silent>,
    /// The nodes that it knows.
    pub(super) nodes: Vec<NodeView>,
}

/// All that is shown.
#[derive(Debug)]
pub(super) struct Model {
    /// The pipes in order, those too that the filter hides.
    pipes: Vec<Tracked>,
    /// The nodes that the entry knows.
    pub(super) nodes: Vec<NodeView>,
    /// How many pipes the entry did not tell of.
    pub(super) left_out: u64,
    /// Nodes whose pipes are missing.
    pub(super) silent: Vec<Silent>,
    /// Whether pipes of other entries are among them.
    pub(super) cluster: bool,
    /// What the order is made of.
    pub(super) sort: Sort,
    /// Whether it is the other way round.
    pub(super) is_inverted: bool,
    /// What a pipe must have in it to be shown, in lower case.
    pub(super) filter: String,
    /// The selected pipe; there is none only while no pipe is shown.
    selected: Option<PipeId>,
    /// The selected stage of it; without one all of them are meant.
    pub(super) stage: Option<StageNumber>,
    /// What the lower part shows.
    pub(super) pane: Pane,
    /// Whether answers are left alone.
    pub(super) is_paused: bool,
    /// What keys mean.
    pub(super) mode: Mode,
    /// What came of the last order.
    pub(super) status: Option<String>,
    /// Why the entry does not answer.
    pub(super) lost: Option<String>,
}

/// What pipes are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    /// The newest first.
    Age,
    /// The longest first.
    Time,
    /// The fastest first.
    Rate,
}

/// What the lower part shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pane {
    /// The stages of the selected pipe.
    Stages,
    /// The nodes.
    Nodes,
}

/// How the cluster is, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    /// Pipes that run.
    pub(super) running: usize,
    /// Pipes that do not run yet.
    pub(super) starting: usize,
    /// Bytes a second that leave all of them.
    pub(super) rate: u64,
    /// Nodes that answer, the entry among them.
    pub(super) up: usize,
}

// === impl Model ===

impl Model {
    /// Nothing yet.
    pub(super) fn new(cluster: bool) -> Self {
        Self {
            pipes: Vec::new(),
            nodes: Vec::new(),
            left_out: 0,
            silent: Vec::new(),
            cluster,
            sort: Sort::Age,
            is_inverted: false,
            filter: String::new(),
            selected: None,
            stage: None,
            pane: Pane::Stages,
            is_paused: false,
            mode: Mode::Table,
            status: None,
            lost: None,
        }
    }

    /// Takes what the entry told.
    pub(super) fn take(&mut self, answer: Answer) {
        self.lost = None;
        if self.is_paused {
            return;
        }
        let known = std::mem::take(&mut self.pipes).into_iter();
        let place = self.place_in(known.as_slice());
        let mut known: HashMap<PipeId, Tracked> =
            known.map(|tracked| (tracked.view.pipe, tracked)).collect();
        let follow = |view: PipeView| match known.remove(&view.pipe) {
            Some(tracked) => tracked.follow(view),
            None => Tracked::new(view),
        };
        self.pipes = answer.pipes.into_iter().map(follow).collect();
        self.nodes = answer.nodes;
        self.left_out = answer.left_out;
        self.silent = answer.silent;
        self.arrange();
        // It stays with its pipe; where that is over, with the row.
        if self.selected().is_none() {
            self.select_near(place);
        }
        self.keep_stage();
    }

    /// Takes that the entry does not answer.
    pub(super) fn lose(&mut self, why: &Message) {
        self.lost = Some(why.line());
    }

    /// The pipes that are shown, in order.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Tracked> {
        self.pipes.iter().filter(|tracked| self.shows(tracked))
    }

    /// The selected one.
    pub(super) fn selected(&self) -> Option<&Tracked> {
        self.rows().find(|row| Some(row.view.pipe) == self.selected)
    }

    /// Where it stands among the rows.
    pub(super) fn place(&self) -> usize {
        self.place_in(&self.pipes)
    }

    /// How the cluster is.
    pub(super) fn totals(&self) -> Totals {
        let is_up = |node: &&NodeView| matches!(node.state, NodeState::Here | NodeState::Up);
        let mut totals = Totals {
            up: self.nodes.iter().filter(is_up).count(),
            ..Totals::default()
        };
        for Tracked { view, rate, .. } in &self.pipes {
            match view.state {
                PipeState::Agreeing | PipeState::Starting => totals.starting += 1,
                _ => totals.running += 1,
            }
            totals.rate = totals.rate.saturating_add(rate.unwrap_or(0));
        }
        totals
    }

    /// The entry.
    pub(super) fn here(&self) -> Option<&NodeView> {
        self.nodes.iter().find(|node| node.state == NodeState::Here)
    }

    /// The address of a node.
    pub(super) fn address(&self, name: &NodeId) -> Option<&str> {
        let node = self.nodes.iter().find(|node| node.node == *name)?;
        Some(&node.address)
    }

    /// Moves the selection down by that many rows, or up.
    pub(super) fn step(&mut self, rows: isize) {
        self.select_near(self.place().saturating_add_signed(rows));
    }

    /// Selects the row with this index, or the last one.
    pub(super) fn select_near(&mut self, place: usize) {
        let last = self.rows().count().saturating_sub(1);
        let near = self.rows().nth(place.min(last)).map(|row| row.view.pipe);
        if near != self.selected {
            self.stage = None;
        }
        self.selected = near;
    }

    /// Moves through the stages of the selected pipe; before the first one all are meant.
    pub(super) fn step_stage(&mut self, forward: bool) {
        let stages = self.selected().map_or(0, |row| row.view.stages.len());
        let next = match (self.stage, forward) {
            (None, true) => Some(StageNumber::FIRST),
            (None, false) => None,
            (Some(stage), true) => Some(stage.next()),
            (Some(stage), false) => stage.previous(),
        };
        match next {
            Some(stage) if stage.index() >= stages => {}
            next => self.stage = next,
        }
    }

    /// Sorts by something else, or the other way round.
    pub(super) fn sort_by(&mut self, sort: Sort) {
        self.sort = sort;
        self.arrange();
    }

    /// Turns the order round.
    pub(super) fn invert(&mut self) {
        self.is_inverted = !self.is_inverted;
        self.arrange();
    }

    /// Shows only pipes that have this in them.
    pub(super) fn filter(&mut self, text: &str) {
        let place = self.place();
        self.filter = text.to_lowercase();
        if self.selected().is_none() {
            self.select_near(place);
        }
    }

    /// A pipe that is placed anew may have lost the stage.
    fn keep_stage(&mut self) {
        let stages = self.selected().map_or(0, |row| row.view.stages.len());
        self.stage = self.stage.filter(|stage| stage.index() < stages);
    }

    fn shows(&self, tracked: &Tracked) -> bool {
        let view = &tracked.view;
        let has = |text: &str| text.to_lowercase().contains(&self.filter);
        self.filter.is_empty()
            || has(&view.pipeline)
            || has(&short::name(view.pipe))
            || view.entry.as_ref().is_some_and(|node| has(node.as_str()))
            || view.stages.iter().any(|stage| has(stage.node.as_str()))
    }

    fn place_in(&self, pipes: &[Tracked]) -> usize {
        let mut rows = pipes.iter().filter(|tracked| self.shows(tracked));
        rows.position(|row| Some(row.view.pipe) == self.selected)
            .unwrap_or(0)
    }

    /// Ties are the same at every look: the newest pipe first.
    fn arrange(&mut self) {
        let sort = self.sort;
        self.pipes.sort_by_key(|Tracked { view, rate, .. }| {
            let most = match sort {
                Sort::Age => view.began_ms,
                Sort::Time => view.elapsed_ms,
                Sort::Rate => rate.unwrap_or(0),
            };
            (Reverse(most), Reverse(view.pipe))
        });
        if self.is_inverted {
            self.pipes.reverse();
        }
    }
}

// === impl Sort ===

impl Sort {
    /// All of them, as they are gone through.
    const ALL: [Self; 3] = [Self::Age, Self::Time, Self::Rate];

    /// The next one, or the one before.
    pub(super) fn next(self, forward: bool) -> Self {
        let at = Self::ALL.iter().position(|sort| *sort == self).unwrap_or(0);
        let step = if forward { 1 } else { Self::ALL.len() - 1 };
        Self::ALL[(at + step) % Self::ALL.len()]
    }

    /// The column that it is about.
    pub(super) const fn column(self) -> &'static str {
        match self {
            Self::Age => "PIPE",
            Self::Time => "TIME",
            Self::Rate => "RATE",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::top::samples::{answer, model, pipe};

    fn names(model: &Model) -> Vec<String> {
        model.rows().map(|row| short::name(row.view.pipe)).collect()
    }

    fn selected(model: &Model) -> String {
        model
            .selected()
            .map_or_else(String::new, |row| short::name(row.view.pipe))
    }

    #[test]
    fn pipes_are_sorted_as_is_asked_for() {
        let mut fast = pipe(2, 3);
        fast.stages_mut()[2].rate_out = Some(1 << 30);
        let mut model = model(vec![pipe(3, 3), fast, pipe(1, 3)]);
        assert_eq!(names(&model), ["00000001", "00000002", "00000003"]);
        model.sort_by(Sort::Time);
        assert_eq!(names(&model), ["00000003", "00000002", "00000001"]);
        model.sort_by(Sort::Rate);
        assert_eq!(names(&model), ["00000002", "00000003", "00000001"]);
        model.invert();
        assert_eq!(names(&model), ["00000001", "00000003", "00000002"]);
        assert_eq!(Sort::Rate.next(true), Sort::Age);
        assert_eq!(Sort::Age.next(false), Sort::Rate);
    }

    #[test]
    fn the_selection_stays_with_its_pipe_and_then_with_its_row() {
        let mut model = model((1..=4).map(|number| pipe(number, 3)).collect());
        assert_eq!(selected(&model), "00000001");
        model.step(2);
        model.step_stage(true);
        assert_eq!(
            (selected(&model).as_str(), model.stage),
            ("00000003", Some(StageNumber::FIRST))
        );
        model.sort_by(Sort::Time);
        assert_eq!((selected(&model).as_str(), model.place()), ("00000003", 1));
        model.take(answer(vec![pipe(3, 3), pipe(4, 3), pipe(9, 3)]));
        assert_eq!((selected(&model).as_str(), model.place()), ("00000003", 2));
        model.take(answer(vec![pipe(4, 3), pipe(9, 3)]));
        assert_eq!((selected(&model).as_str(), model.stage), ("00000004", None));
        model.take(answer(Vec::new()));
        assert_eq!(selected(&model), "");
        model.step(1);
        model.step_stage(true);
        assert_eq!(model.stage, None);
        model.take(answer(vec![pipe(4, 3)]));
        assert_eq!(selected(&model), "00000004");
    }

    #[test]
    fn the_selection_stops_at_both_ends() {
        let mut model = model((1..=3).map(|number| pipe(number, 2)).collect());
        model.step(-5);
        assert_eq!(model.place(), 0);
        model.step(isize::MAX);
        assert_eq!(model.place(), 2);
        for _ in 0..5 {
            model.step_stage(true);
        }
        assert_eq!(model.stage, Some(StageNumber::new(2)));
        for _ in 0..5 {
            model.step_stage(false);
        }
        assert_eq!(model.stage, None);
    }

    #[test]
    fn a_filter_hides_what_it_does_not_find() {
        let other = PipeView {
            pipeline: "seq 5 | TAC".to_owned(),
            ..pipe(2, 0)
        };
        let mut model = model(vec![pipe(1, 3), other]);
        model.filter("tac");
        assert_eq!(
            (names(&model), selected(&model).as_str()),
            (vec!["00000002".to_owned()], "00000002")
        );
        model.filter("NODE-C");
        assert_eq!(names(&model), ["00000001"]);
        model.filter("nothing like this");
        assert_eq!((names(&model).len(), selected(&model).as_str()), (0, ""));
        model.filter("");
        assert_eq!(
            (names(&model).len(), selected(&model).as_str()),
            (2, "00000001")
        );
    }

    #[test]
    fn while_it_is_paused_nothing_changes_but_that_the_entry_answers() {
        let mut model = model(vec![pipe(1, 3)]);
        model.is_paused = true;
        model.lose(&Message::new("gone").with_help("wait"));
        assert_eq!(model.lost.as_deref(), Some("gone; wait"));
        model.take(answer(Vec::new()));
        assert_eq!((names(&model).len(), &model.lost), (1, &None));
    }

    #[test]
    fn totals_count_what_runs_and_who_is_up() {
        let agreeing = PipeView {
            state: PipeState::Agreeing,
            ..pipe(2, 0)
        };
        let model = model(vec![pipe(1, 3), pipe(3, 3), agreeing]);
        let totals = Totals {
            running: 2,
            starting: 1,
            rate: 6_144,
            up: 2,
        };
        assert_eq!(model.totals(), totals);
    }
}
