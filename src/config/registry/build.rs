//! From entries of `registry:` to what the daemon is told.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

#[cfg(feature = "consul")]
use dpipes_discovery::consul;
#[cfg(feature = "etcd")]
use dpipes_discovery::etcd;
#[cfg(feature = "mdns")]
use dpipes_discovery::mdns;
use dpipes_discovery::{DEFAULT_WEIGHT, FileTrouble, Secret, Tls};

use super::{ConsulSection, EtcdSection, ListedNode, MdnsSection, RegistryEntry, TlsSection};
use crate::{
    config::error::ConfigError,
    daemon::settings::{RegistrySettings, StaticNode},
};

/// The longest password that is read from a file: a hundred times what people and password managers make. More is another file by
/// mistake.
const MOST_OF_A_SECRET: u64 = 4 << 10;

/// What the daemon is told of these registries.
///
/// # Errors
///
/// Returns the first contradiction, or a file with a password that cannot be read.
pub(crate) fn settings(entries: Vec<RegistryEntry>) -> Result<Vec<RegistrySettings>, ConfigError> {
    let mut settings = Vec::new();
    for (index, entry) in entries.into_iter().enumerate() {
        settings.push(match entry {
            RegistryEntry::File(path) => RegistrySettings::StaticFile(path),
            RegistryEntry::Nodes(nodes) => {
                RegistrySettings::StaticList(nodes.into_iter().map(static_node).collect())
            }
            RegistryEntry::Consul(section) => {
                consul(*section, &format!("registry[{index}].consul"))?
            }
            RegistryEntry::Etcd(section) => etcd(*section, &format!("registry[{index}].etcd"))?,
            RegistryEntry::Mdns(section) => mdns(section)?,
        });
    }
    Ok(settings)
}

fn static_node(node: ListedNode) -> StaticNode {
    StaticNode {
        name: node.name,
        addr: node.addr,
        apps: node.apps,
        weight: node.weight.unwrap_or(DEFAULT_WEIGHT),
        labels: node.labels.unwrap_or_default().0,
    }
}

#[cfg(feature = "consul")]
fn consul(section: ConsulSection, place: &str) -> Result<RegistrySettings, ConfigError> {
    use super::sections::{CheckWord, LayoutWord};

    let address = section.address.as_ref();
    let address = address.map_or(consul::DEFAULT_ADDRESS, |address| address.as_str());
    let basic_auth = match section.auth {
        None => None,
        Some(auth) => {
            let password = match (auth.password, auth.password_file) {
                (Some(password), _) => password.0,
                (None, Some(file)) => read_secret(&file, &format!("{place}.auth.password-file"))?,
                (None, None) => Secret::new(""),
            };
            Some((auth.user, password))
        }
    };
    let token = match (section.token, section.token_file) {
        (Some(token), _) => consul::Token::Value(token.0),
        (None, Some(file)) => consul::Token::File(file),
        (None, None) => consul::Token::None,
    };
    let defaults = consul::Config::new(address);
    Ok(RegistrySettings::Consul(consul::Config {
        token,
        basic_auth,
        datacenter: section.datacenter,
        namespace: section.namespace,
        partition: section.partition,
        tls: tls(section.tls, place)?,
        layout: match section.layout {
            Some(LayoutWord::Services) => consul::Layout::Services,
            Some(LayoutWord::Node) => consul::Layout::Node,
            None => defaults.layout,
        },
        app_tags: section.app_tags.unwrap_or(defaults.app_tags),
        tags: section.tags.unwrap_or_default().into_iter().collect(),
        tcp_check: section.checks.map_or(defaults.tcp_check, |checks| {
            checks.contains(&CheckWord::Tcp)
        }),
        ..defaults
    }))
}

#[cfg(feature = "etcd")]
fn etcd(section: EtcdSection, place: &str) -> Result<RegistrySettings, ConfigError> {
    let has_tls = section.tls.is_some();
    let endpoints: Vec<String> = match &section.endpoints {
        None => vec![etcd::DEFAULT_ENDPOINT.to_owned()],
        Some(endpoints) => endpoints.iter().map(|e| e.as_str().to_owned()).collect(),
    };
    let endpoints: Vec<String> = endpoints
        .into_iter()
        .map(|endpoint| match has_tls && !endpoint.contains("://") {
            true => format!("https://{endpoint}"),
            false => endpoint,
        })
        .collect();
    if has_tls {
        check_tls_has_a_use(endpoints.iter().map(String::as_str), place)?;
    }
    let password = match (section.password, section.password_file) {
        (Some(password), _) => etcd::Password::Value(password.0),
        (None, Some(file)) => etcd::Password::File(file),
        (None, None) => etcd::Password::None,
    };
    let defaults = etcd::Config::new(endpoints);
    Ok(RegistrySettings::Etcd(etcd::Config {
        prefix: section.prefix.map_or(defaults.prefix, |prefix| {
            format!("{}/", prefix.as_str().trim_end_matches('/'))
        }),
        user: section.user,
        password,
        tls: tls(section.tls, place)?,
        endpoints: defaults.endpoints,
    }))
}

