//! What is left of a run: a file for each figure, and one table and one plot of all of them.

use std::{collections::BTreeMap, fmt::Write as _, fs, io, path::PathBuf};

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

    /// Writes the table, the plot and all figures anew, in this order, with what earlier runs have left of others.
    pub(crate) fn write(&self, order: &[&str]) -> io::Result<String> {
        let mut all = BTreeMap::new();
        let mut text = String::new();
        let mut bars = Vec::new();
        for &figure in order {
            let Ok(json) = fs::read_to_string(self.figure(figure)) else {
                writeln!(text, "\n## {figure}\n\nNot measured.").expect("into memory");
                continue;
            };
            let contests: Vec<Contest> = serde_json::from_str(&json)?;
            writeln!(text, "\n## {figure}").expect("into memory");
            for contest in &contests {
                text += &table::of(contest);
            }
            all.insert(figure, contests);
        }
        for &figure in order {
            let contests = all.get(figure).into_iter().flatten();
            bars.extend(
                contests.flat_map(|contest| contest.bars.iter().map(move |bar| (contest, bar))),
            );
        }
        let summary = table::summary(&bars);
        let text = format!("# {}\n\n{}\n{summary}{text}", self.name, table::machine());
        let file = |extension: &str| self.folder.join(format!("{}.{extension}", self.name));
        fs::write(file("md"), &text)?;
        fs::write(file("json"), serde_json::to_string_pretty(&all)?)?;
        fs::write(file("svg"), plot::of(&bars))?;
        Ok(format!(
            "{summary}\nwritten: {}, .json and .svg",
            file("md").display()
        ))
    }

    fn figure(&self, figure: &str) -> PathBuf {
        self.folder.join(self.name).join(format!("{figure}.json"))
    }
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
