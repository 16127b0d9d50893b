//! What holds for every stream: the texts are drawn, not printed from values, so that spellings vary that a printer would not.

use proptest::{collection::vec, prelude::*, sample::Index};
use serde::de::IgnoredAny;
use serde_json::{Deserializer, Value};

use super::*;

fn space() -> impl Strategy<Value = String> {
    prop_oneof![3 => Just(String::new()), 1 => "[ \t\r\n]{0,3}"]
}

/// A string with its quotation marks; no half of a surrogate pair, which serde_json refuses.
fn string() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => r#""[a-zé€😀/ ]{0,12}""#,
        1 => r#""([a-z]|\\["\\/bfnrt]|\\u00[0-9a-fA-F]{2}|\\ud83d\\ude00|\u{7f}){0,12}""#,
    ]
}

/// A key that is sometimes that of metadata, escaped or not.
fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => string(),
        1 => Just(r#""M""#.to_owned()),
        1 => Just(r#""\u004d""#.to_owned()),
        1 => Just(r#""__dpipes""#.to_owned()),
    ]
}

fn leaf() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => r"-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?",
        3 => string(),
        1 => prop_oneof![Just("true"), Just("false"), Just("null")].prop_map(str::to_owned),
    ]
}

/// A value as text.
fn value() -> impl Strategy<Value = String> {
    leaf().prop_recursive(5, 40, 6, |inner| {
        let spaced = (space(), inner, space());
        let item = spaced
            .prop_map(|(before, value, after)| format!("{before}{value}{after}"))
            .boxed()
            .boxed();
        let member = (space(), key(), space(), item.clone());
        let member =
            member.prop_map(|(before, key, after, item)| format!("{before}{key}{after}:{item}"));
        prop_oneof![
            2 => vec(item, 1..5).prop_map(|items| format!("[{}]", items.join(","))),
            3 => vec(member, 1..5).prop_map(|members| format!("{{{}}}", members.join(","))),
            1 => space().prop_map(|space| format!("[{space}]")),
            1 => space().prop_map(|space| format!("{{{space}}}")),
        ]
    })
}

/// Values and the stream that they make.
fn stream() -> impl Strategy<Value = (Vec<String>, String)> {
    let mark = prop_oneof![4 => Just(""), 1 => Just("\u{feff}")];
    (mark, vec((space(), value()), 0..6), space()).prop_map(|(mark, values, end)| {
        let mut text = mark.to_owned();
        let mut merges = false;
        for (space, value) in &values {
            text.push_str(space);
            let is_bare = !value.starts_with(['"', '{', '[']);
            if merges && is_bare && space.is_empty() {
                text.push('\n');
            }
            merges = is_bare;
            text.push_str(value);
        }
        (
            values.into_iter().map(|(_, value)| value).collect(),
            text + &end,
        )
    })
}

/// Bytes that are nearly a stream: some of them others than they should be, or the end is missing.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        4 => prop::sample::select(br#"{}[]:,"\/-+.eE0123tfnu "#.to_vec()),
        1 => prop::sample::select(vec![b'\n', b'\r', 0, 0x1f, 0x80, 0xbf, 0xc3, 0xef, 0xff]),
        1 => any::<u8>(),
    ];
    let damage = (any::<Index>(), byte, 0..3_u8);
    (stream(), vec(damage, 0..4)).prop_map(|((_, text), damages)| {
        let mut bytes = text.into_bytes();
        for (place, byte, kind) in damages {
            let at = place.index(bytes.len() + 1);
            match kind {
                0 => bytes.insert(at, byte),
                1 => bytes.truncate(at),
                _ => {
                    if let Some(there) = bytes.get_mut(at) {
                        *there = byte;
                    }
                }
            }
        }
        bytes
    })
}

fn plan() -> impl Strategy<Value = Plan> {
    let layout = prop_oneof![Just(Layout::Framed), Just(Layout::AsWritten)];
    let on_bad = prop_oneof![
        Just(OnBadObject::Fail),
        Just(OnBadObject::Skip),
        Just(OnBadObject::Pass)
    ];
    let on_non = prop_oneof![
        Just(OnNonObject::Pass),
        Just(OnNonObject::Wrap),
        Just(OnNonObject::Error)
    ];
    let limits = prop_oneof![3 => Just(Limits::default()), 1 => (1..40_usize, 1..4_usize).prop_map(
        |(max_object, max_depth)| Limits { max_object, max_depth }
    )];
    (layout, on_bad, on_non, any::<bool>(), limits).prop_map(
        |(layout, on_bad_object, on_non_object, adds, limits)| Plan {
            add: adds.then(metadata),
            on_non_object,
            on_bad_object,
            limits,
            ..plain(layout)
        },
    )
}

