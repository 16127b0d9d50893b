//! Where documents begin and end in a stream.

use std::mem;

use super::{
    super::{BadObject, Limits, Problem, cut::Cut},
    frame::{BYTE_ORDER_MARK, Marker, marker},
};

/// The byte order mark in UTF-16, either way round.
const UTF_16_MARKS: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];

/// Bytes at the beginning of a line that show what it is: a marker and the blank after it, or a byte order mark.
const HEAD: usize = 4;

/// Memory that is kept from one document to the next, and the largest piece of what is skipped.
const KEPT: usize = 64 << 10;

/// Cuts a stream into documents.
///
/// A document ends with its `...` line, before the next `---` line, or with the stream. Directives and comments before its `---` are part
/// of it; blank lines, byte order marks, and comments that no document follows are not. What a document says is not looked at, only
/// that it is UTF-8 and not too long.
#[derive(Debug)]
pub(in crate::object) struct Splitter {
    limits: Limits,
    place: Place,
    line: Line,
    /// What was taken and not delivered yet.
    held: Vec<u8>,
    /// How much of it is delivered and goes away with the next call.
    spent: usize,
    /// Where the line begins in what is held.
    line_start: usize,
    /// Where in the stream that is which is held.
    position: u64,
    /// Documents found so far.
    number: u64,
}

/// Where in the stream a line stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// At the beginning of the stream.
    Start,
    /// Between documents, with nothing but comments held.
    Prefix,
    /// Behind a directive.
    Directives,
    /// In a document.
    Document,
    /// In one that is left out.
    Lost,
}

/// What is known of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// Nothing yet.
    Head,
    /// Between documents: nothing but blanks so far.
    Blank,
    /// Between documents: `...` and nothing but blanks so far.
    LoneEnd,
    /// Between documents: a comment.
    Comment,
    /// Between documents: `...` and a comment.
    LoneEndComment,
    /// It belongs to what is being read.
    Rest,
    /// It ends what is being read.
    End,
    /// It ended in a carriage return, to which a line feed may belong.
    Return(Ended),
}

/// What a line was that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Blank,
    LoneEnd,
    Inner,
    Last,
}

/// What is ready, and how much of what is held it is.
enum Ready {
    More,
    Gap(usize),
    Found(usize),
    Bad(usize, Problem),
    Rest(usize),
}

// === impl Splitter ===

impl Splitter {
    /// At the beginning of a stream.
    pub(in crate::object) fn new(limits: Limits) -> Self {
        Self {
            limits,
            place: Place::Start,
            line: Line::Head,
            held: Vec::new(),
            spent: 0,
            line_start: 0,
            position: 0,
            number: 0,
        }
    }

