//! `dpipes run` and `dpipes check`.

use std::{
    fs,
    io::{self, IsTerminal, Write},
    sync::Arc,
};

use super::{
    args::{CheckArgs, Global, RunArgs, SharedArgs},
    caret::{Message, Spans},
    console::{Console, ConsoleOptions, say},
    engine::{self, Entry},
    entry::{self, EntryChoice},
    exit, options,
    render::{
        failure::{self, Scene},
        json, objects, status,
        views::{Human, Json, Output, Quiet},
    },
    words::{self, Unquoted},
};
use crate::{
    client::MetadataShown,
    config::{ClientFile, EmbeddedInputs, NEAR, PolicyWord, Surroundings},
    expr,
    id::PipeId,
    wire::message::{Ending, Failure, RefusalKind, RunMode, RunRequest, StderrMode},
};

/// What every subcommand that talks to an entry knows.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    /// This process's surroundings.
    pub surroundings: Arc<Surroundings>,
    /// The client's own file.
    pub file: ClientFile,
    /// What holds for every subcommand.
    pub global: Global,
}

// === impl Context ===

impl Context {
    /// The entry as the arguments want it.
    ///
    /// # Errors
    ///
    /// Returns what is wrong with them.
    pub(crate) fn entry(
        &self,
        args: &super::args::EntryArgs,
        policy: Option<PolicyWord>,
    ) -> Result<Entry, Message> {
        Ok(Entry {
            choice: entry::choose(args, &self.surroundings, &self.file)?,
            embedded: EmbeddedInputs {
                config: self.global.config.clone(),
                registry: entry::registry(args, &self.surroundings, &self.file)?,
                policy,
                ..EmbeddedInputs::default()
            },
            surroundings: Arc::clone(&self.surroundings),
        })
    }

    /// How results are shown.
    pub(crate) fn output(&self, json: bool, wide: bool) -> Box<dyn Output> {
        match (json, self.global.quiet) {
            (true, _) => Box::new(Json),
            (false, true) => Box::new(Quiet),
            (false, false) => Box::new(Human { wide }),
        }
    }
}

/// A pipeline that was typed without quotes, given back in quotes.
pub(crate) fn unquoted(unquoted: &Unquoted) -> Message {
    if let [first, second, ..] = unquoted.words.as_slice()
        && let Some(near) = nearest(first, super::SUBCOMMANDS, NEAR)
        && (second.contains(char::is_whitespace) || second.starts_with('-'))
    {
        return Message::new(format!(
            "`{first}` is no subcommand, and a pipeline is one word, in quotes"
        ))
        .with_help(format!("did you mean the subcommand `dpipes {near}`?"));
    }
    Message::new("a pipeline is one word, in quotes, so that your own shell does not take it apart")
        .with_help(words::quoted_form(unquoted))
}

/// Runs a pipeline and returns the exit status.
pub(crate) async fn run(context: &Context, args: RunArgs) -> u8 {
    match try_run(context, args).await {
        Ok(status) => status,
        Err(message) => {
            say(&message.render(true));
            exit::DPIPES
        }
    }
}

