//! What is made to hurt: it ends soon, in little memory, and as a problem.

use std::time::{Duration, Instant};

use super::*;

/// Longest that anything here may take. It takes milliseconds; what is quadratic takes minutes.
const PATIENCE: Duration = Duration::from_secs(20);

fn edited(text: &[u8]) -> Result<Edited, Fault> {
    let mut out = Vec::new();
    edit(
        text,
        &[Naming::default()],
        Some(&metadata()),
        Layout::Framed,
        Limits::default(),
        &mut out,
    )
}

#[test]
fn aliases_of_aliases_come_to_an_end() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..20 {
        let aliases = vec![format!("*a{}", level - 1); 9].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    let limits = Limits {
        max_object: 1 << 20,
        ..Limits::default()
    };
    let mut out = Vec::new();
    let done = to_json(bomb.as_bytes(), limits, &mut out);
    assert!(matches!(done, Err((_, Problem::TooLong { limit })) if limit == 1 << 20));
    assert!(out.len() <= 1 << 20);
    // As text it is harmless.
    assert!(edited(bomb.as_bytes()).is_ok());
}

#[test]
fn merges_of_merges_come_to_an_end() {
    let base: String = (0..1_000).map(|at| format!("k{at}: v, ")).collect();
    let mut bomb = format!("a: &a {{{base}}}\n");
    for level in 0..10_000 {
        bomb.push_str(&format!("b{level}: {{<<: [*a, *a, *a, *a]}}\n"));
    }
    let start = Instant::now();
    let mut out = Vec::new();
    let done = to_json(bomb.as_bytes(), Limits::default(), &mut out);
    assert!(
        matches!(done, Err((_, Problem::TooLong { .. }))),
        "{done:?}"
    );
    let nested = format!("{}{base}{}", "{<<: ".repeat(900), "}".repeat(900))
        .replace(&base, &format!("{{{base}}}"));
    out.clear();
    to_json(nested.as_bytes(), Limits::default(), &mut out).unwrap();
    assert!(start.elapsed() < PATIENCE);
}

#[test]
fn aliases_do_not_nest_deeper_than_may_be() {
    let mut text = "a0: &a0 [1]\n".to_owned();
    for level in 1..50 {
        let (open, close) = ("[".repeat(40), "]".repeat(40));
        text.push_str(&format!(
            "a{level}: &a{level} {open}*a{}{close}\n",
            level - 1
        ));
    }
    let mut out = Vec::new();
    let done = to_json(text.as_bytes(), Limits::default(), &mut out);
    assert!(
        matches!(done, Err((_, Problem::TooDeep { limit: 1_000 }))),
        "{done:?}"
    );
}

#[test]
fn depth_is_bounded_in_all_styles() {
    let too_deep = |text: &str| {
        let start = Instant::now();
        let limit = Limits::default().max_depth;
        let mut out = Vec::new();
        let converted = to_json(text.as_bytes(), Limits::default(), &mut out);
        for fault in [edited(text.as_bytes()).map(|_| ()), converted] {
            assert!(
                matches!(fault, Err((_, Problem::TooDeep { limit: at })) if at == limit),
                "{fault:?}"
            );
        }
        assert!(start.elapsed() < PATIENCE);
    };
    for open in ["[", "- ", "{a: "] {
        too_deep(&open.repeat(100_000));
    }
    let lines: String = (0..1_100)
        .map(|level| format!("{}a:\n", " ".repeat(level)))
        .collect();
    too_deep(&lines);
    let edge = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    let mut out = Vec::new();
    to_json(edge(1_000).as_bytes(), Limits::default(), &mut out).unwrap();
    too_deep(&edge(1_001));
}

#[test]
fn long_documents_take_time_by_their_length() {
    let many = 30_000;
    for (text, is_good) in [
        ("- &a b\n- *a\n".repeat(many), true),
        (format!("a: 1\n{}", "# c\n".repeat(many)), true),
        (format!("{{{}}}", "__dpipes: 1, ".repeat(many)), true),
        ("__dpipes: 1\n".repeat(many), true),
        (format!("a: |\n{}", "  x\n\n".repeat(many)), true),
        (format!("{{{}", ", # ,\n".repeat(many)), false),
        ("? ".repeat(many), false),
        (": ".repeat(many), false),
        ("\"".repeat(many), false),
        ("!<a".repeat(many), false),
        (
            (0..many)
                .map(|at| format!("&a{at} k{at}: *a{at}\n"))
                .collect(),
            true,
        ),
    ] {
        let start = Instant::now();
        let done = edited(text.as_bytes());
        assert_eq!(done.is_ok(), is_good, "{done:?}");
        let mut out = Vec::new();
        let _ = to_json(text.as_bytes(), Limits::default(), &mut out);
        assert!(start.elapsed() < PATIENCE, "{}", &text[..20]);
    }
}

#[test]
fn many_small_pieces_of_a_long_stream_take_time_by_its_length() {
    let start = Instant::now();
    let long = format!("a: {}\n---\n", "x".repeat(1 << 20)).repeat(2);
    let small = "a: 1\n--- \n".repeat(100_000);
    for stream in [long, small] {
        let whole = cut([stream.as_bytes()], Limits::default());
        assert_eq!(cut(stream.as_bytes().chunks(1), Limits::default()), whole);
    }
    assert!(start.elapsed() < PATIENCE);
}

#[test]
fn odd_bytes_are_problems() {
    for text in [
        "a: \0b",
        "\0",
        "a: \u{1}",
        "\tb: c",
        "a:\n\t- b",
        "a: 'b",
        "a: \"\\ud800\"",
        "%YAML 2.0\n---\na",
        "%a\n",
        "...",
        "a: \u{fffe}",
        "a: \u{feff}\n\u{feff}b: 1",
    ] {
        let done = edited(text.as_bytes());
        assert!(
            matches!(done, Err((at, Problem::NotYaml { .. })) if at <= text.len()),
            "{text:?}: {done:?}"
        );
    }
    assert_eq!(edited(b"a: \xff"), Err((3, Problem::NotUtf8)));
}
