//! The TXT record of a node: an ordered list of `key=value`, at most 255 bytes each.
//!
//! ```text
//! v=1  id=n1  gen=3  w=10  h=warning  apps=listed  boot=01JD…  label_zone=a  p=dp.  a0=cat,sort,…  a1=…
//! ```
//!
//! The order is fixed, for two records that differ only in their order are a conflict, and the node would be renamed. Keys of the
//! node's own meta that would be taken for one of these get a `_` in front.

use std::collections::{BTreeMap, BTreeSet};

use mdns_sd::TxtProperties;
use thiserror::Error;

use crate::{DEFAULT_WEIGHT, Health, NodeId, Registration, RegistryError, ServiceDef, ServiceName};

/// Version of this layout. A record of another one is skipped.
const VERSION: &str = "1";
/// Largest record with a list of apps: with SRV, addresses and names it still fits one Ethernet frame, and losing one fragment of a
/// larger packet loses all of it. Far larger ones are dropped without a word.
const MAX_RECORD: usize = 1_200;
/// Longest `key=value` in bytes: its length is one byte.
const MAX_STRING: usize = 255;
/// Longest value of a piece of a list: what [`MAX_STRING`] leaves beside `a999=`.
const MAX_PIECE: usize = MAX_STRING - 5;
/// The key of further addresses: on the link, only addresses seen there count.
pub(super) const ADDRS: &str = "addrs";

/// What one node's record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Announcement {
    pub(super) node: NodeId,
    pub(super) generation: u64,
    pub(super) weight: u16,
    pub(super) health: Health,
    pub(super) tags: BTreeSet<String>,
    pub(super) meta: BTreeMap<String, String>,
    pub(super) apps: Apps,
}

/// What a record says of the services beside the primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Apps {
    /// These, and this is in front of the names as tags have them.
    Listed {
        prefix: String,
        services: BTreeSet<ServiceName>,
    },
    /// Too many for the record: whoever wants to know asks the node.
    More,
}

/// Why a record is not one of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub(super) enum Malformed {
    #[error("its version is not 1")]
    Version,
    #[error("its id is missing or no name")]
    Id,
    #[error("its weight is no number up to 65535")]
    Weight,
    #[error("its port is 0")]
    Port,
}

// === writing ===

/// The record of a registration.
///
/// # Errors
///
/// `Rejected` when something in it cannot be carried.
pub(super) fn encode(
    what: &Registration,
    prefix: &str,
    generation: u64,
    health: Health,
) -> Result<Vec<(String, String)>, RegistryError> {
    let primary = &what.primary;
    let mut record = vec![
        ("v".to_owned(), VERSION.to_owned()),
        ("id".to_owned(), what.node.to_string()),
        ("gen".to_owned(), generation.to_string()),
        ("w".to_owned(), primary.weight.to_string()),
    ];
    let health = match health {
        Health::Passing | Health::Unknown => None,
        Health::Warning => Some("warning"),
        Health::Critical => Some("critical"),
    };
    record.extend(health.map(|word| ("h".to_owned(), word.to_owned())));
    let meta = primary.meta.iter().filter(|(key, _)| *key != ADDRS);
    record.extend(meta.map(|(key, value)| (guarded(key), value.clone())));
    let names = apps(&what.services, prefix)?;
    let tags: Vec<&str> = primary.tags.iter().map(String::as_str).collect();
    let tags: Vec<&str> = tags.into_iter().filter(|t| !names.contains(t)).collect();
    record.extend(pieces('t', &tags)?);
    check(&record)?;
    let mut list = vec![("p".to_owned(), prefix.to_owned())];
    list.extend(pieces('a', &names)?);
    if size(&record) + size(&list) > MAX_RECORD {
        list = vec![("more".to_owned(), "1".to_owned())];
    }
    record.extend(list);
    if size(&record) > MAX_RECORD {
        return Err(rejected(format!(
            "tags and meta take {} bytes, more than the {MAX_RECORD} of one packet",
            size(&record)
        )));
    }
    Ok(record)
}

/// The names of services without what all of them have in front.
fn apps<'a>(services: &'a [ServiceDef], prefix: &str) -> Result<Vec<&'a str>, RegistryError> {
    let stripped = services.iter().map(|def| {
        let name = def.name.as_str().strip_prefix(prefix);
        name.filter(|app| !app.is_empty()).ok_or_else(|| {
            rejected(format!(
                "`{}`: only services called `{prefix}…` are announced here",
                def.name
            ))
        })
    });
    stripped.collect()
}

