//! What keys do to what is shown, and what they ask of the entry.

use nix::sys::signal::Signal;

use super::{
    keys::Action,
    model::{Model, Pane},
    short,
};
use crate::id::{PipeId, StageNumber};

/// Characters of a filter at most: a line of a wide terminal.
const LONGEST_FILTER: usize = 200;

/// The signals to choose from, the usual ones first.
pub(super) const SIGNALS: [Signal; 9] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGSTOP,
    Signal::SIGCONT,
    Signal::SIGQUIT,
    Signal::SIGKILL,
];

/// What keys mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// They move about.
    Table,
    /// Any of them ends the help.
    Help,
    /// They are a filter.
    Filter {
        /// What was typed.
        text: String,
    },
    /// They say whether this pipe ends.
    Kill(Target),
    /// They choose a signal for this pipe.
    Signal {
        /// The pipe.
        target: Target,
        /// The place of the signal among [`SIGNALS`].
        at: usize,
    },
}

/// The pipe that something is about to be done to, whatever is selected by then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Its name.
    pub(super) pipe: PipeId,
    /// Its pipeline, to know it by.
    pub(super) pipeline: String,
}

/// What the entry is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Order {
    /// The pipe.
    pub(super) pipe: PipeId,
    /// The signal for its apps; without one it ends.
    pub(super) signal: Option<Signal>,
    /// The only stage that gets the signal.
    pub(super) stage: Option<StageNumber>,
}

/// What is to be done about a key, beyond showing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    None,
    Quit,
    Suspend,
    Redraw,
    Order(Order),
}

// === impl Model ===

impl Model {
    /// Does what a key means. `page` is how many rows the screen shows.
    pub(super) fn act(&mut self, action: Action, page: usize) -> Effect {
        // Whoever presses a key has read what came of the last order.
        self.status = None;
        match action {
            Action::Quit => return Effect::Quit,
            Action::Suspend => return Effect::Suspend,
            Action::Redraw => return Effect::Redraw,
            Action::Step(rows) => self.step_in_mode(rows),
            Action::Page(pages) => self.step(pages * isize::try_from(page.max(1)).unwrap_or(1)),
            Action::First => self.select_near(0),
            Action::Last => self.select_near(usize::MAX),
            Action::Stage { forward } => self.step_stage(forward),
            Action::Sort(sort) => self.sort_by(sort),
            Action::NextSort { forward } => self.sort_by(self.sort.next(forward)),
            Action::Invert => self.invert(),
            Action::SwitchPane => {
                self.pane = match self.pane {
                    Pane::Stages => Pane::Nodes,
                    Pane::Nodes => Pane::Stages,
                };
            }
            Action::Pause => self.is_paused = !self.is_paused,
            Action::Help => self.mode = Mode::Help,
            Action::Filter => {
                let text = self.filter.clone();
                self.mode = Mode::Filter { text };
            }
            Action::Kill => {
                if let Some(target) = self.target() {
                    self.mode = Mode::Kill(target);
                }
            }
            Action::Signal => {
                if let Some(target) = self.target() {
                    self.pane = Pane::Stages;
                    self.mode = Mode::Signal { target, at: 0 };
                }
            }
            Action::Type(c) => self.edit(|text| {
                if text.chars().count() < LONGEST_FILTER {
                    text.push(c);
                }
            }),
            Action::Erase => self.edit(|text| {
                text.pop();
            }),
            Action::Cancel => self.cancel(),
            Action::Yes | Action::Accept => return self.accept(),
        }
        Effect::None
    }

    fn step_in_mode(&mut self, rows: isize) {
        match &mut self.mode {
            Mode::Signal { at, .. } => {
                *at = at.saturating_add_signed(rows).min(SIGNALS.len() - 1);
            }
            _ => self.step(rows),
        }
    }

    fn edit(&mut self, change: impl FnOnce(&mut String)) {
        if let Mode::Filter { text } = &mut self.mode {
            change(text);
            let text = text.clone();
            self.filter(&text);
        }
    }

    fn cancel(&mut self) {
        if matches!(self.mode, Mode::Filter { .. } | Mode::Table) {
            self.filter("");
        }
        self.mode = Mode::Table;
    }

    fn accept(&mut self) -> Effect {
        match std::mem::replace(&mut self.mode, Mode::Table) {
            Mode::Kill(Target { pipe, .. }) => Effect::Order(Order {
                pipe,
                signal: None,
                stage: None,
            }),
            Mode::Signal { target, at } => {
                // The stage is one of the selected pipe, which may be another by now.
                let is_selected = self
                    .selected()
                    .is_some_and(|row| row.view.pipe == target.pipe);
                if !is_selected {
                    self.status = Some(format!("{} is over", short::name(target.pipe)));
                    return Effect::None;
                }
                Effect::Order(Order {
                    pipe: target.pipe,
                    signal: SIGNALS.get(at).copied(),
                    stage: self.stage,
                })
            }
            Mode::Table | Mode::Help | Mode::Filter { .. } => Effect::None,
        }
    }

