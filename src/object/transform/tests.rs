use serde_json::json;

use super::*;
use crate::{
    media::{Naming, Style},
    object::{Limits, Metadata, OnNonObject, Problem},
};

mod attacks;
mod properties;

/// Takes metadata out and puts none in.
pub(super) fn plain(layout: Layout) -> Plan {
    Plan {
        from: Format::Json,
        to: Format::Json,
        remove: vec![Naming::default()],
        add: None,
        layout,
        on_non_object: OnNonObject::Pass,
        on_bad_object: OnBadObject::Fail,
        limits: Limits::default(),
    }
}

/// Puts the member `M` in.
pub(super) fn embedding(layout: Layout) -> Plan {
    Plan {
        remove: Vec::new(),
        add: Some(metadata()),
        ..plain(layout)
    }
}

/// `"M":{"dp.x":1}`.
pub(super) fn metadata() -> Metadata {
    let naming = Naming {
        name: "M".to_owned(),
        ..Naming::default()
    };
    Metadata::new(naming, &[("x", json!(1))])
}

/// What comes of a stream in these pieces: all that was written, and how it ended.
pub(super) fn in_pieces(plan: &Plan, pieces: &[&[u8]]) -> (String, Result<Counts, BadObject>) {
    let mut transform = Transform::new(plan.clone());
    let mut out = Vec::new();
    let mut push = |mut piece: &[u8]| {
        while !piece.is_empty() {
            transform.push(&mut piece, &mut out)?;
        }
        Ok(())
    };
    let pushed = pieces.iter().try_for_each(|piece| push(piece));
    let result = pushed.and_then(|()| transform.finish(&mut out));
    let out = String::from_utf8_lossy(&out).into_owned();
    (out, result.map(|()| transform.counts()))
}

/// The same, in pieces of such a size.
pub(super) fn transformed(
    plan: &Plan,
    text: &[u8],
    piece: usize,
) -> (String, Result<Counts, BadObject>) {
    in_pieces(plan, &text.chunks(piece).collect::<Vec<_>>())
}

/// What comes of a stream in one piece and byte by byte, without an error.
pub(super) fn whole(plan: &Plan, text: &str) -> (String, Counts) {
    let (out, counts) = transformed(plan, text.as_bytes(), usize::MAX);
    assert_eq!(
        transformed(plan, text.as_bytes(), 1),
        (out.clone(), counts.clone()),
        "{text}"
    );
    (out, counts.unwrap_or_else(|bad| panic!("{text}: {bad}")))
}

#[track_caller]
fn check(plan: &Plan, cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(&whole(plan, text).0, expected, "{text}");
    }
}

#[test]
fn objects_come_one_a_line_with_metadata_first() {
    check(
        &embedding(Layout::Framed),
        &[
            ("", ""),
            (" \r\n", ""),
            ("{}", "{\"M\":{\"dp.x\":1}}\n"),
            ("{ }", "{ \"M\":{\"dp.x\":1}}\n"),
            (
                r#"{"a":1}{"b":2}"#,
                "{\"M\":{\"dp.x\":1},\"a\":1}\n{\"M\":{\"dp.x\":1},\"b\":2}\n",
            ),
            (
                "\u{feff}{\"a\":1}\r\n\r\n{ \"b\": 2 }",
                "{\"M\":{\"dp.x\":1},\"a\":1}\n{ \"M\":{\"dp.x\":1},\"b\": 2 }\n",
            ),
            (
                "{\n  \"a\": [\r\n    1,\r\n    2 \n  ],\n\n  \"b\": \"x\\n y\"\n}\n",
                "{\"M\":{\"dp.x\":1},\"a\": [1,2 ],\"b\": \"x\\n y\"}\n",
            ),
            (
                "{\"z\":9223372036854775808,\"a\":1e400,\"z\":0.10,\"é\":\"\\u00e9\\ud800\"}",
                "{\"M\":{\"dp.x\":1},\"z\":9223372036854775808,\"a\":1e400,\"z\":0.10,\"é\":\"\\u00e9\\ud800\"}\n",
            ),
        ],
    );
}

