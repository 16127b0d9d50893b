//! The arguments of `dpipes`.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use nix::sys::signal::Signal;

use crate::{
    config::{ColorWord, Period, PolicyWord, Text},
    id::NodeId,
    media::Format,
    wire::message::StderrMode,
};

/// Runs the stages of a Unix pipeline on the nodes of a cluster.
#[derive(Debug, Parser)]
#[command(
    name = "dpipes",
    version,
    disable_help_subcommand = true,
    override_usage = "dpipes [OPTIONS] 'PIPELINE'\n       dpipes <COMMAND> ...",
    help_template = "{about-with-newline}\n{usage-heading} {usage}\n\nRun a pipeline:\n\
                     \x20 dpipes 'seq 5 | sort -r'                        on the nodes that are known; here where there are none\n\
                     \x20 dpipes 'cat /data/a | @node-b sort | uniq -c'   one stage on a certain node\n\
                     \x20 dpipes -o pipefail --timeout 10m 'a | b'        fail if any stage fails; end after ten minutes\n\n\
                     {all-args}{after-help}",
    after_help = "Options of a run (all of them: dpipes run --help):\n\
                  \x20 -n                    no input for the first stage\n\
                  \x20 -e NAME[=VALUE]       a variable for every stage\n\
                  \x20 -o KEY[=VALUE]        pipefail, on-loss, policy, lease, kill-grace, window, locale\n\
                  \x20 --timeout DURATION    end the pipe after this time, with status 124\n\
                  \x20 --connect ADDRESS     use this daemon: HOST:PORT or unix:PATH\n\
                  \x20 --no-daemon           use no daemon\n\
                  \x20 --tag                 put `app@node: ` before every line of the stages' stderr\n\
                  \x20 --print-status        print every stage's status at the end\n\n\
                  More: dpipes help start | exit-codes | config | grammar | access | COMMAND"
)]
pub(crate) struct Cli {
    /// What holds for every subcommand.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// `dpipes run` by itself, for the sake of time: clap makes all it knows about every subcommand anew at each start, and a short pipe is as
/// short as that takes. What it accepts means the same to [`Cli`]; what it does not is for [`Cli`] to explain.
#[derive(Debug, Parser)]
#[command(name = "dpipes", disable_version_flag = true)]
pub(crate) struct RunCli {
    /// What holds for every subcommand.
    #[command(flatten)]
    pub global: Global,
    /// What `run` takes.
    #[command(flatten)]
    pub run: RunArgs,
}

/// What holds for every subcommand.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Global {
    /// When to use colour: auto, always or never
    #[arg(long, value_name = "WHEN", global = true, hide_possible_values = true)]
    pub color: Option<When>,
    /// Read this configuration of dpipesd and no other, when no daemon is used
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// Say more: where each stage runs and why, what nodes ignored
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
    /// Say less: errors only
    #[arg(short, long, global = true)]
    pub quiet: bool,
}

