//! Sides that take turns, several figures of each, and the bars that they have to reach.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::series::Series;

/// What is measured of every side: its name with the unit.
pub(crate) type Metric = &'static str;

/// One side: its name, and what measures it once, a figure for each metric. Not a number stands for what this side does not have.
pub(crate) type Side<'a> = (&'a str, Box<dyn FnMut() -> Vec<f64> + 'a>);

/// A comparison that was made.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Contest {
    /// A sentence on what was done.
    pub(crate) title: String,
    pub(crate) metrics: Vec<String>,
    pub(crate) sides: Vec<Measured>,
    pub(crate) bars: Vec<Bar>,
    /// What was left out, and why.
    pub(crate) notes: Vec<String>,
    /// When it was made, in seconds of the epoch.
    pub(crate) at: u64,
}

/// What was measured of one side.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) name: String,
    /// One for each metric.
    pub(crate) series: Vec<Series>,
}

/// What a figure has to be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Must {
    /// At least so many times the peer's.
    BeTimes(f64),
    /// At most so many times the peer's.
    BeAtMostTimes(f64),
    /// At most so much more than the peer's.
    ExceedByAtMost(f64),
    /// At most this.
    BeAtMost(f64),
}

/// A bar, and how it was met.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Bar {
    pub(crate) side: String,
    pub(crate) peer: String,
    pub(crate) metric: usize,
    pub(crate) must: Must,
    /// What is held against the bar, of each round.
    pub(crate) measured: Series,
}

// === impl Contest ===

impl Contest {
    /// Lets the sides take turns: one round to warm up, then those that count.
    pub(crate) fn hold(
        title: &str,
        metrics: &[Metric],
        rounds: usize,
        sides: &mut [Side<'_>],
    ) -> Self {
        let measured = |(name, _): &Side<'_>| Measured {
            name: (*name).to_owned(),
            series: vec![Series::default(); metrics.len()],
        };
        let mut contest = Self {
            title: title.to_owned(),
            metrics: metrics.iter().map(|&metric| metric.to_owned()).collect(),
            sides: sides.iter().map(measured).collect(),
            bars: Vec::new(),
            notes: Vec::new(),
            at: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
        };
        for round in 0..=rounds {
            for ((name, measure), side) in sides.iter_mut().zip(&mut contest.sides) {
                let figures = measure();
                assert_eq!(figures.len(), metrics.len(), "the figures of {name}");
                let shown: Vec<_> = figures.iter().map(|&figure| digits(figure)).collect();
                eprintln!("    round {round}: {name}: {}", shown.join(", "));
                if round > 0 {
                    for (series, figure) in side.series.iter_mut().zip(figures) {
                        series.push(figure);
                    }
                }
            }
        }
        contest
    }

    /// Says what `side` has to reach beside `peer`. A peer that was left out has no bar; the table names it as left out.
    pub(crate) fn bar(mut self, side: &str, peer: &str, metric: usize, must: Must) -> Self {
        let beside = if matches!(must, Must::BeAtMost(_)) {
            side
        } else {
            peer
        };
        if let (Some(own), Some(other)) = (self.series(side, metric), self.series(beside, metric)) {
            let pairs = own.into_iter().zip(other);
            let measured = pairs.map(|(&own, &other)| must.compare(own, other));
            let bar = Bar {
                side: side.to_owned(),
                peer: peer.to_owned(),
                metric,
                must,
                measured: measured.collect(),
            };
            self.bars.push(bar);
        }
        self
    }

    /// Says what was left out, or what has to be known to read the figures.
    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    fn series(&self, side: &str, metric: usize) -> Option<&Series> {
        let side = self.sides.iter().find(|known| known.name == side)?;
        side.series.get(metric)
    }
}

// === impl Must ===

impl Must {
    /// What is held against the bar in one round.
    fn compare(self, own: f64, peer: f64) -> f64 {
        match self {
            Self::BeTimes(_) | Self::BeAtMostTimes(_) => own / peer,
            Self::ExceedByAtMost(_) => own - peer,
            Self::BeAtMost(_) => own,
        }
    }

    /// The bar itself.
    pub(crate) const fn limit(self) -> f64 {
        match self {
            Self::BeTimes(limit)
            | Self::BeAtMostTimes(limit)
            | Self::ExceedByAtMost(limit)
            | Self::BeAtMost(limit) => limit,
        }
    }

    /// Whether more is better.
    pub(crate) const fn wants_more(self) -> bool {
        matches!(self, Self::BeTimes(_))
    }

    /// Whether it is about a ratio, and not about something with a unit.
    pub(crate) const fn is_ratio(self) -> bool {
        matches!(self, Self::BeTimes(_) | Self::BeAtMostTimes(_))
    }
}

// === impl Bar ===

impl Bar {
    /// Whether the median reaches the bar.
    pub(crate) fn holds(&self) -> bool {
        let median = self.measured.at(0.5);
        if self.must.wants_more() {
            median >= self.must.limit()
        } else {
            median <= self.must.limit()
        }
    }
}

/// A figure with three digits that count.
pub(crate) fn digits(figure: f64) -> String {
    match figure.abs() {
        size if size.is_nan() => "-".to_owned(),
        size if size >= 99.95 => format!("{figure:.0}"),
        size if size >= 9.995 => format!("{figure:.1}"),
        size if size >= 0.1 => format!("{figure:.2}"),
        _ => format!("{figure:.3}"),
    }
}
