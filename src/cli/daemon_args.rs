//! The arguments of `dpipesd`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::args::When;
use crate::config::{Flags, LogFormat};

/// Runs stages of pipelines for the nodes of a cluster.
#[derive(Debug, Parser)]
#[command(
    name = "dpipesd",
    version,
    subcommand_precedence_over_arg = true,
    disable_help_subcommand = true,
    override_usage = "dpipesd [OPTIONS] [-- APP ARGS...]\n       dpipesd <COMMAND> ...",
    help_template = "{about-with-newline}\n{usage-heading} {usage}\n\nExamples:\n\
                     \x20 dpipesd                                          for this machine only, in the background\n\
                     \x20 dpipesd --registry static:nodes.yaml --app sort  for the nodes in a list, which may run `sort`\n\
                     \x20 dpipesd --registry consul: --app sort            for the nodes that the Consul agent here knows\n\
                     \x20 dpipesd --registry mdns:                         for every node on the local network\n\
                     \x20 dpipesd --exit -- sort -n                        run `sort -n` for somebody once, then leave\n\n\
                     {all-args}{after-help}",
    after_help = "Most options are keys of the configuration, too: dpipes help config\nMore: dpipes help start | access"
)]
pub(crate) struct DaemonCli {
    /// What the daemon is told.
    #[command(flatten)]
    pub options: DaemonOptions,
    /// What to do with a daemon that runs.
    #[command(subcommand)]
    pub command: Option<DaemonCommand>,
    /// The only app that may be run, and exactly so
    #[arg(last = true, value_name = "APP ARGS")]
    pub only: Vec<String>,
}

/// What the daemon is told. All of it may be said to every subcommand, which then speaks of that daemon.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct DaemonOptions {
    /// Stay in the foreground and log to standard error
    #[arg(long, help_heading = "Process")]
    pub foreground: bool,
    /// Leave after one app has run once, with its status
    #[arg(long, help_heading = "Process")]
    pub exit: bool,
    /// Read this file and no other
    #[arg(long, value_name = "FILE", global = true, help_heading = "Process")]
    pub config: Option<PathBuf>,
    /// Write the process id to this file; `stop`, `status` and `reload` find the daemon by it
    #[arg(long, value_name = "FILE", global = true, help_heading = "Process")]
    pub pid_file: Option<PathBuf>,
    /// How to log: text or json
    #[arg(
        long,
        value_name = "FORMAT",
        hide_possible_values = true,
        help_heading = "Process"
    )]
    pub log_format: Option<LogFormatArg>,
    /// Log to this file
    #[arg(long, value_name = "FILE", help_heading = "Process")]
    pub log_file: Option<PathBuf>,
    /// When to use colour: auto, always or never
    #[arg(
        long,
        value_name = "WHEN",
        global = true,
        hide_possible_values = true,
        help_heading = "Process"
    )]
    pub color: Option<When>,
    /// Started by another dpipesd that waits for one line on standard output
    #[arg(long, hide = true, requires = "foreground")]
    pub detached: bool,

    /// This node's name; the machine's unless said otherwise
    #[arg(long, value_name = "NAME", help_heading = "Node")]
    pub name: Option<String>,
    /// A label, for `@key=value` in pipelines (may be repeated)
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Node")]
    pub label: Vec<String>,
    /// Listen here: HOST:PORT or unix:PATH (may be repeated)
    #[arg(long, value_name = "ADDRESS", help_heading = "Node")]
    pub listen: Vec<String>,
    /// Where other nodes dial this one, where that is not where it listens
    #[arg(long, value_name = "HOST:PORT", help_heading = "Node")]
    pub advertise: Option<String>,
    /// Serve the REST API and the dashboard here: unix:PATH or 127.0.0.1:3748 (may be repeated)
    #[arg(long, value_name = "ADDRESS", help_heading = "Node")]
    pub rest: Vec<String>,
    /// Where nodes are found and this one is announced: static:FILE, consul://HOST:PORT, etcd://HOST:PORT or mdns: (may be repeated)
    #[arg(long, value_name = "REGISTRY", help_heading = "Node")]
    pub registry: Vec<String>,

    /// Offer this app, and only those given so (may be repeated)
    #[arg(long, value_name = "NAME[=PATH]", help_heading = "Access")]
    pub app: Vec<String>,
    /// Who may connect: local, members (the nodes of the registry) or open (everyone)
    #[arg(
        long,
        value_name = "WHO",
        help_heading = "Access",
        conflicts_with = "networks"
    )]
    pub access: Option<String>,
    /// Let these addresses connect, as 10.0.0.0/8 (may be repeated, or separated by commas)
    #[arg(
        long,
        value_name = "PREFIX",
        value_delimiter = ',',
        help_heading = "Access"
    )]
    pub networks: Vec<String>,
}

/// `text` or `json`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LogFormatArg {
    /// One readable line per event.
    Text,
    /// One JSON object per line.
    Json,
}

/// What to do with a daemon that runs.
#[derive(Debug, Subcommand)]
pub(crate) enum DaemonCommand {
    /// Show the daemon's configuration, or look for errors in it
    #[command(
        subcommand,
        after_help = "Examples:\n  dpipesd config show --origin\n  dpipesd config check"
    )]
    Config(DaemonConfig),
    /// Make it read its configuration again
    #[command(
        after_help = "Examples:\n  dpipesd reload\n  dpipesd reload --pid-file /run/other.pid"
    )]
    Reload,
    /// Let running pipes end, then stop it
    #[command(after_help = "Examples:\n  dpipesd stop\n  dpipesd stop --config /etc/other.yaml")]
    Stop,
    /// Say whether it runs
    #[command(after_help = "Examples:\n  dpipesd status\n  dpipesd status --json")]
    Status {
        /// Print a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Ask it whether it serves: exit status 0 when it is ready, else 1 and why
    #[command(
        after_help = "Examples:\n  dpipesd healthcheck\n  dpipesd healthcheck --json\n  HEALTHCHECK CMD [\"dpipesd\", \"healthcheck\"]"
    )]
    Healthcheck {
        /// Print a JSON object
        #[arg(long)]
        json: bool,
    },
}

/// `dpipesd config`.
#[derive(Debug, Subcommand)]
pub(crate) enum DaemonConfig {
    /// Look for errors
    #[command(
        after_help = "Examples:\n  dpipesd config check\n  dpipesd config check --config new.yaml"
    )]
    Check,
    /// Print the effective configuration as YAML
    #[command(after_help = "Examples:\n  dpipesd config show\n  dpipesd config show --origin")]
    Show {
        /// Say where every value comes from
        #[arg(long)]
        origin: bool,
    },
}

// === impl DaemonCli ===

impl DaemonCli {
    /// The flags as a layer of the configuration.
    pub(crate) fn flags(&self) -> Flags {
        let options = self.options.clone();
        Flags {
            config: options.config,
            name: options.name,
            labels: options.label,
            listen: options.listen,
            rest: options.rest,
            advertise: options.advertise,
            registry: options.registry,
            apps: options.app,
            access: options.access,
            networks: options.networks,
            pid_file: options.pid_file,
            log_format: options.log_format.map(|format| match format {
                LogFormatArg::Text => LogFormat::Text,
                LogFormatArg::Json => LogFormat::Json,
            }),
            log_file: options.log_file,
            exit: options.exit,
            only: self.only.clone(),
        }
    }
}
