//! The examples of the specification, as JSON and with metadata.

use serde_json::Value;

use super::*;

const EXAMPLES: &str = include_str!("spec.txt");

/// Its number, its text, and what is said of each of its documents.
pub(super) fn examples() -> impl Iterator<Item = (&'static str, String, Vec<&'static str>)> {
    EXAMPLES.split("\n<<< ").skip(1).map(|example| {
        let (number, rest) = example.split_once('\n').unwrap();
        let (text, said) = rest.split_once(">>>").unwrap();
        let mut text = text.to_owned();
        for (sign, meant) in [("·", " "), ("→", "\t"), ("⇔", "\u{feff}"), ("∎\n", "")] {
            text = text.replace(sign, meant);
        }
        (number, text, said.split_terminator('\n').skip(1).collect())
    })
}

#[test]
fn examples_of_the_specification_mean_what_it_says() {
    assert_eq!(examples().count(), 99);
    for (number, text, said) in examples() {
        let documents = documents(text.as_bytes());
        assert_eq!(documents.len(), said.len(), "{number}: {documents:?}");
        for (document, said) in documents.iter().zip(said) {
            match (said.split_at_checked(1), json_of(document)) {
                (Some(("?", _)), Err((_, problem))) => {
                    assert!(
                        matches!(problem, Problem::NotYaml { .. }),
                        "{number}: {problem}"
                    );
                    continue;
                }
                (Some(("!", what)), Err((_, problem))) => {
                    let what = format!("{what} cannot be said in JSON");
                    assert_eq!(problem.to_string(), what, "{number}");
                }
                (_, Ok(json)) => {
                    let value: Value = serde_json::from_str(said)
                        .unwrap_or_else(|error| panic!("{number}: {said}: {error}: {json}"));
                    assert_eq!(
                        serde_json::from_str::<Value>(&json).unwrap(),
                        value,
                        "{number}"
                    );
                    assert_eq!(json_of(&yaml_of(&json).unwrap()).unwrap(), json, "{number}");
                }
                (_, Err((at, problem))) => panic!("{number}: byte {at}: {problem}"),
            }
            in_and_out(number, document);
        }
    }
}

/// Metadata go in, say what they should, and come out again; the document is what it was.
fn in_and_out(number: &str, document: &str) {
    let limits = Limits::default();
    for layout in [Layout::Framed, Layout::AsWritten] {
        let mut framed = Vec::new();
        pass(document.as_bytes(), layout, &mut framed);
        let mut with = Vec::new();
        let edited = edit(
            document.as_bytes(),
            &[],
            Some(&metadata()),
            layout,
            limits,
            &mut with,
        )
        .unwrap();
        if !edited.object {
            continue;
        }
        let with = String::from_utf8(with).unwrap();
        if let Ok(before) = json_of(document) {
            let members = metadata().members().to_owned();
            let comma = if before == "{}" { "" } else { "," };
            assert_eq!(
                json_of(&with).unwrap(),
                format!("{{{members}{comma}{}", &before[1..]),
                "{number}"
            );
        }
        let mut without = Vec::new();
        let done = edit(
            with.as_bytes(),
            &[Naming::default()],
            None,
            layout,
            limits,
            &mut without,
        )
        .unwrap();
        assert!(done.replaced);
        assert_eq!(without, framed, "{number}");
    }
}
