//! The real bash as the judge: what is accepted means the same there.

use std::{
    fmt::Write as _,
    process::{Command, Stdio},
};

use proptest::{prelude::*, sample::select};

use super::*;

/// What bash makes of `~` in these tests; of `~root` it makes `/root`.
const HOME: &str = "/home of/t*e tests";

/// Pieces that meet in words, so that their rules meet too.
const PIECES: &[&str] = &[
    "a",
    "b",
    "1",
    "3",
    "é",
    "日本",
    "'",
    "'",
    "\"",
    "\"",
    "\\",
    "\\\n",
    " ",
    " ",
    "\t",
    "'a b'",
    "\"x  y\"",
    "\"\\$\\\\\\\"\\`\\a\"",
    "'\n'",
    "''",
    "\"\"",
    "{",
    "{",
    "}",
    "}",
    ",",
    "..",
    ".",
    "[",
    "]",
    "*",
    "?",
    "!",
    "^",
    "-",
    "~",
    "~/",
    ":",
    "/",
    "=",
    "a=",
    "+",
    "#",
    " #",
    "$",
    "%",
    "@",
    "\u{1}",
    "\u{7f}",
    "\r",
    "\u{a0}",
    "[:alpha:]",
    "{a,b}",
    "{1..3}",
];

/// Pieces beyond those of words.
const OPERATORS: &[&str] = &[
    "|", "|", "|", "|&", "||", "&", ";", "<", ">", "(", ")", "\n", "\n", "`", "$x", "a[", "if ",
    "! ", "time ", "in ", "{ ", "A=1 ", "a+=",
];

fn words() -> impl Strategy<Value = String> {
    prop::collection::vec(select(PIECES), 0..12).prop_map(|pieces| pieces.concat())
}

fn expressions() -> impl Strategy<Value = String> {
    let piece = prop_oneof![3 => select(PIECES), 1 => select(OPERATORS), 1 => Just("x ")];
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

/// Runs a script without any programs and gives the texts that it prints with a NUL after each.
fn bash(script: &str) -> Vec<String> {
    use std::io::Write as _;
    let mut child = Command::new("bash")
        .args(["--norc", "--noprofile"])
        .env_clear()
        .env("LC_ALL", "C.UTF-8")
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", HOME)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("bash runs");
    // The script goes in whole before bash prints: a pipe holds less than some scripts, so a thread writes.
    let mut stdin = child.stdin.take().expect("a pipe was asked for");
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(format!("PATH=/nowhere\n{script}").as_bytes()));
        child.wait_with_output().expect("bash ends")
    });
    let text = String::from_utf8(output.stdout).expect("texts come back as they went in");
    let mut texts: Vec<_> = text.split('\0').map(str::to_owned).collect();
    assert_eq!(texts.pop().as_deref(), Some(""), "the last text ends too");
    texts
}

/// So many cases, and no files that remember failures: what was found becomes a literal test.
fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(cases)
    }
}

