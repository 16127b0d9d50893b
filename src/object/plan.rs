//! What is to be done with the objects of a stream.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::media::{Format, Naming, Style};

/// Longest object unless said otherwise, in bytes. An object is held whole, for its metadata stand at its beginning and a fault may be
/// at its end.
pub const MAX_OBJECT: usize = 16 << 20;

/// Deepest nesting. Common parsers give up between 128 (serde_json) and 10,000 (jq 1.7); nothing that people write is deeper than this.
pub const MAX_DEPTH: usize = 1_000;

/// What is to be done with the objects of a stream.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What comes. [`Format::Bytes`] is never here: a plan is for objects.
    pub from: Format,
    /// What goes; never [`Format::Bytes`] either.
    pub to: Format,
    /// Members at the root that are taken out, for they are or pretend to be metadata.
    pub remove: Vec<Naming>,
    /// Metadata put into each object.
    pub add: Option<Metadata>,
    /// How objects are laid out.
    pub layout: Layout,
    /// What becomes of a root that is no object, where there are metadata to put in.
    pub on_non_object: OnNonObject,
    /// What becomes of a bad object.
    pub on_bad_object: OnBadObject,
    /// What an object may be.
    pub limits: Limits,
}

/// How objects are laid out when the format stays the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// For an app. JSON: one object a line, nothing between them. YAML: each document begins with `---` and ends with `...`, so that no
    /// reader needs to look ahead.
    #[default]
    Framed,
    /// As it was written, byte for byte, apart from the members that are taken out.
    AsWritten,
}

/// What an object may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest, in bytes.
    pub max_object: usize,
    /// Deepest, in levels; a flat object is one.
    pub max_depth: usize,
}

/// What becomes of a root that is no object (a number, a list), which has no place for metadata.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnNonObject {
    /// It passes as it is, and is counted.
    #[default]
    Pass,
    /// It becomes the member `value` of an object with metadata.
    Wrap,
    /// It is a bad object.
    Error,
}

/// What becomes of a bad object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnBadObject {
    /// The pipe fails.
    #[default]
    Fail,
    /// It is left out, and counted.
    Skip,
    /// It passes as it is, and is counted.
    Pass,
}

/// One thing that is told of a stage: its name without prefix, as `remote.addr`, and its value.
pub type Entry = (&'static str, Value);

/// What is put into each object, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// The names under which it stands.
    naming: Naming,
    /// `"key":value`, joined by commas, without braces: what is put after the opening brace of a JSON object.
    members: String,
    /// The same as whole lines of a YAML block mapping, without indentation, each with its line feed.
    lines: String,
}

/// A text that names no such way to treat objects.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{text}` is not one of {ways}")]
pub struct UnknownWay {
    text: String,
    ways: &'static str,
}

// === impl OnNonObject ===

impl FromStr for OnNonObject {
    type Err = UnknownWay;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "pass" => Ok(Self::Pass),
            "wrap" => Ok(Self::Wrap),
            "error" => Ok(Self::Error),
            other => Err(UnknownWay {
                text: other.to_owned(),
                ways: "pass, wrap and error",
            }),
        }
    }
}

// === impl OnBadObject ===

impl FromStr for OnBadObject {
    type Err = UnknownWay;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "fail" => Ok(Self::Fail),
            "skip" => Ok(Self::Skip),
            "pass" => Ok(Self::Pass),
            other => Err(UnknownWay {
                text: other.to_owned(),
                ways: "fail, skip and pass",
            }),
        }
    }
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_object: MAX_OBJECT,
            max_depth: MAX_DEPTH,
        }
    }
}

// === impl Metadata ===

impl Metadata {
    /// Renders metadata once, for all objects of a stream.
    #[must_use]
    pub fn new(naming: Naming, entries: &[Entry]) -> Self {
        let quoted = |text: &str| printable(&Value::from(text).to_string());
        let named: Vec<(String, String)> = entries
            .iter()
            .map(|(name, value)| {
                let key = quoted(&format!("{}{name}", naming.prefix));
                (key, printable(&value.to_string()))
            })
            .collect();
        let joined = |between: &str| {
            let member = |(key, value): &(String, String)| format!("{key}:{between}{value}");
            let all: Vec<String> = named.iter().map(member).collect();
            all.join(&format!(",{between}"))
        };
        let (members, lines) = match naming.style {
            Style::Nested => {
                let name = quoted(&naming.name);
                (
                    format!("{name}:{{{}}}", joined("")),
                    format!("{name}: {{{}}}\n", joined(" ")),
                )
            }
            Style::Flat => {
                let line = |(key, value): &(String, String)| format!("{key}: {value}\n");
                (joined(""), named.iter().map(line).collect())
            }
        };
        Self {
            naming,
            members,
            lines,
        }
    }

    /// The names under which it stands.
    #[must_use]
    pub const fn naming(&self) -> &Naming {
        &self.naming
    }

    /// Members of a JSON object, without braces; empty when there is nothing to tell in flat style.
    #[must_use]
    pub fn members(&self) -> &str {
        &self.members
    }

    /// Lines of a YAML block mapping, each with its line feed.
    #[must_use]
    pub fn lines(&self) -> &str {
        &self.lines
    }
}

/// JSON text that is YAML too: what YAML does not take for printable is escaped.
fn printable(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '\u{7f}'..='\u{9f}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{feff}'
            | '\u{fffe}'
            | '\u{ffff}' => {
                text.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            _ => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> Vec<Entry> {
        vec![("addr", "10.0.0.1".into()), ("stage", 2.into())]
    }

    #[test]
    fn metadata_are_one_member_or_one_for_each() {
        let nested = Metadata::new(Naming::default(), &entries());
        assert_eq!(
            nested.members(),
            r#""__dpipes":{"dp.addr":"10.0.0.1","dp.stage":2}"#
        );
        assert_eq!(
            nested.lines(),
            "\"__dpipes\": {\"dp.addr\": \"10.0.0.1\", \"dp.stage\": 2}\n"
        );
        let naming = Naming {
            style: Style::Flat,
            prefix: "__dp.".to_owned(),
            ..Naming::default()
        };
        let flat = Metadata::new(naming, &entries());
        assert_eq!(flat.members(), r#""__dp.addr":"10.0.0.1","__dp.stage":2"#);
        assert_eq!(
            flat.lines(),
            "\"__dp.addr\": \"10.0.0.1\"\n\"__dp.stage\": 2\n"
        );
    }

    #[test]
    fn values_are_text_that_both_formats_read() {
        let odd = [("argv", Value::from("a\u{7f}\u{85}\u{2028}\"\\\n"))];
        let metadata = Metadata::new(Naming::default(), &odd);
        assert_eq!(
            metadata.members(),
            r#""__dpipes":{"dp.argv":"a\u007f\u0085\u2028\"\\\n"}"#
        );
        let back: Value = serde_json::from_str(&format!("{{{}}}", metadata.members())).unwrap();
        assert_eq!(back["__dpipes"]["dp.argv"], odd[0].1);
    }
}
