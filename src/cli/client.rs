//! `dpipes`: what each subcommand does.

use std::{ffi::OsString, fmt::Write as _, sync::Arc};

use clap::CommandFactory;
use serde_json::json;

use super::{
    args::{Cli, Command, ConfigCommand, EntryArgs, QueryArgs},
    caret::Message,
    color,
    console::say,
    doctor, engine, exit, lab, manual, pipes,
    render::{json, text::plural},
    run::{self, Context},
    top, topics, words,
};
use crate::{
    config::{ClientFile, ConfigError, Surroundings},
    id::NodeId,
    wire::message::{Query, Reply},
};

/// Runs `dpipes` with these arguments, the program's name first, and returns its exit status.
#[must_use]
pub fn client_main(arguments: Vec<OsString>) -> u8 {
    let surroundings = match Surroundings::of_this_process() {
        Ok(surroundings) => Arc::new(surroundings),
        Err(error) => {
            say(&Message::new(format!("cannot find the current directory: {error}")).render(true));
            return exit::DPIPES;
        }
    };
    let meant = words::understand(arguments, surroundings.variable("DPIPES_OPTS"));
    let usage = if meant.is_run {
        exit::DPIPES
    } else {
        exit::USAGE
    };
    let cli = match Cli::parse_spelled(&meant.arguments) {
        Ok(cli) => cli,
        Err(error) if !error.use_stderr() => {
            // Help that nobody reads any more is no failure.
            let _gone = error.print();
            return exit::OK;
        }
        Err(error) => {
            match &meant.unquoted {
                Some(unquoted) => say(&run::unquoted(unquoted).render(true)),
                None => super::say_usage(error, &super::SUBCOMMANDS),
            }
            return usage;
        }
    };
    let file = ClientFile::load(&surroundings);
    let configured = file.as_ref().ok().and_then(|file| file.color);
    color::choose(
        cli.global
            .color
            .or_else(|| configured.map(Into::into))
            .unwrap_or_default(),
    );
    // Help must be there also when the configuration is not.
    if let Some(status) = without_configuration(&cli.command, &surroundings, &file) {
        return status;
    }
    let context = match file {
        Ok(file) => Context {
            surroundings,
            file,
            global: cli.global,
        },
        Err(error) => {
            say(&error.render(true));
            return if meant.is_run {
                exit::DPIPES
            } else {
                exit::FAILED
            };
        }
    };
    // One thread: a client waits for its entry most of the time, and what it moves goes through threads of its own. Others would only wake
    // each other at every message.
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            say(&Message::new(format!("cannot start threads: {error}")).render(true));
            return usage;
        }
    };
    let status = runtime.block_on(with_configuration(&context, cli.command));
    // A read of stdin that nobody needs any more must not hold the process.
    runtime.shutdown_background();
    status
}

/// The subcommands that need no client's file.
fn without_configuration(
    command: &Command,
    surroundings: &Surroundings,
    file: &Result<ClientFile, ConfigError>,
) -> Option<u8> {
    Some(match command {
        Command::Lab(command) => lab::run(command, surroundings),
        Command::Completions { shell } => put_bytes(&manual::completions(*shell)),
        Command::Man { dir: None } => match manual::page() {
            Ok(page) => put_bytes(&page),
            Err(error) => failed(&Message::new(format!("cannot make the page: {error}"))),
        },
        Command::Man { dir: Some(dir) } => match manual::write_pages(dir) {
            Ok(number) => {
                super::put_or_status(&format!("{number} pages written to {}\n", dir.display()))
            }
            Err(error) => failed(&Message::new(format!(
                "cannot write pages to {}: {error}",
                dir.display()
            ))),
        },
        Command::Help { topic } => help(topic.as_deref()),
        Command::Version { json } => version(*json),
        Command::Config(ConfigCommand::Path) => match surroundings.client_file() {
            Some(path) => super::put_or_status(&format!("{}\n", path.display())),
            None => failed(
                &Message::new("there is no home directory")
                    .with_help("set HOME or XDG_CONFIG_HOME"),
            ),
        },
        Command::Config(ConfigCommand::Check) => match file {
            Ok(_) => return None,
            Err(error) => {
                say(&error.render(true));
                exit::FAILED
            }
        },
        _ => return None,
    })
}

