//! Writes values one after the other, in block style and from some depth on in flow style.

use super::plain;

/// Levels in block style. Indentation is written on each line, so that this bounds how much longer a text becomes; what people write is
/// hardly deeper.
const MAX_BLOCK: usize = 16;

/// Longest key before a `:`, in bytes as it is written; a longer one gets a `?`. YAML 1.2.2, section 7.4.2, has 1,024 characters.
const MAX_SIMPLE_KEY: usize = 1_000;

/// Columns that each level is indented by.
const INDENT: usize = 2;

/// The text of a document, without markers.
pub(super) struct Emitter {
    text: String,
    frames: Vec<Frame>,
    /// The keys of the objects around the place, and where they stand in what is read.
    keys: Vec<(String, usize)>,
}

struct Frame {
    is_object: bool,
    is_flow: bool,
    indent: usize,
    /// Whether the first entry stands on the line of the `-` around it.
    is_inline: bool,
    count: usize,
    /// Whether a key is written and its value is not.
    has_key: bool,
    first_key: usize,
}

// === impl Emitter ===

impl Emitter {
    pub(super) const fn new() -> Self {
        Self {
            text: String::new(),
            frames: Vec::new(),
            keys: Vec::new(),
        }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn wants_key(&self) -> bool {
        self.frames
            .last()
            .is_some_and(|frame| frame.is_object && !frame.has_key)
    }

    pub(super) fn is_flow(&self) -> bool {
        self.frames.last().is_some_and(|frame| frame.is_flow)
    }

    /// A list or an object begins that is not empty.
    pub(super) fn begin(&mut self, is_object: bool) {
        self.before_item();
        let is_flow = self.is_flow() || self.frames.len() >= MAX_BLOCK;
        let mut frame = Frame {
            is_object,
            is_flow,
            indent: 0,
            is_inline: false,
            count: 0,
            has_key: false,
            first_key: self.keys.len(),
        };
        if let Some(parent) = self.frames.last() {
            frame.indent = parent.indent + INDENT;
            frame.is_inline = !parent.is_object;
            if parent.is_object && !parent.is_flow {
                self.text.push(if is_flow { ' ' } else { '\n' });
            }
        }
        if is_flow {
            self.text.push(if is_object { '{' } else { '[' });
        }
        self.frames.push(frame);
    }

    /// The innermost list or object ends.
    ///
    /// # Errors
    ///
    /// A key of it is there twice: where, and which.
    pub(super) fn end(&mut self) -> Result<(), (usize, String)> {
        let Some(frame) = self.frames.pop() else {
            return Ok(());
        };
        let keys = &mut self.keys[frame.first_key..];
        keys.sort_unstable();
        if let Some(pair) = keys.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err((pair[1].1, pair[1].0.clone()));
        }
        self.keys.truncate(frame.first_key);
        if frame.is_flow {
            self.text.push(if frame.is_object { '}' } else { ']' });
            self.after_item();
        } else if let Some(parent) = self.frames.last_mut() {
            parent.count += 1;
            parent.has_key = false;
        }
        Ok(())
    }

    /// The key of the next value; `at` is where it stands in what is read.
    pub(super) fn key(&mut self, key: &str, at: usize) {
        self.before_entry();
        self.keys.push((key.to_owned(), at));
        let Some(frame) = self.frames.last_mut() else {
            return;
        };
        frame.has_key = true;
        let start = self.text.len();
        if frame.is_flow {
            plain::write_quoted(key, &mut self.text);
        } else {
            plain::write(key, &mut self.text);
        }
        if self.text.len() - start > MAX_SIMPLE_KEY {
            self.text.insert_str(start, "? ");
            if frame.is_flow {
                self.text.push(' ');
            } else {
                self.text.push('\n');
                indent(&mut self.text, frame.indent);
            }
        }
        self.text.push(':');
        if frame.is_flow {
            self.text.push(' ');
        }
    }

    /// A value that is written as it is.
    pub(super) fn scalar(&mut self, text: &str) {
        self.scalar_with(|out| out.push_str(text));
    }

    /// A value that is written by a function.
    pub(super) fn scalar_with(&mut self, write: impl FnOnce(&mut String)) {
        self.before_item();
        if let Some(frame) = self.frames.last()
            && frame.is_object
            && !frame.is_flow
        {
            self.text.push(' ');
        }
        write(&mut self.text);
        self.after_item();
    }

    /// Before a value, which is an entry of its own in a list.
    fn before_item(&mut self) {
        let Some(frame) = self.frames.last() else {
            return;
        };
        if !frame.is_object {
            let is_flow = frame.is_flow;
            self.before_entry();
            if !is_flow {
                self.text.push_str("- ");
            }
        }
    }

    fn before_entry(&mut self) {
        let Some(frame) = self.frames.last() else {
            return;
        };
        match (frame.is_flow, frame.count) {
            (true, 0) => {}
            (true, _) => self.text.push_str(", "),
            (false, 0) if frame.is_inline => {}
            (false, _) => indent(&mut self.text, frame.indent),
        }
    }

    /// Behind a value that was written on the line where it began.
    fn after_item(&mut self) {
        if let Some(frame) = self.frames.last_mut() {
            frame.count += 1;
            frame.has_key = false;
        }
        if !self.is_flow() {
            self.text.push('\n');
        }
    }
}

fn indent(text: &mut String, columns: usize) {
    text.extend(std::iter::repeat_n(' ', columns));
}
