//! Comparing things that run on the same machine at the same time.
//!
//! Figures of a shared machine drift by tens of per cent within minutes, so both sides of every comparison take turns within one run, and
//! what is printed are medians and their ratio.

use std::time::{Duration, Instant};

/// What one side measured, one figure for each round.
pub(crate) struct Series {
    name: String,
    figures: Vec<f64>,
}

/// One side of a comparison: its name, and what measures it once.
pub(crate) type Side<'a> = (&'a str, Box<dyn FnMut() -> f64 + 'a>);

/// Rounds to run, unless `DPIPES_BENCH_ROUNDS` says otherwise.
pub(crate) fn rounds(default: usize) -> usize {
    let given = std::env::var("DPIPES_BENCH_ROUNDS").ok();
    given
        .and_then(|rounds| rounds.parse().ok())
        .filter(|&rounds| rounds > 0)
        .unwrap_or(default)
}

/// Lets the sides take turns: one round to warm up, then those that count.
pub(crate) fn interleave(rounds: usize, sides: &mut [Side<'_>]) -> Vec<Series> {
    let mut series: Vec<_> = sides
        .iter()
        .map(|(name, _)| Series {
            name: (*name).to_owned(),
            figures: Vec::with_capacity(rounds),
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
pub(crate) fn report(title: &str, unit: &str, series: &[Series]) {
    println!(
        "\n{title}, {} rounds, {unit}",
        series.first().map_or(0, |series| series.figures.len())
    );
    println!(
        "  {:<44} {:>9} {:>20} {:>7}",
        "", "median", "middle half", "ratio"
    );
    let reference = series.first().map_or(f64::NAN, |series| series.at(0.5));
    for row in series {
        let (low, median, high) = (row.at(0.25), row.at(0.5), row.at(0.75));
        println!(
            "  {:<44} {median:>9.2} {:>20} {:>7.2}",
            row.name,
            format!("{low:.2} to {high:.2}"),
            median / reference
        );
    }
}

impl Series {
    /// The figure below which this share of them lies.
    fn at(&self, share: f64) -> f64 {
        let mut sorted = self.figures.clone();
        sorted.sort_by(f64::total_cmp);
        let index = (share * (sorted.len() - 1) as f64).round() as usize;
        sorted[index]
    }
}