/// `auto`, `always` or `never`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    /// On a terminal.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a pipeline (the default)
    #[command(
        override_usage = "dpipes [OPTIONS] 'PIPELINE'\n       dpipes [OPTIONS] -c 'PIPELINE'",
        after_help = "Examples:\n  dpipes run 'seq 5 | sort -r'\n  dpipes run -o pipefail --timeout 10m 'cat /data/a | sort | uniq -c'"
    )]
    Run(Box<RunArgs>),
    /// Show where each stage would run and what each node answers; start nothing
    #[command(
        override_usage = "dpipes check [OPTIONS] 'PIPELINE'",
        after_help = "Examples:\n  dpipes check 'cat /data/a.txt | sort -r'\n  dpipes check --json 'sort | uniq'"
    )]
    Check(Box<CheckArgs>),
    /// Show the nodes that are known
    #[command(
        after_help = "Examples:\n  dpipes nodes --wide\n  dpipes nodes --connect node-a:3747 --json"
    )]
    Nodes(QueryArgs),
    /// Show the pipes that the entry conducts
    #[command(after_help = "Examples:\n  dpipes ps\n  dpipes ps -a --json")]
    Ps(PsArgs),
    /// Watch the pipes that run: what they move, and what holds them up
    #[command(
        after_help = "Examples:\n  dpipes top --cluster\n  dpipes top --count 2 --interval 500ms | cat\n\nKeys: h shows them"
    )]
    Top(TopArgs),
    /// Show what is known of one pipe
    #[command(
        after_help = "Examples:\n  dpipes inspect 01JD9S3V8Y6Q4T2R0P5N7M9K1H\n  dpipes inspect --json M9K1H"
    )]
    Inspect(InspectArgs),
    /// End pipes, or send their apps a signal
    #[command(after_help = "Examples:\n  dpipes kill M9K1H\n  dpipes kill --stage 2 -s USR1 M9K1H")]
    Kill(KillArgs),
    /// Show the apps that the nodes offer
    #[command(after_help = "Examples:\n  dpipes apps\n  dpipes apps sort --json")]
    Apps(AppsArgs),
    /// Start and stop a playground of several daemons on this machine
    #[command(
        subcommand,
        after_help = "Examples:\n  dpipes lab up 3\n  dpipes lab data\n  dpipes lab down"
    )]
    Lab(LabCommand),
    /// Find out what is wrong here and with the nodes
    #[command(after_help = "Examples:\n  dpipes doctor\n  dpipes doctor --json")]
    Doctor(QueryArgs),
    /// Show the client's configuration, or look for errors in it
    #[command(
        subcommand,
        after_help = "Examples:\n  dpipes config path\n  dpipes config check"
    )]
    Config(ConfigCommand),
    /// Write completions for a shell to standard output
    #[command(
        after_help = "Examples:\n  dpipes completions bash > /etc/bash_completion.d/dpipes\n  dpipes completions fish | source"
    )]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages
    #[command(after_help = "Examples:\n  dpipes man | man -l -\n  dpipes man /usr/local/share/man")]
    Man {
        /// Where to write all of them; without it dpipes(1) is written to standard output
        dir: Option<PathBuf>,
    },
    /// Explain a topic or a subcommand
    #[command(after_help = "Examples:\n  dpipes help start\n  dpipes help exit-codes")]
    Help {
        /// exit-codes, config, grammar, access, start, or a subcommand
        topic: Option<String>,
    },
    /// Print the version
    #[command(after_help = "Examples:\n  dpipes version\n  dpipes version --json")]
    Version {
        /// Print a JSON object
        #[arg(long)]
        json: bool,
    },
}

/// `dpipes run`.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct RunArgs {
    /// The pipeline, as one word, in quotes: dpipes help grammar
    #[arg(value_name = "PIPELINE")]
    pub words: Vec<String>,
    /// The pipeline, also where it looks like a subcommand
    #[arg(
        short = 'c',
        long = "command",
        value_name = "PIPELINE",
        conflicts_with = "words"
    )]
    pub command: Option<String>,
    /// What both `run` and `check` know.
    #[command(flatten)]
    pub shared: SharedArgs,
    /// What is reported.
    #[command(flatten)]
    pub report: ReportArgs,
}

/// `dpipes check`.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct CheckArgs {
    /// The pipeline, as one word
    #[arg(value_name = "PIPELINE", required = true)]
    pub words: Vec<String>,
    /// What both `run` and `check` know.
    #[command(flatten)]
    pub shared: SharedArgs,
    /// Print JSON objects, one per line
    #[arg(long)]
    pub json: bool,
}

