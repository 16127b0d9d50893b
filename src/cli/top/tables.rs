//! The tables of the screen: pipes, the stages of one of them, nodes.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Color, Modifier, Style},
};

use super::{
    columns::{Column, Fitted},
    model::Model,
    short::{self, Look},
    tracked::{KEPT, Tracked},
};
use crate::{
    cli::render::{
        pipes::word,
        status::exit_word,
        text::{age, count, seconds},
        views::{busy, state_word},
    },
    id::NodeId,
    wire::message::{NodeState, NodeView, StageView, Waits},
};

/// Characters of the bar that shows how a stage's time goes: each is a tenth.
const BAR: u64 = 10;

/// The graph of rates is as wide as there are rates.
const GRAPH: u16 = KEPT as u16;

const PIPES: [Column; 8] = [
    Column::fixed("PIPE", 8, 0),
    Column::between("ENTRY", 8, 20, 6),
    Column::fixed("TIME", 8, 3).right(),
    Column::fixed("STATE", 8, 4),
    Column::fixed("RATE", 12, 2).right(),
    Column::between("GRAPH", 6, GRAPH, 7),
    Column::between("LIMIT", 18, 30, 5),
    Column::between("PIPELINE", 9, u16::MAX, 1),
];

const STAGES: [Column; 11] = [
    Column::fixed("", 1, 1),
    Column::fixed("N", 2, 0).right(),
    Column::between("APP", 8, 16, 2),
    Column::between("NODE", 8, 16, 3),
    Column::between("EXIT", 5, 13, 7),
    Column::fixed("BYTES-IN", 15, 11).right(),
    Column::fixed("BYTES-OUT", 15, 9).right(),
    Column::fixed("RATE-IN", 12, 10).right(),
    Column::fixed("RATE-OUT", 12, 6).right(),
    Column::fixed("AWAITS IN/WORKS/AWAITS OUT", 28, 5),
    Column::between("", 10, 16, 4),
];

const NODES: [Column; 5] = [
    Column::between("NODE", 12, 30, 0),
    Column::fixed("STATE", 9, 1),
    Column::fixed("LOAD", 9, 2).right(),
    Column::fixed("SEEN", 6, 3).right(),
    Column::between("", 0, u16::MAX, 4),
];

/// The rows of a table; those before `from` have been passed over.
struct Rows {
    area: Rect,
    next: u16,
}

/// Draws the pipes with their heading. What has no room is on the next page.
pub(super) fn pipes(model: &Model, look: Look, area: Rect, buffer: &mut Buffer) {
    let mut columns = PIPES.to_vec();
    if !model.cluster {
        columns.remove(1);
    }
    let fitted = Fitted::new(&columns, area.width, look);
    let mut rows = Rows::new(area);
    if let Some(row) = rows.next() {
        let heading = look.style(Color::Green, Modifier::REVERSED);
        fitted.heading(Some(model.sort.column()), heading, row, buffer);
    }
    let page = usize::from(area.height.saturating_sub(1)).max(1);
    let place = model.place();
    let first = place / page * page;
    for (at, tracked) in model.rows().enumerate().skip(first) {
        let Some(row) = rows.next() else {
            return;
        };
        let style = match at == place {
            true => look.style(Color::Cyan, Modifier::REVERSED),
            false => Style::new(),
        };
        let mut cells = pipe_cells(tracked, &fitted, look);
        if !model.cluster {
            cells.remove(1);
        }
        fitted.row(&cells, style, row, buffer);
    }
}

fn pipe_cells(tracked: &Tracked, fitted: &Fitted, look: Look) -> Vec<String> {
    let view = &tracked.view;
    vec![
        short::name(view.pipe),
        view.entry.as_ref().map_or("-", NodeId::as_str).to_owned(),
        seconds(view.elapsed_ms),
        word(view.state).to_owned(),
        short::rate(tracked.rate),
        short::graph(tracked.rates(), fitted.width("GRAPH").min(KEPT), look),
        short::limit(view, fitted.width("LIMIT")),
        view.pipeline.clone(),
    ]
}

