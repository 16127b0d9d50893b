//! What may stand in a configuration file: one struct per section, every key optional, every unknown key an error.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeMap};

use super::{
    networks,
    objects::{AppFormatWord, Objects},
    registry::RegistryEntry,
    rest::Rest,
    value::{Address, Mask, Network, Period, Size, UniqueMap},
};
use crate::id::NodeId;

/// A configuration file, or what the environment or the flags say in its terms.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct File {
    /// Version of this format; 1.
    pub version: Option<u32>,
    /// Who this node is.
    pub node: Option<Node>,
    /// Where to listen.
    pub listen: Option<Vec<Address>>,
    /// Where other nodes dial this one.
    pub advertise: Option<String>,
    /// Who may connect.
    pub access: Option<AccessWord>,
    /// What may be run.
    pub apps: Option<Apps>,
    /// How it is run.
    pub run: Option<Run>,
    /// Where stages are placed.
    pub schedule: Option<Schedule>,
    /// How bytes flow.
    pub streams: Option<Streams>,
    /// What becomes of objects.
    pub objects: Option<Objects>,
    /// Where nodes are found.
    pub registry: Option<Vec<RegistryEntry>>,
    /// How this node is announced there.
    pub discovery: Option<Discovery>,
    /// What is served over HTTP.
    pub rest: Option<Rest>,
    /// How long pipes may go on after the daemon was told to leave.
    pub drain_timeout: Option<Period>,
    /// What is written down.
    pub log: Option<Log>,
    /// Where the daemon writes its process id.
    pub pid_file: Option<PathBuf>,
}

/// `node:`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Node {
    /// Its name.
    pub name: Option<NodeId>,
    /// Its labels.
    pub labels: Option<UniqueMap<String>>,
    /// Its share of the work.
    pub weight: Option<u16>,
}

/// `discovery:`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Discovery {
    /// Whether the daemon waits for the first answer of its registries before it is ready.
    pub required: Option<bool>,
    /// How long registries keep a node that they do not hear of.
    pub ttl: Option<Period>,
}

/// `run:`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Run {
    /// Where programs are looked up.
    pub path: Option<Vec<PathBuf>>,
    /// Variables of the client.
    pub env: Option<EnvAccept>,
    /// The directory apps start in.
    pub cwd: Option<PathBuf>,
    /// The user that runs apps.
    pub run_as: Option<String>,
    /// Whether apps may run as root.
    pub allow_root: Option<bool>,
    /// From SIGTERM to SIGKILL.
    pub kill_grace: Option<Period>,
    /// How long a pipe outlives the loss of its entry.
    pub lease: Option<Period>,
    /// Stages at most.
    pub max_processes: Option<u32>,
    /// Longest run time that is accepted.
    pub max_time: Option<Period>,
    /// Umask of apps.
    pub umask: Option<Mask>,
    /// Whether a credential is demanded.
    pub credential: Option<Credential>,
}

/// `run: env:`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct EnvAccept {
    /// Names taken from a client, as globs.
    pub accept: Option<Vec<String>>,
}

/// `run: credential:`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Credential {
    /// None is looked at.
    NotAsked,
    /// A run without one is refused.
    Demanded,
}

/// `schedule:`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Schedule {
    /// How nodes are chosen.
    pub policy: Option<PolicyWord>,
}

/// `schedule: policy:`, `--policy` and `-o policy=`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyWord {
    /// Different nodes where possible, the least loaded first.
    #[default]
    Spread,
    /// As few nodes as possible.
    Pack,
    /// All on one node.
    Pin,
}

/// `streams:`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Streams {
    /// Credit of a link.
    pub window: Option<Size>,
    /// Whether the kernel moves bulk by itself.
    pub splice: Option<bool>,
    /// Whether links may be compressed.
    pub compress: Option<bool>,
}

/// `log:`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Log {
    /// The least important messages that are kept.
    pub level: Option<LogLevel>,
    /// How they are written.
    pub format: Option<LogFormat>,
    /// Where they are written; standard error when absent.
    pub file: Option<PathBuf>,
}

/// `log: level:`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// What failed.
    Error,
    /// And what looks wrong.
    Warn,
    /// And what a daemon does.
    #[default]
    Info,
    /// And how.
    Debug,
    /// And every step.
    Trace,
}

/// `log: format:`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// One readable line per event.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// `access:`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessWord {
    /// Loopback.
    Local,
    /// Loopback and registered nodes.
    Members,
    /// Everyone.
    Open,
    /// Loopback and these prefixes.
    Networks(Vec<Network>),
}

/// `apps:`: rules by name, and the one word that is no app.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Apps {
    /// What becomes of apps without rules.
    pub others: Option<OthersWord>,
    /// The rules.
    pub by_name: BTreeMap<String, App>,
}

/// `apps: others:`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OthersWord {
    /// They are run.
    Allow,
    /// They are refused.
    Deny,
}

/// The rules of one app.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct App {
    /// The program.
    pub path: Option<PathBuf>,
    /// Rules for its arguments.
    pub args: Option<Args>,
    /// The user it runs as.
    pub run_as: Option<String>,
    /// What it reads and writes.
    pub format: Option<AppFormatWord>,
    /// Its version, as the owner knows it.
    pub version: Option<String>,
    /// The command that tells its version.
    pub version_command: Option<Vec<String>>,
    /// Its environment.
    pub env: Option<AppEnv>,
    /// What it may use.
    pub limits: Option<LimitsSection>,
    /// How long something may hold its output open after it exited.
    pub exit_grace: Option<Period>,
    /// Whether it may gain privileges by a set-user-id program.
    pub allow_setuid: Option<bool>,
}

