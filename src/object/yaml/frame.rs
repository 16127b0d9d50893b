//! The markers around a document.

use memchr::memchr2;

use super::super::Layout;

/// U+FEFF, which may stand before any document that nothing but `...` or the beginning of the stream precedes.
pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A line that begins or ends a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marker {
    /// `---`
    Start,
    /// `...`
    End,
}

/// What a line is, of which at least four bytes or all are here.
pub(super) fn marker(line: &[u8]) -> Option<Marker> {
    let is_whole = matches!(line.get(3), None | Some(b' ' | b'\t' | b'\n' | b'\r'));
    match line.get(..3) {
        Some(b"---") if is_whole => Some(Marker::Start),
        Some(b"...") if is_whole => Some(Marker::End),
        _ => None,
    }
}

/// Where the markers of a document stand, as a splitter cuts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// Whether it begins with `---`, behind comments and directives.
    pub(super) is_explicit: bool,
    /// Where its `...` begins, or its end.
    pub(super) end: usize,
}

impl Frame {
    pub(super) fn of(text: &[u8]) -> Self {
        let mut is_explicit = false;
        for line in text.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
            let line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
            is_explicit = marker(line) == Some(Marker::Start);
            let is_outside = match line.trim_ascii() {
                [] | [b'#', ..] => true,
                _ => line.starts_with(b"%"),
            };
            if !is_outside {
                break;
            }
        }
        let last = last_line(text);
        let end = match marker(&text[last..]) {
            Some(Marker::End) => last,
            _ => text.len(),
        };
        Self { is_explicit, end }
    }

    /// What stands before the document's text.
    pub(super) fn open(self, layout: Layout, out: &mut Vec<u8>) {
        if layout == Layout::Framed && !self.is_explicit {
            out.extend_from_slice(b"---\n");
        }
    }

    /// What stands behind the document's text; `suffix` is what was written there.
    pub(super) fn close(suffix: &[u8], layout: Layout, out: &mut Vec<u8>) {
        let is_framed = layout == Layout::Framed;
        if is_framed && suffix.is_empty() {
            // Only the last document of a stream ends within a line. If that is one of a block scalar, a line break would belong to the
            // scalar and change it; as nothing follows, no reader waits for a marker.
            if !ends_line(out) && memchr2(b'|', b'>', out).is_some() {
                return;
            }
            end_line(out);
            out.extend_from_slice(b"...");
        }
        out.extend_from_slice(suffix);
        if is_framed {
            end_line(out);
        }
    }
}

/// Writes a document unchanged, framed or as it was written. It need not be YAML.
pub(in crate::object) fn pass(text: &[u8], layout: Layout, out: &mut Vec<u8>) {
    let frame = Frame::of(text);
    let (body, suffix) = text.split_at(frame.end);
    frame.open(layout, out);
    out.extend_from_slice(body);
    Frame::close(suffix, layout, out);
}

fn ends_line(out: &[u8]) -> bool {
    matches!(out.last(), Some(b'\n' | b'\r'))
}

fn end_line(out: &mut Vec<u8>) {
    if !ends_line(out) {
        out.push(b'\n');
    }
}

/// Where the last line begins. A break at the very end belongs to it.
fn last_line(text: &[u8]) -> usize {
    let body = text.strip_suffix(b"\n").unwrap_or(text);
    let body = body.strip_suffix(b"\r").unwrap_or(body);
    let found = body.iter().rposition(|byte| matches!(byte, b'\n' | b'\r'));
    found.map_or(0, |at| at + 1)
}
