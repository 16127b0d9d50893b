//! The flags of `dpipesd` as a layer.

use std::path::{Path, PathBuf};

use super::{
    error::ConfigError,
    file::{AccessWord, App, Apps, Args, File, Log, LogFormat, Node},
    layers::Origin,
    paths::Surroundings,
    registry::RegistryEntry,
    rest::Rest,
    value::{Address, Network, Text, UniqueMap},
};
use crate::id::NodeId;

/// What was said on the command line, as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--config`: the only file to read.
    pub config: Option<PathBuf>,
    /// `--name`
    pub name: Option<String>,
    /// `--label`
    pub labels: Vec<String>,
    /// `--listen`
    pub listen: Vec<String>,
    /// `--rest`
    pub rest: Vec<String>,
    /// `--advertise`
    pub advertise: Option<String>,
    /// `--registry`
    pub registry: Vec<String>,
    /// `--app`
    pub apps: Vec<String>,
    /// `--access`
    pub access: Option<String>,
    /// `--networks`
    pub networks: Vec<String>,
    /// `--pid-file`
    pub pid_file: Option<PathBuf>,
    /// `--log-format`
    pub log_format: Option<LogFormat>,
    /// `--log-file`
    pub log_file: Option<PathBuf>,
    /// `--exit`
    pub exit: bool,
    /// What stands after `--`: the only app and its arguments.
    pub only: Vec<String>,
}

// === impl Flags ===

impl Flags {
    /// One layer for each flag, so that every value has its own origin.
    ///
    /// # Errors
    ///
    /// Returns the first flag whose text is not what it takes.
    pub fn layers(&self, surroundings: &Surroundings) -> Result<Vec<(File, Origin)>, ConfigError> {
        let mut layers = Vec::new();
        let mut add = |flag: &str, mut file: File| {
            file.rebase(&surroundings.cwd);
            layers.push((file, Origin::Flag(flag.to_owned())));
        };
        if let Some(name) = &self.name {
            let name =
                NodeId::new(name.as_str()).map_err(|error| wrong("--name", error.to_string()))?;
            add(
                "--name",
                File {
                    node: Some(Node {
                        name: Some(name),
                        ..Node::default()
                    }),
                    ..File::default()
                },
            );
        }
        if !self.labels.is_empty() {
            let labels = self.labels.iter().map(|label| key_value("--label", label));
            let labels = Some(UniqueMap(labels.collect::<Result<_, _>>()?));
            add(
                "--label",
                File {
                    node: Some(Node {
                        labels,
                        ..Node::default()
                    }),
                    ..File::default()
                },
            );
        }
        if !self.listen.is_empty() {
            let listen = Some(read_all::<Address>("--listen", &self.listen)?);
            add(
                "--listen",
                File {
                    listen,
                    ..File::default()
                },
            );
        }
        if !self.rest.is_empty() {
            let listen = Some(read_all::<Address>("--rest", &self.rest)?);
            let rest = Rest {
                listen,
                ..Rest::default()
            };
            add(
                "--rest",
                File {
                    rest: Some(rest),
                    ..File::default()
                },
            );
        }
        if let Some(advertise) = &self.advertise {
            add(
                "--advertise",
                File {
                    advertise: Some(advertise.clone()),
                    ..File::default()
                },
            );
        }
        if !self.registry.is_empty() {
            let registry = Some(read_all::<RegistryEntry>("--registry", &self.registry)?);
            add(
                "--registry",
                File {
                    registry,
                    ..File::default()
                },
            );
        }
        if !self.apps.is_empty() {
            let by_name = self
                .apps
                .iter()
                .map(|app| app_rule(app))
                .collect::<Result<_, _>>()?;
            add(
                "--app",
                File {
                    apps: Some(Apps {
                        others: None,
                        by_name,
                    }),
                    ..File::default()
                },
            );
        }
        if let Some(word) = &self.access {
            let access =
                AccessWord::from_word(word).map_err(|problem| wrong("--access", problem))?;
            add(
                "--access",
                File {
                    access: Some(access),
                    ..File::default()
                },
            );
        }
        if !self.networks.is_empty() {
            let networks = read_all::<Network>("--networks", &self.networks)?;
            let access = AccessWord::of_networks(networks)
                .map_err(|problem| wrong("--networks", problem))?;
            add(
                "--networks",
                File {
                    access: Some(access),
                    ..File::default()
                },
            );
        }
        if let Some(path) = &self.pid_file {
            add(
                "--pid-file",
                File {
                    pid_file: Some(path.clone()),
                    ..File::default()
                },
            );
        }
        if let Some(format) = self.log_format {
            let log = Log {
                format: Some(format),
                ..Log::default()
            };
            add(
                "--log-format",
                File {
                    log: Some(log),
                    ..File::default()
                },
            );
        }
        if let Some(path) = &self.log_file {
            let log = Log {
                file: Some(path.clone()),
                ..Log::default()
            };
            add(
                "--log-file",
                File {
                    log: Some(log),
                    ..File::default()
                },
            );
        }
        Ok(layers)
    }

    /// The only app that may run and its rule, when one stands after `--`: run exactly so.
    ///
    /// # Errors
    ///
    /// Returns what is wrong with its name.
    pub fn only_app(
        &self,
        surroundings: &Surroundings,
    ) -> Result<Option<(String, App)>, ConfigError> {
        let Some((program, arguments)) = self.only.split_first() else {
            return Ok(None);
        };
        let (name, path) = match program.rsplit_once('/') {
            Some((_, name)) => (name, Some(surroundings.cwd.join(program))),
            None => (program.as_str(), None),
        };
        check_app_name("--", name)?;
        let args = Some(Args {
            exact: Some(arguments.to_vec()),
            ..Args::default()
        });
        Ok(Some((
            name.to_owned(),
            App {
                path,
                args,
                ..App::default()
            },
        )))
    }
}

fn wrong(flag: &str, problem: String) -> ConfigError {
    ConfigError::Value {
        origin: flag.to_owned(),
        problem,
    }
}

fn read_all<T: Text>(flag: &str, texts: &[String]) -> Result<Vec<T>, ConfigError> {
    texts
        .iter()
        .map(|text| T::from_text(text).map_err(|problem| wrong(flag, problem)))
        .collect()
}

fn key_value(flag: &str, text: &str) -> Result<(String, String), ConfigError> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| wrong(flag, format!("`{text}` is not KEY=VALUE")))?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Reads `NAME` or `NAME=PATH`.
fn app_rule(text: &str) -> Result<(String, App), ConfigError> {
    let (name, path) = text
        .split_once('=')
        .map_or((text, None), |(name, path)| (name, Some(path)));
    check_app_name("--app", name)?;
    if path.is_some_and(str::is_empty) {
        return Err(wrong(
            "--app",
            format!("`{text}` lacks the path of the program"),
        ));
    }
    Ok((
        name.to_owned(),
        App {
            path: path.map(|path| Path::new(path).to_owned()),
            ..App::default()
        },
    ))
}

fn check_app_name(flag: &str, name: &str) -> Result<(), ConfigError> {
    if Apps::is_app_name(name) {
        return Ok(());
    }
    Err(wrong(
        flag,
        format!("`{name}` is no app name; give a program under another name as `--app NAME=PATH`"),
    ))
}
