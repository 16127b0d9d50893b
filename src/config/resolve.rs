//! From the effective configuration to what a daemon is told: defaults, and the rules that no single value can break.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use dpipes_discovery::DEFAULT_WEIGHT;
use nix::unistd::{Uid, User};

use super::{
    error::ConfigError,
    file::{
        AccessWord, App, Apps, Credential, Discovery, EnvAccept, File, Log, LogFormat, LogLevel,
        Node, OthersWord, PolicyWord, Run, Schedule, Streams,
    },
    objects,
    paths::Surroundings,
    registry,
    value::{Address, Mask, Period, Size, Text, UniqueMap},
};
use crate::{
    daemon::settings::{Access, DefaultTerms, DiscoverySettings, Listen, Settings},
    id::NodeId,
    negotiate::rules::{AppRule, ArgRules, CredentialRule, Limits, Others, Rules, VersionSource},
};

/// The port of dpipesd: free in IANA's list and easy to remember as no other service's.
pub const DEFAULT_PORT: u16 = 3747;

/// How long a pipe outlives the loss of its entry: three missed pings, so that a busy machine is not taken for a dead one.
const DEFAULT_LEASE: Duration = Duration::from_secs(15);

/// From SIGTERM to SIGKILL: what `docker stop` halves and `systemd` multiplies; enough to flush a buffer, short enough to wait for.
const DEFAULT_KILL_GRACE: Duration = Duration::from_secs(5);

/// How long running pipes may go on after the daemon was told to leave: below the 40 s that the unit file gives it in all, with room
/// for the kill.
pub const DEFAULT_DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// Credit of a link: 256 KiB fill 2 Gbit/s at a round trip of 1 ms, and a thousand links still take only a quarter of a gigabyte.
const DEFAULT_WINDOW: u64 = 256 << 10;

/// The least window that moves data at a reasonable pace: one kernel pipe buffer.
const LEAST_WINDOW: u32 = 4 << 10;

/// The largest window that a node agrees to, as the protocol says.
const MOST_WINDOW: u32 = 16 << 20;

/// How long a registry keeps a node that it does not hear of: three heartbeats of 5 s, so that one that is lost, or a pause of the
/// machine, is no death.
const DEFAULT_TTL: Duration = Duration::from_secs(15);

/// The shortest life in a registry: below, a server that elects a leader anew, which takes it about 3 s, would lose every node.
const LEAST_TTL: Duration = Duration::from_secs(5);

/// The longest: a dead node is still offered work for so long, and tried first every time.
const MOST_TTL: Duration = Duration::from_secs(600);

/// What the machine says that no file does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The machine's name.
    pub hostname: String,
    /// Whether there is a user `dpipes`, who runs apps for a daemon of root.
    pub has_dpipes_user: bool,
}

/// What the process around the daemon needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessSettings {
    /// Where the process id goes.
    pub pid_file: PathBuf,
    /// Whether somebody asked for that file, so that the daemon cannot do without it.
    pub pid_file_required: bool,
    /// The least important messages that are kept.
    pub log_level: LogLevel,
    /// How they are written.
    pub log_format: LogFormat,
    /// Where they are written; `None` for standard error, or the default file when in the background.
    pub log_file: Option<PathBuf>,
}

/// Whether this machine has a user of this name, or one that is given by its number.
#[must_use]
pub fn user_exists(name: &str) -> bool {
    let known = |found: nix::Result<Option<User>>| found.is_ok_and(|user| user.is_some());
    let by_number = || {
        let number = name.parse().ok()?;
        Some(known(User::from_uid(Uid::from_raw(number))))
    };
    known(User::from_name(name)) || by_number().unwrap_or_default()
}

/// The user that runs apps for a daemon of root unless another one is named.
pub const DEFAULT_RUN_USER: &str = "dpipes";

// === impl Facts ===

impl Facts {
    /// Asks the machine.
    #[must_use]
    pub fn of_this_machine() -> Self {
        Self {
            has_dpipes_user: user_exists(DEFAULT_RUN_USER),
            ..Self::of_this_machine_without_users()
        }
    }

