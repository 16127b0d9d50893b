//! What the characters of a word mean: assignments, `~`, patterns, braces.

use super::{
    ParseError, ParseErrorKind as Kind, braces,
    lexer::{Quoting, RawChar},
    pattern::Patterns,
};
use crate::word::{Part, Word};

/// Marks what is left to expand in an argument, or in an app's name.
pub(super) fn argument(chars: &[RawChar]) -> Result<Word, ParseError> {
    braces::refuse(chars)?;
    let homes = match assignment_like(chars) {
        // Bash expands `~` also in arguments that look like assignments, as in `dd if=~/disk`.
        Some(value) => {
            let homes = Homes::in_value(chars, value.start)?;
            if value.subscript && homes.exist() {
                let end = chars[value.start - 1].end();
                return Err(ParseError::new(Kind::ArrayAssignment, chars[0].at, end));
            }
            homes
        }
        None => Homes::at_start(chars)?,
    };
    assemble(chars, &homes, true)
}

/// Marks what is left to expand in the value of an assignment: `~` at its start and after every `:`, and nothing else.
pub(super) fn value(chars: &[RawChar]) -> Result<Word, ParseError> {
    assemble(chars, &Homes::in_value(chars, 0)?, false)
}

/// The length of a variable's name that these characters begin with, unquoted.
pub(super) fn name_length(chars: &[RawChar]) -> Option<usize> {
    let letter = |c: &RawChar| {
        c.bare()
            .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
    };
    let more = |c: &RawChar| c.bare().is_some_and(|c| c.is_ascii_digit());
    chars.first().filter(|first| letter(first))?;
    Some(chars.iter().take_while(|c| letter(c) || more(c)).count())
}

/// Whether this is `NAME=` or `NAME+=` and nothing more.
pub(super) fn is_assignment_head(chars: &[RawChar]) -> bool {
    assignment_like(chars).is_some_and(|value| value.start == chars.len())
}

/// The text of these characters.
pub(super) fn text(chars: &[RawChar]) -> String {
    chars
        .iter()
        .filter(|c| c.quoting != Quoting::Mark)
        .map(|c| c.ch)
        .collect()
}

/// Where the value of something like an assignment begins.
struct Value {
    start: usize,
    subscript: bool,
}

/// Whether bash treats an argument as it treats an assignment: `NAME=`, `NAME+=`, `NAME[…]=`.
fn assignment_like(chars: &[RawChar]) -> Option<Value> {
    let mut at = name_length(chars)?;
    let subscript = chars.get(at)?.is_bare('[');
    if subscript {
        at += chars[at..].iter().position(|c| c.is_bare(']'))? + 1;
    }
    if chars.get(at)?.is_bare('+') {
        at += 1;
    }
    chars.get(at)?.is_bare('=').then_some(Value {
        start: at + 1,
        subscript,
    })
}

/// The places of `~` that the node replaces, as ranges of characters in order.
struct Homes(Vec<(usize, usize)>);

// === impl Homes ===

impl Homes {
    fn exist(&self) -> bool {
        !self.0.is_empty()
    }

    /// A `~` as the first character of the word. Although its name ends at a `:` too, bash looks for quotes up to the `/`.
    fn at_start(chars: &[RawChar]) -> Result<Self, ParseError> {
        let mut before_slash = chars.iter().take_while(|c| !c.is_bare('/'));
        if before_slash.any(|c| c.quoting != Quoting::Bare) {
            return Ok(Self(Vec::new()));
        }
        Ok(Self(prefix(chars, 0)?.into_iter().collect()))
    }

    /// A `~` as the first character of the value that begins here, and after every unquoted `:` in it.
    fn in_value(chars: &[RawChar], value: usize) -> Result<Self, ParseError> {
        let mut homes = Vec::new();
        for at in value..=chars.len() {
            if at == value || chars[at - 1].is_bare(':') {
                homes.extend(prefix(chars, at)?);
            }
        }
        Ok(Self(homes))
    }
}

/// The `~` or `~user` at this place, up to the `/` or `:` that ends it. Any quote in it makes it an ordinary text.
fn prefix(chars: &[RawChar], at: usize) -> Result<Option<(usize, usize)>, ParseError> {
    if !chars.get(at).is_some_and(|c| c.is_bare('~')) {
        return Ok(None);
    }
    let ends = |c: &RawChar| c.is_bare('/') || c.is_bare(':');
    let rest = &chars[at + 1..];
    let name = &rest[..rest.iter().position(ends).unwrap_or(rest.len())];
    // What bash makes of `~=~` depends on what it has expanded before.
    let tilde_again = |pair: &[RawChar]| pair[0].is_bare('=') && pair[1].is_bare('~');
    if let Some(again) = name.windows(2).position(tilde_again) {
        let kind = Kind::TildeInTilde;
        return Err(ParseError::new(kind, chars[at].at, name[again + 1].end()));
    }
    // Names that no user can have stay text, as they do in bash for want of such a user.
    let user = |c: char| c.is_alphanumeric() || "_.-+@$".contains(c);
    let legal = name.iter().all(|c| c.bare().is_some_and(user));
    Ok(legal.then_some((at, at + 1 + name.len())))
}

/// Whether `~` with this after it is a place in a shell's own memory: `~+`, `~-`, `~2`, `~+1`.
fn is_shell_state(user: &str) -> bool {
    let digits = user.strip_prefix(['+', '-']).unwrap_or(user);
    !user.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

fn assemble(chars: &[RawChar], homes: &Homes, patterns: bool) -> Result<Word, ParseError> {
    let mut finder = Patterns::default();
    let mut homes = homes.0.iter().peekable();
    let mut parts = Parts::default();
    let mut at = 0;
    while let Some(&current) = chars.get(at) {
        if let Some(&(_, end)) = homes.next_if(|(start, _)| *start == at) {
            let user = text(&chars[at + 1..end]);
            if is_shell_state(&user) {
                let kind = Kind::TildeOfShell;
                return Err(ParseError::new(kind, current.at, chars[end - 1].end()));
            }
            parts.push(Part::Home((!user.is_empty()).then_some(user)));
            at = end;
            continue;
        }
        if patterns && let Some(end) = finder.at(chars, at)? {
            parts.push(Part::Glob(text(&chars[at..end])));
            at = end;
            continue;
        }
        if current.quoting != Quoting::Mark {
            parts.text.push(current.ch);
        }
        at += 1;
    }
    Ok(parts.finish())
}

/// Parts of a word, with neighbouring texts joined.
#[derive(Default)]
struct Parts {
    parts: Vec<Part>,
    text: String,
}

// === impl Parts ===

impl Parts {
    fn push(&mut self, part: Part) {
        self.flush();
        self.parts.push(part);
    }

    fn flush(&mut self) {
        if !self.text.is_empty() {
            self.parts.push(Part::Text(std::mem::take(&mut self.text)));
        }
    }

    fn finish(mut self) -> Word {
        self.flush();
        Word { parts: self.parts }
    }
}
