//! Metadata put into the text of a document and taken out of it; the rest stays as it was written.

use super::{
    super::{Layout, Limits, Metadata, Problem, cut::Edited},
    Fault,
    frame::Frame,
    root::{Entry, Kind, Root, root},
};
use crate::media::Naming;

/// A part of a text, with what takes its place.
struct Splice<'a> {
    start: usize,
    end: usize,
    text: &'a str,
    /// Columns that each line of it is indented by.
    indent: usize,
}

/// Writes a document with metadata in front of its other members, and without the members that `remove` or the metadata's own naming
/// cover. Where the root is no mapping, nothing is written.
///
/// # Errors
///
/// The text is not YAML, or metadata cannot be taken out of it: a merge key brings them, or an alias elsewhere is for what stands in
/// them.
pub(in crate::object) fn edit(
    text: &[u8],
    remove: &[Naming],
    add: Option<&Metadata>,
    layout: Layout,
    limits: Limits,
    out: &mut Vec<u8>,
) -> Result<Edited, Fault> {
    let namings: Vec<&Naming> = remove.iter().chain(add.map(Metadata::naming)).collect();
    let root = root(text, &namings, limits)?;
    let lines = add.map_or("", Metadata::lines);
    let flow: String;
    let splices = match root.kind {
        Kind::Other => {
            return Ok(Edited {
                replaced: false,
                object: false,
            });
        }
        Kind::Block { indent } => in_block(text, &root, indent, lines)?,
        Kind::Flow { brace } => {
            flow = lines.trim_end().replace('\n', ", ");
            in_flow(text, &root, brace, &flow)?
        }
    };
    let frame = Frame::of(text);
    frame.open(layout, out);
    let mut at = 0;
    for splice in &splices {
        out.extend_from_slice(&text[at..splice.start]);
        for line in splice.text.split_inclusive('\n') {
            out.resize(out.len() + splice.indent, b' ');
            out.extend_from_slice(line.as_bytes());
        }
        at = splice.end;
    }
    out.extend_from_slice(&text[at..frame.end.max(at)]);
    Frame::close(&text[frame.end.max(at)..], layout, out);
    Ok(Edited {
        replaced: root.entries.iter().any(|entry| entry.is_covered),
        object: true,
    })
}

/// What is to be done to a mapping in block style.
fn in_block<'a>(
    text: &[u8],
    root: &Root,
    indent: usize,
    lines: &'a str,
) -> Result<Vec<Splice<'a>>, Fault> {
    let entries = &root.entries;
    let start =
        |entry: &Entry| start_of_entry(text, entry.key, indent).ok_or_else(|| not_found(entry.key));
    let Some(first) = entries.first() else {
        return Err(not_found(root.end));
    };
    let first = start(first)?;
    let is_emptied = lines.is_empty() && entries.iter().all(|entry| entry.is_covered);
    let mut splices = vec![Splice {
        start: first,
        end: first,
        text: if is_emptied { "{}\n" } else { lines },
        indent,
    }];
    for (at, entry) in entries.iter().enumerate() {
        if !entry.is_covered {
            continue;
        }
        let limit = match entries.get(at + 1) {
            Some(next) => start(next)?,
            None => root.end,
        };
        splices.push(Splice {
            start: start(entry)?,
            end: end_of_entry(text, entry.end, limit, indent),
            text: "",
            indent: 0,
        });
    }
    Ok(splices)
}

/// Where the first line of an entry begins. Its key is on that line, or on a later one behind a `?`: a list as a key may begin there
/// without being indented.
fn start_of_entry(text: &[u8], key: usize, indent: usize) -> Option<usize> {
    let mut end = key;
    loop {
        let line = line_start(text, end);
        let written = &text[line..key];
        let blanks = written.iter().take_while(|&&byte| byte == b' ').count();
        let indicator = match text.get(line + blanks..) {
            Some([byte @ (b'?' | b'-'), b' ' | b'\t' | b'\n' | b'\r', ..]) => Some(byte),
            _ => None,
        };
        let begins = match indicator {
            Some(indicator) => *indicator == b'?',
            None => end == key,
        };
        if blanks == indent && begins {
            return Some(line);
        }
        end = line.checked_sub(1)?;
    }
}

/// Where an entry ends whose last part ends at `from`: at the first comment behind it that stands no deeper than its key, for this one
/// may be for what follows, or else at `limit`. Blank lines and deeper comments go with it; behind a block scalar they would be text.
fn end_of_entry(text: &[u8], from: usize, limit: usize, indent: usize) -> usize {
    let mut at = from;
    if at != line_start(text, at) {
        at = next_line(text, at);
    }
    while at < limit {
        let line = &text[at..limit];
        let blanks = line.iter().take_while(|&&byte| byte == b' ').count();
        match line.get(blanks) {
            Some(b'#') if blanks <= indent => return at,
            Some(b'#' | b'\n' | b'\r' | b'\t') | None => at = next_line(text, at),
            // A part of the entry that the parser says nothing of.
            Some(_) => at = next_line(text, at),
        }
    }
    limit
}

