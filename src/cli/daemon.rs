//! `dpipesd`: what each way of calling it does.

use std::{
    cell::Cell,
    ffi::OsString,
    num::NonZero,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use clap::Parser;
use rustix::process::Signal;
use serde_json::json;

use super::{
    color,
    console::say,
    daemon_args::{DaemonCli, DaemonCommand, DaemonConfig},
    daemonize,
    engine::StartError,
    exit,
    greeting::{absent, advice, banner},
    healthcheck,
    notify::Manager,
    process,
    ready::{Failed, Ready},
    render::json,
    serve::{self, Reloader},
    telemetry,
};
use crate::{
    config::{self, ConfigError, Facts, Loaded, Surroundings},
    daemon::settings::Listen,
};

/// How long `dpipesd stop` waits beyond the drain timeout: the kill grace of the last stages and the closing of sessions.
const STOP_MARGIN: Duration = Duration::from_secs(15);

/// Runs `dpipesd` with these arguments, the program's name first, and returns its exit status.
#[must_use]
pub fn daemon_main(arguments: Vec<OsString>) -> u8 {
    let cli = match DaemonCli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) if !error.use_stderr() => {
            // Help that nobody reads any more is no failure.
            let _gone = error.print();
            return exit::OK;
        }
        Err(error) => {
            super::say_usage(error, &super::DAEMON_SUBCOMMANDS);
            return exit::USAGE;
        }
    };
    color::choose(cli.options.color.unwrap_or_default());
    let surroundings = match Surroundings::of_this_process() {
        Ok(surroundings) => Arc::new(surroundings),
        Err(error) => {
            return fail(
                exit::FAILED,
                &format!("cannot find the current directory: {error}"),
            );
        }
    };
    let loaded = config::load(&surroundings, &cli.flags(), &Facts::of_this_machine());
    match &cli.command {
        Some(DaemonCommand::Config(command)) => {
            with(loaded, |loaded| configuration(command, &loaded))
        }
        Some(DaemonCommand::Reload) => match loaded {
            Ok(loaded) => reload(&loaded.process.pid_file),
            Err(error) => {
                say(&error.render(true));
                say("note: dpipesd was not told; it keeps the configuration that it has");
                exit::CONFIG
            }
        },
        Some(DaemonCommand::Stop) => stop(&Known::of(&cli, loaded, &surroundings)),
        Some(DaemonCommand::Status { json }) => {
            status(&Known::of(&cli, loaded, &surroundings), *json)
        }
        Some(DaemonCommand::Healthcheck { json }) => {
            let known = Known::of(&cli, loaded, &surroundings);
            healthcheck::run(&known, *json)
        }
        None if cli.options.foreground => foreground(&cli, startable(loaded), surroundings),
        None => with(startable(loaded), |loaded| {
            background(&arguments, &loaded, &surroundings)
        }),
    }
}

/// A configuration with the files that a start takes.
fn startable(loaded: Result<Loaded, ConfigError>) -> Result<Loaded, ConfigError> {
    loaded.and_then(|loaded| loaded.check_files().map(|()| loaded))
}

fn with(loaded: Result<Loaded, ConfigError>, go_on: impl FnOnce(Loaded) -> u8) -> u8 {
    match loaded {
        Ok(loaded) => go_on(loaded),
        Err(error) => {
            say(&error.render(true));
            exit::CONFIG
        }
    }
}

fn fail(status: u8, message: &str) -> u8 {
    say(&super::caret::Message::new(message).render(true));
    status
}

fn fail_with(status: u8, message: &str, help: &str) -> u8 {
    say(&super::caret::Message::new(message)
        .with_help(help)
        .render(true));
    status
}

fn configuration(command: &DaemonConfig, loaded: &Loaded) -> u8 {
    let text = match command {
        DaemonConfig::Show { origin } => loaded.layers.show(*origin),
        DaemonConfig::Check => {
            let files: Vec<_> = loaded
                .files
                .iter()
                .map(|file| format!("  {}\n", file.display()))
                .collect();
            let notes: String = loaded
                .notes
                .iter()
                .cloned()
                .chain(absent(loaded))
                .map(|note| format!("note: {note}\n"))
                .chain(
                    loaded
                        .settings
                        .warnings()
                        .into_iter()
                        .map(|warning| format!("warning: {warning}\n")),
                )
                .collect();
            format!(
                "{notes}the configuration is fine; files read: {}\n{}",
                files.len(),
                files.concat()
            )
        }
    };
    super::put_or_status(&text)
}

/// What `stop`, `status` and `healthcheck` need of the configuration. A wrong one must not keep a daemon from being stopped, nor make one
/// unhealthy that runs with an older one.
pub(super) struct Known {
    pub pid_file: PathBuf,
    /// The unix sockets where it listens.
    pub sockets: Vec<PathBuf>,
    /// Whether the configuration is wrong, so that all of this is a guess.
    pub is_guess: bool,
    pub drain_timeout: Duration,
}

