//! Metadata in the text of documents.

use serde_json::{Value, json};

use super::*;

/// A document with metadata, as it was written otherwise.
fn with(text: &str) -> String {
    edited(text, &[], Some(&metadata()), Layout::AsWritten).0
}

/// A document without metadata.
fn without(text: &str) -> String {
    let namings = [Naming::default(), flat()];
    let (text, done) = edited(text, &namings, None, Layout::AsWritten);
    assert!(done.replaced, "{text}");
    text
}

fn edited(
    text: &str,
    remove: &[Naming],
    add: Option<&Metadata>,
    layout: Layout,
) -> (String, Edited) {
    let mut out = Vec::new();
    let done = edit(
        text.as_bytes(),
        remove,
        add,
        layout,
        Limits::default(),
        &mut out,
    );
    let done = done.unwrap_or_else(|fault| panic!("{text}: {fault:?}"));
    assert!(done.object);
    (String::from_utf8(out).unwrap(), done)
}

const LINE: &str = "\"__dpipes\": {\"dp.addr\": \"a\"}";

#[test]
fn metadata_stand_before_the_first_key() {
    for (before, after) in [
        ("", "a: 1\nb: 2\n"),
        ("# c\n\n", "a: 1 # d\n"),
        ("--- !t\n&x\n", "a: 1\n"),
        ("%YAML 1.2\n--- # c\n", "? [a, b]\n: c\n"),
        ("", "? |\n  block\n: - one\n"),
        ("", "?\n- a\n: b\n"),
        ("", "? # c\n  &x\n  a\n: b\n"),
        ("", "&x a: *x\n"),
        ("", "\"a\": 'b'\n..."),
        ("", ": b\n"),
        ("", "&x : b\n"),
        ("", "{a: b}: c"),
    ] {
        assert_eq!(
            with(&format!("{before}{after}")),
            format!("{before}{LINE}\n{after}")
        );
    }
    assert_eq!(
        with("  a: 1\n  b: 2\n"),
        format!("  {LINE}\n  a: 1\n  b: 2\n")
    );
    assert_eq!(with("---\r\na: 1\r\n"), format!("---\r\n{LINE}\na: 1\r\n"));
    for (before, after) in [
        ("{", "a: 1}"),
        ("--- !t &x {", " # c\n a: 1,\n b,\n}\n...\n"),
        ("# {\n{", "? a : b}"),
        ("{", "\"a\":1}"),
    ] {
        assert_eq!(
            with(&format!("{before}{after}")),
            format!("{before}{LINE}, {after}")
        );
    }
    assert_eq!(with("{}"), format!("{{{LINE}}}"));
    assert_eq!(with("--- { # c\n}\n"), format!("--- {{{LINE} # c\n}}\n"));
}

#[test]
fn flat_metadata_stand_in_any_style() {
    let add = Metadata::new(flat(), &[("x", 1.into()), ("y", json!(["a", "b"]))]);
    let in_style = |text: &str| edited(text, &[], Some(&add), Layout::AsWritten).0;
    assert_eq!(
        in_style("a: 1"),
        "\"__dp.x\": 1\n\"__dp.y\": [\"a\",\"b\"]\na: 1"
    );
    assert_eq!(
        in_style("{a: 1}"),
        "{\"__dp.x\": 1, \"__dp.y\": [\"a\",\"b\"], a: 1}"
    );
}

