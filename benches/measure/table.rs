//! Figures as tables in Markdown.

use std::{fmt::Write as _, fs};

use super::{
    contest::{Bar, Contest, digits},
    report::{asked, beside},
    series::Series,
};

/// The table of one comparison: medians, and the middle half of the figures.
pub(super) fn of(contest: &Contest) -> String {
    let rounds = contest
        .sides
        .first()
        .map_or(0, |side| side.series.first().map_or(0, Series::rounds));
    let mut text = format!(
        "\n{}, {rounds} rounds, medians (middle half).\n\n",
        contest.title
    );
    let titles: String = contest
        .metrics
        .iter()
        .map(|metric| format!(" {metric} |"))
        .collect();
    let lines = "--:|".repeat(contest.metrics.len());
    writeln!(text, "| |{titles}\n|---|{lines}").expect("into memory");
    for side in &contest.sides {
        let cells: String = side
            .series
            .iter()
            .map(|series| format!(" {} |", with_spread(series)))
            .collect();
        writeln!(text, "| {} |{cells}", side.name).expect("into memory");
    }
    for note in &contest.notes {
        writeln!(text, "\n{note}").expect("into memory");
    }
    text
}

/// The table of all bars.
pub(super) fn summary(bars: &[(&Contest, &Bar)]) -> String {
    let mut text =
        "\n| what | beside | of | measured | bar | holds |\n|---|---|---|--:|---|---|\n".to_owned();
    for (contest, bar) in bars {
        let holds = if bar.holds() { "yes" } else { "**no**" };
        writeln!(
            text,
            "| {}: {} | {} | {} | {} | {} | {holds} |",
            contest.title.replace('|', "\\|"),
            bar.side,
            beside(bar),
            contest.metrics[bar.metric],
            with_spread(&bar.measured),
            asked(bar, contest),
        )
        .expect("into memory");
    }
    text
}

/// What the figures were taken on.
pub(super) fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model);
    format!(
        "{model}, {} processors, Linux {}, congestion control {}, load {}",
        std::thread::available_parallelism().map_or(0, usize::from),
        read("/proc/sys/kernel/osrelease").trim(),
        read("/proc/sys/net/ipv4/tcp_congestion_control").trim(),
        read("/proc/loadavg").split(' ').next().unwrap_or_default(),
    )
}

fn with_spread(series: &Series) -> String {
    let median = series.at(0.5);
    if median.is_nan() {
        return String::new();
    }
    format!(
        "{} ({}–{})",
        digits(median),
        digits(series.at(0.25)),
        digits(series.at(0.75))
    )
}
