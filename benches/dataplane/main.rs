//! What the data plane costs beside the tools that do the same, and beside what the kernel lets a relay do at best.
//!
//! `cargo bench --bench dataplane` measures every figure, `cargo bench --bench dataplane -- one-hop lines` those that are named; with
//! `-- --list` they are listed. `DPIPES_BENCH_ROUNDS` is for more or fewer rounds than a figure has by itself. Both sides of every
//! comparison take turns within one run.
//!
//! The tables go to `target/bench/dataplane.md`, with `.json` for programs and `.svg` to look at. What is not installed is left out, and
//! the table says so. `-- --fill FILE` measures nothing and puts the tables into a text.

#[path = "../../tests/suite/kit/mod.rs"]
#[expect(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "the suite uses all of the kit, a bench only some"
)]
mod kit;
#[path = "../measure"]
mod measure {
    //! Rounds, bars, tables and the plot.
    pub(crate) mod contest;
    pub(crate) mod cpu;
    mod plot;
    pub(crate) mod report;
    pub(crate) mod series;
    mod table;
}
mod crowd;
mod figures;
mod hop;
mod peers;
mod ssh;
mod work;

use std::{env, process::ExitCode};

use measure::report::Report;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [first, rest @ ..] = arguments.as_slice()
        && first == work::WORK
    {
        return work::run(rest);
    }
    // cargo says to every bench that it is one.
    let wanted: Vec<_> = arguments.iter().filter(|word| *word != "--bench").collect();
    let order = figures::ALL.map(|(name, _)| name);
    if wanted.iter().any(|word| *word == "--list") {
        println!("{}", order.join("\n"));
        return ExitCode::SUCCESS;
    }
    let report = Report::of("dataplane").expect("a folder for what is measured");
    if let [option, path] = wanted.as_slice()
        && *option == "--fill"
    {
        report.fill(path.as_ref(), &order).expect("a text to fill");
        return ExitCode::SUCCESS;
    }
    if let Some(unknown) = wanted.iter().find(|word| !order.contains(&word.as_str())) {
        eprintln!(
            "no figure is called {unknown}; there are: {}",
            order.join(", ")
        );
        return ExitCode::FAILURE;
    }
    if wanted.is_empty() {
        order
            .iter()
            .try_for_each(|figure| report.forget(figure))
            .expect("old figures go");
    }
    let mut said = String::new();
    for (name, measure) in figures::ALL {
        if wanted.is_empty() || wanted.iter().any(|word| *word == name) {
            eprintln!("{name}");
            report.keep(name, &measure()).expect("the figures are kept");
            // After each, so that what was measured stays when a later one fails.
            said = report.write(&order).expect("the report is written");
        }
    }
    println!("{said}");
    ExitCode::SUCCESS
}