#[test]
fn metadata_are_taken_out_with_all_their_lines() {
    for (text, expected) in [
        ("__dpipes: 1\na: 2\n", "a: 2\n"),
        ("a: 2\n__dpipes: 1\n", "a: 2\n"),
        ("a: 2\n__dpipes: 1", "a: 2\n"),
        (
            "a: 1\n\"__dp\\x69pes\":\n  b:\n  - c\n# for d\nd: 2\n",
            "a: 1\n# for d\nd: 2\n",
        ),
        ("a: 1\n__dpipes:\n- x\n- y\nb: 2\n", "a: 1\nb: 2\n"),
        ("a: 1\n? __dpipes\n: |\n  x\n\n\nb: 2\n", "a: 1\nb: 2\n"),
        ("? # c\n  __dpipes\n: x\nb: 2\n", "b: 2\n"),
        (
            "__dp.x: 1\na: 1\n__dp.y: 2\n'__dp.z': 3\n...\n",
            "a: 1\n...\n",
        ),
        (
            "a: |+\n  text\n__dpipes: 1\n\n  # deep\n# c\nb: 2\n",
            "a: |+\n  text\n# c\nb: 2\n",
        ),
        ("a: |\n  text\n__dpipes: 1\n  # deep\n", "a: |\n  text\n"),
        (
            "  a: 1\n  __dpipes: 2\n  # c\n  b: 3\n",
            "  a: 1\n  # c\n  b: 3\n",
        ),
        (
            "a: 1\r\n__dpipes:\r\n  x: y\r\nb: 2\r\n",
            "a: 1\r\nb: 2\r\n",
        ),
        ("__dpipes:\n# c\nb: 2", "# c\nb: 2"),
        ("__dpipes: !t\n  # c\n  &a\n  # d\nb: 2", "b: 2"),
        ("__dpipes:\n# c\n  &a\n  # d\nb: 2", "b: 2"),
        ("__dpipes:\n# c\n  !t\n# d\nb: 2", "# d\nb: 2"),
        ("b: 2\n__dpipes:\n# c\n  &a", "b: 2\n"),
        ("{__dpipes: &a , b: 2}", "{b: 2}"),
        ("{b: 2, __dpipes: !t }", "{b: 2}"),
        ("a: &x __dpipes\n*x : 1\n", "a: &x __dpipes\n"),
        ("{__dpipes: 1, a: 2}", "{a: 2}"),
        ("{__dpipes: 1, __dp.x: 2, a: 2}", "{a: 2}"),
        ("{__dpipes: 1, # c\n a: 2}", "{ # c\n a: 2}"),
        ("{a: 2, __dpipes: {b: [1, 2]}}", "{a: 2}"),
        ("{a: 2, __dpipes: 1, __dp.x, }", "{a: 2, }"),
        ("{a: 2, __dpipes: 1, __dp.x}", "{a: 2}"),
        ("{a: 2, __dpipes: 1, b: 3, __dp.x}", "{a: 2, b: 3}"),
        (
            "{a: 2, # c\n __dpipes: 1, # d, e\n b: 3}",
            "{a: 2, # d, e\n b: 3}",
        ),
        ("{a, ? __dpipes : !<a,b> , !t b: }", "{a, !t b: }"),
        ("{__dpipes: 1}", "{}"),
    ] {
        assert_eq!(without(text), expected, "{text}");
    }
}

#[test]
fn a_mapping_that_loses_all_stays_a_mapping() {
    for (text, expected) in [
        ("__dpipes: 1\n", "{}\n"),
        (
            "--- !t\n# c\n  __dpipes: 1\n  __dp.x:\n    - 2\n# d\n...\n",
            "--- !t\n# c\n  {}\n# d\n...\n",
        ),
    ] {
        assert_eq!(without(text), expected);
    }
}

#[test]
fn metadata_replace_those_that_are_there() {
    let (text, done) = edited(
        "__dpipes: 1\na: 2\n",
        &[],
        Some(&metadata()),
        Layout::AsWritten,
    );
    assert_eq!(text, format!("{LINE}\na: 2\n"));
    assert!(done.replaced);
    let (text, done) = edited("{__dpipes: 1}", &[], Some(&metadata()), Layout::AsWritten);
    assert_eq!(text, format!("{{{LINE}}}"));
    assert!(done.replaced);
    let (text, done) = edited(
        "b:\n  __dpipes: 1\na: 1\na: 2\n",
        &[],
        Some(&metadata()),
        Layout::AsWritten,
    );
    assert_eq!(text, format!("{LINE}\nb:\n  __dpipes: 1\na: 1\na: 2\n"));
    assert!(!done.replaced);
}

