//! `registry:`, where nodes are found: its entries as text and as YAML.
//!
//! | module | |
//! |---|---|
//! | `short` | one word: `static:nodes.yaml`, `consul://127.0.0.1:8500`, `etcd://a:2379,b:2379`, `mdns:eth0` |
//! | `server` | `HOST:PORT` and URLs inside of them |
//! | `sections` | the block forms, one struct for each kind |
//! | `consul_environment` | what Consul's own variables add |
//! | `build` | what the daemon is told |
//! | `files` | whether the files that they name can be used |

mod build;
mod consul_environment;
mod files;
mod sections;
mod server;
mod short;

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeMap};

pub(crate) use self::{
    build::settings,
    consul_environment::fill,
    files::{check_files, file_notes},
    sections::holds_secret,
};
use self::{
    sections::{
        BasicAuth, ConsulSection, EtcdSection, Hidden, ListedNode, MdnsSection, StaticSection,
        TlsSection,
    },
    server::ConsulAddress,
};
use super::{error::NEAR, value::Text};

/// One entry of `registry:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistryEntry {
    /// A file with a list of nodes.
    File(PathBuf),
    /// A list of nodes.
    Nodes(Vec<ListedNode>),
    /// A Consul agent.
    Consul(Box<ConsulSection>),
    /// An etcd cluster.
    Etcd(Box<EtcdSection>),
    /// Multicast DNS.
    Mdns(MdnsSection),
}

/// The kinds of registries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Static,
    Consul,
    Etcd,
    Mdns,
}

// === impl Kind ===

impl Kind {
    const ALL: [Self; 4] = [Self::Static, Self::Consul, Self::Etcd, Self::Mdns];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Consul => "consul",
            Self::Etcd => "etcd",
            Self::Mdns => "mdns",
        }
    }

    /// Whether this build has it.
    const fn is_built(self) -> bool {
        match self {
            Self::Static => true,
            Self::Consul => cfg!(feature = "consul"),
            Self::Etcd => cfg!(feature = "etcd"),
            Self::Mdns => cfg!(feature = "mdns"),
        }
    }

    /// The kind of this name.
    ///
    /// # Errors
    ///
    /// Returns which there are, or that this build lacks it.
    fn named(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == name);
        match found {
            Some(kind) if kind.is_built() => Ok(kind),
            Some(kind) => Err(kind.lacking()),
            None => Err(Self::unknown(name)),
        }
    }

    fn lacking(self) -> String {
        let name = self.as_str();
        format!(
            "this dpipes was built without {name}; build it with `--features {name}`, or use {}",
            Self::listed()
        )
    }

    fn unknown(name: &str) -> String {
        let near = |kind: &Self| strsim::jaro(kind.as_str(), name);
        let nearest = Self::ALL.into_iter().filter(|kind| near(kind) >= NEAR);
        match nearest.max_by(|a, b| near(a).total_cmp(&near(b))) {
            Some(kind) => format!(
                "unknown registry `{name}`; did you mean `{}`?",
                kind.as_str()
            ),
            None => format!(
                "unknown registry `{name}`; this build knows {}",
                Self::listed()
            ),
        }
    }

    /// The kinds that this build has, for messages.
    fn listed() -> String {
        let built = Self::ALL.into_iter().filter(|kind| kind.is_built());
        let names: Vec<_> = built.map(|kind| format!("`{}`", kind.as_str())).collect();
        names.join(", ")
    }
}

// === impl RegistryEntry ===

impl RegistryEntry {
    const fn kind(&self) -> Kind {
        match self {
            Self::File(_) | Self::Nodes(_) => Kind::Static,
            Self::Consul(_) => Kind::Consul,
            Self::Etcd(_) => Kind::Etcd,
            Self::Mdns(_) => Kind::Mdns,
        }
    }

    /// Whether a token or password stands in it.
    pub(super) fn has_inline_secret(&self) -> bool {
        match self {
            Self::Consul(section) => {
                let auth = section.auth.as_ref();
                section.token.is_some() || auth.is_some_and(|auth| auth.password.is_some())
            }
            Self::Etcd(section) => section.password.is_some(),
            Self::File(_) | Self::Nodes(_) | Self::Mdns(_) => false,
        }
    }

    /// Takes relative paths from this directory.
    pub fn rebase(&mut self, directory: &Path) {
        let rebase = |path: &mut PathBuf| *path = directory.join(&*path);
        match self {
            Self::File(path) => rebase(path),
            Self::Consul(section) => section.files().for_each(rebase),
            Self::Etcd(section) => section.files().for_each(rebase),
            Self::Nodes(_) | Self::Mdns(_) => {}
        }
    }
}

impl Serialize for RegistryEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        let kind = self.kind().as_str();
        match self {
            Self::File(path) => map.serialize_entry(kind, &StaticSection::of_file(path))?,
            Self::Nodes(nodes) => map.serialize_entry(kind, &StaticSection::of_nodes(nodes))?,
            Self::Consul(section) => map.serialize_entry(kind, section)?,
            Self::Etcd(section) => map.serialize_entry(kind, section)?,
            Self::Mdns(section) => map.serialize_entry(kind, section)?,
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for RegistryEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EntryVisitor)
    }
}

struct EntryVisitor;

impl<'de> de::Visitor<'de> for EntryVisitor {
    type Value = RegistryEntry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(RegistryEntry::EXPECTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<RegistryEntry, E> {
        RegistryEntry::from_text(text).map_err(E::custom)
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<RegistryEntry, A::Error> {
        let Some(name) = map.next_key::<String>()? else {
            return Err(de::Error::custom(
                "an entry of `registry` names no registry",
            ));
        };
        let kind = Kind::named(&name).map_err(de::Error::custom)?;
        // `- mdns:` is a map whose value is nothing, and means the defaults.
        let entry = match kind {
            Kind::Static => section::<StaticSection, A>(&mut map)?.entry(),
            Kind::Consul => section::<ConsulSection, A>(&mut map)?
                .checked()
                .map(|section| RegistryEntry::Consul(Box::new(section))),
            Kind::Etcd => section::<EtcdSection, A>(&mut map)?
                .checked()
                .map(|section| RegistryEntry::Etcd(Box::new(section))),
            Kind::Mdns => Ok(RegistryEntry::Mdns(section::<MdnsSection, A>(&mut map)?)),
        };
        if let Some(second) = map.next_key::<String>()? {
            let text =
                format!("`{second}` stands in the entry of `{name}`; start a new one with `-`");
            return Err(de::Error::custom(text));
        }
        entry.map_err(de::Error::custom)
    }
}

fn section<'de, T: Deserialize<'de> + Default, A: de::MapAccess<'de>>(
    map: &mut A,
) -> Result<T, A::Error> {
    map.next_value::<Option<T>>().map(Option::unwrap_or_default)
}

#[cfg(test)]
#[cfg(all(feature = "consul", feature = "etcd", feature = "mdns"))]
mod tests;
