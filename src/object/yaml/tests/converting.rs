//! From and to JSON.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

fn value_of(text: &str) -> Value {
    let json = json_of(text).unwrap_or_else(|fault| panic!("{text}: {fault:?}"));
    serde_json::from_str(&json).unwrap_or_else(|error| panic!("{json}: {error}"))
}

fn refused(text: &str) -> String {
    match json_of(text) {
        Ok(json) => panic!("{text}: {json}"),
        Err((_, problem)) => problem.to_string(),
    }
}

#[test]
fn the_core_schema_says_what_plain_scalars_are() {
    let text = "- null\n- ~\n-\n- True\n- FALSE\n- no\n- on\n- 012\n- 0x1F\n- 1_000\n- 2001-12-14\n- 12:30\n- <<\n";
    assert_eq!(
        json_of(text).unwrap(),
        r#"[null,null,null,true,false,"no","on",12,31,"1_000","2001-12-14","12:30","<<"]"#
    );
    assert_eq!(
        json_of("[0.10, 9223372036854775809, 1e400, '1', \"~\"]").unwrap(),
        r#"[0.10,9223372036854775809,1e400,"1","~"]"#
    );
}

#[test]
fn scalars_of_all_styles_become_strings() {
    assert_eq!(
        value_of(
            "a: |\n  x\n   y\n\nb: >-\n  x\n  y\n\n  z\nc: 'it''s'\nd: \"\\x41\\u00e9\\U0001F600\\\n  b\"\ne: x\n  y\n"
        ),
        json!({"a": "x\n y\n", "b": "x y\nz", "c": "it's", "d": "Aé😀b", "e": "x y"})
    );
}

#[test]
fn core_tags_are_heeded_and_others_are_refused() {
    let text = "[!!str 12, !!str , ! 12, !!int \"12\", !!float 1, !!bool 'true', !!null '', !!map {}, !!seq [], !!binary aGk=, !!timestamp 2001-12-14]";
    assert_eq!(
        json_of(text).unwrap(),
        r#"["12","","12",12,1,true,null,{},[],"aGk=","2001-12-14"]"#
    );
    for (text, tag) in [
        ("!foo a", "!foo"),
        ("!!set {a}", "!!set"),
        ("!!omap []", "!!omap"),
        ("!<x:y> a", "!<x:y>"),
        ("%TAG !e! tag:e,1:\n---\n!e!f {}", "!e!f"),
    ] {
        assert_eq!(
            refused(text),
            format!("the tag {tag} cannot be said in JSON")
        );
    }
    assert_eq!(refused("!!int 1.5"), "not YAML: `1.5` is no !!int");
}

#[test]
fn what_json_has_not_is_refused_by_name() {
    for text in ["[.inf]", "-.INF", "a: .nan", "!!float .inf"] {
        assert!(refused(text).ends_with(" cannot be said in JSON"), "{text}");
    }
    for text in [
        "1: a",
        "true: a",
        "~: a",
        ": a",
        "&x 1: a",
        "{a, 2: b}",
        "a: &x 1\n*x : b",
    ] {
        assert_eq!(
            refused(text),
            "a key that is no string cannot be said in JSON",
            "{text}"
        );
    }
    for text in ["? [a]\n: b", "{{a: b}: c}", "? - a\n"] {
        assert_eq!(
            refused(text),
            "a key that is a list or a mapping cannot be said in JSON",
            "{text}"
        );
    }
    assert_eq!(
        value_of("'1': a\n!!str 2: b\n"),
        json!({"1": "a", "2": "b"})
    );
}

#[test]
fn keys_are_there_once() {
    assert_eq!(
        refused("a: 1\nb: 2\n\"a\": 3"),
        "not YAML: the key \"a\" is there twice"
    );
    assert_eq!(
        json_of("b: 1\na: {b: 1}\nc: [{a: 1}, {a: 2}]").unwrap(),
        r#"{"b":1,"a":{"b":1},"c":[{"a":1},{"a":2}]}"#
    );
    assert_eq!(json_of("a: {x: 1,\n x: 2}").unwrap_err().0, 11);
}

#[test]
fn aliases_are_written_out() {
    assert_eq!(
        json_of("a: &x [1, &y {b: 2}]\nc: *x\nd: *y\n*z : &x 3\ne: *x").map_err(|_| ()),
        Err(())
    );
    assert_eq!(
        json_of("a: &x [1, &y {b: 2}]\nc: *x\nd: *y\ne: &x 3\nf: *x").unwrap(),
        r#"{"a":[1,{"b":2}],"c":[1,{"b":2}],"d":{"b":2},"e":3,"f":3}"#
    );
    assert_eq!(
        json_of("&k a: &v b\n*v : *k").unwrap(),
        r#"{"a":"b","b":"a"}"#
    );
    assert_eq!(
        refused("&x [*x]"),
        "an alias of a node that it stands in cannot be said in JSON"
    );
}

