//! The examples of the documentation are run as typed.
//!
//! A fenced block marked `console` holds commands after `$ ` and, where it shows any, exactly what they print; a line `...` stands for
//! any number of lines, and `...` at the end of one for the rest of it. `# exit N` at the end of a command names a status other than 0. A
//! document's blocks share one folder, in which the files lie that examples use. A block marked with a language and a name, as
//! `python annotate.py`, is a file in that folder; one whose name has a slash is a file of the repository.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::kit::{Scratch, Signal, bash, holds_within, patience, processes};

/// One command of a document and what the document says it does.
#[derive(Debug, PartialEq, Eq)]
struct Example {
    line: usize,
    command: String,
    status: i32,
    shown: Vec<String>,
}

#[test]
fn every_console_example_of_the_documentation_does_what_it_shows() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = root.join("README.md");
    assert!(readme.exists(), "the README is gone");
    let mut failures = Vec::new();
    for document in std::iter::once(readme).chain(documents(&root.join("docs"))) {
        let text = fs::read_to_string(&document).unwrap();
        let name = document.strip_prefix(root).unwrap().display().to_string();
        failures.extend(
            failures_of(&examples(&text), &files(&text))
                .into_iter()
                .map(|failure| format!("{name}:{failure}")),
        );
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn examples_are_read_with_their_output_and_status() {
    let text = "```console\n$ printf 'a\\n' \\\n    | cat\na\n$ false   # exit 1\n```\n```sh\n$ not this\n```\n";
    let example = |line, command: &str, status, shown: &[&str]| Example {
        line,
        command: command.to_owned(),
        status,
        shown: shown.iter().map(|&line| line.to_owned()).collect(),
    };
    let wanted = [
        example(2, "printf 'a\\n' \\\n    | cat", 0, &["a"]),
        example(5, "false", 1, &[]),
    ];
    assert_eq!(examples(text), wanted);
}

#[test]
fn dots_stand_for_any_number_of_lines() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert!(matches(&lines("a\n...\nd"), &lines("a\nb\nc\nd")));
    assert!(matches(&lines("..."), &lines("")));
    assert!(!matches(&lines("a\n...\nd"), &lines("a\nb")));
    assert!(!matches(&lines("a"), &lines("a\nb")));
    assert!(matches(&lines("took ...\nb"), &lines("took 3 s\nb")));
    assert!(!matches(&lines("took ..."), &lines("it took 3 s")));
}

#[test]
fn named_blocks_are_files() {
    let text = "```sh a.sh\n#!/bin/sh\n\ntrue\n```\n```sh\nno name\n```\n```console\n$ true\n```\n";
    let wanted = [("a.sh".to_owned(), "#!/bin/sh\n\ntrue\n".to_owned())];
    assert_eq!(files(text), wanted);
}

#[test]
fn programs_of_the_repository_are_shown_as_they_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seen = 0;
    for document in documents(&root.join("docs")) {
        let text = fs::read_to_string(&document).unwrap();
        for (name, shown) in files(&text)
            .into_iter()
            .filter(|(name, _)| name.contains('/'))
        {
            seen += 1;
            assert!(
                fs::read_to_string(root.join(&name)).unwrap() == shown,
                "{}: {name} is not what it shows",
                document.display()
            );
        }
    }
    assert!(seen > 0, "no program is shown");
}

#[test]
fn the_table_of_what_is_negotiated_is_the_one_in_the_program() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/negotiation.md");
    let text = fs::read_to_string(document).unwrap();
    let table = dpipes::negotiate::table_markdown();
    assert!(
        text.contains(&table),
        "docs/negotiation.md should hold\n\n{table}"
    );
}

#[test]
fn every_link_of_the_documentation_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|name| root.join(name));
    let mut broken = Vec::new();
    let mut seen = 0;
    for document in pages.into_iter().chain(documents(&root.join("docs"))) {
        let text = fs::read_to_string(&document).unwrap();
        let folder = document.parent().unwrap();
        for link in links(&text) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() {
                document.clone()
            } else {
                folder.join(path)
            };
            seen += 1;
            let leads = target.exists()
                && (anchor.is_empty()
                    || headings(&fs::read_to_string(&target).unwrap())
                        .any(|heading| heading == anchor));
            if !leads {
                broken.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(seen > 10, "only {seen} links were found");
}

/// The targets of Markdown links inside the repository.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target)
        .filter(|target| !target.contains("://"))
}