    /// The selected pipe, if the entry conducts it; another one's is told where to ask.
    fn target(&mut self) -> Option<Target> {
        let view = &self.selected()?.view;
        let (pipe, pipeline) = (view.pipe, view.pipeline.clone());
        let here = self.here().map(|node| &node.node);
        match &view.entry {
            Some(entry) if here.is_some_and(|here| here != entry) => {
                let ask = self.address(entry).unwrap_or("HOST:PORT");
                self.status = Some(format!(
                    "{} is conducted by {entry}; ask there: dpipes top --connect {ask}",
                    short::name(pipe)
                ));
                None
            }
            _ => Some(Target { pipe, pipeline }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::{
            render::samples::node,
            top::samples::{answer, model, pipe},
        },
        wire::message::PipeView,
    };

    fn acts(model: &mut Model, actions: &[Action]) -> Effect {
        let effects = actions.iter().map(|action| model.act(*action, 10));
        effects.last().unwrap_or(Effect::None)
    }

    fn order(number: u128, signal: Option<Signal>, stage: Option<u16>) -> Effect {
        Effect::Order(Order {
            pipe: PipeId::from_u128(number),
            signal,
            stage: stage.map(StageNumber::new),
        })
    }

    #[test]
    fn a_kill_takes_a_yes_and_means_the_pipe_that_was_asked_about() {
        let mut model = model(vec![pipe(1, 3), pipe(2, 3)]);
        assert_eq!(
            acts(&mut model, &[Action::Kill, Action::Cancel]),
            Effect::None
        );
        assert_eq!(model.mode, Mode::Table);
        acts(&mut model, &[Action::Kill]);
        model.take(answer(vec![pipe(2, 3)]));
        assert_eq!(acts(&mut model, &[Action::Yes]), order(1, None, None));
    }

    #[test]
    fn a_signal_is_for_all_stages_or_for_the_selected_one() {
        let mut model = model(vec![pipe(1, 3)]);
        assert_eq!(
            acts(
                &mut model,
                &[Action::Signal, Action::Step(3), Action::Accept]
            ),
            order(1, Some(Signal::SIGUSR1), None)
        );
        let forward = Action::Stage { forward: true };
        assert_eq!(
            acts(
                &mut model,
                &[
                    Action::Signal,
                    forward,
                    forward,
                    Action::Step(-9),
                    Action::Accept
                ]
            ),
            order(1, Some(Signal::SIGTERM), Some(2))
        );
        acts(&mut model, &[Action::Signal]);
        model.take(answer(vec![pipe(2, 3)]));
        assert_eq!(acts(&mut model, &[Action::Accept]), Effect::None);
        assert_eq!(model.status.as_deref(), Some("00000001 is over"));
    }

    #[test]
    fn a_pipe_of_another_entry_is_told_where_to_ask() {
        let others = PipeView {
            entry: Some(node("node-b")),
            ..pipe(1, 3)
        };
        let mut model = model(vec![others]);
        assert_eq!(acts(&mut model, &[Action::Kill]), Effect::None);
        assert_eq!(model.mode, Mode::Table);
        assert_eq!(
            model.status.as_deref(),
            Some("00000001 is conducted by node-b; ask there: dpipes top --connect node-b:3747")
        );
    }

    #[test]
    fn a_filter_holds_while_it_is_typed_and_ends_with_escape() {
        let mut model = model(vec![pipe(1, 3), pipe(2, 0)]);
        acts(
            &mut model,
            &[
                Action::Filter,
                Action::Type('n'),
                Action::Type('O'),
                Action::Type('x'),
            ],
        );
        assert_eq!(model.rows().count(), 0);
        acts(
            &mut model,
            &[
                Action::Erase,
                Action::Erase,
                Action::Type('o'),
                Action::Accept,
            ],
        );
        assert_eq!((model.filter.as_str(), &model.mode), ("no", &Mode::Table));
        acts(&mut model, &[Action::Filter, Action::Cancel]);
        assert_eq!((model.filter.as_str(), model.rows().count()), ("", 2));
        acts(&mut model, &[Action::Filter]);
        acts(&mut model, &[Action::Type('x'); 1_000]);
        assert_eq!(model.filter.len(), LONGEST_FILTER);
    }

    #[test]
    fn without_a_pipe_there_is_nothing_to_do_anything_to() {
        let mut model = model(Vec::new());
        for action in [
            Action::Kill,
            Action::Signal,
            Action::Yes,
            Action::Accept,
            Action::Page(1),
        ] {
            assert_eq!(acts(&mut model, &[action]), Effect::None);
            assert_eq!(model.mode, Mode::Table);
        }
        assert_eq!(
            acts(
                &mut model,
                &[Action::SwitchPane, Action::Pause, Action::Quit]
            ),
            Effect::Quit
        );
        assert_eq!((model.pane, model.is_paused), (Pane::Nodes, true));
    }
}