#[test]
fn what_cannot_be_taken_out_is_refused() {
    for text in [
        "__dpipes: &x 1\na: *x\n",
        "{&x __dpipes: 1, a: [*x]}",
        "<<: {__dpipes: 1}\na: 1",
        "a: &x {__dpipes: 1}\n<<: *x",
        "a: &x {<<: {__dpipes: 1}}\n<<: [*x]",
        "a: &k __dpipes\nb: &x {*k : 1}\n<<: *x",
        "a: &x {__dpipes: 1}\nb: &l [*x]\n<<: *l",
    ] {
        let mut out = Vec::new();
        let done = edit(
            text.as_bytes(),
            &[Naming::default()],
            None,
            Layout::Framed,
            Limits::default(),
            &mut out,
        );
        assert!(
            matches!(done, Err((_, Problem::Entangled { .. }))),
            "{text}: {done:?}"
        );
        assert!(out.is_empty());
    }
    // What goes out may hold what it likes.
    assert_eq!(without("a: &x 1\n__dpipes: [&y 2, *y, *x]\n"), "a: &x 1\n");
}

#[test]
fn other_roots_are_left_to_the_caller() {
    for text in [
        "- a\n",
        "[a]",
        "a\n",
        "--- |\n a\n",
        "---\n",
        "--- # c\n...\n",
        "'a: b'",
    ] {
        let mut out = Vec::new();
        let done = edit(
            text.as_bytes(),
            &[],
            Some(&metadata()),
            Layout::Framed,
            Limits::default(),
            &mut out,
        );
        assert_eq!(
            done,
            Ok(Edited {
                replaced: false,
                object: false
            }),
            "{text}"
        );
        assert!(out.is_empty());
    }
}

#[test]
fn bad_yaml_is_bad_wherever_it_stands() {
    for (text, at) in [
        ("a: [1\nb: 2\n", 7),
        ("a: b: c\n", 4),
        ("a: *x\n", 3),
        ("a:\n\tb: 1\n", 4),
        ("a: 1\n... x\n", 9),
    ] {
        let mut out = Vec::new();
        let done = edit(
            text.as_bytes(),
            &[],
            None,
            Layout::Framed,
            Limits::default(),
            &mut out,
        );
        let Err((place, Problem::NotYaml { detail })) = done else {
            panic!("{text}: {done:?}");
        };
        assert_eq!(place, at, "{text}: {detail}");
        assert!(detail.contains("line"), "{detail}");
    }
}

#[test]
fn a_framed_document_has_both_markers() {
    for (text, expected) in [
        ("a: 1", "---\na: 1\n...\n"),
        ("# c\na: 1\n", "---\n# c\na: 1\n...\n"),
        ("---\na: 1\n", "---\na: 1\n...\n"),
        ("--- {a: 1}\n... # d", "--- {a: 1}\n... # d\n"),
        (
            "%YAML 1.2\n# c\n---\na: 1\r\n...\r\n",
            "%YAML 1.2\n# c\n---\na: 1\r\n...\r\n",
        ),
    ] {
        assert_eq!(edited(text, &[], None, Layout::Framed).0, expected);
        let mut out = Vec::new();
        pass(text.as_bytes(), Layout::Framed, &mut out);
        assert_eq!(out, expected.as_bytes());
        out.clear();
        pass(text.as_bytes(), Layout::AsWritten, &mut out);
        assert_eq!(out, text.as_bytes());
        assert_eq!(edited(text, &[], None, Layout::AsWritten).0, text);
    }
}

#[test]
fn a_root_that_is_no_mapping_is_wrapped() {
    let mut out = Vec::new();
    wrap(
        b"- a\n- {b: no}\n",
        &metadata(),
        Limits::default(),
        &mut out,
    )
    .unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(
        text,
        format!("---\n{LINE}\nvalue:\n  - a\n  - b: \"no\"\n...\n")
    );
    let value: Value = serde_json::from_str(&json_of(&text).unwrap()).unwrap();
    assert_eq!(
        value,
        json!({"__dpipes": {"dp.addr": "a"}, "value": ["a", {"b": "no"}]})
    );
}
