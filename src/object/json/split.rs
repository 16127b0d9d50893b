//! Where values begin and end in a stream.

use super::{
    super::{BadObject, Limits, Problem, cut::Cut},
    scan::{Scan, Scanner},
    spaces,
};

/// U+FEFF, which some programs write at the beginning of a stream; RFC 8259, section 8.1, lets a reader pass over it.
const BYTE_ORDER_MARK: &[u8; 3] = b"\xef\xbb\xbf";

/// Memory that is kept from one value to the next.
const KEPT: usize = 64 << 10;

/// Cuts a stream into values. A value that lies within one piece is not copied; of one that does not, no more is held than may be.
///
/// After something that is no value it goes on behind the next line feed, for there the next value begins in all but a pretty-printed
/// stream. If only its encoding is wrong, its end is known and it goes on there.
#[derive(Debug)]
pub(in crate::object) struct Splitter {
    limits: Limits,
    scanner: Scanner,
    mode: Mode,
    /// The beginning of a value, when the rest was not there yet.
    held: Vec<u8>,
    /// Whether what is held was handed out.
    is_spent: bool,
    /// Bytes taken from the stream.
    position: u64,
    /// Where the value began that is being read.
    start: u64,
    /// Values begun so far.
    number: u64,
    /// Whether nothing but white space was since the last line feed: then a bad value takes its line's end with it.
    is_line_its_own: bool,
}

/// Where the splitter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// At the beginning of the stream.
    Start,
    /// Between values.
    Between,
    /// In a value.
    Within,
    /// In something that is no value.
    Lost,
}

// === impl Splitter ===

impl Splitter {
    /// At the beginning of a stream.
    pub(in crate::object) fn new(limits: Limits) -> Self {
        Self {
            limits,
            scanner: Scanner::new(limits.max_depth),
            mode: Mode::Start,
            held: Vec::new(),
            is_spent: false,
            position: 0,
            start: 0,
            number: 0,
            is_line_its_own: true,
        }
    }

    /// Takes from the front of the input up to the end of what it finds.
    pub(in crate::object) fn next<'a>(&'a mut self, input: &mut &'a [u8]) -> Cut<'a> {
        self.forget_spent();
        if self.mode == Mode::Start {
            let rest = BYTE_ORDER_MARK.get(self.held.len()..).unwrap_or_default();
            let same = rest.iter().zip(*input).take_while(|(a, b)| a == b).count();
            let same = self.take(input, same);
            self.held.extend_from_slice(same);
            if self.held.len() == BYTE_ORDER_MARK.len() {
                self.mode = Mode::Between;
                self.is_spent = true;
                return Cut::Gap { text: &self.held };
            }
            if input.is_empty() {
                return Cut::More;
            }
            if !self.held.is_empty() {
                return self.half_a_mark();
            }
            self.mode = Mode::Between;
        }
        match self.mode {
            Mode::Start | Mode::Between => self.between(input),
            Mode::Within => self.within(&[], input),
            Mode::Lost => self.lost(input),
        }
    }