/// Options of `run` and `check`.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct SharedArgs {
    /// Give the first stage no input
    #[arg(short, long, help_heading = "What")]
    pub no_stdin: bool,
    /// What apps read and write: bytes, json or yaml (jq always json); objects come with metadata
    #[arg(short, long, value_name = "FORMAT", help_heading = "What")]
    pub format: Option<Format>,
    /// What standard input is, and what apps make of it unless they are known for another format
    #[arg(long, value_name = "FORMAT", help_heading = "What")]
    pub format_in: Option<Format>,
    /// What the output is to be: json and yaml are turned into each other, bytes are the last app's own
    #[arg(long, value_name = "FORMAT", help_heading = "What")]
    pub format_out: Option<Format>,
    /// What one app reads and writes, as 'jq=json' or 'jq=json:bytes' (may be repeated)
    #[arg(long, value_name = "APP=FORMAT", help_heading = "What")]
    pub app_format: Vec<String>,
    /// Leave the metadata in the objects of the output
    #[arg(long, help_heading = "What")]
    pub keep_metadata: bool,
    /// Set a variable for every stage; without a value, the one it has here
    #[arg(short, long, value_name = "NAME[=VALUE]", help_heading = "What")]
    pub env: Vec<String>,
    /// Read variables from a file, one NAME=VALUE per line
    #[arg(long, value_name = "FILE", help_heading = "What")]
    pub env_file: Vec<PathBuf>,
    /// Start every stage in this directory of its node
    #[arg(long, value_name = "DIR", help_heading = "What")]
    pub cwd: Option<String>,
    /// Run every stage as this user of its node
    #[arg(long, value_name = "NAME", help_heading = "What")]
    pub user: Option<String>,

    /// Set an option: pipefail, on-loss=kill|eof, policy=spread|pack|pin, lease=15s, kill-grace=5s, window=256K, digest,
    /// compress=auto|zstd|off, locale=same, mix-formats, on-bad-object=fail|skip|pass, on-non-object=pass|wrap|error, metadata=argv,environ,credential
    #[arg(
        short = 'o',
        long = "option",
        value_name = "KEY[=VALUE]",
        help_heading = "Agreement"
    )]
    pub options: Vec<String>,
    /// Take only nodes with this version of an app, as 'sort>=8.30'
    #[arg(long, value_name = "APP REQ", help_heading = "Agreement")]
    pub require: Vec<String>,
    /// Show the nodes the credential in this file
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "Agreement",
        conflicts_with = "credential_env"
    )]
    pub credential_file: Option<PathBuf>,
    /// Show the nodes the credential in this variable of the environment
    #[arg(long, value_name = "VAR", help_heading = "Agreement")]
    pub credential_env: Option<String>,

    /// How nodes are chosen: spread (different ones), pack (few), pin (one)
    #[arg(long, value_name = "POLICY", help_heading = "Where")]
    pub policy: Option<PolicyWord>,
    /// Keep off this node (may be repeated)
    #[arg(long, value_name = "NODE", help_heading = "Where")]
    pub avoid: Vec<NodeId>,

    /// End the pipe after this time, with status 124
    #[arg(long, value_name = "DURATION", value_parser = period, help_heading = "Time")]
    pub timeout: Option<Period>,

    /// How the entry is found.
    #[command(flatten)]
    pub entry: EntryArgs,
}

/// How the entry is found.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct EntryArgs {
    /// Use this daemon: HOST:PORT or unix:PATH
    #[arg(
        long,
        value_name = "ADDRESS",
        help_heading = "Entry",
        conflicts_with = "no_daemon"
    )]
    pub connect: Option<String>,
    /// Find nodes here when no daemon is used: static:FILE, consul://HOST:PORT, etcd://HOST:PORT or mdns: (may be repeated)
    #[arg(long, value_name = "REGISTRY", help_heading = "Entry")]
    pub registry: Vec<String>,
    /// Use no daemon: the entry lives in this process
    #[arg(long, help_heading = "Entry")]
    pub no_daemon: bool,
}

/// What is reported about a run.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ReportArgs {
    /// Put `app@node: ` before every line of the stages' stderr
    #[arg(long, help_heading = "Report")]
    pub tag: bool,
    /// Which stages' stderr to show: all, failed (the last lines of those that fail) or none
    #[arg(long, value_name = "WHICH", value_parser = stderr_mode, help_heading = "Report")]
    pub stderr: Option<StderrMode>,
    /// When to show progress: auto (on a terminal), always (as lines elsewhere) or never
    #[arg(
        long,
        value_name = "WHEN",
        default_value = "auto",
        hide_possible_values = true,
        help_heading = "Report"
    )]
    pub progress: When,
    /// Print every stage's status at the end
    #[arg(long, help_heading = "Report")]
    pub print_status: bool,
    /// Write the record of the run as one JSON object to this descriptor, as in: --status-fd 3 3>status.json
    #[arg(long, value_name = "N", help_heading = "Report")]
    pub status_fd: Option<u32>,
    /// Write a table of the stages to this file, tab-separated
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub joblog: Option<PathBuf>,
}

/// `dpipes nodes`, `apps`, `ps`, `doctor`.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct QueryArgs {
    /// How the entry is found.
    #[command(flatten)]
    pub entry: EntryArgs,
    /// Print JSON objects, one per line
    #[arg(long)]
    pub json: bool,
    /// Show all columns
    #[arg(long)]
    pub wide: bool,
}

/// `dpipes apps`.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct AppsArgs {
    /// Who offers this app, and how well it is there; all apps without it
    pub app: Option<String>,
    /// What all queries take.
    #[command(flatten)]
    pub query: QueryArgs,
}

/// `dpipes ps`.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct PsArgs {
    /// Show those too that were over within the last hour
    #[arg(short, long)]
    pub all: bool,
    /// Show those of every node, not only of the entry
    #[arg(long)]
    pub cluster: bool,
    /// What all queries take.
    #[command(flatten)]
    pub query: QueryArgs,
}