async fn try_run(context: &Context, args: RunArgs) -> Result<u8, Message> {
    let pipeline = pipeline(args.command.as_ref(), &args.words)?;
    let spans = Spans::read(&pipeline)?;
    let report = args.report;
    let (mut request, pipefail) = request(context, &args.shared, &pipeline, RunMode::Run)?;
    let on_terminal = io::stderr().is_terminal();
    request.options.stderr = report.stderr.unwrap_or_default();
    request.options.progress = report.progress.holds(on_terminal) && !context.global.quiet;
    // Files are opened before anything runs, so that a wrong name costs nothing.
    let mut joblog = report
        .joblog
        .as_ref()
        .map(|path| create(&path.display().to_string()))
        .transpose()?;
    let mut record = report.status_fd.map(descriptor).transpose()?;

    let entry = context.entry(&args.shared.entry, args.shared.policy)?;
    // Whoever runs on this machine anyway has the whole environment, as in a shell.
    let session = engine::connect(&entry).await?;
    if session.fell_back || entry.choice == EntryChoice::Embedded {
        request.options.ambient = context
            .surroundings
            .environment
            .clone()
            .into_iter()
            .collect();
    }
    if session.fell_back && on_terminal && !context.global.quiet {
        say("dpipes: no daemon found, ran every stage here (quiet: -q; more: dpipes help start)");
    }
    let console = Console::new(
        io::stderr(),
        ConsoleOptions {
            mode: request.options.stderr,
            tag: report.tag,
            progress: request.options.progress,
            verbose: context.global.verbose > 0,
            quiet: context.global.quiet,
        },
    );
    let pipe = request.pipe;
    let metadata = if args.shared.keep_metadata {
        MetadataShown::Yes
    } else {
        MetadataShown::No
    };
    let ran = engine::run(session, request, metadata, console).await?;
    let outcome = ran.outcome;

    let status = match exit::exit_status(&outcome, pipefail) {
        // Where the reader is gone before the end a local last stage would have been killed by SIGPIPE; that ours was done writing by
        // then is chance.
        exit::OK if ran.stdout_closed => exit::of_signal(rustix::process::Signal::PIPE.as_raw()),
        status => status,
    };
    if let Some(message) = failure::message(
        &outcome,
        Scene {
            source: &pipeline,
            spans: &spans,
        },
    ) {
        let search_path = context.surroundings.variable("PATH");
        let message = or_local_program(message, search_path, &outcome.ending);
        say(&or_subcommand(message, &pipeline, &outcome.ending).render(true));
    }
    if !context.global.quiet {
        for warning in objects::warnings(&outcome.stages, ran.objects.as_ref()) {
            say(&super::caret::printable(&format!("dpipes: {warning}")));
        }
    }
    if report.print_status {
        say(&super::caret::printable(&status::line(&outcome)));
    }
    let written = [
        joblog.as_mut().map(|file| {
            (
                "--joblog",
                file.write_all(status::joblog(&outcome).as_bytes()),
            )
        }),
        record.as_mut().map(|file| {
            (
                "--status-fd",
                file.write_all(
                    json::record(pipe, &outcome, ran.objects.as_ref(), status).as_bytes(),
                ),
            )
        }),
    ];
    let lost = written
        .into_iter()
        .flatten()
        .find_map(|(flag, result)| Some((flag, result.err()?)));
    if let Some((flag, error)) = lost {
        return Err(Message::new(format!(
            "{flag}: {error}; the run itself ended with {status}"
        )));
    }
    Ok(status)
}

/// Negotiates without starting anything and returns the exit status.
pub(crate) async fn check(context: &Context, args: CheckArgs) -> u8 {
    match try_check(context, args).await {
        Ok(status) => status,
        Err(message) => {
            say(&message.render(true));
            exit::PROBLEMS
        }
    }
}

async fn try_check(context: &Context, args: CheckArgs) -> Result<u8, Message> {
    let pipeline = pipeline(None, &args.words)?;
    let spans = Spans::read(&pipeline)?;
    let (request, _) = request(context, &args.shared, &pipeline, RunMode::Check)?;
    let entry = context.entry(&args.shared.entry, args.shared.policy)?;
    let session = engine::connect(&entry).await?;
    let options = ConsoleOptions {
        mode: StderrMode::All,
        tag: false,
        progress: false,
        // The table says what was ignored.
        verbose: false,
        quiet: context.global.quiet,
    };
    let console = Console::new(io::stderr(), options);
    let pipe = request.pipe;
    let report = engine::run(session, request, MetadataShown::No, console).await?;
    let output = context.output(args.json, false);
    super::put(&output.check(pipe, &report.plan, report.agreed_in_ms, &report.outcome))?;
    match failure::message(
        &report.outcome,
        Scene {
            source: &pipeline,
            spans: &spans,
        },
    ) {
        None => Ok(exit::OK),
        Some(message) => {
            if !args.json {
                let search_path = context.surroundings.variable("PATH");
                say(&or_local_program(message, search_path, &report.outcome.ending).render(true));
            }
            Ok(exit::PROBLEMS)
        }
    }
}

