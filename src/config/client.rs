//! The client's own file.

use std::{collections::BTreeMap, fs, io};

use serde::{Deserialize, Serialize};

use super::{
    error::ConfigError, paths::Surroundings, registry::RegistryEntry, source, value::UniqueMap,
};

/// What a user may say once for all runs. Flags and the environment win over it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ClientFile {
    /// The entry, as with `--connect`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect: Option<String>,
    /// Where an embedded entry finds nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registry: Option<Vec<RegistryEntry>>,
    /// Options, as with `-o`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub options: Option<UniqueMap<String>>,
    /// When to use colour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub color: Option<ColorWord>,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ColorWord {
    /// On a terminal that is not dumb, unless the environment says otherwise.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

// === impl ClientFile ===

impl ClientFile {
    /// Reads the client's file, if there is one.
    ///
    /// # Errors
    ///
    /// Returns what is wrong with it.
    pub fn load(surroundings: &Surroundings) -> Result<Self, ConfigError> {
        let Some(path) = surroundings.client_file() else {
            return Ok(Self::default());
        };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(ConfigError::unreadable(&path, &error)),
        };
        let mut file: Self = source::parse_as(&path, &text)?;
        let directory = path.parent().unwrap_or(&surroundings.cwd).to_owned();
        for entry in file.registry.iter_mut().flatten() {
            entry.rebase(&directory);
        }
        Ok(file)
    }

    /// The options by name.
    #[must_use]
    pub fn options(&self) -> BTreeMap<String, String> {
        self.options.clone().unwrap_or_default().0
    }
}
