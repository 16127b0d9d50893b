//! What a node's owner allows: plain data, built by `config`, read by the checks of this module.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use crate::media::Format;

/// The owner's rules for one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Apps with rules of their own; each is announced as `dp.<app>`.
    pub apps: BTreeMap<String, AppRule>,
    /// What becomes of apps that are not in `apps`.
    pub others: Others,
    /// Where programs are looked up, in order. Never taken from a client.
    pub search_path: Vec<PathBuf>,
    /// Names of variables taken from a client, as globs: `LANG`, `LC_*`, `TZ`.
    pub env_accept: Vec<String>,
    /// The user that runs apps, where it is not the daemon's own.
    pub run_as: Option<String>,
    /// Whether apps may run as root.
    pub allow_root: bool,
    /// The directory apps start in; `None` for the run user's home.
    pub cwd: Option<PathBuf>,
    /// Stages prepared or running at most.
    pub max_stages: u32,
    /// Longest run time that is accepted; `None` for any.
    pub max_deadline: Option<Duration>,
    /// Whether a credential is demanded.
    pub credential: CredentialRule,
    /// Umask of apps.
    pub umask: u32,
}

/// What becomes of apps without rules of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// Any program of the search path is run.
    Allow,
    /// They are refused.
    Deny,
}

/// Whether a node demands a credential.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CredentialRule {
    /// None is looked at.
    #[default]
    NotAsked,
    /// An offer without one is refused.
    Demanded,
}

/// The rules for one app.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppRule {
    /// The program; looked up by the app's name in the search path when absent.
    pub path: Option<PathBuf>,
    /// Rules for its arguments.
    pub args: ArgRules,
    /// The user it runs as, before [`Rules::run_as`].
    pub run_as: Option<String>,
    /// What it reads, where the owner knows.
    pub reads: Option<Format>,
    /// What it writes, where the owner knows.
    pub writes: Option<Format>,
    /// Where its version is known from.
    pub version: Option<VersionSource>,
    /// Variables taken from a client, as globs, beside [`Rules::env_accept`].
    pub env_accept: Vec<String>,
    /// Variables the owner sets.
    pub env_set: BTreeMap<String, String>,
    /// What it may use.
    pub limits: Limits,
    /// How long something may hold its output open after it exited; `None` waits as bash does.
    pub exit_grace: Option<Duration>,
    /// Whether it may gain privileges by a set-user-id program.
    pub allow_setuid: bool,
}

/// Rules for arguments. A guard-rail, not a boundary: many programs start others when told to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArgRules {
    /// Put before the arguments of the pipeline.
    pub prepend: Vec<String>,
    /// The only arguments that are accepted, in this order.
    pub exact: Option<Vec<String>>,
    /// Every argument must match one of these globs, unless the list is empty.
    pub allow: Vec<String>,
    /// No argument may match one of these globs.
    pub deny: Vec<String>,
    /// Arguments at most.
    pub max: Option<u16>,
}

/// Where an app's version is known from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VersionSource {
    /// The first version number in the output of this command.
    Command(Vec<String>),
    /// The configuration says it.
    Fixed(String),
}

/// What an app may use; `None` for no limit of dpipes' own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Memory in bytes.
    pub memory: Option<u64>,
    /// Processes.
    pub pids: Option<u32>,
    /// Run time.
    pub time: Option<Duration>,
    /// Open files.
    pub open_files: Option<u64>,
}

// === impl Rules ===

impl Rules {
    /// Stages a node takes at most unless told otherwise: each costs a process and about half a dozen descriptors, and 4,096 of
    /// them stay within the usual hard limit of 524,288 descriptors with room to spare.
    pub const DEFAULT_MAX_STAGES: u32 = 4_096;

    /// Umask of apps unless told otherwise: files of one user are not for others.
    pub const DEFAULT_UMASK: u32 = 0o077;
}

/// Any program of the usual directories, at most [`Rules::DEFAULT_MAX_STAGES`] stages, as the daemon's own user.
impl Default for Rules {
    fn default() -> Self {
        Self {
            apps: BTreeMap::new(),
            others: Others::Allow,
            search_path: ["/usr/local/bin", "/usr/bin", "/bin"]
                .map(PathBuf::from)
                .into(),
            env_accept: ["LANG", "LC_*", "TZ"].map(str::to_owned).into(),
            run_as: None,
            allow_root: false,
            cwd: None,
            max_stages: Self::DEFAULT_MAX_STAGES,
            max_deadline: None,
            credential: CredentialRule::NotAsked,
            umask: Self::DEFAULT_UMASK,
        }
    }
}