/// The anchors of a document's headings, as usual on the web: lower case, `-` for blanks, no punctuation.
fn headings(text: &str) -> impl Iterator<Item = String> {
    text.lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            line.trim_start_matches('#')
                .trim()
                .to_lowercase()
                .chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect()
        })
}

fn documents(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(documents(&path));
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn examples(text: &str) -> Vec<Example> {
    let mut found: Vec<Example> = Vec::new();
    let mut inside = false;
    let mut continues = false;
    for (number, line) in text.lines().enumerate() {
        if line.starts_with("```") {
            inside = line == "```console";
            continues = false;
            continue;
        }
        if !inside {
            continue;
        }
        if let Some(command) = line.strip_prefix("$ ") {
            found.push(Example {
                line: number + 1,
                command: command.to_owned(),
                status: 0,
                shown: Vec::new(),
            });
        } else if let Some(example) = found.last_mut() {
            if continues {
                example.command.push('\n');
                example.command.push_str(line);
            } else {
                example.shown.push(line.to_owned());
                continue;
            }
        }
        continues = line.ends_with('\\');
        if let Some(example) = found.last_mut()
            && let Some((command, status)) = example.command.rsplit_once("# exit ")
            && let Ok(status) = status.trim().parse()
        {
            example.status = status;
            example.command = command.trim_end().to_owned();
        }
    }
    found
}

/// The blocks that have a name, and what is in them.
fn files(text: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut inside = false;
    let mut named = false;
    for line in text.lines() {
        if let Some(mark) = line.strip_prefix("```") {
            inside = !inside;
            let name = mark.split_once(' ').map(|(_, name)| name);
            named = inside && name.is_some();
            found.extend(name.map(|name| (name.to_owned(), String::new())));
        } else if let (true, Some((_, content))) = (named, found.last_mut()) {
            content.push_str(line);
            content.push('\n');
        }
    }
    found
}

fn failures_of(examples: &[Example], files: &[(String, String)]) -> Vec<String> {
    let scratch = Scratch::new();
    for number in 1..=5 {
        scratch.file(
            &format!("input.{number}.txt"),
            format!("line {number}\nshared\n"),
        );
    }
    scratch.allow_any_user("");
    scratch.file("a.txt", "pear\napple\npear\nfig\napple\npear\n");
    for (name, content) in files.iter().filter(|(name, _)| !name.contains('/')) {
        scratch.file(name, content);
    }
    let mut failures = Vec::new();
    for example in examples {
        let run = bash(&scratch, &format!("exec 2>&1\n{}", example.command)).run();
        let printed: Vec<_> = run.text().lines().map(str::to_owned).collect();
        if run.status != example.status {
            failures.push(format!(
                "{}: status {}, not {}: {run:?}",
                example.line, run.status, example.status
            ));
        } else if !example.shown.is_empty() && !matches(&example.shown, &printed) {
            failures.push(format!(
                "{}: shown {:#?}, but it printed {printed:#?}",
                example.line, example.shown
            ));
        }
    }
    end_what_was_started(&scratch, &mut failures);
    failures
}

/// Ends daemons that the examples left running, as a reader would with `dpipesd stop`; they must go when they are told.
fn end_what_was_started(scratch: &Scratch, failures: &mut Vec<String>) {
    let ours = || scratch.processes();
    ours()
        .into_iter()
        .for_each(|pid| processes::send(pid, Signal::TERM));
    if !holds_within(patience(), || ours().is_empty()) {
        failures.push(format!(" left behind: {}", processes::describe(&ours())));
        ours()
            .into_iter()
            .for_each(|pid| processes::send(pid, Signal::KILL));
    }
}

/// Whether the lines are those shown, `...` standing for any number of them, and at the end of one for the rest of it.
fn matches(shown: &[String], printed: &[String]) -> bool {
    match shown.split_first() {
        None => printed.is_empty(),
        Some((dots, rest)) if dots == "..." => {
            (0..=printed.len()).any(|skipped| matches(rest, &printed[skipped..]))
        }
        Some((line, rest)) => printed
            .split_first()
            .is_some_and(|(first, others)| same(line, first) && matches(rest, others)),
    }
}

fn same(shown: &str, printed: &str) -> bool {
    match shown.strip_suffix("...") {
        Some(beginning) => printed.starts_with(beginning),
        None => shown == printed,
    }
}
