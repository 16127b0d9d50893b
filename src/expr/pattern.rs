//! Finds the unquoted `*`, `?` and complete bracket expressions of a word.
//!
//! A bracket expression is handed on without its quotes. Where that would change what it matches, it is refused, for with the
//! quotes it could not be handed on and without them it would match other files than in bash.

use super::{
    ParseError, ParseErrorKind as Kind,
    lexer::{Quoting, RawChar},
};

/// The classes that a bracket expression may name.
const CLASSES: [&str; 13] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
    "space", "upper", "xdigit",
];

/// Remembers what is known about the rest of a word, so that a word of many `[` is not read once for each.
#[derive(Default)]
pub(super) struct Patterns {
    /// Up to here no `[` that was an ordinary character of an unclosed one can be closed either.
    unclosed_to: usize,
}

// === impl Patterns ===

impl Patterns {
    /// The end of the pattern that begins at this character, if one does.
    pub(super) fn at(&mut self, chars: &[RawChar], at: usize) -> Result<Option<usize>, ParseError> {
        match chars[at].bare() {
            Some('*' | '?') => Ok(Some(at + 1)),
            Some('[') => self.bracket(chars, at),
            _ => Ok(None),
        }
    }

    fn bracket(&mut self, chars: &[RawChar], open: usize) -> Result<Option<usize>, ParseError> {
        if open < self.unclosed_to && class_end(chars, open).is_none() {
            return Ok(None);
        }
        let mut members = Members::after(chars, open);
        // The first problem is only one if the bracket is closed at all; else it is an ordinary text.
        let mut problem = None;
        while let Some(member) = members.next() {
            let ch = chars[member.at];
            match member.kind {
                MemberKind::Close => {
                    return match problem {
                        Some(kind) => Err(ParseError::new(kind, chars[open].at, ch.end())),
                        None => Ok(Some(member.at + 1)),
                    };
                }
                MemberKind::Class => {}
                MemberKind::UnknownClass => {
                    problem = problem.or(Some(Kind::BracketClass));
                }
                MemberKind::Char => {
                    let changes = match (ch.quoting, ch.ch) {
                        (Quoting::Quoted, '!' | '^' | ']') => {
                            // In the first place `]` is an ordinary member anyway, later `!` and `^` are.
                            (ch.ch == ']') != member.first
                        }
                        (Quoting::Quoted, '-') => !member.first && !members.at_close(),
                        _ => false,
                    };
                    if changes {
                        problem = problem.or(Some(Kind::QuotedInBracket));
                    }
                }
            }
        }
        self.unclosed_to = self.unclosed_to.max(members.at);
        Ok(None)
    }
}

/// One step through a bracket expression.
struct Member {
    at: usize,
    kind: MemberKind,
    /// Whether nothing but a negation came before it.
    first: bool,
}

enum MemberKind {
    Char,
    Class,
    UnknownClass,
    Close,
}

/// The members of a bracket expression, up to its end, a `/` or the end of the word.
struct Members<'c> {
    chars: &'c [RawChar],
    at: usize,
    first: bool,
}

// === impl Members ===

impl<'c> Members<'c> {
    fn after(chars: &'c [RawChar], open: usize) -> Self {
        let mut members = Self {
            chars,
            at: open + 1,
            first: true,
        };
        members.skip_marks();
        let negated = |c: &RawChar| c.is_bare('!') || c.is_bare('^');
        if chars.get(members.at).is_some_and(negated) {
            members.at += 1;
            members.skip_marks();
        }
        members
    }

    fn skip_marks(&mut self) {
        let mark = |c: &RawChar| c.quoting == Quoting::Mark;
        while self.chars.get(self.at).is_some_and(mark) {
            self.at += 1;
        }
    }

    /// Whether the bracket ends here.
    fn at_close(&self) -> bool {
        self.chars.get(self.at).is_some_and(|c| c.is_bare(']'))
    }

    fn next(&mut self) -> Option<Member> {
        let at = self.at;
        let current = self.chars.get(at).filter(|c| c.ch != '/')?;
        let first = std::mem::replace(&mut self.first, false);
        self.at += 1;
        let kind = if current.is_bare(']') && !first {
            MemberKind::Close
        } else if let Some(end) = class_end(self.chars, at) {
            self.at = end;
            MemberKind::Class
        } else if current.ch == '[' && self.class_follows() {
            MemberKind::UnknownClass
        } else {
            MemberKind::Char
        };
        self.skip_marks();
        Some(Member { at, kind, first })
    }

    /// Whether what comes now makes a `[` before it the start of a class, once the quotes are gone.
    fn class_follows(&self) -> bool {
        let mut rest = self.chars[self.at..]
            .iter()
            .filter(|c| c.quoting != Quoting::Mark);
        rest.next().is_some_and(|c| matches!(c.ch, ':' | '.' | '='))
    }
}

/// The end of the class, as in `[:alpha:]`, whose `[` stands here.
fn class_end(chars: &[RawChar], at: usize) -> Option<usize> {
    // The longest name has six letters.
    const LONGEST: usize = "[:xdigit:]".len();
    let end = chars.len().min(at + LONGEST);
    let text: String = chars
        .get(at..end)?
        .iter()
        .map_while(|c| c.bare().filter(char::is_ascii))
        .collect();
    let (name, _) = text.strip_prefix("[:")?.split_once(":]")?;
    CLASSES
        .contains(&name)
        .then_some(at + name.len() + "[::]".len())
}
