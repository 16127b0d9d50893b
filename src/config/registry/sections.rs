//! The block forms of `registry:`, one struct for each kind. Every key is optional, every unknown key an error.

use std::path::{Path, PathBuf};

use dpipes_discovery::Secret;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::server::{ConsulAddress, Endpoint, Interface, Prefix};
use crate::{config::value::UniqueMap, id::NodeId};

/// A secret as it stands in a file. It is written as it is, for layers are laid over one another in their written form; whoever shows
/// them leaves it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hidden(pub Secret);

/// The keys that hold a secret.
pub(crate) const SECRET_KEYS: [&str; 2] = ["token", "password"];

/// `static:`
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StaticSection {
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nodes: Option<Vec<ListedNode>>,
}

/// A node of a static list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ListedNode {
    /// Its name.
    pub name: NodeId,
    /// Where it is dialled.
    pub addr: String,
    /// Its apps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apps: Option<Vec<String>>,
    /// Its share of the work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u16>,
    /// Its labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<UniqueMap<String>>,
}

/// `consul:`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ConsulSection {
    /// The agent.
    pub address: Option<ConsulAddress>,
    /// A file with the ACL token.
    pub token_file: Option<PathBuf>,
    /// The ACL token itself.
    pub token: Option<Hidden>,
    /// User and password for a proxy in front of the agent.
    pub auth: Option<BasicAuth>,
    /// The datacenter that is asked.
    pub datacenter: Option<String>,
    /// The namespace, of Consul Enterprise.
    pub namespace: Option<String>,
    /// The admin partition, of Consul Enterprise.
    pub partition: Option<String>,
    /// How the agent is known, and how this side shows who it is.
    pub tls: Option<TlsSection>,
    /// What is registered.
    pub layout: Option<LayoutWord>,
    /// Whether apps are tags of the node's service.
    pub app_tags: Option<bool>,
    /// More tags for every service.
    pub tags: Option<Vec<String>>,
    /// How the agent finds out that a node is gone.
    pub checks: Option<Vec<CheckWord>>,
}

/// `auth:` of Consul.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BasicAuth {
    /// The user.
    pub user: String,
    /// A file with the password.
    pub password_file: Option<PathBuf>,
    /// The password itself.
    pub password: Option<Hidden>,
}

/// `layout:` of Consul.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LayoutWord {
    /// A service for the node and one for each app.
    Services,
    /// One service for the node, with the apps as tags.
    Node,
}

/// One of `checks:` of Consul.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckWord {
    /// The node says that it lives; without it nobody would.
    Ttl,
    /// And the agent dials it.
    Tcp,
}

/// `etcd:`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct EtcdSection {
    /// Members of the cluster.
    pub endpoints: Option<Vec<Endpoint>>,
    /// What every key begins with.
    pub prefix: Option<Prefix>,
    /// The user.
    pub user: Option<String>,
    /// A file with the user's password.
    pub password_file: Option<PathBuf>,
    /// The user's password itself.
    pub password: Option<Hidden>,
    /// How the members are known, and how this side shows who it is.
    pub tls: Option<TlsSection>,
}

/// `mdns:`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MdnsSection {
    /// The interfaces.
    pub interfaces: Option<Vec<Interface>>,
    /// Whether apps are announced for foreign tools, too.
    pub subtypes: Option<bool>,
}

/// `tls:` of a registry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TlsSection {
    /// The authorities that are believed.
    pub ca: Option<PathBuf>,
    /// This side's certificate.
    pub cert: Option<PathBuf>,
    /// And its private key.
    pub key: Option<PathBuf>,
    /// The name in the server's certificate.
    pub server_name: Option<String>,
    /// Whether the server's certificate is looked at.
    pub verify: Option<bool>,
}

/// Whether this key of a registry holds a secret.
pub(crate) fn holds_secret(key: &str) -> bool {
    SECRET_KEYS.contains(&key)
}

// === impl Hidden ===

impl Serialize for Hidden {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.reveal())
    }
}

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl serde::de::Visitor<'_> for Visitor {
            type Value = Hidden;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("one word")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Hidden, E> {
                if text.trim().is_empty() {
                    return Err(E::custom("it is empty; leave the key out instead"));
                }
                Ok(Hidden(Secret::new(text.trim())))
            }
        }

        deserializer.deserialize_str(Visitor)
    }
}

// === impl StaticSection ===

impl StaticSection {
    pub(super) fn of_file(path: &Path) -> Self {
        Self {
            file: Some(path.to_owned()),
            nodes: None,
        }
    }

    pub(super) fn of_nodes(nodes: &[ListedNode]) -> Self {
        Self {
            file: None,
            nodes: Some(nodes.to_vec()),
        }
    }

    pub(super) fn entry(self) -> Result<super::RegistryEntry, String> {
        match (self.file, self.nodes) {
            (Some(file), None) => Ok(super::RegistryEntry::File(file)),
            (None, Some(nodes)) => Ok(super::RegistryEntry::Nodes(nodes)),
            _ => Err("`static` needs either `file` or `nodes`".to_owned()),
        }
    }
}

// === impl ConsulSection ===

impl ConsulSection {
    /// The files it names.
    pub(super) fn files(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let password = self
            .auth
            .as_mut()
            .and_then(|auth| auth.password_file.as_mut());
        let tls = self.tls.iter_mut().flat_map(TlsSection::files);
        self.token_file.iter_mut().chain(password).chain(tls)
    }

    /// Looks for keys that contradict one another.
    pub(super) fn checked(self) -> Result<Self, String> {
        one_of("token", self.token.is_some(), self.token_file.is_some())?;
        if let Some(auth) = &self.auth {
            one_of(
                "password",
                auth.password.is_some(),
                auth.password_file.is_some(),
            )?;
        }
        if let Some(checks) = &self.checks
            && !checks.contains(&CheckWord::Ttl)
        {
            return Err(
                "`checks` lacks `ttl`, without which Consul would never learn that a node is well: `[ttl]` or `[ttl, tcp]`"
                    .to_owned(),
            );
        }
        Ok(self)
    }
}

// === impl EtcdSection ===

impl EtcdSection {
    /// The files it names.
    pub(super) fn files(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let tls = self.tls.iter_mut().flat_map(TlsSection::files);
        self.password_file.iter_mut().chain(tls)
    }

    /// Looks for keys that contradict one another.
    pub(super) fn checked(self) -> Result<Self, String> {
        one_of(
            "password",
            self.password.is_some(),
            self.password_file.is_some(),
        )?;
        let has_password = self.password.is_some() || self.password_file.is_some();
        match (&self.user, has_password) {
            (Some(_), false) => {
                return Err("`user` needs `password-file` or `password`".to_owned());
            }
            (None, true) => return Err("a password needs its `user`".to_owned()),
            _ => {}
        }
        if self.endpoints.as_ref().is_some_and(Vec::is_empty) {
            return Err("`endpoints` is empty; leave it out for 127.0.0.1:2379".to_owned());
        }
        Ok(self)
    }
}

// === impl TlsSection ===

impl TlsSection {
    fn files(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let Self { ca, cert, key, .. } = self;
        ca.iter_mut().chain(cert).chain(key)
    }
}

fn one_of(key: &str, inline: bool, in_file: bool) -> Result<(), String> {
    if inline && in_file {
        return Err(format!("keep either `{key}` or `{key}-file`"));
    }
    Ok(())
}