/// The pipeline, which is one word.
fn pipeline(forced: Option<&String>, words: &[String]) -> Result<String, Message> {
    match (forced, words) {
        (Some(pipeline), _) => Ok(pipeline.clone()),
        (None, [one]) => Ok(one.clone()),
        (None, []) => Err(Message::new("no pipeline")
            .with_help("as in: dpipes 'seq 5 | sort -r'   (all options: dpipes run --help)")),
        (None, several) => Err(unquoted(&Unquoted {
            before: Vec::new(),
            words: several.to_vec(),
        })),
    }
}

fn request(
    context: &Context,
    args: &SharedArgs,
    pipeline: &str,
    mode: RunMode,
) -> Result<(RunRequest, bool), Message> {
    let asked = options::asked(
        args,
        &context.surroundings.environment,
        &context.file.options(),
    )?;
    let request = RunRequest {
        pipe: PipeId::generate(),
        mode,
        expression: pipeline.to_owned(),
        stdin: mode == RunMode::Run && !args.no_stdin && !io::stdin().is_terminal(),
        options: asked.options,
    };
    Ok((request, asked.pipefail))
}

/// A lone word that no node offers may be a subcommand with a slip.
fn or_subcommand(message: Message, pipeline: &str, ending: &Ending) -> Message {
    let unknown = match ending {
        Ending::Failed(Failure::NoSuchApp { .. }) => true,
        Ending::Failed(Failure::Refused { refusal, .. }) => refusal.kind == RefusalKind::NoSuchApp,
        _ => false,
    };
    let word = pipeline.trim();
    if !unknown || word.contains(char::is_whitespace) {
        return message;
    }
    match nearest(word, super::SUBCOMMANDS, NEAR) {
        Some(near) => message.with_help(format!("did you mean the subcommand `dpipes {near}`?")),
        None => message,
    }
}

/// An app that the nodes would run if they had it: where they run any program, the names of this machine's own are the best guess.
fn or_local_program(message: Message, search_path: Option<&str>, ending: &Ending) -> Message {
    let Ending::Failed(Failure::Refused { refusal, .. }) = ending else {
        return message;
    };
    let app = refusal.wanted.as_str();
    if refusal.kind != RefusalKind::NoSuchApp || expr::shell_only_hint(app).is_some() {
        return message;
    }
    if app.contains('/') {
        return message.with_help("a path is looked up on the node that runs the stage");
    }
    let names = std::env::split_paths(search_path.unwrap_or_default())
        .filter_map(|directory| fs::read_dir(directory).ok())
        .flat_map(|entries| entries.take(MOST_PROGRAMS).flatten())
        .filter_map(|entry| entry.file_name().into_string().ok());
    match nearest(app, names, VERY_NEAR) {
        Some(near) => message.with_help(format!("did you mean `{near}`?")),
        None => message,
    }
}

/// Programs of one directory that are looked at for a suggestion: more than any distribution puts there, and a bound all the same.
const MOST_PROGRAMS: usize = 20_000;

/// How similar a name among thousands must be to be suggested, by Jaro's measure: two letters in the wrong order in a word of four pass,
/// a different word does not.
pub(super) const VERY_NEAR: f64 = 0.87;

/// The name that is most like this word, if it is at least so much like it.
pub(super) fn nearest<T: AsRef<str>>(
    word: &str,
    names: impl IntoIterator<Item = T>,
    least: f64,
) -> Option<T> {
    names
        .into_iter()
        .map(|name| (strsim::jaro(name.as_ref(), word), name))
        .filter(|(likeness, _)| *likeness >= least)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}

fn create(path: &str) -> Result<fs::File, Message> {
    fs::File::create(path).map_err(|error| {
        Message::new(format!("--joblog: cannot write {path}: {error}"))
            .with_help("nothing was started; name a file in a directory that is there and yours")
    })
}

/// Opens an inherited descriptor by its number.
fn descriptor(number: u32) -> Result<fs::File, Message> {
    let opened = fs::OpenOptions::new()
        .write(true)
        .open(format!("/proc/self/fd/{number}"));
    opened.map_err(|error| {
        Message::new(format!(
            "--status-fd: descriptor {number} cannot be written: {error}"
        ))
        .with_help("open it first, as in: dpipes --status-fd 3 '...' 3>status.json")
    })
}
