//! Names of pipes, nodes and stages.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize, Serializer};
use thiserror::Error;
use ulid::Ulid;
use utoipa::ToSchema;

/// The name of one run of a pipeline, unique for all time: a ULID, chosen by the client.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, example = "01JD9S3V8Y6Q4T2R0P5N7M9K1H")]
pub struct PipeId(Ulid);

/// What somebody calls a pipe: its name, or enough of the beginning or the end of it, in letters of either case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PipeName {
    /// The whole name.
    Whole(PipeId),
    /// A part of it: 1 to 26 letters and digits, in capitals.
    Part(String),
}

/// The name of a node: what its daemon calls itself and what the registry lists.
///
/// 1 to 63 bytes of letters, digits, `.`, `_`, `+`, `-` and `[`, which every registry can carry.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, ToSchema)]
#[serde(try_from = "String")]
#[schema(value_type = String, example = "node-a", pattern = "^[A-Za-z0-9._+\\-\\[]{1,63}$")]
pub struct NodeId(String);

/// A stage's place in its pipeline, counted from 1 as users do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = u16, example = 2)]
pub struct StageNumber(u16);

/// Which try at placing a pipe this is, counted from 1. A pipe is placed anew when a node was busy or gone before anything started.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Attempt(pub u32);

/// Why a text is no node name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is no node name: 1 to 63 letters, digits, `.`, `_`, `+`, `-` or `[` are")]
pub struct InvalidNodeId(pub String);

// === impl PipeId ===

impl PipeId {
    /// Makes a new name from the clock and 80 random bits.
    #[must_use]
    pub fn generate() -> Self {
        Self(Ulid::generate())
    }

    /// 64 bits of the name, to tell pipes apart where chance decides.
    #[must_use]
    pub fn seed(self) -> u64 {
        // The low half is random; the high half holds the clock.
        u64::try_from(self.0.0 & u128::from(u64::MAX)).expect("masked to 64 bits")
    }

    /// The name with this 128-bit value; for tests and decoders.
    #[must_use]
    pub const fn from_u128(value: u128) -> Self {
        Self(Ulid(value))
    }
}

impl fmt::Display for PipeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for PipeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PipeId {
    type Err = ulid::DecodeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ulid::from_string(text).map(Self)
    }
}

// === impl PipeName ===

impl PipeName {
    /// Reads what somebody typed; `None` for what no pipe can be called.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let text = text.to_ascii_uppercase();
        if let Ok(pipe) = text.parse() {
            return Some(Self::Whole(pipe));
        }
        let fits = (1..=ulid::ULID_LEN).contains(&text.len());
        let legal = text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        (fits && legal).then_some(Self::Part(text))
    }
}

impl fmt::Display for PipeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(pipe) => pipe.fmt(f),
            Self::Part(part) => f.pad(part),
        }
    }
}

// === impl NodeId ===

impl NodeId {
    /// Longest node name in bytes: one DNS label, the least any registry can carry.
    pub const MAX_LEN: usize = 63;

    /// Checks a name.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidNodeId`] when it is empty, too long, or holds another character.
    pub fn new(name: impl Into<String>) -> Result<Self, InvalidNodeId> {
        let name = name.into();
        let fits = (1..=Self::MAX_LEN).contains(&name.len());
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"._+-[".contains(&b);
        if fits && name.bytes().all(legal) {
            Ok(Self(name))
        } else {
            Err(InvalidNodeId(name))
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for NodeId {
    type Err = InvalidNodeId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

impl TryFrom<String> for NodeId {
    type Error = InvalidNodeId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(text)
    }
}

impl Serialize for NodeId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

// === impl StageNumber ===

impl StageNumber {
    /// The first stage.
    pub const FIRST: Self = Self(1);

    /// The stage at this place, counted from 1.
    #[must_use]
    pub const fn new(number: u16) -> Self {
        Self(number)
    }

    /// The stage at this index, counted from 0 as slices are. Indices beyond `u16` saturate; pipelines are far shorter.
    #[must_use]
    pub fn from_index(index: usize) -> Self {
        Self(u16::try_from(index + 1).unwrap_or(u16::MAX))
    }

    /// The index into a slice of stages.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0).saturating_sub(1)
    }

    /// The number, counted from 1.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }

    /// The stage that reads what this one writes.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The stage whose output this one reads, if it is not the first.
    #[must_use]
    pub const fn previous(self) -> Option<Self> {
        if self.0 > 1 {
            Some(Self(self.0 - 1))
        } else {
            None
        }
    }
}

impl fmt::Display for StageNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for StageNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

// === impl Attempt ===

impl Attempt {
    /// The first try.
    pub const FIRST: Self = Self(1);

    /// The try after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_names_are_what_every_registry_can_carry() {
        for good in ["a", "node-a", "n1.example", "g++", "[", &"x".repeat(63)] {
            assert_eq!(
                NodeId::new(good).map(|n| n.to_string()),
                Ok(good.to_owned())
            );
        }
        for bad in ["", "a b", "a/b", "ä", &"x".repeat(64)] {
            assert_eq!(NodeId::new(bad), Err(InvalidNodeId(bad.to_owned())));
        }
    }

    #[test]
    fn pipe_ids_survive_text() {
        let id = PipeId::generate();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_ne!(PipeId::generate(), id);
    }

    #[test]
    fn a_pipe_is_called_by_a_whole_name_or_a_part_of_one_in_either_case() {
        let id = PipeId::generate();
        let typed = id.to_string().to_ascii_lowercase();
        assert_eq!(PipeName::new(&typed), Some(PipeName::Whole(id)));
        let part = PipeName::Part("M9K1H".to_owned());
        assert_eq!(PipeName::new("m9K1h"), Some(part));
        for nothing in ["", "a b", "ä", &"0".repeat(27)] {
            assert_eq!(PipeName::new(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn stages_count_from_one() {
        assert_eq!(StageNumber::from_index(0), StageNumber::FIRST);
        assert_eq!(StageNumber::new(3).index(), 2);
        assert_eq!(StageNumber::FIRST.previous(), None);
    }
}
