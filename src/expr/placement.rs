//! `@name` and `@label=value,label=value` before a command.

use super::{
    Constraint, ParseError, ParseErrorKind as Kind, PlacementError, Span,
    lexer::{Quoting, RawChar},
    words::text,
};
use crate::id::NodeId;

/// Whether this word is a wish about the place, if it stands before a command.
pub(super) fn is_placement(chars: &[RawChar]) -> bool {
    chars.first().is_some_and(|c| c.is_bare('@'))
}

/// Adds what an `@` word says to what was said already.
pub(super) fn add(
    chars: &[RawChar],
    span: Span,
    placement: &mut Vec<Constraint>,
) -> Result<(), ParseError> {
    let refused = |span: Span, problem| ParseError {
        kind: Kind::Placement(problem),
        span,
    };
    // An empty item has no characters to point at, so the whole word stands for it.
    let part = |item: &[RawChar]| match (item.first(), item.last()) {
        (Some(first), Some(last)) => Span::new(first.at, last.end()),
        _ => span,
    };
    let body = &chars[1..];
    if body.iter().all(|c| c.quoting == Quoting::Mark) {
        return Err(refused(span, PlacementError::Empty));
    }
    let pattern = |c: &RawChar| c.bare().is_some_and(|c| "*?{".contains(c));
    if let Some(at) = body.iter().position(pattern) {
        return Err(refused(part(&body[at..=at]), PlacementError::Pattern));
    }
    if !body.iter().any(|c| c.is_bare('=') || c.is_bare(',')) {
        let node = NodeId::new(text(body)).map_err(|e| refused(span, e.into()))?;
        if placement.iter().any(|c| matches!(c, Constraint::Node(_))) {
            let name = node.to_string();
            return Err(refused(span, PlacementError::Repeated(name)));
        }
        placement.push(Constraint::Node(node));
        return Ok(());
    }
    for item in body.split(|c| c.is_bare(',')) {
        let Some(equals) = item.iter().position(|c| c.is_bare('=')) else {
            return Err(refused(part(item), PlacementError::NotALabel(text(item))));
        };
        let key = text(&item[..equals]);
        if !is_key(&key) {
            return Err(refused(part(&item[..=equals]), PlacementError::Key(key)));
        }
        let said = |c: &Constraint| matches!(c, Constraint::Label { key: k, .. } if *k == key);
        if placement.iter().any(said) {
            return Err(refused(part(item), PlacementError::Repeated(key)));
        }
        let value = text(&item[equals + 1..]);
        placement.push(Constraint::Label { key, value });
    }
    Ok(())
}

/// Whether this can name a label: like a node's name, and `/` for names with a domain before them.
fn is_key(key: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"._-/".contains(&b);
    !key.is_empty() && key.bytes().all(legal)
}
