//! Figures of one thing, one for each round.

use serde::{Deserialize, Serialize};

/// What was measured, one figure for each round.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Vec<Option<f64>>", into = "Vec<Option<f64>>")]
pub(crate) struct Series(Vec<f64>);

/// Rounds to run, unless `DPIPES_BENCH_ROUNDS` says otherwise.
pub(crate) fn rounds(default: usize) -> usize {
    let given = std::env::var("DPIPES_BENCH_ROUNDS").ok();
    given
        .and_then(|rounds| rounds.parse().ok())
        .filter(|&rounds| rounds > 0)
        .unwrap_or(default)
}

impl Series {
    /// Adds the figure of a round.
    pub(crate) fn push(&mut self, figure: f64) {
        self.0.push(figure);
    }

    /// How many rounds there were.
    pub(crate) const fn rounds(&self) -> usize {
        self.0.len()
    }

    /// The figure below which this share of them lies; not a number if there is none.
    pub(crate) fn at(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let index = (share * sorted.len().saturating_sub(1) as f64).round() as usize;
        sorted.get(index).copied().unwrap_or(f64::NAN)
    }
}

// JSON has no word for what is not a number.

impl From<Vec<Option<f64>>> for Series {
    fn from(figures: Vec<Option<f64>>) -> Self {
        figures
            .into_iter()
            .map(|figure| figure.unwrap_or(f64::NAN))
            .collect()
    }
}

impl From<Series> for Vec<Option<f64>> {
    fn from(series: Series) -> Self {
        let figure = |figure: f64| (!figure.is_nan()).then_some(figure);
        series.0.into_iter().map(figure).collect()
    }
}

/// What is made of two series round by round: figures of one round were taken side by side.
impl FromIterator<f64> for Series {
    fn from_iter<I: IntoIterator<Item = f64>>(figures: I) -> Self {
        Self(figures.into_iter().collect())
    }
}

impl<'a> IntoIterator for &'a Series {
    type Item = &'a f64;
    type IntoIter = std::slice::Iter<'a, f64>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}