/// A list in pieces that fit one string each.
fn pieces(key: char, words: &[&str]) -> Result<Vec<(String, String)>, RegistryError> {
    let mut pieces: Vec<String> = Vec::new();
    for word in words {
        if word.contains(',') || word.is_empty() || word.len() > MAX_PIECE {
            return Err(rejected(format!(
                "`{word}` is no word of a list: 1 to {MAX_PIECE} bytes without a comma are"
            )));
        }
        match pieces.last_mut() {
            Some(last) if last.len() + 1 + word.len() <= MAX_PIECE => {
                last.push(',');
                last.push_str(word);
            }
            _ => pieces.push((*word).to_owned()),
        }
    }
    let numbered = pieces.into_iter().enumerate();
    Ok(numbered
        .map(|(number, piece)| (format!("{key}{number}"), piece))
        .collect())
}

fn check(record: &[(String, String)]) -> Result<(), RegistryError> {
    let mut seen = BTreeSet::new();
    for (key, value) in record {
        if key.is_empty() || !key.bytes().all(|b| matches!(b, 0x20..=0x7e) && b != b'=') {
            return Err(rejected(format!(
                "`{key}` is no key: printable ASCII without `=` is"
            )));
        }
        if key.len() + 1 + value.len() > MAX_STRING {
            return Err(rejected(format!(
                "`{key}` and its value take more than {MAX_STRING} bytes"
            )));
        }
        if !seen.insert(key.to_ascii_lowercase()) {
            return Err(rejected(format!(
                "`{key}` is there twice: keys are the same in either case"
            )));
        }
    }
    Ok(())
}

fn size(record: &[(String, String)]) -> usize {
    record.iter().map(|(k, v)| 2 + k.len() + v.len()).sum()
}

fn rejected(detail: String) -> RegistryError {
    RegistryError::Rejected { detail }
}

// === reading ===

impl Announcement {
    /// Reads a record; what is malformed in a list is left out.
    pub(super) fn decode(record: &TxtProperties) -> Result<Self, Malformed> {
        let text = |key: &str| record.get_property_val_str(key);
        if text("v") != Some(VERSION) {
            return Err(Malformed::Version);
        }
        let id = text("id").and_then(|id| NodeId::new(id).ok());
        let weight = text("w").map_or(Ok(DEFAULT_WEIGHT), str::parse);
        let generation = text("gen").and_then(|text| text.parse().ok());
        let mut tags: BTreeSet<String> = words(record, 't').map(str::to_owned).collect();
        let mut meta = meta(record);
        let apps = if text("more").is_some() {
            meta.insert("apps".to_owned(), "ask".to_owned());
            Apps::More
        } else {
            let prefix = text("p").unwrap_or_default().to_owned();
            let name = |app| ServiceName::new(format!("{prefix}{app}")).ok();
            let listed: BTreeMap<_, _> = words(record, 'a')
                .filter_map(|app| Some((name(app)?, app.to_owned())))
                .collect();
            tags.extend(listed.values().cloned());
            Apps::Listed {
                services: listed.into_keys().collect(),
                prefix,
            }
        };
        Ok(Self {
            node: id.ok_or(Malformed::Id)?,
            generation: generation.unwrap_or(0),
            weight: weight.map_err(|_| Malformed::Weight)?,
            health: match text("h") {
                Some("warning") => Health::Warning,
                Some("critical") => Health::Critical,
                _ => Health::Unknown,
            },
            tags,
            meta,
            apps,
        })
    }

    /// The start of the node; empty if it does not say.
    pub(super) fn boot(&self) -> &str {
        self.meta.get("boot").map_or("", String::as_str)
    }
}

/// The words of a list, in order of its pieces.
fn words(record: &TxtProperties, key: char) -> impl Iterator<Item = &str> {
    (0..)
        .map_while(move |number: usize| record.get_property_val_str(&format!("{key}{number}")))
        .flat_map(|piece| piece.split(','))
        .filter(|word| !word.is_empty())
}

fn meta(record: &TxtProperties) -> BTreeMap<String, String> {
    let text = |value: Option<&[u8]>| String::from_utf8(value.unwrap_or_default().to_vec()).ok();
    let pairs = record.iter().filter_map(|property| {
        let key = property.key();
        if is_own(key) || key == ADDRS {
            return None;
        }
        let key = key.strip_prefix('_').unwrap_or(key);
        Some((key.to_owned(), text(property.val())?))
    });
    pairs.collect()
}

/// A key of the node's meta as it is written.
fn guarded(key: &str) -> String {
    match is_own(key) || key.starts_with('_') {
        true => format!("_{key}"),
        false => key.to_owned(),
    }
}