async fn with_configuration(context: &Context, command: Command) -> u8 {
    match command {
        Command::Run(args) => run::run(context, *args).await,
        Command::Check(args) => run::check(context, *args).await,
        Command::Nodes(args) => asked(context, &args, Query::Nodes).await,
        Command::Apps(args) => {
            let query = args.app.map_or(Query::Apps, |app| Query::App { app });
            asked(context, &args.query, query).await
        }
        Command::Ps(args) => pipes::ps(context, &args).await,
        Command::Top(args) => top::run(context, &args).await,
        Command::Inspect(args) => pipes::inspect(context, &args).await,
        Command::Kill(args) => pipes::kill(context, &args).await,
        Command::Doctor(args) => doctor::run(context, &args).await,
        Command::Config(ConfigCommand::Show { json }) => show(context, json),
        Command::Config(_) => match doctor::embedded_is_fine(context) {
            Ok(()) => super::put_or_status("the configuration is fine\n"),
            Err(error) => {
                say(&error.render(true));
                exit::FAILED
            }
        },
        Command::Lab(_)
        | Command::Completions { .. }
        | Command::Man { .. }
        | Command::Help { .. }
        | Command::Version { .. } => {
            unreachable!("these need no configuration and are done")
        }
    }
}

pub(super) fn failed(message: &Message) -> u8 {
    say(&message.render(true));
    exit::FAILED
}

fn put_bytes(bytes: &[u8]) -> u8 {
    super::put_or_status(&String::from_utf8_lossy(bytes))
}

async fn asked(context: &Context, args: &QueryArgs, query: Query) -> u8 {
    match ask(context, &args.entry, query).await {
        Ok(reply) => {
            let output = context.output(args.json, args.wide);
            match reply {
                Reply::Nodes { nodes, sources } => {
                    super::put_or_status(&output.nodes(&nodes, &sources))
                }
                Reply::Apps { apps, any, sources } => {
                    super::put_or_status(&output.apps(&apps, &any, &sources))
                }
                Reply::App {
                    app,
                    offers,
                    any,
                    near,
                    sources,
                } => {
                    let status = super::put_or_status(&output.app(&app, &offers, &any, &sources));
                    if offers.is_empty() && any.is_empty() {
                        return failed(&nobody_offers(&app, &near));
                    }
                    status
                }
                _ => failed(&not_known()),
            }
        }
        Err(message) => failed(&message),
    }
}

/// For an answer that is none.
pub(super) fn not_known() -> Message {
    Message::new("the entry does not know this question").with_help("upgrade it: dpipesd --version")
}

fn nobody_offers(app: &str, near: &[(String, Vec<NodeId>)]) -> Message {
    let message = Message::new(format!("no node offers the app `{app}`"));
    let near: Vec<String> = near
        .iter()
        .map(|(name, nodes)| format!("`{name}` ({})", plural(nodes.len() as u64, "node")))
        .collect();
    if near.is_empty() {
        return message.with_help("what the nodes offer: dpipes apps");
    }
    message.with_help(format!("did you mean {}?", near.join(" or ")))
}

async fn ask(context: &Context, args: &EntryArgs, query: Query) -> Result<Reply, Message> {
    let session = engine::connect(&context.entry(args, None)?).await?;
    engine::query(session, query).await
}

fn show(context: &Context, as_json: bool) -> u8 {
    if as_json {
        return super::put_or_status(&json::line("client-config", json!(context.file)));
    }
    match serde_yaml::to_string(&context.file) {
        Ok(text) => super::put_or_status(&text),
        Err(error) => failed(&Message::new(error.to_string())),
    }
}

fn version(as_json: bool) -> u8 {
    let version = env!("CARGO_PKG_VERSION");
    let target = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS);
    super::put_or_status(&if as_json {
        json::line("version", json!({ "version": version, "target": target }))
    } else {
        format!("dpipes {version} ({target})\n")
    })
}

fn help(topic: Option<&str>) -> u8 {
    let Some(topic) = topic else {
        let mut text = Cli::command().render_help().to_string();
        let names: Vec<&str> = topics::TOPICS.iter().map(|(name, _)| *name).collect();
        let _ = writeln!(text, "\nTopics: dpipes help {}", names.join("|"));
        return super::put_or_status(&text);
    };
    if let Some(text) = topics::text(topic) {
        return super::put_or_status(text);
    }
    let mut cli = Cli::command();
    cli.build();
    if let Some(sub) = cli.find_subcommand_mut(topic) {
        return super::put_or_status(&sub.render_help().to_string());
    }
    let known: Vec<&str> = topics::TOPICS
        .iter()
        .map(|(name, _)| *name)
        .chain(super::SUBCOMMANDS)
        .collect();
    say(&Message::new(format!("no help about `{topic}`"))
        .with_help(format!("there is: {}", known.join(", ")))
        .render(true));
    exit::USAGE
}
