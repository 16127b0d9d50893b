//! Streams of YAML documents, as apps write them.

use dpipes::{
    media::{Format, Naming},
    object::{Layout, Limits, Metadata, OnBadObject, OnNonObject, Plan},
};

use super::objects::outcome;

/// The first byte says what is done and the second how the rest is cut: that has no part in what comes of it. Metadata that are put into
/// the text, or taken out of it, are those that are put into what it means.
pub fn split_yaml(input: &[u8]) {
    let [choice, size, stream @ ..] = input else {
        return;
    };
    let plan = plan(*choice);
    let whole = outcome(&plan, stream, usize::MAX);
    for piece in [1, usize::from(*size) + 1] {
        assert_eq!(outcome(&plan, stream, piece), whole);
    }
    if let (out, _, Ok(())) = outcome(&to(Format::Yaml), stream, usize::MAX) {
        assert_eq!(out, stream);
    }
    let adds = |plan| Plan {
        add: Some(metadata()),
        ..plan
    };
    let removes = |plan| Plan {
        remove: vec![Naming::default()],
        ..plan
    };
    for layout in [Layout::Framed, Layout::AsWritten] {
        let in_text = Plan {
            layout,
            ..to(Format::Yaml)
        };
        same(stream, &adds(in_text.clone()), &adds(to(Format::Json)));
        same(stream, &removes(in_text), &removes(to(Format::Json)));
    }
    if let (json, _, Ok(())) = outcome(&to(Format::Json), stream, usize::MAX) {
        let from_json = Plan {
            from: Format::Json,
            ..to(Format::Yaml)
        };
        let (yaml, _, result) = outcome(&from_json, &json, usize::MAX);
        assert_eq!(result, Ok(()), "{}", json.escape_ascii());
        let (again, _, result) = outcome(&to(Format::Json), &yaml, usize::MAX);
        assert_eq!(result, Ok(()), "{}", yaml.escape_ascii());
        assert_eq!(again, json, "{}", yaml.escape_ascii());
    }
}

/// What is done to the text means what is done to the meaning, if both can be done.
fn same(stream: &[u8], in_text: &Plan, in_meaning: &Plan) {
    let (text, _, in_text) = outcome(in_text, stream, usize::MAX);
    let (expected, _, in_meaning) = outcome(in_meaning, stream, usize::MAX);
    if in_text.is_err() || in_meaning.is_err() {
        return;
    }
    let (json, _, result) = outcome(&to(Format::Json), &text, usize::MAX);
    assert_eq!(result, Ok(()), "{}", text.escape_ascii());
    assert_eq!(
        json.escape_ascii().to_string(),
        expected.escape_ascii().to_string(),
        "{}",
        text.escape_ascii()
    );
}

fn metadata() -> Metadata {
    Metadata::new(Naming::default(), &[("x", 1.into())])
}

/// YAML that nothing is put into or taken out of.
fn to(format: Format) -> Plan {
    Plan {
        from: Format::Yaml,
        to: format,
        remove: Vec::new(),
        add: None,
        layout: Layout::AsWritten,
        on_non_object: OnNonObject::Pass,
        on_bad_object: OnBadObject::Fail,
        limits: Limits::default(),
    }
}

/// Any plan for YAML.
fn plan(choice: u8) -> Plan {
    let bit = |at: u8| choice >> at & 1 == 1;
    Plan {
        from: Format::Yaml,
        to: if bit(0) { Format::Json } else { Format::Yaml },
        remove: bit(1).then(Naming::default).into_iter().collect(),
        add: bit(2).then(metadata),
        layout: if bit(3) {
            Layout::Framed
        } else {
            Layout::AsWritten
        },
        on_non_object: [
            OnNonObject::Pass,
            OnNonObject::Wrap,
            OnNonObject::Error,
            OnNonObject::Pass,
        ][usize::from(choice >> 4 & 3)],
        on_bad_object: [
            OnBadObject::Fail,
            OnBadObject::Skip,
            OnBadObject::Pass,
            OnBadObject::Skip,
        ][usize::from(choice >> 6)],
        limits: Limits {
            max_object: 200,
            max_depth: 20,
        },
    }
}