/// Whether bash may get this wrong. Two characters are its own marks for quotes: after a `~` they come out, after a backslash between
/// double quotes they are lost, and `"$^A{"` is a bad substitution.
fn is_marred(source: &str) -> bool {
    source.contains(['~', '\\', '$']) && source.contains(['\u{1}', '\u{7f}'])
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// What bash without file names makes of a word.
fn expanded(word: &Word) -> String {
    word.parts
        .iter()
        .map(|part| match part {
            Part::Home(None) => HOME.to_owned(),
            Part::Home(Some(user)) if user == "root" => "/root".to_owned(),
            part => Word {
                parts: vec![part.clone()],
            }
            .to_string(),
        })
        .collect()
}

/// The pipeline without its places.
fn meaning(pipeline: &Pipeline) -> Vec<impl PartialEq + std::fmt::Debug + use<>> {
    let meaning = |stage: &Stage| {
        let env: Vec<_> = stage
            .env
            .iter()
            .map(|a| (a.name.clone(), a.value.clone()))
            .collect();
        let args: Vec<_> = stage.args.iter().map(|arg| arg.word.clone()).collect();
        let app = stage.app.word.clone();
        (stage.placement.clone(), env, app, args, stage.stderr_joined)
    };
    pipeline.stages.iter().map(meaning).collect()
}

proptest! {
    #![proptest_config(config(24))]

    #[test]
    fn arguments_are_exactly_those_of_bash(arguments in prop::collection::vec(words(), 150)) {
        let mut script = String::from("set -f\nX() { printf '%s\\0' $# \"$@\"; }\n");
        let mut expected = Vec::new();
        for arguments in &arguments {
            let source = format!("X {arguments}");
            if is_marred(&source) {
                continue;
            }
            if let Ok(pipeline) = parse(&source) {
                writeln!(script, "eval {}", quoted(&source)).expect("a String grows");
                let args = &pipeline.stages[0].args;
                expected.push((source, args.iter().map(|a| expanded(&a.word)).collect::<Vec<_>>()));
            }
        }
        prop_assert!(!expected.is_empty());
        let mut texts = bash(&script).into_iter();
        for (source, args) in expected {
            let count = texts.next().and_then(|count| count.parse().ok()).unwrap_or(0);
            let bash: Vec<String> = texts.by_ref().take(count).collect();
            prop_assert_eq!(args, bash, "{}", source);
        }
        prop_assert_eq!(texts.next(), None);
    }

    #[test]
    fn values_are_exactly_those_of_bash(values in prop::collection::vec(words(), 150)) {
        let mut script = String::from("set -f\nX() { printf '%s\\0' \"$V_1\"; }\n");
        let mut expected = Vec::new();
        for value in &values {
            let source = format!("V_1={value} X");
            let Ok(pipeline) = parse(&source) else { continue };
            if is_marred(&source) {
                continue;
            }
            let stage = &pipeline.stages[0];
            // A blank in the value makes an app or a place of what follows it.
            if stage.app_name() == "X" && stage.placement.is_empty() {
                writeln!(script, "eval {}", quoted(&source)).expect("a String grows");
                expected.push((source, expanded(&stage.env[0].value)));
            }
        }
        let texts = bash(&script);
        prop_assert_eq!(texts.len(), expected.len());
        for ((source, value), bash) in expected.into_iter().zip(texts) {
            prop_assert_eq!(value, bash, "{}", source);
        }
    }

    #[test]
    fn whatever_is_accepted_bash_accepts_too(sources in prop::collection::vec(expressions(), 150)) {
        let mut script = String::new();
        let mut accepted = Vec::new();
        for source in sources {
            let Ok(pipeline) = parse(&source) else { continue };
            if is_marred(&source) {
                continue;
            }
            // Places are no syntax of bash; without them the canonical spelling must be fine as well.
            for spelling in [source.clone(), pipeline.to_string()] {
                let function = format!("f() {{\n{spelling}\n}}");
                writeln!(script, "eval {}; printf '%s\\0' $?", quoted(&function)).expect("a String grows");
                accepted.push(spelling);
            }
        }
        let texts = bash(&script);
        prop_assert_eq!(texts.len(), accepted.len());
        for (source, status) in accepted.into_iter().zip(texts) {
            prop_assert_eq!(status, "0", "{:?}", source);
        }
    }
}

proptest! {
    #![proptest_config(config(2000))]

    #[test]
    fn the_canonical_spelling_means_the_same(source in expressions()) {
        if let Ok(pipeline) = parse(&source) {
            let spelling = pipeline.to_string();
            let again = parse(&spelling).map_err(|error| TestCaseError::fail(error.render(&spelling)))?;
            prop_assert_eq!(meaning(&pipeline), meaning(&again), "{}", &spelling);
            prop_assert_eq!(again.to_string(), spelling);
        }
    }

    #[test]
    fn a_refusal_points_into_the_source(source in prop_oneof![expressions(), any::<String>(), "[ -~\\n]{0,20}"]) {
        match parse(&source) {
            Ok(pipeline) => {
                for stage in &pipeline.stages {
                    prop_assert!(source.get(stage.span.range()).is_some());
                    let words = stage.args.iter().chain([&stage.app]);
                    for word in words {
                        prop_assert!(source.get(word.span.range()).is_some_and(|text| !text.is_empty()));
                    }
                }
            }
            Err(error) => {
                prop_assert!(source.get(error.span.range()).is_some(), "{:?}", error);
                let treacherous = |c: char| c.is_control() && c != '\n';
                prop_assert!(!error.render(&source).contains(treacherous));
                prop_assert!(!error.help().is_empty() && !error.label().is_empty());
            }
        }
    }
}

#[test]
fn short_words_of_each_alphabet_are_exactly_those_of_bash() {
    for (alphabet, length) in [
        (&["a", "=", "~", ":", "/", "''", "'~'"][..], 5),
        (&["{", "}", ",", "..", "1", "a", "'x'"], 5),
        (&["\\", "'", "\"", "$", "\n", "a", " "], 5),
    ] {
        let mut words = vec![String::new()];
        let mut last = words.clone();
        for _ in 0..length {
            last = last
                .iter()
                .flat_map(|word| alphabet.iter().map(move |piece| format!("{word}{piece}")))
                .collect();
            words.extend_from_slice(&last);
        }
        let mut wrong = Vec::new();
        for words in words.chunks(20_000) {
            let mut script = String::from(
                "set -f\nX() { printf '%s\\0' $# \"$@\"; }\nY() { printf '%s\\0' \"$V\"; }\n",
            );
            let mut expected = Vec::new();
            for word in words {
                let argument = format!("X b{word} {word}");
                if let Ok(pipeline) = parse(&argument) {
                    let args = &pipeline.stages[0].args;
                    let mut texts = vec![args.len().to_string()];
                    texts.extend(args.iter().map(|a| expanded(&a.word)));
                    expected.push((argument, texts));
                }
                let value = format!("V={word} Y");
                if let Ok(pipeline) = parse(&value)
                    && pipeline.stages[0].app_name() == "Y"
                    && pipeline.stages[0].placement.is_empty()
                {
                    let value_of = &pipeline.stages[0].env[0].value;
                    expected.push((value, vec![expanded(value_of)]));
                }
            }
            for (source, _) in &expected {
                writeln!(script, "eval {}", quoted(source)).expect("a String grows");
            }
            let mut texts = bash(&script).into_iter();
            for (source, means) in expected {
                let first: Vec<_> = texts.by_ref().take(1).collect();
                let rest = if source.starts_with('X') {
                    first[0].parse().unwrap_or(0)
                } else {
                    0
                };
                let bash: Vec<_> = first.into_iter().chain(texts.by_ref().take(rest)).collect();
                if bash != means {
                    wrong.push((source, means, bash));
                }
            }
        }
        assert!(
            wrong.is_empty(),
            "{} wrong: {:#?}",
            wrong.len(),
            &wrong[..wrong.len().min(12)]
        );
    }
}