/// Whether the layout itself uses this key.
fn is_own(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let piece = key.strip_prefix(['a', 't']);
    let numbered =
        piece.is_some_and(|n| !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit()));
    numbered || matches!(&*key, "v" | "id" | "gen" | "w" | "h" | "p" | "more")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mdns_sd::IntoTxtProperties;

    use super::*;

    fn service(name: &str) -> ServiceName {
        ServiceName::new(name).unwrap()
    }

    fn registration(apps: impl IntoIterator<Item = String>) -> Registration {
        let def = |app: String| ServiceDef::new(service(&format!("dp.{app}")));
        Registration {
            node: NodeId::new("n.1").unwrap(),
            host: String::new(),
            port: 1,
            primary: ServiceDef::new(service("dpipesd")),
            services: apps.into_iter().map(def).collect(),
            ttl: Duration::from_secs(15),
        }
    }

    fn there_and_back(what: &Registration) -> Announcement {
        let record = encode(what, "dp.", 7, Health::Warning).unwrap();
        assert!(size(&record) <= MAX_RECORD);
        Announcement::decode(&record.as_slice().into_txt_properties()).unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let mut what = registration(["g++", "[", "python3.11"].map(str::to_owned));
        what.primary.weight = 0;
        what.primary.tags = ["g++", "other"].map(str::to_owned).into();
        for (key, value) in [("label_zone", "ä b"), ("v", "x"), ("_v", "y"), ("a0", "z")] {
            what.primary.meta.insert(key.to_owned(), value.to_owned());
        }
        let read = there_and_back(&what);
        assert_eq!(read.node, what.node);
        assert_eq!((read.generation, read.weight), (7, 0));
        assert_eq!(read.health, Health::Warning);
        assert_eq!(read.meta, what.primary.meta);
        assert_eq!(
            read.tags,
            ["[", "g++", "other", "python3.11"]
                .map(str::to_owned)
                .into()
        );
        let Apps::Listed { services, .. } = read.apps else {
            panic!("listed");
        };
        assert_eq!(
            services,
            what.services.into_iter().map(|d| d.name).collect()
        );
    }

    #[test]
    fn a_hundred_apps_are_listed_and_four_hundred_are_asked_for() {
        let many = |n: usize| registration((0..n).map(|i| format!("app{i}")));
        let Apps::Listed { services, .. } = there_and_back(&many(100)).apps else {
            panic!("listed");
        };
        assert_eq!(services.len(), 100);
        let asked = there_and_back(&many(400));
        assert_eq!(asked.apps, Apps::More);
        assert_eq!(asked.meta["apps"], "ask");
    }

    #[test]
    fn further_addresses_are_neither_told_nor_believed() {
        let mut what = registration([]);
        what.primary
            .meta
            .insert(ADDRS.to_owned(), "10.0.0.9".to_owned());
        assert_eq!(there_and_back(&what).meta.get(ADDRS), None);
        let told = [("v", "1"), ("id", "n1"), (ADDRS, "10.0.0.9")];
        let read = Announcement::decode(&told[..].into_txt_properties()).unwrap();
        assert_eq!(read.meta.get(ADDRS), None);
    }

    #[test]
    fn what_cannot_be_carried_is_rejected_with_its_name() {
        let rejected = |change: &dyn Fn(&mut Registration), word: &str| {
            let mut what = registration([]);
            change(&mut what);
            let error = encode(&what, "dp.", 0, Health::Passing).unwrap_err();
            assert!(matches!(error, RegistryError::Rejected { .. }), "{error}");
            assert!(error.to_string().contains(word), "{error}");
        };
        let meta = |key: &str, value: &str| {
            let (key, value) = (key.to_owned(), value.to_owned());
            move |what: &mut Registration| {
                what.primary.meta.insert(key.clone(), value.clone());
            }
        };
        rejected(&meta("ä", ""), "ä");
        rejected(&meta("long", &"x".repeat(255)), "long");
        rejected(&|w| w.primary.tags = ["a,b".to_owned()].into(), "a,b");
        rejected(&|w| w.services.push(ServiceDef::new(service("web"))), "web");
        rejected(
            &|w| {
                let key = |n| (format!("k{n}"), "x".repeat(200));
                w.primary.meta = (0..8).map(key).collect();
            },
            "1200",
        );
    }

    #[test]
    fn records_of_others_are_told_from_those_of_nodes() {
        let read = |record: &[(&str, &str)]| Announcement::decode(&record.into_txt_properties());
        assert_eq!(read(&[]), Err(Malformed::Version));
        assert_eq!(read(&[("v", "2"), ("id", "n1")]), Err(Malformed::Version));
        assert_eq!(read(&[("v", "1"), ("id", "a b")]), Err(Malformed::Id));
        assert_eq!(
            read(&[("v", "1"), ("id", "n1"), ("w", "70000")]),
            Err(Malformed::Weight)
        );
        let good = read(&[("v", "1"), ("id", "n1"), ("p", "dp."), ("a0", "a b,,sort")]);
        assert_eq!(
            good.unwrap().apps,
            Apps::Listed {
                prefix: "dp.".to_owned(),
                services: [service("dp.sort")].into(),
            }
        );
    }
}
