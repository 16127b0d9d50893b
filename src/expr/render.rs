//! Carets.

use std::{borrow::Cow, fmt::Write};

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::Span;

/// Draws a place in a pipeline: a title, the lines with a caret and its label, and one next step. No colour, no newline at the end.
///
/// Used for parse errors and for whatever is refused later and belongs to a word or a stage. A span that does not fit the source is
/// moved into it; control characters are shown escaped, as none of the texts is to be trusted on a terminal.
#[must_use]
pub fn render(source: &str, span: Span, title: &str, label: &str, help: Option<&str>) -> String {
    let start = source.floor_char_boundary(span.start);
    let end = source.ceil_char_boundary(span.end).max(start);
    let (title, label) = (printable(title), printable(label));
    let (source, start, end) = shown(source, start, end);
    let snippet = Snippet::source(source.as_str())
        .path("pipeline")
        .annotation(AnnotationKind::Primary.span(start..end).label(&*label));
    let mut report = Level::ERROR.primary_title(&*title).element(snippet);
    if let Some(help) = help {
        report = report.element(Level::HELP.message(printable(help)));
    }
    Renderer::plain().render(&[report])
}

/// The source without characters that a terminal obeys, and the span moved along. Newlines and tabs stay.
fn shown(source: &str, start: usize, end: usize) -> (String, usize, usize) {
    let mut text = String::with_capacity(source.len());
    let mut moved = (0, 0);
    for (at, ch) in source.char_indices() {
        if at == start {
            moved.0 = text.len();
        }
        if at == end {
            moved.1 = text.len();
        }
        match ch {
            '\n' | '\t' => text.push(ch),
            _ => push_printable(&mut text, ch),
        }
    }
    if start == source.len() {
        moved.0 = text.len();
    }
    if end == source.len() {
        moved.1 = text.len();
    }
    (text, moved.0, moved.1)
}

fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_treacherous) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    text.chars().for_each(|ch| push_printable(&mut clean, ch));
    Cow::Owned(clean)
}

/// Whether a terminal obeys this character, or shows others in another order because of it.
fn is_treacherous(ch: char) -> bool {
    ch.is_control() || matches!(ch, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn push_printable(text: &mut String, ch: char) {
    if is_treacherous(ch) {
        // Writing to a String cannot fail.
        let _ = write!(text, "{}", ch.escape_default());
    } else {
        text.push(ch);
    }
}
