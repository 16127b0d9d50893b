//! Laying one layer over another, and remembering where every value came from.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use serde_yaml::{Mapping, Value};

use super::{
    error::ConfigError,
    file::File,
    paths::Surroundings,
    registry::{self, holds_secret},
};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    BuiltIn,
    /// A file.
    File(PathBuf),
    /// A variable of the environment.
    Environment(String),
    /// A flag.
    Flag(String),
}

/// The layers so far: the effective values and the origin of each.
#[derive(Clone, Default)]
pub struct Layers {
    values: Mapping,
    origins: BTreeMap<String, Origin>,
}

/// What is shown instead of a secret.
const HIDDEN: &str = "(hidden)";

/// Keys whose maps are one value: the later layer replaces them, it does not add to them.
const WHOLE: [&str; 1] = ["access"];

// === impl Origin ===

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("built-in"),
            Self::File(path) => path.display().fmt(f),
            Self::Environment(name) => write!(f, "${name}"),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

// === impl Layers ===

impl Layers {
    /// Lays a layer over those so far. Maps are merged key by key; everything else is replaced.
    pub fn lay(&mut self, layer: &File, origin: &Origin) {
        let value = serde_yaml::to_value(layer)
            .expect("a configuration is made of strings, numbers, lists and maps");
        if let Value::Mapping(layer) = value {
            merge(&mut self.values, layer, "", origin, &mut self.origins);
        }
    }

    /// Puts this layer's apps in place of all apps so far.
    pub(super) fn replace_apps(&mut self, layer: &File, origin: &Origin) {
        self.values.remove("apps");
        self.origins.retain(|key, _| !key.starts_with("apps."));
        self.lay(
            &File {
                apps: layer.apps.clone(),
                ..File::default()
            },
            origin,
        );
    }

    /// Completes registries that leave something open to the environment of their own tools.
    ///
    /// # Errors
    ///
    /// Returns the first variable that says something that cannot be.
    pub(super) fn complete(
        &mut self,
        effective: &mut File,
        surroundings: &Surroundings,
    ) -> Result<(), ConfigError> {
        let Some(entries) = effective.registry.as_mut() else {
            return Ok(());
        };
        let filled = registry::fill(entries, surroundings)?;
        let entries = serde_yaml::to_value(entries)
            .expect("a registry is made of strings, numbers, lists and maps");
        self.values.insert("registry".into(), entries);
        self.origins.extend(filled);
        Ok(())
    }

    /// The effective configuration.
    #[must_use]
    pub fn effective(&self) -> File {
        serde_yaml::from_value(Value::Mapping(self.values.clone()))
            .expect("each layer was a configuration, and merging maps by key makes another one")
    }

    /// Where the value of this key came from, written as `run.kill-grace`.
    #[must_use]
    pub fn origin(&self, key: &str) -> Option<&Origin> {
        self.origins.get(key)
    }

    /// The effective configuration as data, without what nobody said, and where each value came from. Secrets are left out.
    #[must_use]
    pub fn described(&self) -> (serde_json::Value, BTreeMap<String, String>) {
        let mut values = serde_json::to_value(&self.values)
            .expect("a configuration is made of strings, numbers, lists and maps");
        strip(&mut values, "");
        let origins = self.origins.iter();
        let origins = origins.map(|(key, origin)| (key.clone(), origin.to_string()));
        (values, origins.collect())
    }

    /// The effective configuration as YAML; with `origins`, each value with where it came from. Secrets are left out.
    #[must_use]
    pub fn show(&self, origins: bool) -> String {
        let mut text = String::new();
        self.show_map(&self.values, "", 0, origins, &mut text);
        text
    }

    fn show_map(
        &self,
        map: &Mapping,
        prefix: &str,
        indent: usize,
        origins: bool,
        text: &mut String,
    ) {
        for (key, value) in map {
            let key = key.as_str().unwrap_or_default();
            let path = join(prefix, key);
            let pad = "  ".repeat(indent);
            let shown_key = flow(&Value::String(key.to_owned()));
            match value {
                Value::Sequence(entries) if path == "registry" && !entries.is_empty() => {
                    text.push_str("registry:\n");
                    for (index, entry) in entries.iter().enumerate() {
                        self.show_registry(entry, index, origins, text);
                    }
                }
                Value::Mapping(inner) if !inner.is_empty() && !self.origins.contains_key(&path) => {
                    text.push_str(&format!("{pad}{shown_key}:\n"));
                    self.show_map(inner, &path, indent + 1, origins, text);
                }
                value => {
                    let line = format!("{pad}{shown_key}: {}", flow(value));
                    let origin = self.origins.get(&path).filter(|_| origins);
                    show_line(&line, origin, text);
                }
            }
        }
    }

