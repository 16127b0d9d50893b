//! The file's format.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer,
    },
};
use thiserror::Error;

use super::addr::Addr;
use crate::Names;
use crate::{DEFAULT_WEIGHT, Health, Instance, NodeId, ServiceName, name};

/// Nodes as somebody wrote them down; no two have one name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeList(Vec<NodeEntry>);

/// One node as written down.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeEntry {
    /// Its name; without one the address with `-` for what a name cannot hold.
    #[serde(default)]
    name: Option<NodeId>,
    /// Where it is dialled.
    addr: Addr,
    /// What it offers; without the key the node is asked.
    #[serde(default)]
    apps: Option<BTreeSet<App>>,
    /// How much work it takes; 0 takes none.
    #[serde(default = "default_weight")]
    weight: u16,
    /// Words to choose it by.
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

/// An app's name that can be part of a service's. The length is checked with the prefix at hand.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
struct App(String);

/// Longest name of an app, which leaves room for a prefix in the service's name.
const MAX_APP: usize = name::MAX_LEN - 8;

/// Why a file of nodes is refused as a whole.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct FileError(#[source] serde_yaml::Error);

const fn default_weight() -> u16 {
    DEFAULT_WEIGHT
}

// === impl FileError ===

impl FileError {
    /// Line and column, counted from 1, where known.
    #[must_use]
    pub fn location(&self) -> Option<(usize, usize)> {
        let location = self.0.location()?;
        Some((location.line(), location.column()))
    }
}

// === impl NodeList ===

impl NodeList {
    /// The nodes, in order.
    #[must_use]
    pub fn entries(&self) -> &[NodeEntry] {
        &self.0
    }
}

impl FromStr for NodeList {
    type Err = FileError;

    fn from_str(text: &str) -> Result<Self, FileError> {
        serde_yaml::from_str::<File>(text)
            .map(|file| file.0)
            .map_err(FileError)
    }
}

impl<'de> Deserialize<'de> for NodeList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Nodes;
        impl<'de> Visitor<'de> for Nodes {
            type Value = NodeList;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of nodes")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<NodeList, A::Error> {
                let (mut nodes, mut names) = (Vec::new(), BTreeSet::new());
                while let Some(node) = seq.next_element_seed(Unlike(&mut names))? {
                    nodes.push(node);
                }
                Ok(NodeList(nodes))
            }
        }
        deserializer.deserialize_seq(Nodes)
    }
}

/// A node with another name than those before. It is a visitor, so that the error points at the node and not at the list.
struct Unlike<'a>(&'a mut BTreeSet<String>);

impl<'de> DeserializeSeed<'de> for Unlike<'_> {
    type Value = NodeEntry;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<NodeEntry, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Unlike<'_> {
    type Value = NodeEntry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a node such as {name: n1, addr: \"10.0.0.1:3747\"}")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<NodeEntry, A::Error> {
        let node = NodeEntry::deserialize(MapAccessDeserializer::new(map))?;
        let name = node.name().map_err(A::Error::custom)?;
        if self.0.insert(name.to_string()) {
            Ok(node)
        } else {
            Err(A::Error::custom(format_args!("a second node `{name}`")))
        }
    }
}

/// The whole file: a bare list, or one under `nodes` with a version beside it.
struct File(NodeList);