/// How many values serde_json finds until something is wrong, and whether all is well.
fn judged(bytes: &[u8]) -> (u64, bool) {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut values = Deserializer::from_slice(bytes).into_iter::<IgnoredAny>();
    let mut found = 0;
    let mut start = 0;
    while let Some(value) = values.next() {
        let end = values.byte_offset();
        let text = bytes[start..end].trim_ascii_start();
        start = end;
        // It leaves to the next value that `1]` is none, and takes any bytes for a string.
        let is_bare = text.first().is_some_and(|first| !b"\"{[".contains(first));
        let merges = is_bare && bytes.get(end).is_some_and(|next| b"]},:".contains(next));
        if value.is_err() || merges || str::from_utf8(text).is_err() {
            return (found, false);
        }
        found += 1;
    }
    (found, true)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 400 } else { 20_000 }))]

    #[test]
    fn pieces_of_whatever_size_give_what_the_whole_gives(
        bytes in damaged(),
        plan in plan(),
        sizes in vec(1..9_usize, 1..6),
    ) {
        let expected = transformed(&plan, &bytes, usize::MAX);
        prop_assert_eq!(&transformed(&plan, &bytes, 1), &expected);
        prop_assert_eq!(&transformed(&plan, &bytes, sizes[0]), &expected);
        for at in 0..bytes.len() {
            prop_assert_eq!(&in_pieces(&plan, &[&bytes[..at], &bytes[at..]]), &expected);
        }
        let mut pieces = Vec::new();
        let mut rest = bytes.as_slice();
        for size in sizes.into_iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, after) = rest.split_at(size.min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        prop_assert_eq!(&in_pieces(&plan, &pieces), &expected);
    }

    #[test]
    fn exactly_what_serde_json_takes_is_taken(bytes in damaged()) {
        let (out, result) = transformed(&untouched(), &bytes, usize::MAX);
        let (found, is_well) = judged(&bytes);
        prop_assert_eq!(result.is_ok(), is_well, "{:?}", result);
        match result {
            Ok(counts) => {
                prop_assert_eq!(counts.objects, found);
                prop_assert_eq!(out.as_bytes(), &bytes);
            }
            Err(bad) => {
                prop_assert_eq!(bad.number, found + 1);
                prop_assert!(bytes.starts_with(out.as_bytes()));
            }
        }
    }

    #[test]
    fn the_byte_that_is_named_is_the_first_that_no_value_has_there(bytes in damaged()) {
        let Err(bad) = transformed(&untouched(), &bytes, usize::MAX).1 else {
            return Ok(());
        };
        let at = bad.offset as usize;
        if matches!(bad.problem, Problem::Ended { .. }) {
            prop_assert_eq!(at, bytes.len());
            return Ok(());
        }
        let until_then = transformed(&untouched(), &bytes[..at], usize::MAX).1;
        if let Err(other) = until_then {
            prop_assert!(matches!(other.problem, Problem::Ended { .. }), "{:?}", other);
        }
        if let Problem::Unexpected { found, .. } = bad.problem {
            prop_assert_eq!(bytes[at], found);
            let with_it = transformed(&untouched(), &bytes[..=at], usize::MAX).1;
            prop_assert_eq!(with_it, Err(bad));
        }
    }

    #[test]
    fn metadata_are_all_that_changes_in_a_value((values, text) in stream()) {
        let (out, counts) = whole(&embedding(Layout::Framed), &text);
        prop_assert_eq!(counts.objects, values.len() as u64);
        prop_assert_eq!(out.lines().count(), values.len());
        for (line, value) in out.lines().zip(values) {
            let mut expected: Value = serde_json::from_str(&value).unwrap();
            if let Some(members) = expected.as_object_mut() {
                members.insert("M".to_owned(), json!({"dp.x": 1}));
            }
            let read: Value = serde_json::from_str(line).unwrap();
            prop_assert_eq!(read, expected);
        }
    }

    #[test]
    fn metadata_go_out_as_they_came_in((_, text) in stream()) {
        // What was there of that name before is gone for good, and so is the white space of an object that has nothing else.
        let mut text = text.replace("\"M\"", "\"m\"").replace("\\u004d", "m").replace("\\u004D", "m");
        for space in [" ", "\t", "\r", "\n"].repeat(3) {
            text = text.replace(&format!("{{{space}"), "{");
        }
        let out_again = Plan {
            remove: vec![metadata().naming().clone()],
            ..plain(Layout::AsWritten)
        };
        let (with, _) = whole(&embedding(Layout::AsWritten), &text);
        prop_assert_eq!(&whole(&out_again, &with).0, &text);
    }
}

fn untouched() -> Plan {
    Plan {
        remove: Vec::new(),
        ..plain(Layout::AsWritten)
    }
}