    /// One entry of `registry`: a map from its kind to its keys. Some of these may come from elsewhere than the list does.
    fn show_registry(&self, entry: &Value, index: usize, origins: bool, text: &mut String) {
        for (kind, keys) in entry.as_mapping().into_iter().flatten() {
            let kind = kind.as_str().unwrap_or_default();
            let origin = self.origins.get("registry").filter(|_| origins);
            match keys.as_mapping() {
                Some(keys) if keys.iter().any(|(_, value)| !value.is_null()) => {
                    text.push_str(&format!("  - {kind}:\n"));
                    let prefix = format!("registry.{index}.{kind}");
                    self.show_keys(keys, &prefix, 3, origin, text);
                }
                _ => show_line(&format!("  - {kind}: {{}}"), origin, text),
            }
        }
    }

    fn show_keys(
        &self,
        keys: &Mapping,
        prefix: &str,
        indent: usize,
        origin: Option<&Origin>,
        text: &mut String,
    ) {
        let pad = "  ".repeat(indent);
        for (key, value) in keys {
            let key = key.as_str().unwrap_or_default();
            let path = join(prefix, key);
            let origin = origin.map(|of_list| self.origins.get(&path).unwrap_or(of_list));
            match value {
                Value::Null => {}
                Value::Mapping(inner) => {
                    text.push_str(&format!("{pad}{key}:\n"));
                    self.show_keys(inner, &path, indent + 1, origin, text);
                }
                _ if holds_secret(key) => {
                    let hidden = flow(&Value::String(HIDDEN.to_owned()));
                    show_line(&format!("{pad}{key}: {hidden}"), origin, text);
                }
                value => show_line(&format!("{pad}{key}: {}", flow(value)), origin, text),
            }
        }
    }
}

/// Takes out what nobody said, and what nobody is to see: secrets of registries, and what variables of apps are set to.
fn strip(value: &mut serde_json::Value, path: &str) {
    match value {
        serde_json::Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            let is_variables = path.starts_with("apps.") && path.ends_with(".env.set");
            for (key, value) in map.iter_mut() {
                if is_variables || holds_secret(key) {
                    *value = HIDDEN.into();
                } else {
                    strip(value, &join(path, key));
                }
            }
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(|item| strip(item, path)),
        _ => {}
    }
}

/// The values hold secrets in the clear, so they are shown as to a user.
impl fmt::Debug for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Layers").field(&self.show(true)).finish()
    }
}

fn show_line(line: &str, origin: Option<&Origin>, text: &mut String) {
    match origin {
        Some(origin) => text.push_str(&format!("{line:<40} # {origin}\n")),
        None => text.push_str(&format!("{line}\n")),
    }
}

fn join(prefix: &str, key: &str) -> String {
    if prefix.is_empty() {
        key.to_owned()
    } else {
        format!("{prefix}.{key}")
    }
}

fn merge(
    into: &mut Mapping,
    layer: Mapping,
    prefix: &str,
    origin: &Origin,
    origins: &mut BTreeMap<String, Origin>,
) {
    for (key, value) in layer {
        let path = join(prefix, key.as_str().unwrap_or_default());
        match value {
            // A key that is not said.
            Value::Null => {}
            Value::Mapping(inner) if !WHOLE.contains(&path.as_str()) => {
                let slot = into
                    .entry(key)
                    .or_insert_with(|| Value::Mapping(Mapping::new()));
                if let Value::Mapping(map) = slot {
                    merge(map, inner, &path, origin, origins);
                }
            }
            value => {
                into.insert(key, value);
                origins.insert(path, origin.clone());
            }
        }
    }
}

/// Words that some readers of YAML take for something else than text.
const OTHERWISE_READ: [&str; 6] = ["yes", "no", "on", "off", "y", "n"];

/// A value on one line. JSON is YAML, and a plain word needs no quotes where YAML reads it back as the same text.
fn flow(value: &Value) -> String {
    match value {
        Value::String(text) => {
            let plain = !text.is_empty()
                && !OTHERWISE_READ.contains(&text.to_ascii_lowercase().as_str())
                && text
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
                && serde_yaml::from_str::<Value>(text).is_ok_and(|read| read == *value);
            if plain {
                text.clone()
            } else {
                serde_json::to_string(text).expect("a text is JSON")
            }
        }
        Value::Sequence(items) => format!(
            "[{}]",
            items.iter().map(flow).collect::<Vec<_>>().join(", ")
        ),
        Value::Mapping(map) if map.is_empty() => "{}".to_owned(),
        Value::Mapping(map) => {
            let entries = map.iter().filter(|(_, value)| !value.is_null());
            let entries: Vec<_> = entries
                .map(|(key, value)| format!("{}: {}", flow(key), flow(value)))
                .collect();
            format!("{{ {} }}", entries.join(", "))
        }
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Tagged(_) => "null".to_owned(),
    }
}
