//! Streams of JSON objects, as apps write them.

use dpipes::{
    media::{Format, Naming},
    object::{Layout, Limits, Metadata, OnBadObject, OnNonObject, Plan},
};
use serde::de::IgnoredAny;
use serde_json::{Deserializer, Value};

use super::objects::outcome;

/// The first byte says what is done and the second how the rest is cut: that has no part in what comes of it. What is taken is what
/// serde_json takes, and what goes out can be read again.
pub fn split_json(input: &[u8]) {
    let [choice, size, stream @ ..] = input else {
        return;
    };
    let plan = plan(*choice);
    let whole = outcome(&plan, stream, usize::MAX);
    for piece in [1, usize::from(*size) + 1] {
        assert_eq!(outcome(&plan, stream, piece), whole);
    }
    let (out, counts, result) = outcome(&untouched(), stream, usize::MAX);
    let (values, is_well) = judged(stream);
    assert_eq!((counts.objects, result.is_ok()), (values, is_well));
    if is_well {
        assert_eq!(out, stream);
        readable(stream, values);
    }
}

/// With metadata, one value is one line, and it has them.
fn readable(stream: &[u8], values: u64) {
    let plan = Plan {
        add: Some(metadata()),
        layout: Layout::Framed,
        ..untouched()
    };
    let (out, counts, result) = outcome(&plan, stream, usize::MAX);
    assert_eq!((counts.objects, result), (values, Ok(())));
    let out = str::from_utf8(&out).expect("what was UTF-8 stays so");
    assert_eq!(out.lines().count() as u64, values);
    for line in out.lines().filter(|line| line.starts_with('{')) {
        assert!(line.contains(metadata().members()));
        // It refuses what is allowed too: halves of surrogate pairs, large numbers, deep levels.
        if let Ok(object) = serde_json::from_str::<Value>(line) {
            assert_eq!(object["__dpipes"]["dp.x"], 1);
        }
    }
    let again = Plan {
        remove: vec![Naming::default()],
        ..untouched()
    };
    let (_, counts, result) = outcome(&again, out.as_bytes(), usize::MAX);
    assert_eq!((counts.objects, result), (values, Ok(())));
    assert_eq!(counts.replaced, values - counts.non_objects);
}

/// How many values serde_json finds until something is wrong, and whether all is well.
fn judged(stream: &[u8]) -> (u64, bool) {
    let stream = stream.strip_prefix(b"\xef\xbb\xbf").unwrap_or(stream);
    let mut values = Deserializer::from_slice(stream).into_iter::<IgnoredAny>();
    let mut found = 0;
    let mut start = 0;
    while let Some(value) = values.next() {
        let end = values.byte_offset();
        let text = stream[start..end].trim_ascii_start();
        start = end;
        // It leaves to the next value that `1]` is none, and takes any bytes for a string.
        let is_bare = text.first().is_some_and(|first| !b"\"{[".contains(first));
        let merges = is_bare && stream.get(end).is_some_and(|next| b"]},:".contains(next));
        if value.is_err() || merges || str::from_utf8(text).is_err() {
            return (found, false);
        }
        found += 1;
    }
    (found, true)
}

/// Each bit is a choice.
fn plan(choice: u8) -> Plan {
    let is_set = |bit: u8| choice & (1 << bit) != 0;
    let small = Limits {
        max_object: 12,
        max_depth: 3,
    };
    Plan {
        add: is_set(0).then(metadata),
        remove: is_set(1).then(Naming::default).into_iter().collect(),
        layout: match is_set(2) {
            true => Layout::Framed,
            false => Layout::AsWritten,
        },
        on_bad_object: match (is_set(3), is_set(4)) {
            (true, true) => OnBadObject::Pass,
            (true, false) => OnBadObject::Skip,
            (false, _) => OnBadObject::Fail,
        },
        on_non_object: match (is_set(5), is_set(6)) {
            (true, true) => OnNonObject::Wrap,
            (true, false) => OnNonObject::Error,
            (false, _) => OnNonObject::Pass,
        },
        limits: match is_set(7) {
            true => small,
            false => untouched().limits,
        },
        ..untouched()
    }
}

fn untouched() -> Plan {
    Plan {
        from: Format::Json,
        to: Format::Json,
        remove: Vec::new(),
        add: None,
        layout: Layout::AsWritten,
        on_non_object: OnNonObject::Pass,
        on_bad_object: OnBadObject::Fail,
        // serde_json knows no limit for what it passes over.
        limits: Limits {
            max_object: usize::MAX,
            max_depth: usize::MAX,
        },
    }
}

fn metadata() -> Metadata {
    Metadata::new(Naming::default(), &[("x", 1.into())])
}