fn line_start(text: &[u8], at: usize) -> usize {
    let before = &text[..at];
    let found = before
        .iter()
        .rposition(|byte| matches!(byte, b'\n' | b'\r'));
    found.map_or(0, |at| at + 1)
}

fn next_line(text: &[u8], at: usize) -> usize {
    let rest = &text[at..];
    let found = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
    match found {
        None => text.len(),
        Some(found) if rest[found..].starts_with(b"\r\n") => at + found + 2,
        Some(found) => at + found + 1,
    }
}

/// What is to be done to a mapping in flow style.
fn in_flow<'a>(
    text: &[u8],
    root: &Root,
    brace: usize,
    members: &'a str,
) -> Result<Vec<Splice<'a>>, Fault> {
    let entries = &root.entries;
    let open = brace + 1;
    let mut splices = Vec::new();
    if !members.is_empty() {
        let has_others = entries.iter().any(|entry| !entry.is_covered);
        let is_comment_next = text.get(open) == Some(&b'#');
        let behind = match (has_others, is_comment_next) {
            (true, _) => ", ",
            (false, true) => " ",
            (false, false) => "",
        };
        for text in [members, behind] {
            splices.push(Splice {
                start: open,
                end: open,
                text,
                indent: 0,
            });
        }
    }
    if entries.iter().all(|entry| !entry.is_covered) {
        return Ok(splices);
    }
    // Where each entry begins, behind the brace or a comma, and the comma behind it.
    let mut start = open;
    // The comma of the last entry that stays.
    let mut kept_comma = None;
    // Whether none that stays came yet.
    let mut is_leading = true;
    for (at, entry) in entries.iter().enumerate() {
        let next = entries.get(at + 1);
        let comma = find_comma(text, entry.end, next.map_or(root.end, |next| next.key));
        let end = match (comma, next) {
            (Some(comma), _) if entry.is_covered && is_leading => behind_blank(text, comma + 1),
            (Some(comma), _) => comma + 1,
            (None, None) => root.end,
            (None, Some(next)) => return Err(not_found(next.key)),
        };
        if !entry.is_covered {
            is_leading = false;
            kept_comma = comma;
        } else {
            if let (Some(kept), None) = (kept_comma, next)
                && comma.is_none()
            {
                // It was the last one, and the one before becomes it.
                drop_comma(&mut splices, kept);
            }
            splices.push(Splice {
                start,
                end,
                text: "",
                indent: 0,
            });
        }
        start = end;
    }
    Ok(splices)
}

/// Behind the blank that parts what stood first from what comes first now. One before a comment has to stay.
fn behind_blank(text: &[u8], at: usize) -> usize {
    match text.get(at..) {
        Some([b' ', next, ..]) if *next != b'#' => at + 1,
        _ => at,
    }
}

/// Takes out a comma, which stands right before the first of those splices that follow on each other at the end.
fn drop_comma(splices: &mut Vec<Splice<'_>>, comma: usize) {
    let at = splices
        .iter()
        .position(|splice| splice.start > comma)
        .unwrap_or(splices.len());
    splices.insert(
        at,
        Splice {
            start: comma,
            end: comma + 1,
            text: "",
            indent: 0,
        },
    );
}

/// The comma behind an entry: there are only blanks, comments, a `:` without value, and anchors and tags before what comes next.
fn find_comma(text: &[u8], from: usize, limit: usize) -> Option<usize> {
    let mut at = from;
    while at < limit {
        match text[at] {
            b',' => return Some(at),
            b'#' => at = next_line(text, at),
            b'!' if text[at..].starts_with(b"!<") => {
                let length = text[at..].iter().position(|&byte| byte == b'>')?;
                at += length + 1;
            }
            b'!' | b'&' => {
                let rest = &text[at..];
                let ends = |byte: &u8| {
                    byte.is_ascii_whitespace() || matches!(byte, b',' | b'[' | b']' | b'{' | b'}')
                };
                at += rest.iter().position(ends)?;
            }
            _ => at += 1,
        }
    }
    None
}

/// An entry that the parser saw is not where it should be: nothing is taken out rather than something else.
fn not_found(at: usize) -> Fault {
    let detail = "a key at the root does not stand at the beginning of a line".to_owned();
    (at, Problem::NotYaml { detail })
}
