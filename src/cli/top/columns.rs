//! Tables of a screen: as many columns as there is room for, each with its own width.

use ratatui::{buffer::Buffer, layout::Rect, style::Style, text::Span};

use super::short::Look;
use crate::cli::caret::printable;

/// Characters of a cell that are looked at: more than any screen is wide. A pipeline may be much longer, and a screen is drawn often.
const LONGEST: usize = 1_000;

/// Columns between two cells.
const GAP: u16 = 1;

/// A column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    /// What stands above it.
    pub(super) heading: &'static str,
    /// The least width that it is of use with.
    pub(super) least: u16,
    /// The most that it is given; the last column that is shown gets what is left.
    pub(super) most: u16,
    /// When it is left out: the highest go first.
    pub(super) rank: u8,
    /// On which side its cells are.
    pub(super) side: Side,
}

/// On which side of its column a cell is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

/// Columns that fit a width.
#[derive(Debug)]
pub(super) struct Fitted {
    shown: Vec<(usize, Column, u16)>,
    look: Look,
}

// === impl Column ===

impl Column {
    /// A column of always the same width.
    pub(super) const fn fixed(heading: &'static str, width: u16, rank: u8) -> Self {
        Self::between(heading, width, width, rank)
    }

    /// A column that is wider where there is room.
    pub(super) const fn between(heading: &'static str, least: u16, most: u16, rank: u8) -> Self {
        Self {
            heading,
            least,
            most,
            rank,
            side: Side::Left,
        }
    }

    /// The same for numbers.
    pub(super) const fn right(self) -> Self {
        Self {
            side: Side::Right,
            ..self
        }
    }
}

// === impl Fitted ===

impl Fitted {
    /// Chooses what fits that width. The most important column is there in any case.
    pub(super) fn new(columns: &[Column], width: u16, look: Look) -> Self {
        let mut ranked: Vec<usize> = (0..columns.len()).collect();
        ranked.sort_by_key(|at| columns[*at].rank);
        let mut taken = 0;
        let mut chosen: Vec<usize> = Vec::new();
        for at in ranked {
            let needed = columns[at].least + if chosen.is_empty() { 0 } else { GAP };
            if taken + needed > width && !chosen.is_empty() {
                break;
            }
            taken += needed;
            chosen.push(at);
        }
        chosen.sort_unstable();
        let mut spare = width.saturating_sub(taken);
        let last = chosen.last().copied();
        let shown = chosen.into_iter().map(|at| {
            let column = columns[at];
            // A third for each that can do with more: so the last one is never starved.
            let more = match Some(at) == last {
                true => spare,
                false => (spare / 3).min(column.most - column.least),
            };
            spare -= more;
            (at, column, column.least + more)
        });
        Self {
            shown: shown.collect(),
            look,
        }
    }

    /// How wide a column is; 0 when it is left out.
    pub(super) fn width(&self, heading: &str) -> usize {
        let shown = self.shown.iter();
        let found = shown.filter(|(_, column, _)| column.heading == heading);
        found.map(|(.., width)| usize::from(*width)).sum()
    }

    /// Draws the headings; `sorted` is the one that the rows are sorted by.
    pub(super) fn heading(
        &self,
        sorted: Option<&str>,
        style: Style,
        area: Rect,
        buffer: &mut Buffer,
    ) {
        let all = self.shown.iter().map(|(at, ..)| at + 1).max().unwrap_or(0);
        let mut cells = vec![String::new(); all];
        for (at, column, _) in &self.shown {
            let mark = if sorted == Some(column.heading) {
                "*"
            } else {
                ""
            };
            cells[*at] = format!("{}{mark}", column.heading);
        }
        self.row(&cells, style, area, buffer);
    }

    /// Draws a row. There is a cell for each column, those too that are left out.
    pub(super) fn row(&self, cells: &[String], style: Style, area: Rect, buffer: &mut Buffer) {
        buffer.set_style(area, style);
        let mut x = area.x;
        for (at, column, width) in &self.shown {
            let room = (*width).min(area.right().saturating_sub(x));
            let cell = Rect::new(x, area.y, room, 1);
            let text = cells.get(*at).map_or("", String::as_str);
            put(text, column.side, self.look, cell, buffer);
            x = x.saturating_add(width + GAP);
        }
    }
}

/// Draws a text on one line, without the characters that would do something to a terminal; what has no room is cut, which is shown.
pub(super) fn put(text: &str, side: Side, look: Look, area: Rect, buffer: &mut Buffer) {
    if area.is_empty() {
        return;
    }
    let text: String = text.chars().take(LONGEST).collect();
    let mut text = printable(&text);
    if !look.unicode {
        text = text.replace(|c: char| !c.is_ascii(), "?");
    }
    let width = Span::raw(&text).width();
    let room = usize::from(area.width);
    let style = Style::new();
    if width > room {
        let (x, y) = buffer.set_stringn(area.x, area.y, &text, room - 1, style);
        let cut = if look.unicode { "…" } else { "~" };
        buffer.set_stringn(x, y, cut, 1, style);
        return;
    }
    let indent = match side {
        Side::Left => 0,
        Side::Right => room - width,
    };
    let x = area.x + u16::try_from(indent).unwrap_or(0);
    buffer.set_stringn(x, area.y, &text, room - indent, style);
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Look = Look {
        colored: false,
        unicode: true,
    };

    const COLUMNS: [Column; 4] = [
        Column::fixed("A", 4, 1),
        Column::fixed("B", 6, 3).right(),
        Column::between("C", 4, 8, 4),
        Column::fixed("D", 5, 2),
    ];

    fn drawn(width: u16, cells: [&str; 4]) -> String {
        let area = Rect::new(0, 0, width, 1);
        let mut buffer = Buffer::empty(area);
        let fitted = Fitted::new(&COLUMNS, width, LOOK);
        fitted.row(&cells.map(str::to_owned), Style::new(), area, &mut buffer);
        let symbols = buffer.content().iter().map(ratatui::buffer::Cell::symbol);
        symbols.collect::<String>().trim_end().to_owned()
    }

    #[test]
    fn the_least_important_columns_make_room() {
        let cells = ["aaaa", "bbb", "ccc", "ddddd"];
        assert_eq!(drawn(22, cells), "aaaa    bbb ccc  ddddd");
        assert_eq!(drawn(21, cells), "aaaa    bbb ddddd");
        assert_eq!(drawn(10, cells), "aaaa ddddd");
        assert_eq!(drawn(9, cells), "aaaa");
        assert_eq!(drawn(3, cells), "aa…");
        assert_eq!(Fitted::new(&COLUMNS, 22, LOOK).width("C"), 4);
        assert_eq!(Fitted::new(&COLUMNS, 40, LOOK).width("C"), 8);
        assert_eq!(Fitted::new(&COLUMNS, 10, LOOK).width("C"), 0);
    }

    #[test]
    fn no_text_leaves_its_column_or_reaches_the_terminal_as_a_command() {
        assert_eq!(drawn(22, ["\u{1b}[2J", "", "", "d"]), "\\u{…             d");
        assert_eq!(
            drawn(10, ["漢字漢字", "", "", "d"]),
            "漢 …  d",
            "a wide character is not cut in two"
        );
        assert_eq!(drawn(10, ["a\u{202e}b\u{200b}c", "", "", "d"]), "abc  d");
        let long = "e\u{301}".repeat(100_000);
        assert!(drawn(10, [&long, "", "", "d"]).ends_with("… d"));
    }
}
