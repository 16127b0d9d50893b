//! What PyYAML makes of documents that are written here. It reads YAML 1.1, so that only what both versions agree on is asked.
//!
//! Debian has it as python3-yaml, for its own Python.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};
use serde_json::Value;

use super::{conformance::examples, converting::values, *};

/// A text as JSON string in each line; what it says as JSON, or `!`, in each line that comes back.
const SCRIPT: &str = r#"
import json, sys, yaml
for line in sys.stdin:
    try:
        print(json.dumps(yaml.safe_load(json.loads(line)), default=str))
    except Exception as error:
        print('!')
"#;

/// What Python says of each text; `None` where it makes nothing of it.
#[track_caller]
fn judged(texts: &[String]) -> Vec<Option<Value>> {
    let python = || Command::new("/usr/bin/python3");
    let has_yaml = python().args(["-c", "import yaml"]).output();
    assert!(
        has_yaml.is_ok_and(|output| output.status.success()),
        "PyYAML is needed for a judge: apt install python3-yaml"
    );
    let mut child = python()
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input: String = texts
        .iter()
        .map(|text| {
            format!(
                "{}\n",
                Value::from(text.as_str())
                    .to_string()
                    .replace('\u{7f}', "\\u007f")
            )
        })
        .collect();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());
    let lines = String::from_utf8(output.stdout).unwrap();
    let said: Vec<_> = lines
        .lines()
        .map(|line| serde_json::from_str(line).ok())
        .collect();
    assert_eq!(said.len(), texts.len());
    said
}

#[test]
fn python_reads_from_yaml_what_json_said() {
    let mut runner = TestRunner::deterministic();
    let drawn: Vec<Value> = (0..500)
        .map(|_| values().new_tree(&mut runner).unwrap().current())
        .collect();
    let texts: Vec<String> = drawn
        .iter()
        .map(|value| yaml_of(&value.to_string()).unwrap())
        .collect();
    let said = judged(&texts);
    for ((value, text), said) in drawn.iter().zip(&texts).zip(said) {
        assert_eq!(said.as_ref(), Some(value), "{text}");
    }
}

#[test]
fn python_finds_in_edited_documents_what_was_there_and_the_metadata() {
    let mut pairs = Vec::new();
    for (_, text, _) in examples() {
        for before in documents(text.as_bytes()) {
            let mut after = Vec::new();
            let done = edit(
                before.as_bytes(),
                &[],
                Some(&metadata()),
                Layout::Framed,
                Limits::default(),
                &mut after,
            );
            if done.is_ok_and(|done| done.object) {
                pairs.push((before, String::from_utf8(after).unwrap()));
            }
        }
    }
    let (before, after): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    let (said_before, said_after) = (judged(&before), judged(&after));
    let added: Value = serde_json::from_str(&format!("{{{}}}", metadata().members())).unwrap();
    let mut compared = 0;
    for ((before, after), text) in said_before.into_iter().zip(said_after).zip(after) {
        let Some(Value::Object(mut members)) = before else {
            continue;
        };
        members.extend(added.as_object().unwrap().clone());
        assert_eq!(after, Some(Value::Object(members)), "{text}");
        compared += 1;
    }
    assert!(compared > 30, "{compared}");
}
