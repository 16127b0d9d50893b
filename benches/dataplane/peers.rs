//! Other programs that move bytes between machines.

use std::process::Command;

use crate::{
    hop::{Ended, Load},
    kit::{Scratch, bash},
    work,
};

/// Names of sides, as tables and bars have them.
pub(crate) const DPIPES: &str = "dpipes";
pub(crate) const REFERENCE: &str = "raw poll and splice";
pub(crate) const SOCAT: &str = "socat";
pub(crate) const LARGE_SOCAT: &str = "socat -b 262144";
pub(crate) const PIPE: &str = "a local pipe";

pub(crate) const SSH: &str = "ssh aes128-gcm";
pub(crate) const KEPT_SSH: &str = "ssh aes128-gcm, ControlMaster";
pub(crate) const PARALLEL: &str = "GNU parallel --pipe, on this machine";
pub(crate) const PARALLEL_SSH: &str = "GNU parallel --pipe -S, over ssh";

/// Half of the reference.
pub(crate) fn relay() -> Command {
    work::command("relay")
}

/// socat between a pipe and a connection, both given as they are.
pub(crate) fn socat(options: &[&str]) -> Command {
    let mut command = Command::new("socat");
    command.args(options).args(["-u", "STDIN", "STDOUT"]);
    command
}

/// GNU parallel between a writer and a reader, with its options.
pub(crate) fn through_parallel(scratch: &Scratch, options: &str, load: &Load) -> Ended {
    let (source, sink) = (work::stage(&load.source), work::stage(&load.sink));
    // Zeros have no lines. Each block is a job, and over ssh a connection of its own.
    let parallel = format!("parallel --will-cite -j1 --pipe --block 16M --recend '' {options} cat");
    let run = bash(scratch, &format!("{source} | {parallel} | {sink}")).run();
    run.assert_status(0);
    let said = run.text().to_owned();
    Ended {
        said,
        cpu: f64::NAN,
    }
}

/// Whether a program can be started; otherwise what to say in its place.
pub(crate) fn missing(program: &str, package: &str) -> Option<String> {
    let found = std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path)
            .chain(["/usr/sbin".into()])
            .any(|folder| folder.join(program).exists())
    });
    (!found)
        .then(|| format!("**Left out: `{program}` is not installed (`apt install {package}`).**"))
}