impl Known {
    fn of(
        cli: &DaemonCli,
        loaded: Result<Loaded, ConfigError>,
        surroundings: &Surroundings,
    ) -> Self {
        match loaded {
            Ok(loaded) => Self {
                pid_file: loaded.process.pid_file,
                is_guess: false,
                sockets: loaded
                    .settings
                    .listen
                    .into_iter()
                    .filter_map(|listen| match listen {
                        Listen::Unix { path, .. } => Some(path),
                        Listen::Tcp(_) => None,
                    })
                    .collect(),
                drain_timeout: loaded.settings.drain_timeout,
            },
            Err(_) => {
                let said = cli.options.pid_file.as_deref();
                let said = said.or_else(|| surroundings.variable("DPIPES_PID_FILE").map(Path::new));
                Self {
                    pid_file: said.map_or_else(
                        || surroundings.default_pid_file(),
                        |path| surroundings.cwd.join(path),
                    ),
                    is_guess: true,
                    sockets: vec![surroundings.default_socket()],
                    drain_timeout: config::DEFAULT_DRAIN_TIMEOUT,
                }
            }
        }
    }
}

fn reload(pid_file: &Path) -> u8 {
    match running(pid_file) {
        // The file was read above: a wrong one does not even reach the daemon.
        Ok(handle) => match handle.signal(Signal::HUP) {
            Ok(()) => super::put_or_status(&format!(
                "dpipesd (pid {}) reads its configuration again\n",
                handle.pid
            )),
            Err(error) => fail(
                exit::FAILED,
                &format!("cannot signal dpipesd (pid {}): {error}", handle.pid),
            ),
        },
        Err(status) => status,
    }
}

fn stop(known: &Known) -> u8 {
    let handle = match running(&known.pid_file) {
        Ok(handle) => handle,
        Err(status) => return status,
    };
    let patience = known.drain_timeout + STOP_MARGIN;
    match handle
        .signal(Signal::TERM)
        .and_then(|()| handle.wait(patience))
    {
        Ok(true) => super::put_or_status(&format!("dpipesd (pid {}) stopped\n", handle.pid)),
        Ok(false) => fail_with(
            exit::FAILED,
            &format!("dpipesd (pid {}) still runs after {patience:?}", handle.pid),
            "a second request ends it at once: dpipesd stop",
        ),
        Err(error) => fail(
            exit::FAILED,
            &format!("cannot stop dpipesd (pid {}): {error}", handle.pid),
        ),
    }
}

fn status(known: &Known, as_json: bool) -> u8 {
    let path = &known.pid_file;
    let handle = match process::holder(path) {
        Ok(handle) => handle,
        Err(error) => {
            return fail(
                exit::FAILED,
                &format!("cannot read {}: {error}", path.display()),
            );
        }
    };
    let pid = handle.as_ref().map(|handle| handle.pid);
    let text = match (as_json, pid) {
        (true, _) => json::line(
            "daemon",
            json!({ "running": pid.is_some(), "pid": pid, "pid_file": path }),
        ),
        (false, Some(pid)) => format!("dpipesd runs (pid {pid})\n"),
        (false, None) => format!(
            "dpipesd does not run (no process holds {})\n",
            path.display()
        ),
    };
    match super::put_or_status(&text) {
        exit::OK if pid.is_some() => exit::OK,
        exit::OK => exit::FAILED,
        failed => failed,
    }
}

fn running(path: &Path) -> Result<process::Handle, u8> {
    match process::holder(path) {
        Ok(Some(handle)) => Ok(handle),
        Ok(None) => Err(fail_with(
            exit::FAILED,
            &format!("dpipesd does not run: no process holds {}", path.display()),
            "start it: dpipesd   or name another one: --pid-file FILE",
        )),
        Err(error) => Err(fail(
            exit::FAILED,
            &format!("cannot read {}: {error}", path.display()),
        )),
    }
}

fn background(arguments: &[OsString], loaded: &Loaded, surroundings: &Surroundings) -> u8 {
    for note in &loaded.notes {
        say(&format!("note: {note}"));
    }
    if surroundings.variable("NOTIFY_SOCKET").is_some() {
        say(
            "note: NOTIFY_SOCKET is set, and a daemon in the background tells no service manager that it is ready: let it start dpipesd --foreground",
        );
    }
    let log = loaded
        .process
        .log_file
        .clone()
        .unwrap_or_else(|| surroundings.default_log_file());
    if loaded.settings.discovery.required {
        say(
            "note: dpipesd is ready once every registry has answered and accepted it, for `discovery: required` asks for that; dpipesd stop ends the wait",
        );
    }
    match daemonize::start(arguments.get(1..).unwrap_or_default(), &log) {
        Ok(started) => {
            for note in absent(loaded) {
                say(&format!("note: {note}"));
            }
            let banner = banner(loaded, &started.addresses, started.pid);
            let stop = how_to_stop(loaded, surroundings, started.pid);
            super::put_or_status(&format!(
                "{banner}    log: {}    stop: {stop}\n{}",
                log.display(),
                advice(loaded)
            ))
        }
        Err(Failed { status, message }) => {
            // What the daemon says of itself is laid out already.
            if message.starts_with("error") {
                say(&message);
            } else {
                return fail_with(
                    status,
                    &message,
                    help_for(status).unwrap_or("more is in the log"),
                );
            }
            status
        }
    }
}

