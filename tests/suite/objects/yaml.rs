//! YAML between apps, and from and to JSON.

use std::io::Write;

use serde_json::{Value, json};

use super::{objects, objects_in};
use crate::kit::{Cluster, Runner, bash, eventually};

/// As people write it: comments, anchors, several styles, and no `...`.
const DEPLOYS: &str = "\
# what runs where
kind: Deploy
spec: &spec
  replicas: 3   # for now
  image: \"web:1\"
again: *spec
--- # another one
{kind: Job, spec: {n: 0.10, big: 123456789012345678901234567890}}
";

/// What Python makes of a file of YAML documents: an independent judge.
#[track_caller]
fn python(cluster: &Cluster, file: &str) -> Vec<Value> {
    let script = format!(
        "/usr/bin/python3 -c 'import json, yaml\nfor document in yaml.safe_load_all(open(\"{file}\")): print(json.dumps(document))'"
    );
    let run = bash(cluster.scratch(), &script).run();
    assert_eq!(
        run.status, 0,
        "python3 with yaml is needed (apt install python3-yaml): {run:?}"
    );
    objects(run.text())
}

#[test]
fn documents_reach_an_app_with_metadata_and_otherwise_unchanged() {
    let cluster = Cluster::of_three();
    cluster.scratch().file("in", DEPLOYS);
    let run = cluster
        .dpipes(&["-f", "yaml", "@a cat in | @b tee seen | @c cat"])
        .run();
    run.assert_status(0);
    let seen = cluster.scratch().read("seen");
    for kept in [
        "# what runs where",
        "  replicas: 3   # for now",
        "again: *spec",
        "n: 0.10",
    ] {
        assert!(
            seen.contains(kept) && run.text().contains(kept),
            "{kept}: {seen}"
        );
    }
    assert!(!run.text().contains("__dpipes"), "{run:?}");
    let documents = python(&cluster, "seen");
    assert_eq!(documents.len(), 2);
    for document in &documents {
        assert_eq!(
            document["__dpipes"]["dp.node"],
            json!(cluster.node("b").name)
        );
        assert_eq!(
            document["__dpipes"]["dp.port"],
            json!(cluster.node("b").address.port())
        );
        assert_eq!(document["__dpipes"]["dp.stage"], json!(2));
    }
    assert_eq!(documents[0]["again"]["replicas"], json!(3));
}

#[test]
fn a_document_arrives_while_the_next_one_is_still_to_come() {
    let cluster = Cluster::of_three();
    let mut running = cluster
        .dpipes(&["-f", "yaml", "@a cat | @b tee seen"])
        .stdin_piped()
        .spawn();
    let mut stdin = running.take_stdin();
    for number in 1..=3 {
        writeln!(stdin, "n: {number}\n...").unwrap();
        stdin.flush().unwrap();
        eventually!(
            cluster.scratch().has("seen")
                && cluster
                    .scratch()
                    .read("seen")
                    .contains(&format!("n: {number}")),
            "document {number} arrives"
        );
    }
    drop(stdin);
    running.wait().assert_status(0);
}

#[test]
fn neighbours_of_different_formats_understand_each_other() {
    let cluster = Cluster::of_three();
    cluster.scratch().file("in", DEPLOYS);
    let run = cluster
        .dpipes(&[
            "--format-in",
            "yaml",
            "--format-out",
            "json",
            "@a cat in | @b jq -c .spec.replicas",
        ])
        .run();
    run.assert_status(0).assert_wrote("3\nnull\n");
    let run = cluster
        .dpipes(&[
            "--format-in",
            "yaml",
            "--app-format",
            "tee=json",
            "@a cat in | @b tee seen",
        ])
        .run();
    run.assert_status(0);
    let seen = cluster.scratch().read("seen");
    assert!(
        seen.contains(r#""n":0.10,"big":123456789012345678901234567890"#),
        "{seen}"
    );
    assert_eq!(objects_in(&cluster, "seen")[0]["again"]["image"], "web:1");
}

#[test]
fn there_and_back_is_the_same_to_python_and_jq() {
    let cluster = Cluster::of_three();
    let lines = concat!(
        r#"{"plain":"text","no":"no","null":"null","num":"1e3","date":"2026-11-22","colon":"a: b","multi":"a\nb","esc":"\u0001\u007f\u2028\ud83d\ude00","deep":{"list":[[],{},[1,[2,{"x":null}]]]}}"#,
        "\n",
        r#"{"i":-1,"f":0.5,"t":true,"n":null,"":"","unicode":"žluťoučký"}"#,
        "\n"
    );
    cluster.scratch().file("in", lines);
    cluster
        .dpipes(&[
            "--format-in",
            "json",
            "--format-out",
            "yaml",
            "@a cat in | @b cat",
        ])
        .stdout_to(std::fs::File::create(cluster.scratch().work().join("out.yaml")).unwrap())
        .run()
        .assert_status(0);
    assert_eq!(python(&cluster, "out.yaml"), objects(lines));
    let back = cluster
        .dpipes(&[
            "--format-in",
            "yaml",
            "--format-out",
            "json",
            "@a cat out.yaml | @b cat",
        ])
        .run();
    back.assert_status(0);
    assert_eq!(objects(back.text()), objects(lines));
    let jq = bash(cluster.scratch(), "jq -c . in").run();
    assert_eq!(jq.status, 0, "jq is needed (apt install jq): {jq:?}");
    assert_eq!(objects(back.text()), objects(jq.text()));
}

#[test]
fn what_the_other_format_cannot_hold_is_a_bad_object() {
    let cluster = Cluster::of_three();
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\nh: [*g,*g,*g,*g,*g,*g,*g,*g,*g]\n";
    for (document, says) in [
        ("1: x\n", "a key that is no string"),
        ("x: .inf\n", ".inf"),
        ("x: !mine 3\n", "!mine"),
        ("x: [1\n", "not YAML"),
        (bomb, "longer than"),
    ] {
        cluster
            .scratch()
            .file("in", format!("fine: 1\n---\n{document}"));
        let run = cluster
            .dpipes(&["--format-in", "yaml", "@a cat in | @b jq -c ."])
            .run();
        run.assert_status(125)
            .assert_says("object 2")
            .assert_says(says);
    }
    let run = cluster
        .dpipes(&[
            "-f",
            "json",
            "--format-out",
            "yaml",
            "@a echo '{\"half\":\"\\ud800\"}' | @b cat",
        ])
        .run();
    run.assert_status(125).assert_says("cannot be said in YAML");
}
