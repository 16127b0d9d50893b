//! What becomes of a link's bytes on their way, whatever they mean to the apps.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Whether the links of a pipe are compressed: what a user wants, and what the terms allow one link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compress {
    /// Those that lead far away, where both ends can.
    Auto,
    /// All between two nodes.
    Zstd,
    /// None. What a newer peer may want beside these is nothing that this one does.
    #[default]
    #[serde(other)]
    Off,
}

/// How the bytes of one stream travel, as its writer says when it opens it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Coding {
    /// As the app wrote them.
    #[default]
    Plain,
    /// As one frame of zstd.
    Zstd,
    /// In a way of a newer peer; never agreed to.
    #[serde(other)]
    Unknown,
}

/// A text that names no way to compress.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is none of auto, zstd and off")]
pub struct UnknownCompress(pub String);

// === impl Compress ===

impl Compress {
    /// What the user wants by `-o compress=`; links that lead far away are compressed unless something else is said.
    ///
    /// # Errors
    ///
    /// Returns the text if it names no way.
    pub fn wanted(said: Option<&str>) -> Result<Self, UnknownCompress> {
        said.map_or(Ok(Self::Auto), str::parse)
    }

    /// How a link travels whose reader is far away, or is not.
    #[must_use]
    pub const fn coding(self, is_far: bool) -> Coding {
        match self {
            Self::Zstd => Coding::Zstd,
            Self::Auto if is_far => Coding::Zstd,
            Self::Auto | Self::Off => Coding::Plain,
        }
    }

    /// Whether a link that travels like this is as agreed.
    #[must_use]
    pub const fn allows(self, coding: Coding) -> bool {
        match coding {
            Coding::Plain => !matches!(self, Self::Zstd),
            Coding::Zstd => !matches!(self, Self::Off),
            Coding::Unknown => false,
        }
    }

    /// Whether nothing is compressed.
    #[must_use]
    pub const fn is_off(&self) -> bool {
        matches!(self, Self::Off)
    }
}

impl FromStr for Compress {
    type Err = UnknownCompress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "zstd" => Ok(Self::Zstd),
            "off" => Ok(Self::Off),
            other => Err(UnknownCompress(other.to_owned())),
        }
    }
}

impl fmt::Display for Compress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Auto => "auto",
            Self::Zstd => "zstd",
            Self::Off => "off",
        })
    }
}

// === impl Coding ===

impl fmt::Display for Coding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Plain => "plain",
            Self::Zstd => "zstd",
            Self::Unknown => "unknown",
        })
    }
}

impl Coding {
    /// Whether bytes travel as they are.
    #[must_use]
    pub const fn is_plain(&self) -> bool {
        matches!(self, Self::Plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_chosen_for_a_link_is_always_allowed() {
        for way in [Compress::Auto, Compress::Zstd, Compress::Off] {
            for is_far in [false, true] {
                assert!(way.allows(way.coding(is_far)), "{way} {is_far}");
            }
            assert!(!way.allows(Coding::Unknown));
            assert_eq!(way.to_string().parse(), Ok(way));
        }
        assert_eq!(Compress::Auto.coding(false), Coding::Plain);
        assert_eq!(Compress::Auto.coding(true), Coding::Zstd);
        assert!(!Compress::Off.allows(Coding::Zstd));
        assert!(!Compress::Zstd.allows(Coding::Plain));
    }

    #[test]
    fn what_a_newer_peer_says_is_never_taken_for_something_known() {
        assert_eq!(
            serde_json::from_str::<Compress>("\"brotli\"").unwrap(),
            Compress::Off
        );
        assert_eq!(
            serde_json::from_str::<Coding>("\"brotli\"").unwrap(),
            Coding::Unknown
        );
    }
}
