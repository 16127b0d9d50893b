//! Words that are short enough for a column.

use crate::{
    cli::render::text::bytes,
    id::{PipeId, StageNumber},
    wire::message::{Limit, LimitedBy, PipeView, StageView},
};

/// Characters of a pipe's name that are shown: 40 of the bits that chance decides, which `dpipes kill` takes for the whole.
const NAME: usize = 8;

/// How high a rate stands in its graph, the lowest first.
const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The same where the terminal has no such characters.
const PLAIN_HEIGHTS: [char; 8] = ['_', '.', ',', '-', '~', '+', '*', '#'];

/// The end of a pipe's name.
pub(super) fn name(pipe: PipeId) -> String {
    let mut name = pipe.to_string();
    name.split_off(name.len().saturating_sub(NAME))
}

/// A rate: `1.5 KiB/s`.
pub(super) fn rate(rate: Option<u64>) -> String {
    rate.map_or_else(|| "-".to_owned(), |rate| format!("{}/s", bytes(rate)))
}

/// What holds a pipe up: `stage 2 sort@b 97%`. Where that is too long, names are cut: the number is worth more.
pub(super) fn limit(pipe: &PipeView, width: usize) -> String {
    let Some(Limit { by, percent }) = pipe.limit else {
        return "-".to_owned();
    };
    let place = |number: StageNumber| {
        let stage = pipe.stages.get(number.index());
        stage.map_or_else(String::new, |StageView { app, node, .. }| {
            format!(" {app}@{node}")
        })
    };
    let mut what = match by {
        LimitedBy::Stage { stage, last: None } => format!("stage {stage}{}", place(stage)),
        LimitedBy::Stage {
            stage,
            last: Some(last),
        } => format!("stages {stage}-{last}"),
        LimitedBy::Link { stage } => format!("link {stage}>{}", stage.next()),
        LimitedBy::Input => "input".to_owned(),
        LimitedBy::Output => "output".to_owned(),
        LimitedBy::Other => return "?".to_owned(),
    };
    let percent = format!(" {percent}%");
    let room = width.saturating_sub(percent.len());
    if what.chars().count() > room {
        what = what.chars().take(room.saturating_sub(1)).collect();
        what.push('~');
    }
    what + &percent
}

/// What stands behind the stage with this index if it, or what is beside it, holds the pipe up.
pub(super) fn mark(pipe: &PipeView, index: usize) -> &'static str {
    let Some(limit) = pipe.limit else {
        return "";
    };
    match limit.by {
        LimitedBy::Stage { stage, last }
            if (stage.index()..=last.unwrap_or(stage).index()).contains(&index) =>
        {
            "<-- limits"
        }
        LimitedBy::Link { stage } if stage.index() == index => "<-- link limits",
        LimitedBy::Input if index == 0 => "<-- input limits",
        LimitedBy::Output if index + 1 == pipe.stages.len() => "<-- output limits",
        _ => "",
    }
}

/// Rates as a graph of that many characters, the newest last. The highest that is shown is as high as a character.
pub(super) fn graph(
    rates: impl DoubleEndedIterator<Item = u64>,
    width: usize,
    look: Look,
) -> String {
    let heights = match look.unicode {
        true => HEIGHTS,
        false => PLAIN_HEIGHTS,
    };
    let mut shown: Vec<u64> = rates.rev().take(width).collect();
    shown.reverse();
    let highest = shown.iter().copied().max().unwrap_or(0).max(1);
    let height = |rate: u64| {
        let steps = heights.len() as u128 - 1;
        let step = (u128::from(rate) * steps).div_ceil(u128::from(highest));
        heights[usize::try_from(step).unwrap_or(0).min(heights.len() - 1)]
    };
    let graph: String = shown.into_iter().map(height).collect();
    format!("{graph:>width$}")
}

/// What the terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    /// Whether there is colour.
    pub(super) colored: bool,
    /// Whether there is more than ASCII.
    pub(super) unicode: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::top::samples::{PLAIN, limited, pipe};

    #[test]
    fn limits_are_short() {
        let stage = StageNumber::new(2);
        let shown = |by| limit(&limited(pipe(7, 3), by), 30);
        assert_eq!(limit(&pipe(7, 3), 30), "-");
        assert_eq!(
            shown(LimitedBy::Stage { stage, last: None }),
            "stage 2 sort@node-b 97%"
        );
        let long = limited(pipe(7, 3), LimitedBy::Stage { stage, last: None });
        assert_eq!(limit(&long, 18), "stage 2 sort@~ 97%");
        let last = Some(StageNumber::new(3));
        assert_eq!(shown(LimitedBy::Stage { stage, last }), "stages 2-3 97%");
        assert_eq!(shown(LimitedBy::Link { stage }), "link 2>3 97%");
        assert_eq!(shown(LimitedBy::Input), "input 97%");
        assert_eq!(shown(LimitedBy::Output), "output 97%");
        assert_eq!(shown(LimitedBy::Other), "?");
        let far = StageNumber::new(u16::MAX);
        assert_eq!(
            shown(LimitedBy::Stage {
                stage: far,
                last: None
            }),
            "stage 65535 97%"
        );
    }

    #[test]
    fn what_limits_is_marked_at_its_stage() {
        let marks = |by| {
            let pipe = limited(pipe(7, 3), by);
            [0, 1, 2].map(|index| mark(&pipe, index))
        };
        let stage = StageNumber::new(2);
        let last = Some(StageNumber::new(3));
        assert_eq!(
            marks(LimitedBy::Stage { stage, last }),
            ["", "<-- limits", "<-- limits"]
        );
        assert_eq!(
            marks(LimitedBy::Link { stage }),
            ["", "<-- link limits", ""]
        );
        assert_eq!(marks(LimitedBy::Input), ["<-- input limits", "", ""]);
        assert_eq!(marks(LimitedBy::Output), ["", "", "<-- output limits"]);
    }

    #[test]
    fn a_graph_ends_with_the_newest_and_knows_nothing_from_little() {
        let unicode = Look {
            unicode: true,
            ..PLAIN
        };
        assert_eq!(graph([0, 1, 50, 100].into_iter(), 6, unicode), "  ▁▂▅█");
        assert_eq!(graph([9, 0, u64::MAX].into_iter(), 2, PLAIN), "_#");
        assert_eq!(graph([0, 0].into_iter(), 3, PLAIN), " __");
        assert_eq!(graph([].into_iter(), 2, PLAIN), "  ");
    }

    #[test]
    fn a_name_is_short_and_enough() {
        assert_eq!(name(PipeId::from_u128(7)), "00000007");
        assert_eq!(rate(Some(1_536)), "1.5 KiB/s");
        assert_eq!(rate(None), "-");
    }
}