/// The command that stops the daemon that was just started. Where another one holds the pid file, `dpipesd stop` would end that one.
fn how_to_stop(loaded: &Loaded, surroundings: &Surroundings, pid: u32) -> String {
    let path = &loaded.process.pid_file;
    let holder = process::holder(path).ok().flatten();
    match holder {
        Some(holder) if u32::try_from(holder.pid) == Ok(pid) => {
            if *path == surroundings.default_pid_file() {
                "dpipesd stop".to_owned()
            } else {
                format!("dpipesd stop --pid-file {}", path.display())
            }
        }
        Some(other) => {
            say(&format!(
                "note: another dpipesd (pid {}) holds {}, so this one has no pid file, and `dpipes` without --connect uses that one",
                other.pid,
                path.display()
            ));
            format!("kill {pid}")
        }
        None => format!("kill {pid}"),
    }
}

fn foreground(
    cli: &DaemonCli,
    loaded: Result<Loaded, ConfigError>,
    surroundings: Arc<Surroundings>,
) -> u8 {
    let detached = cli.options.detached;
    let refuse = |status: u8, message: String| {
        if detached {
            // The parent shows it; if it is gone, nobody is left to be told.
            let _gone = daemonize::tell(&Ready::Failed(Failed { status, message }));
        } else {
            say(&message);
        }
        status
    };
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(error) => return refuse(exit::CONFIG, error.render(!detached)),
    };
    let error_text = |message: String| super::caret::Message::new(message).render(!detached);
    let process = &loaded.process;
    // In the background standard error is the log already.
    let log_file = process.log_file.as_deref().filter(|_| !detached);
    if let Err(error) = telemetry::start(
        process.log_level,
        process.log_format,
        log_file,
        surroundings.variable("DPIPES_LOG"),
    ) {
        return refuse(
            exit::FAILED,
            error_text(format!("cannot start the log: {error}")),
        );
    }
    if detached && let Err(error) = daemonize::enter_background() {
        return refuse(
            exit::FAILED,
            error_text(format!("cannot go to the background: {error}")),
        );
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers())
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            return refuse(
                exit::FAILED,
                error_text(format!("cannot start threads: {error}")),
            );
        }
    };
    let manager = Manager::of(&surroundings);
    let reloader = Reloader {
        surroundings,
        flags: cli.flags(),
    };
    let shown = loaded.clone();
    let is_ready = Cell::new(false);
    let served = runtime.block_on(serve::serve(loaded, reloader, manager, |addresses| {
        is_ready.set(true);
        if !detached {
            // For whoever started it by hand; a script reads standard output.
            say(&banner(&shown, addresses, std::process::id()));
        }
        daemonize::tell(&Ready::Listening {
            addresses: addresses.to_vec(),
        })?;
        if detached {
            return daemonize::close_stdout();
        }
        Ok(())
    }));
    // Tasks that did not end in time must not hold the process.
    runtime.shutdown_background();
    match served {
        Ok(status) => {
            if detached && !is_ready.get() {
                let message = "it was told to leave before every registry had answered, which `discovery: required` asks for";
                // If the parent is gone, nobody is left to be told.
                let _gone = daemonize::tell(&Ready::Failed(Failed {
                    status: exit::FAILED,
                    message: message.to_owned(),
                }));
            }
            status
        }
        Err(StartError { message, status }) => {
            let message = super::caret::Message {
                help: help_for(status).map(str::to_owned),
                ..super::caret::Message::new(message)
            };
            refuse(status, message.render(!detached))
        }
    }
}

/// Threads on which the daemon's tasks run: one for every two processors. The others are for the apps, and a task that runs where its
/// session is read need not be woken across processors (docs/decisions/0022).
fn workers() -> usize {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    (processors / 2).max(1)
}

/// One next step for a daemon that did not start.
fn help_for(status: u8) -> Option<&'static str> {
    match status {
        exit::UNAVAILABLE => Some(
            "does a dpipesd run already? dpipesd status   or listen elsewhere: --listen 127.0.0.1:0",
        ),
        exit::NO_PERMISSION => {
            Some("name an address, or a file, that this user may use; ports below 1024 are root's")
        }
        exit::CONFIG => Some("look for errors: dpipesd config check"),
        _ => None,
    }
}
