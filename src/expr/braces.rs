//! Finds the braces that bash would expand, so that they can be refused, and leaves those alone that it would leave alone.
//!
//! Bash tries every `{` in turn: it looks for the `}` on the same level that has a `,` or a `..` on that level before it. Done so,
//! the work grows with the square of the word. Here all `{` are followed at once: they are kept by level, and what happens to a
//! level happens to all of them together.

use super::{
    ParseError, ParseErrorKind as Kind,
    lexer::{Quoting, RawChar},
};

/// The `{` that are open on one level and wait for their `}`.
#[derive(Default)]
struct Level {
    /// Where one of them stands that has seen a `,`.
    comma: Option<usize>,
    /// One that has seen no `,`: the only one that could still become a sequence.
    fresh: Option<Fresh>,
    /// Where one stands that has seen no `,`, but a `}` too early for it.
    stale: Option<Stale>,
}

/// A `{` with nothing but plain characters after it so far.
struct Fresh {
    at: usize,
    dots: bool,
}

/// A `{` that met a `}` without having seen `,` or `..`, and looks further.
struct Stale {
    at: usize,
    dots: bool,
}

/// Refuses the first brace expansion.
pub(super) fn refuse(chars: &[RawChar]) -> Result<(), ParseError> {
    let Some(first) = chars.iter().position(|c| c.is_bare('{')) else {
        return Ok(());
    };
    let mut levels: Vec<Level> = Vec::new();
    // Bash takes a quoted comma for a separator once it is in `{a..b","}`, so that the braces vanish.
    let quoted_comma = chars
        .iter()
        .any(|c| c.quoting == Quoting::Quoted && c.ch == ',');
    for (at, current) in chars.iter().enumerate().skip(first) {
        match current.bare() {
            // `{}` at the start of a word is what `find -exec` and `xargs` want, whatever follows.
            Some('{') if at == 0 && chars.get(1).is_some_and(|c| c.is_bare('}')) => {}
            Some('{') => levels.push(Level {
                fresh: Some(Fresh { at, dots: false }),
                ..Level::default()
            }),
            Some(',') => {
                if let Some(level) = levels.last_mut() {
                    let fresh = level.fresh.take().map(|open| open.at);
                    let stale = level.stale.take().map(|open| open.at);
                    level.comma = level.comma.or(fresh).or(stale);
                }
            }
            Some('.') if is_dots(chars, at) => {
                if let Some(level) = levels.last_mut() {
                    if let Some(open) = &mut level.fresh {
                        open.dots = true;
                    }
                    if let Some(open) = &mut level.stale {
                        open.dots = true;
                    }
                }
            }
            Some('}') => {
                if let Some(level) = levels.pop() {
                    let rest = close(chars, at, level, quoted_comma)?;
                    match levels.last_mut() {
                        // One that has seen `..` ends at the next `}`, so the other is the one to keep.
                        Some(outer) => outer.stale = rest.or_else(|| outer.stale.take()),
                        None if rest.is_some() => levels.push(Level {
                            stale: rest,
                            ..Level::default()
                        }),
                        None => {}
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Closes a level: an expansion is an error, a `{` without `,` or `..` goes on looking one level further out.
fn close(
    chars: &[RawChar],
    at: usize,
    level: Level,
    quoted_comma: bool,
) -> Result<Option<Stale>, ParseError> {
    let refused = |open: usize| {
        let kind = Kind::Braces;
        Err(ParseError::new(kind, chars[open].at, chars[at].end()))
    };
    if let Some(open) = level.comma {
        return refused(open);
    }
    let mut rest = level.stale.filter(|open| !open.dots);
    match level.fresh {
        Some(open) if open.dots && (quoted_comma || is_sequence(&chars[open.at + 1..at])) => {
            return refused(open.at);
        }
        Some(open) if !open.dots => {
            rest = Some(Stale {
                at: open.at,
                dots: false,
            });
        }
        _ => {}
    }
    Ok(rest)
}

/// Whether `..` begins here and is not the end of the braces.
fn is_dots(chars: &[RawChar], at: usize) -> bool {
    let bare = |offset: usize, ch| chars.get(at + offset).is_some_and(|c| c.is_bare(ch));
    bare(1, '.') && !bare(2, '}')
}

/// Whether this, between braces, counts: `1..9`, `a..f`, either with a step as in `1..9..2`.
fn is_sequence(chars: &[RawChar]) -> bool {
    // Stops at the first character that no sequence has, so that nested braces are not read again and again.
    let legal = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    let text: Option<String> = chars
        .iter()
        .map(|c| c.bare().filter(|c| legal(*c)))
        .collect();
    let Some(text) = text else {
        return false;
    };
    let Some((first, rest)) = text.split_once("..") else {
        return false;
    };
    let (last, step) = match rest.split_once("..") {
        Some((last, step)) => (last, Some(step)),
        None => (rest, None),
    };
    let number = |text: &str| text.parse::<i64>().is_ok();
    let letter = |text: &str| text.len() == 1 && text.as_bytes()[0].is_ascii_alphabetic();
    step.is_none_or(number) && (number(first) && number(last) || letter(first) && letter(last))
}
