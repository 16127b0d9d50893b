//! The canonical spelling of a pipeline.
//!
//! Every text is bare or in single quotes as a whole. Only next to a `~` some characters must stay bare, for it is one only there.

use std::fmt::{self, Display, Formatter, Write};

use super::{Assignment, Constraint, Pipeline, Stage, parser::is_reserved};
use crate::word::{Part, Word};

impl Display for Pipeline {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, stage) in self.stages.iter().enumerate() {
            if index > 0 {
                let joined = self.stages[index - 1].stderr_joined;
                f.write_str(if joined { " |& " } else { " | " })?;
            }
            stage.fmt(f)?;
        }
        Ok(())
    }
}

/// The stage without the pipe after it.
impl Display for Stage {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for constraint in &self.placement {
            write!(f, "{constraint} ")?;
        }
        for assignment in &self.env {
            write!(f, "{assignment} ")?;
        }
        let app = self.app_name();
        if app
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_./+-".contains(&b))
            && !is_reserved(&app)
        {
            f.write_str(&app)?;
        } else {
            quoted(f, &app)?;
        }
        for arg in &self.args {
            f.write_char(' ')?;
            word(f, &arg.word, true)?;
        }
        Ok(())
    }
}

/// The constraint as it is written before a command.
impl Display for Constraint {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node) => write!(f, "@{node}"),
            Self::Label { key, value } => {
                write!(f, "@{key}=")?;
                if value.chars().all(|c| is_plain(c) && c != ',') {
                    f.write_str(value)
                } else {
                    quoted(f, value)
                }
            }
        }
    }
}

/// The assignment as it is written before a command.
impl Display for Assignment {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}=", self.name)?;
        if self.value.parts.is_empty() {
            return Ok(());
        }
        word(f, &self.value, false)
    }
}

/// Whether a character needs no quotes anywhere but in an app's name.
fn is_plain(c: char) -> bool {
    c.is_alphanumeric() || "_./:+,%@=-".contains(c)
}

fn quoted(f: &mut Formatter<'_>, text: &str) -> fmt::Result {
    write!(f, "'{}'", text.replace('\'', r"'\''"))
}

/// Writes a word; only in an argument can a `~` inside it need a `NAME=` that stays bare.
fn word(f: &mut Formatter<'_>, word: &Word, argument: bool) -> fmt::Result {
    if word.parts.is_empty() {
        return f.write_str("''");
    }
    let home = |index: usize| matches!(word.parts.get(index), Some(Part::Home(_)));
    // An argument that begins with a `~` has no quotes before its first `/`, or it would not be one.
    let mut unquoted = argument && home(0);
    let named = argument && !unquoted && (1..word.parts.len()).any(home);
    for (index, part) in word.parts.iter().enumerate() {
        match part {
            Part::Text(text) => {
                // Before a `~`, the name and `=` of what looks like an assignment, or the last `:`; after it, the `/` or `:`.
                let head = if unquoted {
                    let slash = text.find('/');
                    unquoted = slash.is_none();
                    slash.map_or(text.len(), |slash| slash + 1)
                } else if index == 0 && named {
                    text.find('=').map_or(0, |equals| equals + 1)
                } else {
                    usize::from(index > 0 && home(index - 1))
                };
                let tail = usize::from(home(index + 1));
                self::text(f, text, head, tail)?;
            }
            Part::Glob(pattern) if unquoted => f.write_str(pattern)?,
            Part::Glob(pattern) => glob(f, pattern)?,
            Part::Home(user) => write!(f, "~{}", user.as_deref().unwrap_or_default())?,
        }
    }
    Ok(())
}

/// Writes a text whose first `head` and last `tail` bytes must stay bare.
fn text(f: &mut Formatter<'_>, text: &str, head: usize, tail: usize) -> fmt::Result {
    let head = head.min(text.len());
    let tail = text.len().saturating_sub(tail).max(head);
    let middle = &text[head..tail];
    f.write_str(&text[..head])?;
    if middle.chars().all(is_plain) {
        f.write_str(middle)?;
    } else {
        quoted(f, middle)?;
    }
    f.write_str(&text[tail..])
}

/// Writes a pattern. What had to be quoted in a bracket expression is quoted again; its own characters stay bare.
fn glob(f: &mut Formatter<'_>, pattern: &str) -> fmt::Result {
    if !pattern.starts_with('[') {
        return f.write_str(pattern);
    }
    for c in pattern.chars() {
        if is_plain(c) || "[]!^".contains(c) {
            f.write_char(c)?;
        } else if c == '\n' {
            f.write_str("'\n'")?;
        } else {
            write!(f, "\\{c}")?;
        }
    }
    Ok(())
}
