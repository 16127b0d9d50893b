//! What is left of a run: a file for each figure, and one table and one plot of all of them.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    contest::{Bar, Contest, Must, digits},
    plot, table,
};

/// Where a bench writes, below the folder of what is built.
pub(crate) struct Report {
    folder: PathBuf,
    name: &'static str,
}

impl Report {
    /// The report of a bench.
    pub(crate) fn of(name: &'static str) -> io::Result<Self> {
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
            || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target"),
            PathBuf::from,
        );
        let folder = target.join("bench");
        fs::create_dir_all(folder.join(name))?;
        Ok(Self { folder, name })
    }

    /// Forgets what earlier runs have left of this figure.
    pub(crate) fn forget(&self, figure: &str) -> io::Result<()> {
        match fs::remove_file(self.figure(figure)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Keeps the contests of a figure.
    pub(crate) fn keep(&self, figure: &str, contests: &[Contest]) -> io::Result<()> {
        fs::write(self.figure(figure), serde_json::to_string_pretty(contests)?)
    }

    /// Writes the table, the plot and all figures anew, in this order, with what earlier runs have left of others. Returns what is to be
    /// printed.
    pub(crate) fn write(&self, order: &[&str]) -> io::Result<String> {
        let all = self.all(order)?;
        let summary = summary(&all);
        let mut text = format!("# {}\n\n{summary}", self.name);
        for (figure, contests) in &all {
            write!(text, "\n## {figure}\n\n{}", tables(contests)).expect("into memory");
        }
        let file = |extension: &str| self.folder.join(format!("{}.{extension}", self.name));
        fs::write(file("md"), &text)?;
        let by_name: BTreeMap<_, _> = all
            .iter()
            .map(|(name, contests)| (name, contests))
            .collect();
        fs::write(file("json"), serde_json::to_string_pretty(&by_name)?)?;
        fs::write(file("svg"), plot::of(&bars(&all)))?;
        let written = file("md");
        Ok(format!(
            "{summary}\nwritten: {}, .json and .svg",
            written.display()
        ))
    }

    /// Puts the tables of what was measured into a text, between a comment with a figure's name, or `bars`, and one with `end`.
    pub(crate) fn fill(&self, path: &Path, order: &[&str]) -> io::Result<()> {
        let all = self.all(order)?;
        let mut text = fs::read_to_string(path)?;
        let measured = all.iter().map(|(name, contests)| (*name, tables(contests)));
        for (name, table) in measured.chain([("bars", summary(&all))]) {
            let begin = format!("<!-- {}: {name} -->\n", self.name);
            let Some(from) = text.find(&begin).map(|at| at + begin.len()) else {
                continue;
            };
            let Some(to) = text[from..].find("<!-- end -->") else {
                continue;
            };
            text.replace_range(from..from + to, &format!("\n{}\n\n", table.trim()));
        }
        fs::write(path, text)
    }

    /// What is there of every figure.
    fn all<'a>(&self, order: &[&'a str]) -> io::Result<Vec<(&'a str, Vec<Contest>)>> {
        let read = |&name: &&'a str| match fs::read_to_string(self.figure(name)) {
            Ok(json) => Ok((name, serde_json::from_str(&json)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((name, Vec::new())),
            Err(error) => Err(error),
        };
        order.iter().map(read).collect()
    }

    fn figure(&self, figure: &str) -> PathBuf {
        self.folder.join(self.name).join(format!("{figure}.json"))
    }
}

fn bars<'a>(all: &'a [(&str, Vec<Contest>)]) -> Vec<(&'a Contest, &'a Bar)> {
    let contests = all.iter().flat_map(|(_, contests)| contests);
    contests
        .flat_map(|contest| contest.bars.iter().map(move |bar| (contest, bar)))
        .collect()
}

fn summary(all: &[(&str, Vec<Contest>)]) -> String {
    format!("{}\n{}", table::machine(), table::summary(&bars(all)))
}

fn tables(contests: &[Contest]) -> String {
    if contests.is_empty() {
        return "Not measured.\n".to_owned();
    }
    contests.iter().map(table::of).collect()
}

/// Whom a bar compares with.
pub(super) fn beside(bar: &Bar) -> &str {
    match bar.must {
        Must::BeAtMost(_) => "nobody",
        _ => &bar.peer,
    }
}

/// What a bar asks for, in words.
pub(super) fn asked(bar: &Bar, contest: &Contest) -> String {
    let limit = digits(bar.must.limit());
    let unit = contest.metrics[bar.metric].as_str();
    match bar.must {
        Must::BeTimes(_) => format!("at least {limit}"),
        Must::BeAtMostTimes(_) => format!("at most {limit}"),
        Must::ExceedByAtMost(_) => format!("at most {limit} more ({unit})"),
        Must::BeAtMost(_) => format!("at most {limit} ({unit})"),
    }
}
