//! The command line: arguments, subcommands, what is printed, exit statuses.
//!
//! Standard output carries the last stage's bytes, or what a subcommand was asked for, and nothing else; all other words go to standard
//! error.

use std::io::{self, Write};

mod args;
mod caret;
mod client;
mod color;
mod console;
mod daemon;
mod daemon_args;
mod daemonize;
mod doctor;
mod engine;
mod entry;
pub mod exit;
mod greeting;
mod healthcheck;
mod holder;
mod lab;
mod manual;
mod notify;
mod options;
pub(crate) mod pipes;
mod process;
mod ready;
pub(crate) mod render;
mod run;
mod serve;
mod telemetry;
mod top;
mod topics;
mod words;

pub use self::{client::client_main, daemon::daemon_main};

use self::caret::Message;

/// The subcommands of `dpipesd`, for suggestions.
const DAEMON_SUBCOMMANDS: [&str; 5] = ["config", "reload", "stop", "status", "healthcheck"];

/// The subcommands, for suggestions.
const SUBCOMMANDS: [&str; 15] = [
    "run",
    "check",
    "nodes",
    "ps",
    "top",
    "inspect",
    "kill",
    "apps",
    "lab",
    "doctor",
    "config",
    "completions",
    "man",
    "help",
    "version",
];

/// Shows what clap has against the arguments. Its advice to pass a misspelt option as a value is left out, for nobody means that, and a
/// word that is nearly a subcommand is told so.
fn say_usage(mut error: clap::Error, subcommands: &[&str]) {
    use clap::error::{ContextKind, ContextValue};
    let word = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(word)) => word.clone(),
        _ => String::new(),
    };
    if word.starts_with('-') {
        error.remove(ContextKind::Suggested);
    } else if let Some(near) = run::nearest(&word, subcommands, crate::config::NEAR) {
        error.insert(
            ContextKind::SuggestedSubcommand,
            ContextValue::String((*near).to_owned()),
        );
    }
    // A standard error that is gone is nobody's concern.
    let _gone = error.print();
}

/// Writes what a subcommand was asked for. A reader that has seen enough is no error.
fn put(text: &str) -> Result<(), Message> {
    put_more(text).map(|_read| ())
}

/// Writes what is one of several, and returns whether anybody reads on.
fn put_more(text: &str) -> Result<bool, Message> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Message::new(format!(
            "cannot write to standard output: {error}"
        ))),
    }
}

/// Writes what a subcommand was asked for and returns its exit status.
fn put_or_status(text: &str) -> u8 {
    match put(text) {
        Ok(()) => exit::OK,
        Err(message) => {
            console::say(&message.render(true));
            exit::FAILED
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn definitions_of_arguments_are_sound() {
        args::Cli::command().debug_assert();
        daemon_args::DaemonCli::command().debug_assert();
    }

    #[test]
    fn every_subcommand_is_known_to_suggestions_and_has_two_examples() {
        fn check(command: &clap::Command) {
            for sub in command.get_subcommands() {
                let help = sub
                    .get_after_help()
                    .map(ToString::to_string)
                    .unwrap_or_default();
                assert!(
                    help.lines().filter(|line| line.starts_with("  ")).count() >= 2,
                    "{}",
                    sub.get_name()
                );
                check(sub);
            }
        }
        let cli = args::Cli::command();
        let names: Vec<&str> = cli.get_subcommands().map(clap::Command::get_name).collect();
        assert_eq!(names, SUBCOMMANDS);
        check(&cli);
        let daemon = daemon_args::DaemonCli::command();
        let names: Vec<&str> = daemon
            .get_subcommands()
            .map(clap::Command::get_name)
            .collect();
        assert_eq!(names, DAEMON_SUBCOMMANDS);
        check(&daemon);
    }

    /// What `--help` prints, as it is laid out for a terminal of 100 columns.
    fn help(command: clap::Command) -> String {
        command.term_width(100).render_help().to_string()
    }

    #[test]
    fn help_of_dpipes_begins_with_how_to_run_a_pipeline() {
        insta::assert_snapshot!(help(args::Cli::command()));
    }

    #[test]
    fn help_of_dpipesd_begins_with_how_to_start_one() {
        insta::assert_snapshot!(help(daemon_args::DaemonCli::command()));
    }
}