/// `args:` of an app.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Args {
    /// Put before the arguments of the pipeline.
    pub default: Option<Vec<String>>,
    /// The only arguments that are accepted.
    pub exact: Option<Vec<String>>,
    /// Every argument must match one of these.
    pub allow: Option<Vec<String>>,
    /// No argument may match one of these.
    pub deny: Option<Vec<String>>,
    /// Arguments at most.
    pub max: Option<u16>,
}

/// `env:` of an app.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AppEnv {
    /// Names taken from a client, as globs.
    pub accept: Option<Vec<String>>,
    /// Variables the owner sets.
    pub set: Option<UniqueMap<String>>,
}

/// `limits:` of an app.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LimitsSection {
    /// Memory.
    pub memory: Option<Size>,
    /// Processes.
    pub pids: Option<u32>,
    /// Run time.
    pub time: Option<Period>,
    /// Open files.
    pub open_files: Option<u64>,
}

// === impl File ===

impl File {
    /// The version of the format that this build reads.
    pub const VERSION: u32 = 1;

    /// Takes relative paths from this directory: that of the file they stand in, or the one the command was typed in.
    pub fn rebase(&mut self, directory: &Path) {
        let rebase = |path: &mut PathBuf| *path = directory.join(&*path);
        for entry in self.registry.iter_mut().flatten() {
            entry.rebase(directory);
        }
        let rest = self.rest.as_mut();
        let rest_listen = rest.and_then(|rest| rest.listen.as_mut());
        for listen in self.listen.iter_mut().chain(rest_listen) {
            *listen = listen
                .drain(..)
                .map(|address| address.rebased(directory))
                .collect();
        }
        let token_file = self.rest.as_mut().and_then(|rest| rest.token_file.as_mut());
        token_file.into_iter().for_each(rebase);
        self.pid_file.as_mut().into_iter().for_each(rebase);
        self.log
            .as_mut()
            .and_then(|log| log.file.as_mut())
            .into_iter()
            .for_each(rebase);
        let run = self.run.as_mut();
        run.and_then(|run| run.cwd.as_mut())
            .into_iter()
            .for_each(rebase);
        let apps = self
            .apps
            .iter_mut()
            .flat_map(|apps| apps.by_name.values_mut());
        apps.filter_map(|app| app.path.as_mut()).for_each(rebase);
    }
}

// === impl PolicyWord ===

impl PolicyWord {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Spread => "spread",
            Self::Pack => "pack",
            Self::Pin => "pin",
        }
    }
}

impl std::str::FromStr for PolicyWord {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Spread, Self::Pack, Self::Pin]
            .into_iter()
            .find(|policy| policy.as_str() == text)
            .ok_or_else(|| format!("`{text}` is no policy: spread, pack and pin are"))
    }
}

// === impl AccessWord ===

impl AccessWord {
    const WORDS: &'static str = "`local`, `members`, `open` or `{ networks: [PREFIX, ...] }`";

    /// Reads the short form, as given to `--access`.
    ///
    /// # Errors
    ///
    /// Returns what would have been right.
    pub fn from_word(text: &str) -> Result<Self, String> {
        match text {
            "local" => Ok(Self::Local),
            "members" => Ok(Self::Members),
            "open" => Ok(Self::Open),
            other => Err(format!(
                "unknown access `{other}`, expected {}",
                Self::WORDS
            )),
        }
    }

    /// Lets these networks in.
    ///
    /// # Errors
    ///
    /// Returns that they are everybody.
    pub fn of_networks(networks: Vec<Network>) -> Result<Self, String> {
        networks::accept(networks).map(Self::Networks)
    }
}

impl Serialize for AccessWord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Local => serializer.serialize_str("local"),
            Self::Members => serializer.serialize_str("members"),
            Self::Open => serializer.serialize_str("open"),
            Self::Networks(networks) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("networks", networks)?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for AccessWord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = AccessWord;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(AccessWord::WORDS)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<AccessWord, E> {
                AccessWord::from_word(text).map_err(E::custom)
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<AccessWord, A::Error> {
                #[derive(Deserialize)]
                #[serde(deny_unknown_fields)]
                struct Map {
                    networks: Vec<Network>,
                }
                let map = Map::deserialize(de::value::MapAccessDeserializer::new(map))?;
                AccessWord::of_networks(map.networks).map_err(de::Error::custom)
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

// === impl Apps ===

impl Apps {
    /// The one word under `apps:` that is no app.
    const OTHERS: &'static str = "others";

    /// Whether this can be an app's name: what a registry can carry as `dp.<app>`.
    #[must_use]
    pub fn is_app_name(name: &str) -> bool {
        NodeId::new(name).is_ok()
    }
}

impl Serialize for Apps {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(others) = &self.others {
            map.serialize_entry(Self::OTHERS, others)?;
        }
        for (name, app) in &self.by_name {
            map.serialize_entry(name, app)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Apps {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Apps;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map from the names of apps to their rules")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Apps, A::Error> {
                let mut apps = Apps::default();
                while let Some(key) = map.next_key::<String>()? {
                    let twice = if key == Apps::OTHERS {
                        apps.others.is_some()
                    } else {
                        apps.by_name.contains_key(&key)
                    };
                    if twice {
                        return Err(de::Error::custom(format!("duplicate field `{key}`")));
                    }
                    if key == Apps::OTHERS {
                        apps.others = Some(map.next_value()?);
                    } else if Apps::is_app_name(&key) {
                        let rules: Option<App> = map.next_value()?;
                        apps.by_name.insert(key, rules.unwrap_or_default());
                    } else {
                        let text = format!(
                            "`{key}` is no app name: give the program by `path` under a name without slashes"
                        );
                        return Err(de::Error::custom(text));
                    }
                }
                Ok(apps)
            }
        }

        deserializer.deserialize_map(Visitor)
    }
}
