//! Which format flows along which link.
//!
//! A link has two ends, and each end has a format: what its writer writes, and what its reader reads. Equal ones fit, JSON and YAML are
//! turned into each other, and bytes meet objects only where the user has said so.

use std::{collections::BTreeMap, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Format, UnknownFormat};

/// Programs that read and write JSON whatever is asked of them. They are taken for that only in a pipe that carries objects: elsewhere
/// they see bytes, as in a local pipe.
const JSON_APPS: [&str; 3] = ["jq", "jaq", "gojq"];

/// What a user says about the formats of a pipe.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Formats {
    /// What apps read and write of which nothing else is known, as long as objects come to them; absent: what comes to them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apps: Option<Format>,
    /// What certain apps read and write.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub by_app: BTreeMap<String, AppFormat>,
    /// What comes in by the client's stdin; absent: [`apps`](Self::apps), else bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Format>,
    /// What the client wants; absent: what the last stage writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Format>,
}

/// What one app reads and writes: `json`, or `json:bytes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppFormat {
    /// What it reads.
    pub reads: Format,
    /// What it writes.
    pub writes: Format,
}

/// A text that names no format of an app.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}, alone or as READS:WRITES")]
pub struct UnknownAppFormat(#[from] UnknownFormat);

/// What is to be done on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carriage {
    /// Nothing: bytes.
    Bytes,
    /// Objects with metadata.
    Objects {
        /// What is written.
        from: Format,
        /// What is read.
        to: Format,
    },
    /// Objects of this format reach a reader of bytes, as their text without metadata.
    Text(Format),
    /// Bytes reach a reader of objects, and have to be objects of this format.
    Spelled(Format),
}

// === impl Formats ===

impl Formats {
    /// What comes in by the client's stdin.
    #[must_use]
    pub fn input(&self) -> Format {
        self.input.or(self.apps).unwrap_or_default()
    }

    /// Whether objects are meant to flow somewhere.
    #[must_use]
    pub fn has_objects(&self) -> bool {
        let ends = [self.apps, self.input, self.output].into_iter().flatten();
        let apps = self.by_app.values().flat_map(|app| [app.reads, app.writes]);
        ends.chain(apps).any(|format| format != Format::Bytes)
    }

    /// What each stage is asked to read and write, in order. A node that knows its app better says so in its answer.
    #[must_use]
    pub fn of_stages(&self, apps: &[String]) -> Vec<AppFormat> {
        let has_objects = self.has_objects();
        let mut comes: Option<Format> = None;
        let of_app = |app: &String| {
            let is_json = has_objects && JSON_APPS.contains(&app.as_str());
            let unknown = || match comes {
                _ if is_json => AppFormat::both(Format::Json),
                None => AppFormat {
                    reads: self.input(),
                    writes: self.apps.unwrap_or_else(|| self.input()),
                },
                // What an app has made text of is no object any more, whatever else flows.
                Some(Format::Bytes) => AppFormat::both(Format::Bytes),
                Some(objects) => AppFormat::both(self.apps.unwrap_or(objects)),
            };
            let format = self.by_app.get(app).copied().unwrap_or_else(unknown);
            comes = Some(format.writes);
            format
        };
        let mut stages: Vec<AppFormat> = apps.iter().map(of_app).collect();
        // Nothing makes bytes of objects but an app.
        if self.output == Some(Format::Bytes)
            && let (Some(last), Some(app)) = (stages.last_mut(), apps.last())
            && !self.by_app.contains_key(app)
        {
            last.writes = Format::Bytes;
        }
        stages
    }
}

// === impl AppFormat ===

impl AppFormat {
    const fn both(format: Format) -> Self {
        Self {
            reads: format,
            writes: format,
        }
    }
}

impl FromStr for AppFormat {
    type Err = UnknownAppFormat;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (reads, writes) = text.split_once(':').unwrap_or((text, text));
        Ok(Self {
            reads: reads.parse()?,
            writes: writes.parse()?,
        })
    }
}

/// Whether the options of a run let bytes meet objects.
#[must_use]
pub fn may_mix(options: &BTreeMap<String, String>) -> bool {
    options
        .get("mix-formats")
        .is_some_and(|value| value == "true")
}