    /// At the end of the stream: what is left, until there is nothing.
    pub(in crate::object) fn finish(&mut self) -> Option<Cut<'_>> {
        self.forget_spent();
        let mode = std::mem::replace(&mut self.mode, Mode::Between);
        match mode {
            Mode::Start if !self.held.is_empty() => Some(self.half_a_mark()),
            Mode::Start | Mode::Between | Mode::Lost => None,
            Mode::Within if self.scanner.ends_here() => {
                self.is_spent = true;
                Some(Cut::Found {
                    gap: &[],
                    text: &self.held,
                    number: self.number,
                    offset: self.start,
                })
            }
            Mode::Within => {
                let wanted = self.scanner.wanted();
                Some(self.bad(&[], Problem::Ended { wanted }))
            }
        }
    }

    /// Between values.
    fn between<'a>(&'a mut self, input: &mut &'a [u8]) -> Cut<'a> {
        let gap = self.take(input, spaces(input));
        self.is_line_its_own |= gap.contains(&b'\n');
        if input.is_empty() {
            return gap_or_more(gap);
        }
        self.start = self.position;
        self.number += 1;
        self.scanner.restart();
        self.within(gap, input)
    }

    /// In a value, of which nothing was read yet if there is a gap before it.
    fn within<'a>(&'a mut self, gap: &'a [u8], input: &mut &'a [u8]) -> Cut<'a> {
        let max = self.limits.max_object;
        // One more than may be held: that a number ends shows in the byte after it.
        let room = max.saturating_add(1).saturating_sub(self.held.len());
        let piece = &input[..room.min(input.len())];
        let (at, problem) = match self.scanner.scan(piece) {
            Scan::Done(end) if end < room => return self.found(gap, input, end),
            Scan::More if piece.len() < room => {
                let text = self.take(input, piece.len());
                self.hold(text);
                self.mode = Mode::Within;
                return gap_or_more(gap);
            }
            Scan::Done(_) | Scan::More => (
                max.saturating_sub(self.held.len()),
                Problem::TooLong { limit: max },
            ),
            Scan::Bad { at, problem } => (at, problem),
        };
        if !gap.is_empty() {
            // The gap has no part in what is wrong. It goes first, and the value is read again.
            self.number -= 1;
            return gap_or_more(gap);
        }
        let text = self.take(input, at);
        self.bad(text, problem)
    }

    /// Behind what is no value, up to the next line feed.
    fn lost<'a>(&'a mut self, input: &mut &'a [u8]) -> Cut<'a> {
        let end = match memchr::memchr(b'\n', input) {
            Some(at) => {
                self.mode = Mode::Between;
                at + usize::from(self.is_line_its_own)
            }
            None => input.len(),
        };
        match self.take(input, end) {
            [] if self.mode == Mode::Between => self.between(input),
            [] => Cut::More,
            text => Cut::Rest { text },
        }
    }

    /// A value whose last part is at the front of the input.
    fn found<'a>(&'a mut self, gap: &'a [u8], input: &mut &'a [u8], end: usize) -> Cut<'a> {
        let part = &input[..end];
        self.mode = Mode::Between;
        self.join(part);
        let text = if self.is_spent { &self.held } else { part };
        let (number, offset) = (self.number, self.start);
        let encoding = str::from_utf8(text);
        if encoding.is_err() && !gap.is_empty() {
            self.number -= 1;
            return gap_or_more(gap);
        }
        *input = &input[end..];
        self.position += end as u64;
        if let Err(error) = encoding {
            let bad = BadObject {
                number,
                offset: offset + error.valid_up_to() as u64,
                problem: Problem::NotUtf8,
            };
            return Cut::Bad { bad, text };
        }
        self.is_line_its_own = false;
        Cut::Found {
            gap,
            text,
            number,
            offset,
        }
    }

    /// No value, of which this is the last part before what is wrong.
    fn bad<'a>(&'a mut self, part: &'a [u8], problem: Problem) -> Cut<'a> {
        self.mode = Mode::Lost;
        self.join(part);
        let text = if self.is_spent { &self.held } else { part };
        let (at, problem) = match str::from_utf8(text) {
            // What is wrong first counts, and a character that breaks off is wrong if something else follows.
            Err(error)
                if error.error_len().is_some() || matches!(problem, Problem::Unexpected { .. }) =>
            {
                (error.valid_up_to(), Problem::NotUtf8)
            }
            _ => (text.len(), problem),
        };
        let bad = BadObject {
            number: self.number,
            offset: self.start + at as u64,
            problem,
        };
        Cut::Bad { bad, text }
    }

    /// The beginning of a byte order mark, and then something else.
    fn half_a_mark(&mut self) -> Cut<'_> {
        self.number += 1;
        self.mode = Mode::Lost;
        self.is_spent = true;
        let bad = BadObject {
            number: self.number,
            offset: 0,
            problem: Problem::Unexpected {
                found: BYTE_ORDER_MARK[0],
                wanted: self.scanner.wanted(),
            },
        };
        let text = &self.held;
        Cut::Bad { bad, text }
    }

    fn take<'a>(&mut self, input: &mut &'a [u8], length: usize) -> &'a [u8] {
        let (taken, rest) = input.split_at(length);
        *input = rest;
        self.position += length as u64;
        taken
    }

    /// Puts a value's last part to the others, if there are any; all of it is handed out then.
    fn join(&mut self, part: &[u8]) {
        if !self.held.is_empty() {
            self.hold(part);
            self.is_spent = true;
        }
    }

    /// Keeps what may be the beginning of a value.
    fn hold(&mut self, part: &[u8]) {
        let length = self.held.len() + part.len();
        if length > self.held.capacity() {
            // Doubled, so that small parts do not cost a copy of all each, but not beyond the longest.
            let doubled = (2 * self.held.capacity()).min(self.limits.max_object);
            self.held
                .reserve_exact(doubled.max(length) - self.held.len());
        }
        self.held.extend_from_slice(part);
    }

    /// Bytes that are set aside for the beginning of a value.
    #[cfg(test)]
    pub(in crate::object) const fn memory(&self) -> usize {
        self.held.capacity()
    }

    /// Drops what was handed out last time.
    fn forget_spent(&mut self) {
        if std::mem::take(&mut self.is_spent) {
            self.held.clear();
            self.held.shrink_to(KEPT);
        }
    }
}

/// A gap, if there is one.
const fn gap_or_more(gap: &[u8]) -> Cut<'_> {
    match gap {
        [] => Cut::More,
        text => Cut::Gap { text },
    }
}