#[test]
fn metadata_that_came_are_taken_out_or_replaced() {
    let both = Plan {
        add: Some(metadata()),
        ..plain(Layout::Framed)
    };
    check(
        &both,
        &[
            (
                r#"{"__dpipes":{"x":[{}]},"a":1}"#,
                "{\"M\":{\"dp.x\":1},\"a\":1}\n",
            ),
            (
                r#"{"a":1, "M":0, "b":{"M":1} , "__dpipes":1}"#,
                "{\"M\":{\"dp.x\":1},\"a\":1, \"b\":{\"M\":1}}\n",
            ),
            (r#"{ "M" : 0 , "M" : 1 }"#, "{\"M\":{\"dp.x\":1}}\n"),
            (
                r#"{"a":"__dpipes","b":["M"]}"#,
                "{\"M\":{\"dp.x\":1},\"a\":\"__dpipes\",\"b\":[\"M\"]}\n",
            ),
            (
                r#"{"\u004d":0,"a":"\\"}"#,
                "{\"M\":{\"dp.x\":1},\"a\":\"\\\\\"}\n",
            ),
        ],
    );
    let counts = whole(
        &both,
        r#"{"M":0,"__dpipes":1}{"a":"M"}[]{"\u005f_dpipes":1}"#,
    )
    .1;
    let expected = Counts {
        objects: 4,
        replaced: 2,
        non_objects: 1,
        ..Counts::default()
    };
    assert_eq!(counts, expected);
}

#[test]
fn what_is_left_as_written_looks_as_if_the_metadata_had_never_been_there() {
    check(
        &plain(Layout::AsWritten),
        &[
            (
                "\u{feff} {} \r\n[1 , 2]\t12 true \n",
                "\u{feff} {} \r\n[1 , 2]\t12 true \n",
            ),
            (
                "{\n  \"__dpipes\": 1,\n  \"a\": 2\n}\n",
                "{\n  \"a\": 2\n}\n",
            ),
            (
                "{\n  \"a\": 2,\n  \"__dpipes\": 1,\n  \"b\": 3\n}",
                "{\n  \"a\": 2,\n  \"b\": 3\n}",
            ),
            ("{\n  \"a\": 2,\n  \"__dpipes\": 1\n}", "{\n  \"a\": 2\n}"),
            (
                "{\n  \"a\": 2,\n  \"__dpipes\": 1,\n  \"__dpipes\": [\n    2\n  ]\n}",
                "{\n  \"a\": 2\n}",
            ),
            ("{\n  \"__dpipes\": 1\n}", "{}"),
            (
                "{ \"__dpipes\": 1, \"__dpipes\": 1, \"a\":1 , \"__dpipes\": 1, \"b\":1 }",
                "{ \"a\":1 , \"b\":1 }",
            ),
            ("{ }", "{ }"),
            ("{ \"a\\u005c\":1 }", "{ \"a\\u005c\":1 }"),
        ],
    );
}

#[test]
fn flat_metadata_are_known_by_their_prefix() {
    let naming = Naming {
        style: Style::Flat,
        prefix: "__dp.".to_owned(),
        ..Naming::default()
    };
    let out = Plan {
        remove: vec![naming.clone()],
        ..plain(Layout::AsWritten)
    };
    check(
        &out,
        &[
            (
                r#"{"__dp.a":1,"a":2,"__dp.":3,"__dp":4}"#,
                r#"{"a":2,"__dp":4}"#,
            ),
            (
                r#"{"\u005f_dp.\ud800":1,"__\u0064p.x":1,"a":1}"#,
                r#"{"a":1}"#,
            ),
        ],
    );
    let nothing = Plan {
        add: Some(Metadata::new(naming, &[])),
        ..plain(Layout::Framed)
    };
    check(&nothing, &[(r#"{"a":1}{}"#, "{\"a\":1}\n{}\n")]);
}

#[test]
fn a_root_without_members_passes_or_is_wrapped_or_is_bad() {
    let text = "[1,\n 2]\"a\"-1 true null{}";
    let plan = |on_non_object| Plan {
        on_non_object,
        ..embedding(Layout::Framed)
    };
    let (out, counts) = whole(&plan(OnNonObject::Pass), text);
    assert_eq!(out, "[1,2]\n\"a\"\n-1\ntrue\nnull\n{\"M\":{\"dp.x\":1}}\n");
    assert_eq!((counts.objects, counts.non_objects), (6, 5));
    let (out, _) = whole(&plan(OnNonObject::Wrap), "[1,\n 2]null{}");
    assert_eq!(
        out,
        "{\"M\":{\"dp.x\":1},\"value\":[1,2]}\n{\"M\":{\"dp.x\":1},\"value\":null}\n{\"M\":{\"dp.x\":1}}\n"
    );
    let cases = [
        ("[1]", "a list"),
        ("\"a\"", "a text"),
        ("-1 ", "a number"),
        ("false", "true or false"),
        ("null", "null"),
    ];
    for (text, found) in cases {
        let (out, result) = transformed(
            &plan(OnNonObject::Error),
            format!("{{}} {text}").as_bytes(),
            1,
        );
        assert_eq!(out, "{\"M\":{\"dp.x\":1}}\n");
        let bad = BadObject {
            number: 2,
            offset: 3,
            problem: Problem::NoObject { found },
        };
        assert_eq!(result, Err(bad));
    }
    let none = Plan {
        add: None,
        ..plan(OnNonObject::Error)
    };
    assert_eq!(whole(&none, "[1]").0, "[1]\n");
}

#[test]
fn bad_objects_are_left_out_up_to_the_end_of_their_line_or_pass() {
    let text = "{\"a\":1}\n{\"a\":}, {}\n{\"b\":1} ] {}\n12 \"\u{1}\n34\n nul";
    let plan = |layout, on_bad_object| Plan {
        on_bad_object,
        ..plain(layout)
    };
    let (out, counts) = whole(&plan(Layout::Framed, OnBadObject::Skip), text);
    assert_eq!(out, "{\"a\":1}\n{\"b\":1}\n12\n34\n");
    assert_eq!((counts.objects, counts.skipped, counts.passed), (4, 4, 0));
    let (out, _) = whole(&plan(Layout::AsWritten, OnBadObject::Skip), text);
    assert_eq!(out, "{\"a\":1}\n{\"b\":1} \n12 \n34\n ");
    let (out, counts) = whole(&plan(Layout::Framed, OnBadObject::Pass), text);
    assert_eq!(
        out,
        "{\"a\":1}\n{\"a\":}, {}\n{\"b\":1}\n] {}\n12\n\"\u{1}\n34\nnul\n"
    );
    assert_eq!((counts.objects, counts.skipped, counts.passed), (4, 0, 4));
    let (out, _) = whole(&plan(Layout::AsWritten, OnBadObject::Pass), text);
    assert_eq!(out, text);
}

#[test]
fn after_a_bad_object_a_number_does_not_merge_with_the_next_one() {
    let skip = Plan {
        on_bad_object: OnBadObject::Skip,
        ..plain(Layout::AsWritten)
    };
    check(
        &skip,
        &[("1\"\n2", "1\n2"), ("1 ]\n2", "1 \n2"), ("1\n]\n2", "1\n2")],
    );
}

#[test]
fn after_an_error_nothing_comes_any_more() {
    let mut transform = Transform::new(plain(Layout::Framed));
    let mut out = Vec::new();
    let mut input: &[u8] = b"{}\n{]}\n{}\n";
    let bad = transform.push(&mut input, &mut out).unwrap_err();
    assert_eq!(
        bad.to_string(),
        "object 2, byte 4: `]` where a key or `}` should be"
    );
    assert_eq!(out, b"{}\n");
    for _ in 0..2 {
        assert_eq!(transform.push(&mut &b"{}"[..], &mut out), Err(bad.clone()));
        assert_eq!(transform.finish(&mut out), Err(bad.clone()));
    }
    assert_eq!(out, b"{}\n");
}

#[test]
fn an_object_is_there_with_its_last_byte_and_a_number_with_the_next_one() {
    let mut transform = Transform::new(plain(Layout::Framed));
    let mut pushed = |text: &str| {
        let mut out = Vec::new();
        transform.push(&mut text.as_bytes(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    assert_eq!(pushed("{\"a\":[1"), "");
    assert_eq!(pushed("]}"), "{\"a\":[1]}\n");
    assert_eq!(pushed(" \"a"), "");
    assert_eq!(pushed("\""), "\"a\"\n");
    assert_eq!(pushed("12"), "");
    assert_eq!(pushed("{"), "12\n");
    assert_eq!(pushed("}null"), "{}\n");
    let mut out = Vec::new();
    transform.finish(&mut out).unwrap();
    transform.finish(&mut out).unwrap();
    assert_eq!(out, b"null\n");
}