/// What is to be done on a link between two formats; `None` where they do not fit. `mixed` is whether the user lets bytes meet objects.
#[must_use]
pub fn carriage(writes: Format, reads: Format, mixed: bool) -> Option<Carriage> {
    match (writes, reads) {
        (Format::Bytes, Format::Bytes) => Some(Carriage::Bytes),
        (Format::Bytes, objects) => mixed.then_some(Carriage::Spelled(objects)),
        (objects, Format::Bytes) => mixed.then_some(Carriage::Text(objects)),
        (from, to) => Some(Carriage::Objects { from, to }),
    }
}

#[cfg(test)]
mod tests {
    use Format::{Bytes, Json, Yaml};

    use super::*;

    fn flow(formats: &Formats, apps: &[&str]) -> Vec<(Format, Format)> {
        let apps: Vec<String> = apps.iter().map(|app| (*app).to_owned()).collect();
        let of = formats.of_stages(&apps);
        of.iter().map(|app| (app.reads, app.writes)).collect()
    }

    fn ends(input: Option<Format>, output: Option<Format>) -> Formats {
        Formats {
            input,
            output,
            ..Formats::default()
        }
    }

    #[test]
    fn nothing_said_is_bytes_whatever_the_apps_are() {
        let nothing = Formats::default();
        assert_eq!(flow(&nothing, &["cat", "jq"]), [(Bytes, Bytes); 2]);
        assert!(!nothing.has_objects());
    }

    #[test]
    fn one_format_is_for_every_app_that_has_none_of_its_own() {
        let yaml = Formats {
            apps: Some(Yaml),
            ..Formats::default()
        };
        assert_eq!(
            flow(&yaml, &["cat", "jq", "filter"]),
            [(Yaml, Yaml), (Json, Json), (Yaml, Yaml)]
        );
        assert_eq!(yaml.input(), Yaml);
    }

    #[test]
    fn apps_write_what_they_read_and_read_what_comes() {
        let config = ends(Some(Yaml), Some(Json));
        assert_eq!(flow(&config, &["cat", "jq"]), [(Yaml, Yaml), (Json, Json)]);
        let text = Formats {
            by_app: [("jq".to_owned(), "json:bytes".parse().unwrap())].into(),
            ..ends(Some(Json), None)
        };
        let expected = [(Json, Json), (Json, Bytes), (Bytes, Bytes)];
        assert_eq!(flow(&text, &["cat", "jq", "sort"]), expected);
        let all = Formats {
            apps: Some(Json),
            input: None,
            ..text
        };
        assert_eq!(flow(&all, &["cat", "jq", "sort"]), expected);
        let from_text = Formats {
            apps: Some(Json),
            ..ends(Some(Bytes), None)
        };
        assert_eq!(
            flow(&from_text, &["csv-to-json", "filter"]),
            [(Bytes, Json), (Json, Json)]
        );
    }

    #[test]
    fn bytes_at_the_end_are_written_by_the_last_app() {
        let text = ends(Some(Json), Some(Bytes));
        assert_eq!(flow(&text, &["cat", "jq"]), [(Json, Json), (Json, Bytes)]);
    }

    #[test]
    fn bytes_meet_objects_only_when_that_was_asked_for() {
        for (writes, reads) in [(Bytes, Json), (Bytes, Yaml), (Json, Bytes), (Yaml, Bytes)] {
            assert_eq!(carriage(writes, reads, false), None);
            assert!(carriage(writes, reads, true).is_some());
        }
        assert_eq!(carriage(Bytes, Bytes, true), Some(Carriage::Bytes));
        assert_eq!(
            carriage(Json, Yaml, false),
            Some(Carriage::Objects {
                from: Json,
                to: Yaml
            })
        );
    }

    #[test]
    fn a_format_of_an_app_is_one_word_or_two() {
        let both: AppFormat = "yaml".parse().unwrap();
        assert_eq!((both.reads, both.writes), (Yaml, Yaml));
        assert_eq!(
            "json:xml".parse::<AppFormat>().unwrap_err().to_string(),
            "`xml` is no format: bytes, json and yaml are, alone or as READS:WRITES"
        );
    }
}