impl<'de> Deserialize<'de> for File {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Versioned {
            version: Version,
            nodes: NodeList,
        }
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = File;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of nodes, or `version: 1` and `nodes:`")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<File, A::Error> {
                let seq = serde::de::value::SeqAccessDeserializer::new(seq);
                NodeList::deserialize(seq).map(File)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<File, A::Error> {
                let file = Versioned::deserialize(MapAccessDeserializer::new(map))?;
                let Version = file.version;
                Ok(File(file.nodes))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// The one version of the format there is.
#[derive(Deserialize)]
#[serde(try_from = "u32")]
struct Version;

impl TryFrom<u32> for Version {
    type Error = String;

    fn try_from(version: u32) -> Result<Self, String> {
        if version == 1 {
            Ok(Self)
        } else {
            Err(format!("version {version} is not known, 1 is"))
        }
    }
}

// === impl NodeEntry ===

impl NodeEntry {
    /// A node that is asked what it offers.
    ///
    /// # Errors
    ///
    /// Returns a sentence when the address is none.
    pub fn new(name: NodeId, addr: &str) -> Result<Self, String> {
        Ok(Self {
            name: Some(name),
            addr: addr.to_owned().try_into()?,
            apps: None,
            weight: DEFAULT_WEIGHT,
            labels: BTreeMap::new(),
        })
    }

    /// The same node, with these apps and no others.
    ///
    /// # Errors
    ///
    /// Returns a sentence about the first app whose name cannot be announced.
    pub fn with_apps(mut self, apps: impl IntoIterator<Item = String>) -> Result<Self, String> {
        self.apps = Some(
            apps.into_iter()
                .map(App::try_from)
                .collect::<Result<_, _>>()?,
        );
        Ok(self)
    }

    /// The same node, with this share of the work.
    #[must_use]
    pub fn with_weight(mut self, weight: u16) -> Self {
        self.weight = weight;
        self
    }

    /// The same node, with these labels.
    #[must_use]
    pub fn with_labels(mut self, labels: BTreeMap<String, String>) -> Self {
        self.labels = labels;
        self
    }

    fn name(&self) -> Result<NodeId, crate::InvalidName> {
        let Some(name) = &self.name else {
            let port = self.addr.port.map(|port| format!("-{port}"));
            let address = format!("{}{}", self.addr.host, port.unwrap_or_default());
            let legal = |c: char| u8::try_from(c).is_ok_and(name::is_legal);
            return NodeId::new(address.replace(|c| !legal(c), "-"));
        };
        Ok(name.clone())
    }

    /// The node's instances: itself, and one for each app it lists.
    ///
    /// The node's own one says in `apps` whether its apps are `listed` or it has to be asked (`ask`), carries the listed ones as tags, and
    /// its labels as `label_NAME`.
    pub(super) fn instances(&self, names: &Names) -> Vec<Instance> {
        let node = self.name().expect("names are checked when a list is read");
        let instance = |service: ServiceName| Instance {
            service,
            node: node.clone(),
            host: self.addr.host.clone(),
            port: self.addr.port.unwrap_or(names.port),
            weight: self.weight,
            health: Health::Unknown,
            tags: BTreeSet::new(),
            meta: BTreeMap::new(),
        };
        let mut primary = instance(names.primary.clone());
        let apps = if self.apps.is_some() { "listed" } else { "ask" };
        primary.meta.insert("apps".to_owned(), apps.to_owned());
        for (label, value) in &self.labels {
            let key = format!("label_{label}");
            primary.meta.insert(key, value.clone());
        }
        let mut all = Vec::new();
        for App(app) in self.apps.iter().flatten() {
            primary.tags.insert(app.clone());
            if let Ok(service) = ServiceName::new(format!("{}{app}", names.app_prefix)) {
                all.push(instance(service));
            }
        }
        all.insert(0, primary);
        all
    }
}

impl FromIterator<NodeEntry> for NodeList {
    /// Later nodes replace earlier ones of the same name.
    fn from_iter<I: IntoIterator<Item = NodeEntry>>(nodes: I) -> Self {
        let mut list: Vec<NodeEntry> = Vec::new();
        for node in nodes {
            list.retain(|other| other.name() != node.name());
            list.push(node);
        }
        Self(list)
    }
}

// === impl App ===

impl TryFrom<String> for App {
    type Error = String;

    fn try_from(app: String) -> Result<Self, String> {
        if app.len() <= MAX_APP && ServiceName::new(app.as_str()).is_ok() {
            Ok(Self(app))
        } else {
            Err(format!(
                "`{app}` cannot be announced: 1 to {MAX_APP} letters, digits, `.`, `_`, `+`, `-` or `[` can"
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names {
            primary: ServiceName::new("noded").unwrap(),
            app_prefix: "app.".to_owned(),
            port: 3747,
        }
    }

    fn read(text: &str) -> Vec<Instance> {
        let list: NodeList = text.parse().unwrap();
        let all = list.entries().iter().flat_map(|e| e.instances(&names()));
        all.collect()
    }

    #[test]
    fn a_listed_node_has_one_instance_for_itself_and_one_for_each_app() {
        let all = read(
            "version: 1\nnodes:\n- {name: n1, addr: '10.0.0.1:3748', apps: [sort, g++], weight: 7, labels: {zone: a}}",
        );
        let services: Vec<_> = all.iter().map(|i| i.service.as_str()).collect();
        assert_eq!(services, ["noded", "app.g++", "app.sort"]);
        assert_eq!(all[0].meta["apps"], "listed");
        assert_eq!(all[0].meta["label_zone"], "a");
        assert!(all[0].tags.contains("sort"));
        assert!(all.iter().all(|i| i.weight == 7 && i.port == 3748));
    }

    #[test]
    fn absent_apps_are_asked_for_and_an_empty_list_means_none() {
        assert_eq!(read("[{addr: a}]")[0].meta["apps"], "ask");
        let none = read("- {addr: a, apps: []}");
        assert_eq!((none.len(), none[0].meta["apps"].as_str()), (1, "listed"));
    }

    #[test]
    fn addresses_with_and_without_port_name_the_node_when_nothing_else_does() {
        for (addr, host, port, name) in [
            ("10.0.0.1:99", "10.0.0.1", 99, "10.0.0.1-99"),
            ("n1.example", "n1.example", 3747, "n1.example"),
            ("[fe80::1%eth0]:99", "fe80::1%eth0", 99, "fe80--1-eth0-99"),
            ("[::1]", "::1", 3747, "--1"),
            ("::1", "::1", 3747, "--1"),
        ] {
            let node = read(&format!("[{{addr: '{addr}'}}]")).remove(0);
            let got = (node.host.as_str(), node.port, node.node.as_str());
            assert_eq!(got, (host, port, name));
        }
        for bad in [
            "", ":1", "a:", "a:0", "a:70000", "[a]:1", "[::1]x", "a b:1", "a:1:2",
        ] {
            assert!(
                format!("[{{addr: '{bad}'}}]").parse::<NodeList>().is_err(),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_node_built_in_code_is_the_node_written_down() {
        let built = NodeEntry::new(NodeId::new("n1").unwrap(), "a:1")
            .and_then(|node| node.with_apps(["sort".to_owned()]))
            .unwrap()
            .with_weight(3)
            .with_labels([("zone".to_owned(), "a".to_owned())].into());
        let text = "[{name: n1, addr: 'a:1', apps: [sort], weight: 3, labels: {zone: a}}]";
        assert_eq!(
            text.parse::<NodeList>().unwrap(),
            NodeList::from_iter([built])
        );
    }

    #[test]
    fn every_mistake_is_named_with_its_place() {
        for (text, line, what) in [
            (
                "version: 1\nnodes:\n- {name: a, addr: b, app: []}",
                3,
                "unknown field `app`",
            ),
            (
                "- {name: a, addr: b}\n- name: c\n  addr: d\n- {name: a, addr: e}",
                4,
                "a second node `a`",
            ),
            ("- name: a b\n  addr: c", 1, "`a b` is no name"),
            ("- {name: a, name: b, addr: c}", 1, "duplicate field `name`"),
            ("version: 2\nnodes: []", 1, "version 2 is not known"),
            ("version: 1\nnodes: []\nnode: []", 3, "unknown field `node`"),
            ("- addr: [", 1, "expected a string"),
            ("- {addr: a, apps: [a/b]}", 1, "`a/b` cannot be announced"),
            ("hello", 1, "a list of nodes"),
        ] {
            let error = text.parse::<NodeList>().unwrap_err();
            assert!(error.to_string().contains(what), "{text}: {error}");
            let place = error
                .location()
                .unwrap_or_else(|| panic!("{text}: {error}"));
            assert_eq!(place.0, line, "{text}: {error}");
        }
    }
}