/// `dpipes top`.
#[derive(Clone, Debug, Args)]
pub(crate) struct TopArgs {
    /// Show those of every node, not only of the entry
    #[arg(long)]
    pub cluster: bool,
    /// How often to look
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = super::top::interval)]
    pub interval: Period,
    /// Print lines, as where there is no terminal
    #[arg(long)]
    pub plain: bool,
    /// Print lines, and end after having looked this many times
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// How the entry is found.
    #[command(flatten)]
    pub entry: EntryArgs,
}

/// `dpipes inspect`.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct InspectArgs {
    /// Its name, or enough of the beginning or the end of it
    pub pipe: String,
    /// What all queries take.
    #[command(flatten)]
    pub query: QueryArgs,
}

/// `dpipes kill`.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct KillArgs {
    /// Their names, or enough of the beginning or the end of each
    #[arg(value_name = "PIPE", required = true)]
    pub pipes: Vec<String>,
    /// Send this signal to the apps, as USR1 or 10; without it the pipe ends
    #[arg(short, long, value_name = "SIGNAL", value_parser = super::pipes::signal)]
    pub signal: Option<Signal>,
    /// Send it to this stage alone
    #[arg(long, value_name = "N", requires = "signal", value_parser = clap::value_parser!(u16).range(1..))]
    pub stage: Option<u16>,
    /// How the entry is found.
    #[command(flatten)]
    pub entry: EntryArgs,
}

/// `dpipes lab`.
#[derive(Debug, Subcommand)]
pub(crate) enum LabCommand {
    /// Start daemons that know each other, on ports of this machine
    #[command(after_help = "Examples:\n  dpipes lab up 3\n  dpipes lab up 2 --base-port 4000")]
    Up {
        /// How many
        #[arg(value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=26))]
        nodes: u8,
        /// Use this port and the ones after it instead of free ones
        #[arg(long, value_name = "PORT")]
        base_port: Option<u16>,
    },
    /// Stop them and remove their files
    #[command(after_help = "Examples:\n  dpipes lab down\n  dpipes lab down && dpipes lab up 5")]
    Down,
    /// Write sample data to play with, the same everywhere
    #[command(
        after_help = "Examples:\n  dpipes lab data && dpipes 'cat data/words.txt | sort | uniq -c | sort -rn | head'\n  dpipes lab data /tmp/samples --force"
    )]
    Data {
        /// The directory; `data` unless another one is named
        dir: Option<PathBuf>,
        /// Replace files of the same names that differ
        #[arg(long)]
        force: bool,
    },
    /// Show them
    #[command(after_help = "Examples:\n  dpipes lab status\n  dpipes lab status --json")]
    Status {
        /// Print JSON objects, one per line
        #[arg(long)]
        json: bool,
    },
}

/// `dpipes config`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print the client's effective configuration
    #[command(after_help = "Examples:\n  dpipes config show\n  dpipes config show --json")]
    Show {
        /// Print a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Look for errors
    #[command(after_help = "Examples:\n  dpipes config check\n  dpipes config check && echo fine")]
    Check,
    /// Print where the file is looked for
    #[command(after_help = "Examples:\n  dpipes config path\n  $EDITOR \"$(dpipes config path)\"")]
    Path,
}

fn period(text: &str) -> Result<Period, String> {
    Period::from_text(text)
}

fn stderr_mode(text: &str) -> Result<StderrMode, String> {
    match text {
        "all" => Ok(StderrMode::All),
        "failed" => Ok(StderrMode::Failed),
        "none" => Ok(StderrMode::None),
        other => Err(format!("`{other}` is none of all, failed and none")),
    }
}

// === impl Cli ===

impl Cli {
    /// Parses a command line that [`understand`](super::words::understand) has spelled out.
    ///
    /// # Errors
    ///
    /// What clap has against it, or the help that it asks for.
    pub(crate) fn parse_spelled(arguments: &[OsString]) -> Result<Self, clap::Error> {
        if let [program, command, rest @ ..] = arguments
            && command == "run"
            && let Ok(run) = RunCli::try_parse_from(std::iter::once(program).chain(rest))
        {
            return Ok(Self {
                global: run.global,
                command: Command::Run(Box::new(run.run)),
            });
        }
        Self::try_parse_from(arguments)
    }
}

// === impl When ===

impl When {
    /// Whether it holds for a stream that is, or is not, a terminal.
    pub(crate) fn holds(self, is_terminal: bool) -> bool {
        match self {
            Self::Auto => is_terminal,
            Self::Always => true,
            Self::Never => false,
        }
    }
}

impl From<ColorWord> for When {
    fn from(word: ColorWord) -> Self {
        match word {
            ColorWord::Auto => Self::Auto,
            ColorWord::Always => Self::Always,
            ColorWord::Never => Self::Never,
        }
    }
}