#[cfg(feature = "mdns")]
fn mdns(section: MdnsSection) -> Result<RegistrySettings, ConfigError> {
    let defaults = mdns::Config::default();
    Ok(RegistrySettings::Mdns(mdns::Config {
        interfaces: section
            .interfaces
            .iter()
            .flatten()
            .map(|name| name.as_str().to_owned())
            .collect(),
        subtypes: section.subtypes.unwrap_or(defaults.subtypes),
    }))
}

/// Entries of kinds that this build lacks are refused where they are read; this is the second lock.
#[cfg(not(all(feature = "consul", feature = "etcd", feature = "mdns")))]
fn lacking(kind: super::Kind) -> ConfigError {
    ConfigError::Contradiction {
        problem: kind.lacking(),
        help: "which features this build has: dpipes version --json".to_owned(),
    }
}

#[cfg(not(feature = "consul"))]
fn consul(_section: ConsulSection, _place: &str) -> Result<RegistrySettings, ConfigError> {
    Err(lacking(super::Kind::Consul))
}

#[cfg(not(feature = "etcd"))]
fn etcd(_section: EtcdSection, _place: &str) -> Result<RegistrySettings, ConfigError> {
    Err(lacking(super::Kind::Etcd))
}

#[cfg(not(feature = "mdns"))]
fn mdns(_section: MdnsSection) -> Result<RegistrySettings, ConfigError> {
    Err(lacking(super::Kind::Mdns))
}

#[cfg_attr(not(any(feature = "consul", feature = "etcd")), expect(dead_code))]
fn tls(section: Option<TlsSection>, place: &str) -> Result<Tls, ConfigError> {
    let section = section.unwrap_or_default();
    let lone = match (&section.cert, &section.key) {
        (Some(_), None) => Some("cert"),
        (None, Some(_)) => Some("key"),
        _ => None,
    };
    if let Some(lone) = lone {
        return Err(ConfigError::Contradiction {
            problem: format!("`{place}.tls` has a `{lone}` alone"),
            help:
                "a certificate and its private key come together: `tls: { cert: FILE, key: FILE }`"
                    .to_owned(),
        });
    }
    let defaults = Tls::default();
    Ok(Tls {
        ca: section.ca,
        cert: section.cert,
        key: section.key,
        server_name: section.server_name,
        verify: section.verify.unwrap_or(defaults.verify),
    })
}

/// Refuses `tls` for a server that is spoken to in plain text: its user believes otherwise.
pub(super) fn check_tls_has_a_use<'a>(
    servers: impl IntoIterator<Item = &'a str>,
    place: &str,
) -> Result<(), ConfigError> {
    let mut servers = servers.into_iter();
    let plain = servers.find_map(|server| server.strip_prefix("http://"));
    plain.map_or(Ok(()), |server| {
        Err(ConfigError::Contradiction {
            problem: format!("`{place}` has `tls`, and speaks to http://{server} in plain text"),
            help: format!("write `https://{server}`, or leave `tls` out"),
        })
    })
}

/// Reads a password from a file, without the end of its line.
#[cfg_attr(not(feature = "consul"), expect(dead_code))]
fn read_secret(path: &Path, key: &str) -> Result<Secret, ConfigError> {
    let unusable = |trouble| ConfigError::Unreadable {
        named: Some(key.to_owned()),
        trouble,
    };
    let unreadable = |error| unusable(FileTrouble::of(path, &error));
    let file = fs::File::open(path).map_err(unreadable)?;
    let text = io::read_to_string(file.take(MOST_OF_A_SECRET + 1)).map_err(unreadable)?;
    if text.is_empty() {
        return Err(unusable(FileTrouble::empty(path)));
    }
    let word = text.trim_end_matches(['\n', '\r']);
    if word.is_empty() || word.contains('\n') || text.len() as u64 > MOST_OF_A_SECRET {
        return Err(ConfigError::Contradiction {
            problem: format!(
                "{key}: {} does not hold one line with a password",
                path.display()
            ),
            help: "the file holds the password and nothing else".to_owned(),
        });
    }
    Ok(Secret::new(word))
}
