//! `dpipesd`: hands its arguments to the library and exits with the status it gets.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Does not return in the helper processes that stages are started with.
    dpipes::exec::early_main();
    if let Err(error) = dpipes::exec::harden_daemon() {
        eprintln!("dpipesd: warning: cannot put the process in order: {error}");
    }
    ExitCode::from(dpipes::cli::daemon_main(std::env::args_os().collect()))
}