    /// The same for an embedded entry, whose apps run as who runs it. A name service takes milliseconds, or a round trip, to say that there
    /// is no such user.
    #[must_use]
    pub fn of_this_machine_without_users() -> Self {
        let hostname = rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned();
        Self {
            hostname,
            has_dpipes_user: false,
        }
    }

    /// A node name made of the machine's name.
    #[must_use]
    pub fn node_name(&self) -> NodeId {
        let legal = |c: char| {
            if c.is_ascii_alphanumeric() || "._-".contains(c) {
                c
            } else {
                '-'
            }
        };
        let name: String = self
            .hostname
            .chars()
            .map(legal)
            .take(NodeId::MAX_LEN)
            .collect();
        NodeId::new(name).unwrap_or_else(|_| NodeId::new("localhost").expect("it is a node name"))
    }
}

/// The lowest layer: what holds when nobody says anything. It depends on whether there is a registry, for that is when other nodes
/// are to come in.
#[must_use]
pub(crate) fn built_in(facts: &Facts, surroundings: &Surroundings, has_registry: bool) -> File {
    let rules = Rules::default();
    let host = if has_registry { "0.0.0.0" } else { "127.0.0.1" };
    File {
        version: Some(File::VERSION),
        node: Some(Node {
            name: Some(facts.node_name()),
            labels: Some(UniqueMap::default()),
            weight: Some(DEFAULT_WEIGHT),
        }),
        listen: Some(vec![Address::Tcp(format!("{host}:{DEFAULT_PORT}"))]),
        access: Some(AccessWord::Members),
        run: Some(Run {
            path: Some(rules.search_path),
            env: Some(EnvAccept {
                accept: Some(rules.env_accept),
            }),
            allow_root: Some(rules.allow_root),
            kill_grace: Some(Period(DEFAULT_KILL_GRACE)),
            lease: Some(Period(DEFAULT_LEASE)),
            max_processes: Some(rules.max_stages),
            umask: Some(Mask(rules.umask)),
            credential: Some(Credential::NotAsked),
            run_as: (surroundings.uid == 0 && facts.has_dpipes_user)
                .then(|| DEFAULT_RUN_USER.to_owned()),
            ..Run::default()
        }),
        schedule: Some(Schedule {
            policy: Some(PolicyWord::Spread),
        }),
        streams: Some(Streams {
            window: Some(Size(DEFAULT_WINDOW)),
            splice: Some(true),
            compress: Some(true),
        }),
        objects: Some(objects::built_in()),
        registry: Some(Vec::new()),
        discovery: Some(Discovery {
            required: Some(false),
            ttl: Some(Period(DEFAULT_TTL)),
        }),
        drain_timeout: Some(Period(DEFAULT_DRAIN_TIMEOUT)),
        log: Some(Log {
            level: Some(LogLevel::Info),
            format: Some(LogFormat::Text),
            file: None,
        }),
        pid_file: Some(surroundings.default_pid_file()),
        ..File::default()
    }
}

/// Leaves only this app, run exactly so; what the files say of it else stays.
pub(crate) fn keep_only(file: &mut File, name: &str, rule: App) {
    let mut apps = file.apps.take().unwrap_or_default();
    let known = apps.by_name.remove(name).unwrap_or_default();
    let app = App {
        path: rule.path.or_else(|| known.path.clone()),
        args: rule.args,
        ..known
    };
    file.apps = Some(Apps {
        others: Some(OthersWord::Deny),
        by_name: BTreeMap::from([(name.to_owned(), app)]),
    });
}