#[test]
fn merge_keys_bring_what_is_not_there() {
    let base = "base: &b {a: 1, b: 2}\nmore: &m {b: 3, c: 4}\n";
    for (text, expected) in [
        ("<<: *b", json!({"a": 1, "b": 2})),
        ("a: 0\n  <<: *b\n  c: 5", json!({"a": 0, "b": 2, "c": 5})),
        ("<<: [*m, *b]", json!({"a": 1, "b": 3, "c": 4})),
        (
            "<<: [*b, *m, {d: 6}]",
            json!({"a": 1, "b": 2, "c": 4, "d": 6}),
        ),
        (
            "<<: {<<: *b, x: &k [7]}\n  y: *k",
            json!({"a": 1, "b": 2, "x": [7], "y": [7]}),
        ),
        ("!!merge k: *b", json!({"a": 1, "b": 2})),
        ("'<<': *b", json!({"<<": {"a": 1, "b": 2}})),
        ("<<: {}", json!({})),
    ] {
        let value = value_of(&format!("{base}t:\n  {text}\n"));
        assert_eq!(value["t"], expected, "{text}");
    }
    for text in ["<<: a", "<<: [a]", "<<:", "<<: [[]]"] {
        assert_eq!(
            refused(text),
            "not YAML: a merge key takes a mapping or a list of mappings"
        );
    }
    assert_eq!(
        refused("<<: {}\n<<: {}"),
        "not YAML: the key << is there twice"
    );
}

#[test]
fn json_becomes_what_people_like_to_read() {
    let json = r#"{"name":"web-1","on":"no","n":[1,0.10,1e400,-0,null,true],"empty":{"a":[],"b":{}},"list":[[1,[2]],{"x":{"y":"a\nb"},"z":[]}]}"#;
    assert_eq!(
        yaml_of(json).unwrap(),
        "---\nname: web-1\n\"on\": \"no\"\n\"n\":\n  - 1\n  - 0.10\n  - 1e400\n  - -0\n  - null\n  - true\nempty:\n  a: []\n  b: {}\nlist:\n  - - 1\n    - - 2\n  - x:\n      \"y\": \"a\\nb\"\n    z: []\n...\n"
    );
    for (json, yaml) in [
        ("1", "1"),
        (" \"a\" ", "a"),
        ("[]", "[]"),
        ("{ }", "{}"),
        ("\"\\ud83d\\ude00\\u0041\"", "\"😀A\""),
    ] {
        assert_eq!(yaml_of(json).unwrap(), format!("---\n{yaml}\n...\n"));
    }
}

#[test]
fn what_yaml_has_not_is_refused() {
    for (json, at) in [
        (r#"["\ud800"]"#, 2),
        (r#"["a\udc00"]"#, 3),
        (r#"["\ud800\ud800"]"#, 2),
        (r#"["\ud800x"]"#, 2),
    ] {
        assert_eq!(yaml_of(json).unwrap_err().0, at);
        assert!(matches!(
            yaml_of(json),
            Err((_, Problem::Inexpressible { .. }))
        ));
    }
    let (at, problem) = yaml_of(r#"{"a":1,"b":{"a":2},"\u0061":3}"#).unwrap_err();
    assert_eq!(
        (at, problem.to_string().as_str()),
        (
            19,
            "the key \"a\" twice in one object cannot be said in YAML"
        )
    );
}

#[test]
fn long_keys_and_deep_values_come_back() {
    let key = "k".repeat(2_000);
    for json in [
        format!(r#"{{"{key}":{{"{key}":[1]}},"b":{{"{key}":2}}}}"#),
        format!("{}{}", r#"{"a":["#.repeat(30), "]}".repeat(30)),
        format!(
            "{}{{\"{key}\":1,\"c\":\"yes\"}}{}",
            "[".repeat(100),
            "]".repeat(100)
        ),
    ] {
        assert_eq!(json_of(&yaml_of(&json).unwrap()).unwrap(), json);
    }
}

/// Any value.
pub(super) fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<i32>().prop_map(|eighths| Value::from(f64::from(eighths) / 8.0)),
        any::<String>().prop_map(Value::from),
        "[-+.:#,? 0-9a-z~'\"\\\\\n\t{}\\[\\]&*!|>%@`]{0,8}".prop_map(Value::from),
        "(yes|no|~|null|0x1f|1e5|---|[.]inf|<<|=|2001-01-01|1:20|\u{feff}|\u{85})"
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec(
                (prop_oneof![any::<String>(), "[-a-z:# ]{0,4}"], inner),
                0..6
            )
            .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

proptest! {
    #[test]
    fn values_come_back_and_others_read_the_same(value in values()) {
        let json = value.to_string();
        let yaml = yaml_of(&json).unwrap();
        prop_assert_eq!(&value_of(&yaml), &value, "{}", yaml);
        prop_assert_eq!(json_of(&yaml).unwrap(), json);
        let other: serde_yaml::Value = serde_yaml::from_str(&yaml).unwrap();
        prop_assert_eq!(serde_json::to_value(other).unwrap(), value, "{}", yaml);
    }
}
