//! Metadata in objects, as far as both sides of a link must know of them.

use serde::{Deserialize, Serialize};

/// What the metadata are called in an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Naming {
    /// One member for all, or one for each.
    pub style: Style,
    /// The member's name with [`Style::Nested`].
    pub name: String,
    /// What each name begins with; with [`Style::Flat`] it is what tells them from the app's own data, so it is never empty then.
    pub prefix: String,
}

/// Where metadata stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Style {
    /// `{"__dpipes": {"dp.addr": …, "dp.port": …}, …}`.
    #[default]
    Nested,
    /// `{"__dp.addr": …, "__dp.port": …, …}`.
    Flat,
}

/// What was seen and done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Whole values that went through, of whatever kind.
    pub objects: u64,
    /// Of them, those that came with metadata, which were taken out or replaced.
    pub replaced: u64,
    /// Of them, those whose root was no object.
    pub non_objects: u64,
    /// Bad objects left out.
    pub skipped: u64,
    /// Bad objects passed as they were.
    pub passed: u64,
}

// === impl Naming ===

impl Naming {
    /// Whether a member of this name at the root is metadata.
    #[must_use]
    pub fn covers(&self, key: &str) -> bool {
        match self.style {
            Style::Nested => key == self.name,
            Style::Flat => key.starts_with(&self.prefix),
        }
    }

    /// What every such name begins with or is: a text without it needs no closer look.
    #[must_use]
    pub fn needle(&self) -> &str {
        match self.style {
            Style::Nested => &self.name,
            Style::Flat => &self.prefix,
        }
    }

    /// The usual names of a style.
    #[must_use]
    pub fn of_style(style: Style) -> Self {
        let prefix = match style {
            Style::Nested => "dp.",
            Style::Flat => "__dp.",
        };
        Self {
            style,
            name: "__dpipes".to_owned(),
            prefix: prefix.to_owned(),
        }
    }
}

impl Default for Naming {
    fn default() -> Self {
        Self::of_style(Style::default())
    }
}
