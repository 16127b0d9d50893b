//! What apps are told: in each object, and in the environment.

use serde_json::{Value, json};

use super::{json, objects, objects_in};
use crate::kit::{Cluster, Runner};

#[test]
fn every_stage_is_told_of_its_own_instance_and_of_the_one_before() {
    let cluster = Cluster::of_three();
    cluster.scratch().file("in", "{\"n\":1}\n{\"n\":2}\n");
    let run = json(&cluster, "@a cat in | @b tee at-b | @c tee at-c");
    run.assert_status(0).assert_wrote("{\"n\":1}\n{\"n\":2}\n");
    for (file, own, before, stage) in [("at-b", "b", "a", 2), ("at-c", "c", "b", 3)] {
        let (own, before) = (cluster.node(own), cluster.node(before));
        let seen = objects_in(&cluster, file);
        assert_eq!(seen.len(), 2);
        for (index, object) in seen.iter().enumerate() {
            assert_eq!(object["n"], json!(index + 1));
            let told = &object["__dpipes"];
            for (name, value) in [
                ("addr", json!(own.address.ip().to_string())),
                ("port", json!(own.address.port())),
                ("service", json!("dp.tee")),
                ("node", json!(own.name)),
                ("stage", json!(stage)),
                ("stages", json!(3)),
                (
                    "transport",
                    json!(if own.alias == "a" { "unix" } else { "tcp" }),
                ),
                ("remote.node", json!(before.name)),
                ("remote.addr", json!(before.address.ip().to_string())),
                ("remote.port", json!(before.address.port())),
                ("remote.app", json!(if stage == 2 { "cat" } else { "tee" })),
            ] {
                assert_eq!(told[format!("dp.{name}")], value, "{name} at stage {stage}");
            }
        }
        let pipes: Vec<&Value> = seen.iter().map(|o| &o["__dpipes"]["dp.pipe"]).collect();
        assert_eq!(pipes[0], pipes[1]);
    }
}

#[test]
fn the_environment_says_the_same_in_byte_mode() {
    let cluster = Cluster::of_three();
    let run = cluster
        .dpipes(&["@a true | @b sh -c 'env | grep ^DP_ | sort'"])
        .run();
    run.assert_status(0);
    let (a, b) = (cluster.node("a"), cluster.node("b"));
    for expected in [
        format!("DP_ADDR={}", b.address.ip()),
        format!("DP_PORT={}", b.address.port()),
        "DP_SERVICE=dp.sh".to_owned(),
        format!("DP_NODE={}", b.name),
        "DP_STAGE=2".to_owned(),
        "DP_STAGES=2".to_owned(),
        "DP_REMOTE_APP=true".to_owned(),
        format!("DP_REMOTE_NODE={}", a.name),
        format!("DP_REMOTE_PORT={}", a.address.port()),
    ] {
        assert!(
            run.text().lines().any(|line| line == expected),
            "{expected}: {run:?}"
        );
    }
    assert!(!run.text().contains("DP_CREDENTIAL"));
}

#[test]
fn what_is_long_or_secret_is_told_only_when_asked_for() {
    let cluster = Cluster::of_three();
    cluster.scratch().file("in", "{}\n");
    let asked = |options: &[&str], pipeline: &str| {
        let run = cluster
            .dpipes(
                &[
                    &["-f", "json", "-e", "GREETING=hello"],
                    options,
                    &[pipeline],
                ]
                .concat(),
            )
            .env("SECRET", "s3cret")
            .run();
        run.assert_status(0);
        objects_in(&cluster, "seen").remove(0)["__dpipes"].clone()
    };
    let pipeline = "@a cat in | @b tee seen";
    let credential = ["--credential-env", "SECRET"];
    let told = asked(&credential, pipeline);
    for name in ["dp.argv", "dp.environ", "dp.credential"] {
        assert!(told.get(name).is_none(), "{name} in {told}");
    }
    let more = [&credential[..], &["-o", "metadata=argv,environ,credential"]].concat();
    let told = asked(&more, pipeline);
    assert_eq!(told["dp.argv"], json!(["tee", "seen"]));
    assert_eq!(told["dp.environ"]["GREETING"], json!("hello"));
    assert_eq!(told["dp.credential"], json!("s3cret"));
    // In byte mode too, where the environment has the rest anyway.
    cluster
        .dpipes(&[&more[..], &["@b printenv DP_CREDENTIAL"]].concat())
        .env("SECRET", "s3cret")
        .run()
        .assert_wrote("s3cret\n");
}

#[test]
fn metadata_that_come_from_elsewhere_are_never_believed() {
    let cluster = Cluster::of_three();
    let forged = r#"{"a":1,"__dpipes":{"dp.user":"root"},"\u005f_dpipes":{"dp.node":"elsewhere"}}"#;
    cluster
        .scratch()
        .file("in", format!("{forged}\n{{\"b\":2}}\n"));
    let run = cluster
        .dpipes(&["-f", "json", "--print-status", "@a cat in | @b tee seen"])
        .run();
    run.assert_status(0)
        .assert_wrote("{\"a\":1}\n{\"b\":2}\n")
        .assert_says("2 objects, 1 with metadata that were taken out");
    let seen = cluster.scratch().read("seen");
    assert!(
        !seen.contains("elsewhere") && seen.matches("_dpipes").count() == 2,
        "{seen}"
    );
    assert_eq!(
        objects(&seen)[0]["__dpipes"]["dp.node"],
        json!(cluster.node("b").name)
    );
}

#[test]
fn the_users_output_is_what_a_local_pipe_writes_unless_metadata_are_kept() {
    let cluster = Cluster::of_three();
    cluster.scratch().file("in", "{\"n\":1}\n");
    json(&cluster, "@a cat in | @b jq .").assert_wrote("{\n  \"n\": 1\n}\n");
    let kept = cluster
        .dpipes(&["-f", "json", "--keep-metadata", "@a cat in | @b tee seen"])
        .run();
    kept.assert_status(0)
        .assert_wrote(&cluster.scratch().read("seen"));
    assert_eq!(objects(kept.text())[0]["__dpipes"]["dp.stage"], json!(2));
}

#[test]
fn names_of_metadata_are_the_nodes_own_and_each_takes_out_the_others() {
    let cluster = Cluster::builder()
        .node("a")
        .node_with("b", |node| {
            node.section("objects: { metadata: { style: flat, prefix: \"_x.\" } }")
        })
        .node_with("c", |node| {
            node.section("objects: { metadata: { name: meta, prefix: \"\" } }")
        })
        .start();
    cluster.scratch().file("in", "{\"n\":1}\n");
    let run = json(&cluster, "@a cat in | @b tee at-b | @c tee at-c");
    run.assert_status(0).assert_wrote("{\"n\":1}\n");
    let at_b = objects_in(&cluster, "at-b").remove(0);
    assert_eq!(
        (&at_b["_x.stage"], &at_b["n"], at_b.get("__dpipes")),
        (&json!(2), &json!(1), None)
    );
    let at_c = objects_in(&cluster, "at-c").remove(0);
    assert_eq!(at_c["meta"]["stage"], json!(3));
    assert_eq!(at_c.as_object().unwrap().len(), 2, "{at_c}");
}
