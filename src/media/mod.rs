//! What flows along a link: its format, what metadata are called in it, how it travels, and what was counted.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

mod coding;
mod formats;
mod metadata;

pub use self::{
    coding::{Coding, Compress, UnknownCompress},
    formats::{AppFormat, Carriage, Formats, UnknownAppFormat, carriage, may_mix},
    metadata::{Counts, Naming, Style},
};

/// The format of a stream between two apps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Raw bytes, exactly as a local pipe carries them.
    #[default]
    Bytes,
    /// JSON objects with metadata embedded.
    Json,
    /// YAML documents with metadata embedded.
    Yaml,
}

/// A text that names no format.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is no format: bytes, json and yaml are")]
pub struct UnknownFormat(pub String);

// === impl Format ===

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Bytes => "bytes",
            Self::Json => "json",
            Self::Yaml => "yaml",
        })
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "bytes" => Ok(Self::Bytes),
            "json" => Ok(Self::Json),
            "yaml" => Ok(Self::Yaml),
            other => Err(UnknownFormat(other.to_owned())),
        }
    }
}
