//! Comparing things that run on the same machine at the same time.
//!
//! Figures of a shared machine drift by tens of per cent within minutes, so both sides of every comparison take turns within one run, and
//! what is printed are medians and their ratio.

mod series;

use std::time::{Duration, Instant};

use self::series::Series;
pub(crate) use self::series::rounds;

/// What one side measured, one figure for each round.
pub(crate) struct Measured {
    name: String,
    figures: Series,
}

/// One side of a comparison: its name, and what measures it once.
pub(crate) type Side<'a> = (&'a str, Box<dyn FnMut() -> f64 + 'a>);

/// Lets the sides take turns: one round to warm up, then those that count.
pub(crate) fn interleave(rounds: usize, sides: &mut [Side<'_>]) -> Vec<Measured> {
    let mut series: Vec<_> = sides
        .iter()
        .map(|(name, _)| Measured {
            name: (*name).to_owned(),
            figures: Series::default(),
        })
        .collect();
    for round in 0..=rounds {
        for ((_, measure), series) in sides.iter_mut().zip(&mut series) {
            let figure = measure();
            if round > 0 {
                series.figures.push(figure);
            }
        }
    }
    series
}

/// How long something takes.
pub(crate) fn time(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// Prints a table: medians, the middle half of the figures, and each median as a multiple of the first row's.
pub(crate) fn report(title: &str, unit: &str, series: &[Measured]) {
    println!(
        "\n{title}, {} rounds, {unit}",
        series.first().map_or(0, |side| side.figures.rounds())
    );
    println!(
        "  {:<44} {:>9} {:>20} {:>7}",
        "", "median", "middle half", "ratio"
    );
    let reference = series.first().map_or(f64::NAN, |side| side.figures.at(0.5));
    for row in series {
        let (low, median, high) = (
            row.figures.at(0.25),
            row.figures.at(0.5),
            row.figures.at(0.75),
        );
        println!(
            "  {:<44} {median:>9.2} {:>20} {:>7.2}",
            row.name,
            format!("{low:.2} to {high:.2}"),
            median / reference
        );
    }
}
