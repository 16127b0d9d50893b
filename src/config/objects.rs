//! `objects:`: what becomes of objects that reach the apps of this node.

use serde::{Deserialize, Serialize};

use super::{
    error::ConfigError,
    value::{Size, Text},
};
use crate::{
    daemon::settings::ObjectSettings,
    media::{AppFormat, Naming, Style},
    object::{Limits, OnBadObject, OnNonObject},
};

/// Least limits that make sense: an object with its metadata is longer than this.
const LEAST_OBJECT: u64 = 1 << 10;

/// Most bytes of an object. Several copies of it are in memory at a time, for each stage; and a document of YAML takes two to three
/// seconds of a core for so many, in which that core does nothing else, well within the lease of a session.
const MOST_OBJECT: u64 = 64 << 20;

/// Deepest nesting that can be asked for. Each level takes a byte, and whoever reads such objects needs patience.
const DEEPEST: usize = 100_000;

/// Longest name or prefix of metadata, in bytes: it stands in every object.
const LONGEST_NAME: usize = 100;

/// `objects:`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Objects {
    /// What the metadata are called.
    pub metadata: Option<MetadataSection>,
    /// What becomes of a root that is no object.
    pub on_non_object: Option<OnNonObject>,
    /// What becomes of a bad object.
    pub on_bad_object: Option<OnBadObject>,
    /// Longest object.
    pub max_object: Option<Size>,
    /// Deepest nesting.
    pub max_depth: Option<usize>,
}

/// `objects: metadata:`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MetadataSection {
    /// One member for all, or one for each.
    pub style: Option<Style>,
    /// The member's name.
    pub name: Option<String>,
    /// What each name begins with.
    pub prefix: Option<String>,
}

/// `format:` of an app: `json`, or `json:bytes` for what it reads and what it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppFormatWord(pub AppFormat);

/// What is so unless the files say otherwise.
pub(crate) fn built_in() -> Objects {
    let (naming, limits) = (Naming::default(), Limits::default());
    Objects {
        metadata: Some(MetadataSection {
            style: Some(naming.style),
            name: Some(naming.name),
            // The style decides.
            prefix: None,
        }),
        on_non_object: Some(OnNonObject::default()),
        on_bad_object: Some(OnBadObject::default()),
        max_object: Some(Size(limits.max_object as u64)),
        max_depth: Some(limits.max_depth),
    }
}

/// Makes settings of a complete section.
///
/// # Errors
///
/// Returns the first contradiction.
pub(crate) fn settings(said: Objects) -> Result<ObjectSettings, ConfigError> {
    let defaults = ObjectSettings::default();
    let max_object = said
        .max_object
        .map_or(defaults.limits.max_object as u64, |size| size.0);
    if !(LEAST_OBJECT..=MOST_OBJECT).contains(&max_object) {
        return Err(ConfigError::Contradiction {
            problem: format!("`objects.max-object` is {}", Size(max_object).to_text()),
            help: "between 1K and 64M will do; each stage holds a few objects in memory".to_owned(),
        });
    }
    let max_depth = said.max_depth.unwrap_or(defaults.limits.max_depth);
    if !(1..=DEEPEST).contains(&max_depth) {
        return Err(ConfigError::Contradiction {
            problem: format!("`objects.max-depth` is {max_depth}"),
            help: format!("between 1 and {DEEPEST} will do"),
        });
    }
    Ok(ObjectSettings {
        naming: naming(said.metadata.unwrap_or_default())?,
        on_non_object: said.on_non_object.unwrap_or_default(),
        on_bad_object: said.on_bad_object.unwrap_or_default(),
        limits: Limits {
            max_object: usize::try_from(max_object).unwrap_or(usize::MAX),
            max_depth,
        },
    })
}

fn naming(said: MetadataSection) -> Result<Naming, ConfigError> {
    let style = said.style.unwrap_or_default();
    let usual = Naming::of_style(style);
    let naming = Naming {
        style,
        name: said.name.unwrap_or(usual.name),
        prefix: said.prefix.unwrap_or(usual.prefix),
    };
    let contradiction = |problem: String, help: &str| {
        Err(ConfigError::Contradiction {
            problem,
            help: help.to_owned(),
        })
    };
    for (key, text) in [("name", &naming.name), ("prefix", &naming.prefix)] {
        let fits = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        if text.len() > LONGEST_NAME || !text.chars().all(fits) {
            return contradiction(
                format!("`objects.metadata.{key}` is `{text}`"),
                "letters, digits, `_`, `-` and `.`, at most 100 of them",
            );
        }
    }
    match style {
        Style::Nested if naming.name.is_empty() => contradiction(
            "`objects.metadata.name` is empty".to_owned(),
            "the member that holds the metadata needs a name, as __dpipes",
        ),
        Style::Flat if naming.prefix.is_empty() => contradiction(
            "`objects.metadata.prefix` is empty".to_owned(),
            "with `style: flat` the prefix tells metadata from the app's own data; `__dp.` is usual",
        ),
        Style::Nested | Style::Flat => Ok(naming),
    }
}

// === impl AppFormatWord ===

impl Text for AppFormatWord {
    const EXPECTED: &'static str = "a format: `bytes`, `json` or `yaml`, or two as `json:bytes`";

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse()
            .map(Self)
            .map_err(|error: crate::media::UnknownAppFormat| error.to_string())
    }

    fn to_text(&self) -> String {
        let AppFormat { reads, writes } = self.0;
        if reads == writes {
            reads.to_string()
        } else {
            format!("{reads}:{writes}")
        }
    }
}

super::value::serde_as_text!(AppFormatWord);
