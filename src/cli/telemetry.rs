//! Where events go: text or JSON lines, to standard error or a file.

use std::{fs, io, os::unix::fs::OpenOptionsExt, path::Path, sync::Mutex};

use tracing_subscriber::{EnvFilter, fmt::format::FmtSpan};

use crate::config::{LogFormat, LogLevel};

/// Sets up the process's log. `directives` is the text of `DPIPES_LOG` and wins over the level.
///
/// # Errors
///
/// Returns why the file cannot be written, or what is wrong with the directives.
pub(crate) fn start(
    level: LogLevel,
    format: LogFormat,
    file: Option<&Path>,
    directives: Option<&str>,
) -> io::Result<()> {
    let level = match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    };
    let filter = EnvFilter::try_new(directives.unwrap_or(level)).map_err(|error| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("$DPIPES_LOG: {error}"))
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_span_events(FmtSpan::NONE)
        .with_target(false);
    let started = match (format, file) {
        (LogFormat::Text, None) => builder
            .with_ansi(is_terminal())
            .with_writer(io::stderr)
            .try_init(),
        (LogFormat::Json, None) => builder.json().with_writer(io::stderr).try_init(),
        (LogFormat::Text, Some(path)) => builder
            .with_ansi(false)
            .with_writer(Mutex::new(open(path)?))
            .try_init(),
        (LogFormat::Json, Some(path)) => builder
            .json()
            .with_writer(Mutex::new(open(path)?))
            .try_init(),
    };
    started.map_err(io::Error::other)
}

fn is_terminal() -> bool {
    io::IsTerminal::is_terminal(&io::stderr())
}

/// Opens a log for appending and makes its directory; what apps print may stand in it, so it is for this user only.
///
/// # Errors
///
/// Returns why it cannot be written.
pub(crate) fn open(path: &Path) -> io::Result<fs::File> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    fs::OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
}
