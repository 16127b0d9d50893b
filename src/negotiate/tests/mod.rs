//! The cast: offers, nodes and rules to check.

mod entry;
mod node;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    rules::{AppRule, CredentialRule, Others, Rules},
    *,
};
use crate::{
    id::{NodeId, StageNumber},
    media::{Compress, Format},
    wire::message::{Accept, Answer, Offer, Refusal, RefusalKind, StageAnswer},
    word::{Part, Word},
};

fn node(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

/// A stage as offered; `extra` is laid over it.
fn stage(number: u16, command: &[&str], extra: Value) -> Value {
    let words: Vec<_> = command[1..]
        .iter()
        .map(|word| Word::literal(*word))
        .collect();
    let mut stage = json!({
        "stage": number, "app": command[0], "args": words, "stdin": "link", "stdout": "link",
    });
    lay(&mut stage, extra);
    stage
}

fn lay(base: &mut Value, extra: Value) {
    let Value::Object(extra) = extra else {
        panic!("an object")
    };
    for (key, value) in extra {
        base[key] = value;
    }
}

fn offer_with(total: u16, stages: Vec<Value>, extra: Value) -> Offer {
    let mut offer = json!({
        "pipe": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "attempt": 1, "entry": "entry", "stages_total": total,
        "stages": stages, "lease_ms": 15_000, "kill_grace_ms": 5_000, "window": 262_144,
    });
    lay(&mut offer, extra);
    serde_json::from_value(offer).unwrap()
}

fn offer(stages: Vec<Value>) -> Offer {
    let total = u16::try_from(stages.len()).unwrap();
    offer_with(total, stages, json!({}))
}

/// A node of user `ann` that has the usual programs.
fn facts() -> Facts {
    let fact = |version: Option<&str>, app: &str| {
        let program = Program::Found(PathBuf::from(format!("/usr/bin/{app}")));
        (
            app.to_owned(),
            AppFact {
                program,
                version: version.map(str::to_owned),
            },
        )
    };
    Facts {
        apps: [
            fact(Some("9.1"), "sort"),
            fact(None, "cat"),
            fact(None, "uniq"),
            fact(None, "head"),
        ]
        .into(),
        user: "ann".to_owned(),
        options: ["window".to_owned()].into(),
        formats: vec![Format::Bytes, Format::Json, Format::Yaml],
        ..Facts::default()
    }
}

fn named(app: &str, rule: AppRule) -> Rules {
    Rules {
        apps: [(app.to_owned(), rule)].into(),
        others: Others::Deny,
        ..Rules::default()
    }
}

fn check(stage: Value, rules: &Rules, facts: &Facts) -> Result<Agreed, Refusal> {
    check_offer(&offer(vec![stage]), rules, facts).remove(0)
}

#[track_caller]
fn refused(result: Result<Agreed, Refusal>, parameter: &str, kind: RefusalKind) -> Refusal {
    let refusal = result.expect_err("a refusal");
    assert_eq!(
        (refusal.parameter.as_str(), refusal.kind),
        (parameter, kind),
        "{refusal:?}"
    );
    assert!(
        !refusal.wanted.is_empty() && !refusal.got.is_empty(),
        "{refusal:?}"
    );
    refusal
}

use RefusalKind::{Busy, Forbidden, Gone, NoSuchApp, NotExecutable};