    /// Takes from the front of the input up to the end of what it finds.
    pub(in crate::object) fn next(&mut self, input: &mut &[u8]) -> Cut<'_> {
        self.forget_spent();
        let ready = self.advance(input, false);
        self.deliver(ready)
    }

    /// At the end of the stream: what is left, until there is nothing.
    pub(in crate::object) fn finish(&mut self) -> Option<Cut<'_>> {
        self.forget_spent();
        let ready = match self.advance(&mut &[][..], true) {
            Ready::More if self.held.is_empty() => return None,
            Ready::More => {
                let length = self.held.len();
                let ready = match self.place {
                    Place::Start | Place::Prefix => Ready::Gap(length),
                    Place::Directives | Place::Document => Ready::Found(length),
                    Place::Lost => Ready::Rest(length),
                };
                self.between();
                ready
            }
            ready => ready,
        };
        Some(self.deliver(ready))
    }

    fn forget_spent(&mut self) {
        if self.spent > 0 {
            self.held.drain(..self.spent);
            self.held.shrink_to(KEPT);
            self.line_start = self.line_start.saturating_sub(self.spent);
            self.position += self.spent as u64;
            self.spent = 0;
        }
    }

    fn deliver(&mut self, ready: Ready) -> Cut<'_> {
        let (Ready::Gap(length)
        | Ready::Found(length)
        | Ready::Bad(length, _)
        | Ready::Rest(length)) = ready
        else {
            return Cut::More;
        };
        self.spent = length;
        let text = &self.held[..length];
        let problem = match ready {
            Ready::More | Ready::Gap(_) => return Cut::Gap { text },
            Ready::Rest(_) => return Cut::Rest { text },
            Ready::Bad(_, problem) => Some((0, problem)),
            Ready::Found(_) => match str::from_utf8(text) {
                Ok(_) => None,
                Err(error) => Some((error.valid_up_to(), Problem::NotUtf8)),
            },
        };
        self.number += 1;
        let number = self.number;
        match problem {
            None => Cut::Found {
                gap: &[],
                text,
                number,
                offset: self.position,
            },
            Some((at, problem)) => {
                let offset = self.position + at as u64;
                let bad = BadObject {
                    number,
                    offset,
                    problem,
                };
                Cut::Bad { bad, text }
            }
        }
    }

    /// Reads on until something is ready or the input is used up.
    fn advance(&mut self, input: &mut &[u8], at_end: bool) -> Ready {
        loop {
            let ready = match self.line {
                Line::Head => {
                    if !self.fill_head(input) && !at_end {
                        return self.what_is_lost(self.line_start);
                    }
                    if at_end && self.held.len() == self.line_start {
                        return Ready::More;
                    }
                    self.head()
                }
                Line::Return(ended) => {
                    match input.split_first() {
                        Some((b'\n', rest)) => {
                            self.held.push(b'\n');
                            *input = rest;
                        }
                        None if !at_end => return Ready::More,
                        _ => {}
                    }
                    self.ended(ended)
                }
                Line::Blank | Line::LoneEnd => {
                    let Some((&byte, rest)) = input.split_first() else {
                        return Ready::More;
                    };
                    if matches!(byte, b'\n' | b'\r') {
                        self.rest_of_line(input)
                    } else {
                        self.held.push(byte);
                        *input = rest;
                        self.outside(byte);
                        self.too_long()
                    }
                }
                Line::Comment | Line::LoneEndComment | Line::Rest | Line::End => {
                    if input.is_empty() {
                        return self.what_is_lost(self.held.len());
                    }
                    self.rest_of_line(input)
                }
            };
            if let Some(ready) = ready {
                return ready;
            }
        }
    }

    /// Takes what shows the kind of a line, without its break. Whether that was all there.
    fn fill_head(&mut self, input: &mut &[u8]) -> bool {
        while self.held.len() - self.line_start < HEAD {
            match input.split_first() {
                None => return false,
                Some((b'\n' | b'\r', _)) => return true,
                Some((&byte, rest)) => {
                    self.held.push(byte);
                    *input = rest;
                }
            }
        }
        true
    }

    /// At a line whose beginning is there.
    fn head(&mut self) -> Option<Ready> {
        let head = &self.held[self.line_start..];
        if self.place == Place::Start {
            self.place = Place::Prefix;
            if UTF_16_MARKS.iter().any(|mark| head.starts_with(mark)) {
                self.place = Place::Lost;
                self.line = Line::Rest;
                let detail = "the stream is in UTF-16, and only UTF-8 is read".to_owned();
                return Some(Ready::Bad(self.held.len(), Problem::NotYaml { detail }));
            }
        }
        match (self.place, marker(head)) {
            (Place::Prefix, Some(Marker::End)) => {
                self.line = Line::LoneEnd;
                for at in self.line_start + 3..self.held.len() {
                    self.outside(self.held[at]);
                }
            }
            (Place::Prefix, None) if head.starts_with(BYTE_ORDER_MARK) => {
                let end = self.line_start + BYTE_ORDER_MARK.len();
                self.line_start = end;
                return Some(Ready::Gap(end));
            }
            (Place::Prefix, None) if head.first() == Some(&b'%') => {
                self.place = Place::Directives;
                self.line = Line::Rest;
            }
            (Place::Prefix, None) => {
                self.line = Line::Blank;
                for at in self.line_start..self.held.len() {
                    self.outside(self.held[at]);
                }
            }
            (Place::Document | Place::Lost, Some(Marker::Start)) => {
                let before = mem::replace(&mut self.place, Place::Document);
                self.line = Line::Rest;
                let length = self.line_start;
                return match before {
                    Place::Lost if length == 0 => None,
                    Place::Lost => Some(Ready::Rest(length)),
                    _ => Some(Ready::Found(length)),
                };
            }
            (_, Some(Marker::Start)) => {
                self.place = Place::Document;
                self.line = Line::Rest;
            }
            (_, Some(Marker::End)) => self.line = Line::End,
            (_, None) => self.line = Line::Rest,
        }
        None
    }

    /// A byte of a line between documents, of which nothing but blanks are known.
    fn outside(&mut self, byte: u8) {
        self.line = match (self.line, byte) {
            (Line::Blank, b'#') => Line::Comment,
            (Line::LoneEnd, b'#') => Line::LoneEndComment,
            (line, b' ' | b'\t') => line,
            (Line::Blank, _) => {
                self.place = Place::Document;
                Line::Rest
            }
            // Nothing but a comment may follow `...`: let the parser say so.
            (Line::LoneEnd, _) => {
                self.place = Place::Document;
                Line::End
            }
            (line, _) => line,
        };
    }

    /// Takes the rest of a line that is there, with its break.
    fn rest_of_line(&mut self, input: &mut &[u8]) -> Option<Ready> {
        let room = match self.place {
            Place::Lost => input.len(),
            _ => (self.limits.max_object + 1).saturating_sub(self.held.len()),
        };
        let piece = &input[..room.min(input.len())];
        let found = piece.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        let taken = &piece[..found.map_or(piece.len(), |at| at + 1)];
        self.held.extend_from_slice(taken);
        *input = &input[taken.len()..];
        if let Some(ready) = self.too_long() {
            // The break may have been the byte too many, and still ends its line.
            match (taken.last(), self.line) {
                (Some(b'\n'), Line::End) => self.between(),
                (Some(b'\n'), _) => self.next_line(),
                (Some(b'\r'), Line::End) => self.line = Line::Return(Ended::Last),
                (Some(b'\r'), _) => self.line = Line::Return(Ended::Inner),
                _ => {}
            }
            return Some(ready);
        }
        let ended = match self.line {
            Line::Blank => Ended::Blank,
            Line::LoneEnd | Line::LoneEndComment => Ended::LoneEnd,
            Line::End => Ended::Last,
            _ => Ended::Inner,
        };
        match found.map(|at| piece[at]) {
            None => None,
            Some(b'\n') => self.ended(ended),
            Some(_) => {
                self.line = Line::Return(ended);
                None
            }
        }
    }

    /// A line has ended, and all of it is held.
    fn ended(&mut self, ended: Ended) -> Option<Ready> {
        let is_only_line = self.line_start == 0;
        self.next_line();
        let length = self.held.len();
        match ended {
            Ended::LoneEnd => Some(Ready::Gap(length)),
            Ended::Blank if is_only_line => Some(Ready::Gap(length)),
            Ended::Last => {
                let place = self.place;
                self.between();
                Some(match place {
                    Place::Lost => Ready::Rest(length),
                    _ => Ready::Found(length),
                })
            }
            Ended::Inner if self.place == Place::Lost && length > KEPT => Some(Ready::Rest(length)),
            Ended::Blank | Ended::Inner => None,
        }
    }

    fn next_line(&mut self) {
        self.line = Line::Head;
        self.line_start = self.held.len();
    }

    fn between(&mut self) {
        self.place = Place::Prefix;
        self.next_line();
    }

    /// Gives up on what is longer than a document may be.
    fn too_long(&mut self) -> Option<Ready> {
        let limit = self.limits.max_object;
        if self.place == Place::Lost || self.held.len() <= limit {
            return None;
        }
        self.place = Place::Lost;
        self.line = match self.line {
            Line::End | Line::LoneEnd | Line::LoneEndComment => Line::End,
            _ => Line::Rest,
        };
        Some(Ready::Bad(self.held.len(), Problem::TooLong { limit }))
    }

    /// What there is of something that is left out, when there is no more input.
    fn what_is_lost(&self, length: usize) -> Ready {
        match self.place {
            Place::Lost if length > 0 => Ready::Rest(length),
            _ => Ready::More,
        }
    }
}
