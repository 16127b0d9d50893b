//! One word of a command line, with the parts that only the node can expand still marked.
//!
//! Quotes and backslashes are gone by the time a [`Word`] exists: what was quoted is [`Part::Text`], whatever characters it holds.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A word: its parts in order. An empty list is the empty word, as from `''`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Word {
    /// The parts, in order.
    pub parts: Vec<Part>,
}

/// A piece of a word.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Characters that stand for themselves.
    Text(String),
    /// An unquoted `*`, `?` or complete bracket expression, matched against file names on the node; literal if nothing matches.
    Glob(String),
    /// A leading `~` (`None`) or `~user` (`Some`), replaced by that home directory on the node; literal if there is no such user.
    Home(Option<String>),
}

// === impl Word ===

impl Word {
    /// A word that stands for itself.
    #[must_use]
    pub fn literal(text: impl Into<String>) -> Self {
        let text = text.into();
        Self {
            parts: if text.is_empty() {
                Vec::new()
            } else {
                vec![Part::Text(text)]
            },
        }
    }

    /// The text, if nothing in it needs expansion.
    #[must_use]
    pub fn as_literal(&self) -> Option<String> {
        let text = |part: &Part| match part {
            Part::Text(text) => Some(text.clone()),
            Part::Glob(_) | Part::Home(_) => None,
        };
        self.parts.iter().map(text).collect()
    }
}

/// The word as it stands when nothing matches: what bash leaves of it.
impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            match part {
                Part::Text(text) | Part::Glob(text) => f.write_str(text)?,
                Part::Home(None) => f.write_str("~")?,
                Part::Home(Some(user)) => write!(f, "~{user}")?,
            }
        }
        Ok(())
    }
}