/// Makes settings of a complete configuration, that is one laid over [`built_in`].
///
/// # Errors
///
/// Returns the first contradiction.
pub(crate) fn settings(
    file: File,
    surroundings: &Surroundings,
    exit_after_one: bool,
) -> Result<Settings, ConfigError> {
    let run = file.run.unwrap_or_default();
    let streams = file.streams.unwrap_or_default();
    let window = streams.window.map_or(DEFAULT_WINDOW, |window| window.0);
    let terms = DefaultTerms {
        lease: or(run.lease, DEFAULT_LEASE),
        kill_grace: or(run.kill_grace, DEFAULT_KILL_GRACE),
        window: u32::try_from(window)
            .ok()
            .filter(|window| (LEAST_WINDOW..=MOST_WINDOW).contains(window))
            .ok_or_else(|| ConfigError::Contradiction {
                problem: format!("`streams.window` is {window} bytes"),
                help: "between 4K and 16M will do; 256K suits most networks".to_owned(),
            })?,
        policy: file
            .schedule
            .and_then(|schedule| schedule.policy)
            .unwrap_or_default()
            .as_str()
            .to_owned(),
        compress: streams.compress.unwrap_or(true),
    };
    let rules = rules(file.apps, run)?;
    check_root(&rules, surroundings.uid)?;
    let node = file.node.unwrap_or_default();
    Ok(Settings {
        node: node.name.expect("the lowest layer names the node"),
        labels: node.labels.unwrap_or_default().0,
        weight: node.weight.unwrap_or(DEFAULT_WEIGHT),
        listen: listen(file.listen.unwrap_or_default(), surroundings),
        advertise: file.advertise,
        access: match file.access.unwrap_or(AccessWord::Members) {
            AccessWord::Local => Access::Local,
            AccessWord::Members => Access::Members,
            AccessWord::Open => Access::Open,
            AccessWord::Networks(networks) => {
                Access::Networks(networks.iter().map(|n| (n.0, n.1)).collect())
            }
        },
        rules: Arc::new(rules),
        registries: registry::settings(file.registry.unwrap_or_default())?,
        discovery: discovery(file.discovery.unwrap_or_default())?,
        terms,
        splice: streams.splice.unwrap_or(true),
        objects: objects::settings(file.objects.unwrap_or_default())?,
        exit_after_one,
        drain_timeout: or(file.drain_timeout, DEFAULT_DRAIN_TIMEOUT),
    })
}

/// What the process around the daemon needs, of a complete configuration.
#[must_use]
pub(crate) fn process(file: &File, surroundings: &Surroundings) -> ProcessSettings {
    let log = file.log.clone().unwrap_or_default();
    let default = surroundings.default_pid_file();
    let pid_file = file.pid_file.clone().unwrap_or_else(|| default.clone());
    ProcessSettings {
        pid_file_required: pid_file != default,
        pid_file,
        log_level: log.level.unwrap_or_default(),
        log_format: log.format.unwrap_or_default(),
        log_file: log.file,
    }
}

fn discovery(said: Discovery) -> Result<DiscoverySettings, ConfigError> {
    let ttl = or(said.ttl, DEFAULT_TTL);
    if !(LEAST_TTL..=MOST_TTL).contains(&ttl) {
        return Err(ConfigError::Contradiction {
            problem: format!("`discovery.ttl` is {}", Period(ttl).to_text()),
            help: "between 5s and 10m will do; 15s suits most networks".to_owned(),
        });
    }
    Ok(DiscoverySettings {
        required: said.required.unwrap_or(false),
        ttl,
    })
}

fn or(period: Option<Period>, default: Duration) -> Duration {
    period.map_or(default, |period| period.0)
}

/// What was asked for, and the socket for this machine's own clients unless another one was asked for.
fn listen(addresses: Vec<Address>, surroundings: &Surroundings) -> Vec<Listen> {
    let has_unix = addresses
        .iter()
        .any(|address| matches!(address, Address::Unix(_)));
    let own = Listen::Unix {
        path: surroundings.default_socket(),
        required: false,
    };
    let asked = addresses.into_iter().map(asked);
    asked.chain((!has_unix).then_some(own)).collect()
}

/// An address that somebody has asked for, and that has to be opened.
pub(super) fn asked(address: Address) -> Listen {
    match address {
        Address::Tcp(address) => Listen::Tcp(address),
        Address::Unix(path) => Listen::Unix {
            path,
            required: true,
        },
    }
}

