//! `dpipes`: hands its arguments to the library and exits with the status it gets.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Does not return in the helper processes that stages are started with.
    dpipes::exec::early_main();
    ExitCode::from(dpipes::cli::client_main(std::env::args_os().collect()))
}