/// Draws the stages of the selected pipe with their heading.
pub(super) fn stages(model: &Model, look: Look, area: Rect, buffer: &mut Buffer) {
    let fitted = Fitted::new(&STAGES, area.width, look);
    let mut rows = Rows::new(area);
    if let Some(row) = rows.next() {
        let heading = look.style(Color::Green, Modifier::REVERSED);
        fitted.heading(None, heading, row, buffer);
    }
    let Some(tracked) = model.selected() else {
        return;
    };
    let page = usize::from(area.height.saturating_sub(1)).max(1);
    let chosen = model.stage.map(|stage| stage.index());
    let first = chosen.unwrap_or(0) / page * page;
    for (at, stage) in tracked.view.stages.iter().enumerate().skip(first) {
        let Some(row) = rows.next() else {
            return;
        };
        let mark = short::mark(&tracked.view, at);
        let style = match (chosen == Some(at), mark.is_empty()) {
            (true, _) => look.style(Color::Cyan, Modifier::REVERSED),
            (false, false) => look.style(Color::Yellow, Modifier::BOLD),
            (false, true) => Style::new(),
        };
        let chosen = if chosen == Some(at) { ">" } else { "" };
        let cells = stage_cells(stage, tracked.spent(at), chosen, mark);
        fitted.row(&cells, style, row, buffer);
    }
}

fn stage_cells(stage: &StageView, spent: Option<Waits>, chosen: &str, mark: &str) -> Vec<String> {
    let number = |bytes: Option<u64>| bytes.map_or_else(|| "-".to_owned(), count);
    vec![
        chosen.to_owned(),
        stage.stage.to_string(),
        stage.app.clone(),
        stage.node.to_string(),
        stage.exit.map_or_else(|| "-".to_owned(), exit_word),
        number(stage.bytes_in),
        number(stage.bytes_out),
        short::rate(stage.rate_in),
        short::rate(stage.rate_out),
        spent.map_or_else(|| "-".to_owned(), bar),
        mark.to_owned(),
    ]
}

/// How a stage's time goes: `[<<######>>] 20/60/20%`, awaiting input, at work, and awaiting that its output is taken.
fn bar(spent: Waits) -> String {
    let total = u128::from(spent.total_ms().max(1));
    let upto = |ms: u64, of: u64| {
        let part = (u128::from(ms) * u128::from(of) + total / 2) / total;
        usize::try_from(part).unwrap_or(0)
    };
    let (tenths, input) = (usize::try_from(BAR).unwrap_or(0), upto(spent.input_ms, BAR));
    let output = upto(spent.output_ms, BAR).min(tenths - input.min(tenths));
    let work = tenths - input.min(tenths) - output;
    let percent = |ms| upto(ms, 100);
    format!(
        "[{}{}{}] {}/{}/{}%",
        "<".repeat(input),
        "#".repeat(work),
        ">".repeat(output),
        percent(spent.input_ms),
        percent(spent.work_ms),
        percent(spent.output_ms),
    )
}

/// Draws the nodes with their heading.
pub(super) fn nodes(model: &Model, look: Look, area: Rect, buffer: &mut Buffer) {
    let fitted = Fitted::new(&NODES, area.width, look);
    let mut rows = Rows::new(area);
    if let Some(row) = rows.next() {
        let heading = look.style(Color::Green, Modifier::REVERSED);
        fitted.heading(None, heading, row, buffer);
    }
    for node in &model.nodes {
        let Some(row) = rows.next() else {
            return;
        };
        let style = match node.state {
            NodeState::Here | NodeState::Up => Style::new(),
            _ => look.style(Color::Yellow, Modifier::BOLD),
        };
        fitted.row(&node_cells(node), style, row, buffer);
    }
}

fn node_cells(node: &NodeView) -> Vec<String> {
    vec![
        node.node.to_string(),
        state_word(node.state).to_owned(),
        busy(node.load),
        node.seen_ms.map_or_else(|| "-".to_owned(), age),
        node.detail.clone(),
    ]
}

// === impl Rows ===

impl Rows {
    fn new(area: Rect) -> Self {
        Self { area, next: area.y }
    }

    fn next(&mut self) -> Option<Rect> {
        let y = self.next;
        self.next += 1;
        (y < self.area.bottom()).then_some(Rect {
            y,
            height: 1,
            ..self.area
        })
    }
}

// === impl Look ===

impl Look {
    /// A style that is told by its colour where there is colour, and in any case by something else.
    pub(super) fn style(self, color: Color, modifier: Modifier) -> Style {
        let style = Style::new().add_modifier(modifier);
        if self.colored { style.fg(color) } else { style }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_has_always_the_same_width() {
        let spent = |input_ms, work_ms, output_ms| {
            bar(Waits {
                input_ms,
                output_ms,
                work_ms,
            })
        };
        assert_eq!(spent(20, 960, 20), "[##########] 2/96/2%");
        assert_eq!(spent(500, 0, 500), "[<<<<<>>>>>] 50/0/50%");
        assert_eq!(spent(333, 333, 334), "[<<<####>>>] 33/33/33%");
        assert_eq!(spent(0, 0, 0), "[##########] 0/0/0%");
        assert_eq!(
            spent(u64::MAX, u64::MAX, u64::MAX).len(),
            "[] 100/100/100%".len() + 10
        );
    }
}