fn rules(apps: Option<Apps>, run: Run) -> Result<Rules, ConfigError> {
    let defaults = Rules::default();
    let apps = apps.unwrap_or_default();
    let others = match apps.others {
        Some(OthersWord::Allow) => Others::Allow,
        Some(OthersWord::Deny) => Others::Deny,
        None if apps.by_name.is_empty() => Others::Allow,
        None => Others::Deny,
    };
    let search_path = run.path.unwrap_or(defaults.search_path);
    if let Some(relative) = search_path.iter().find(|path| !path.is_absolute()) {
        return Err(ConfigError::Contradiction {
            problem: format!("`run.path` holds the relative directory `{}`", relative.display()),
            help: "programs are looked up in absolute directories only, wherever the daemon was started".to_owned(),
        });
    }
    let apps = apps
        .by_name
        .into_iter()
        .map(|(name, app)| Ok((name.clone(), app_rule(&name, app)?)));
    Ok(Rules {
        apps: apps.collect::<Result<_, ConfigError>>()?,
        others,
        search_path,
        env_accept: run
            .env
            .and_then(|env| env.accept)
            .unwrap_or(defaults.env_accept),
        run_as: run.run_as,
        allow_root: run.allow_root.unwrap_or(defaults.allow_root),
        cwd: run.cwd,
        max_stages: run.max_processes.unwrap_or(defaults.max_stages),
        max_deadline: run.max_time.map(|period| period.0),
        credential: match run.credential {
            Some(Credential::Demanded) => CredentialRule::Demanded,
            Some(Credential::NotAsked) | None => CredentialRule::NotAsked,
        },
        umask: run.umask.map_or(defaults.umask, |mask| mask.0),
    })
}

fn app_rule(name: &str, app: App) -> Result<AppRule, ConfigError> {
    let version = match (app.version, app.version_command) {
        (Some(_), Some(_)) => {
            return Err(ConfigError::Contradiction {
                problem: format!("`apps.{name}` has both `version` and `version-command`"),
                help: "keep the one that is to be believed".to_owned(),
            });
        }
        (Some(fixed), None) => Some(VersionSource::Fixed(fixed)),
        (None, Some(command)) => Some(VersionSource::Command(command)),
        (None, None) => None,
    };
    let args = app.args.unwrap_or_default();
    let env = app.env.unwrap_or_default();
    let limits = app.limits.unwrap_or_default();
    Ok(AppRule {
        path: app.path,
        args: ArgRules {
            prepend: args.default.unwrap_or_default(),
            exact: args.exact,
            allow: args.allow.unwrap_or_default(),
            deny: args.deny.unwrap_or_default(),
            max: args.max,
        },
        run_as: app.run_as,
        reads: app.format.map(|format| format.0.reads),
        writes: app.format.map(|format| format.0.writes),
        version,
        env_accept: env.accept.unwrap_or_default(),
        env_set: env.set.unwrap_or_default().0,
        limits: Limits {
            memory: limits.memory.map(|size| size.0),
            pids: limits.pids,
            time: limits.time.map(|period| period.0),
            open_files: limits.open_files,
        },
        exit_grace: app.exit_grace.map(|period| period.0),
        allow_setuid: app.allow_setuid.unwrap_or(false),
    })
}

/// A daemon of root must know who runs apps: by accident it must not be root.
fn check_root(rules: &Rules, uid: u32) -> Result<(), ConfigError> {
    let every_app_has_its_user =
        rules.others == Others::Deny && rules.apps.values().all(|app| app.run_as.is_some());
    if uid != 0 || rules.allow_root || rules.run_as.is_some() || every_app_has_its_user {
        return Ok(());
    }
    Err(ConfigError::Contradiction {
        problem: "dpipesd runs as root, and nobody said which user runs the apps".to_owned(),
        help: "name one with `run: { run-as: USER }` (DPIPES_RUN_RUN_AS), make a user `dpipes`, start dpipesd as another user, or insist \
               with `run: { allow-root: true }` (DPIPES_RUN_ALLOW_ROOT=true)"
            .to_owned(),
    })
}
