//! Which formats meet, and who says what an app reads and writes.

use super::objects_in;
use crate::kit::{Cluster, Runner};

/// Node `b` knows that one app reads objects, and another one bytes.
fn cluster() -> Cluster {
    Cluster::builder()
        .node("a")
        .node_with("b", |node| {
            node.apps("{ resize: { path: /usr/bin/tee, format: json }, legacy: { path: /usr/bin/tee, format: bytes }, others: allow }")
        })
        .start()
}

#[test]
fn bytes_and_objects_do_not_meet_unasked() {
    let cluster = cluster();
    for (options, pipeline, reader, writer) in [
        (
            &[][..],
            "@a cat in | @b resize seen",
            "`resize` reads json",
            "`cat` writes bytes",
        ),
        (
            &["-f", "json"],
            "@a cat in | @b legacy seen",
            "`legacy` reads bytes",
            "`cat` writes json",
        ),
        (
            &[],
            "@b resize seen",
            "`resize` reads json",
            "the client writes bytes",
        ),
    ] {
        let run = cluster.dpipes(&[options, &[pipeline]].concat()).run();
        run.assert_status(126)
            .assert_says(reader)
            .assert_says(writer)
            .assert_says("nothing was started")
            .assert_says("-o mix-formats");
        assert!(!cluster.scratch().has("seen"));
    }
}

#[test]
fn bytes_and_objects_meet_when_that_was_asked_for() {
    let cluster = cluster();
    cluster.scratch().file("in", "{\"a\": 1}\n");
    let mixed = |pipeline: &str| {
        let run = cluster.dpipes(&["-o", "mix-formats", pipeline]).run();
        run.assert_status(0);
        run
    };
    mixed("@a cat in | @b resize seen | @a tee plain").assert_wrote("{\"a\": 1}\n");
    assert_eq!(objects_in(&cluster, "seen")[0]["__dpipes"]["dp.stage"], 2);
    assert_eq!(cluster.scratch().read("plain"), "{\"a\": 1}\n");
}

#[test]
fn the_owner_of_an_app_knows_best_what_it_reads() {
    let cluster = cluster();
    cluster.scratch().file("in", "{\"a\":1}\n");
    let run = cluster
        .dpipes(&[
            "-f",
            "json",
            "-o",
            "mix-formats",
            "@a cat in | @b legacy seen",
        ])
        .run();
    run.assert_status(0).assert_wrote("{\"a\":1}\n");
    assert_eq!(cluster.scratch().read("seen"), "{\"a\":1}\n");
}

#[test]
fn one_app_may_write_text_that_others_go_on_with() {
    let cluster = Cluster::of_three();
    cluster.scratch().file(
        "in",
        "{\"level\":\"info\"}\n{\"level\":\"error\"}\n{\"level\":\"info\"}\n",
    );
    let run = cluster
        .dpipes(&[
            "--format-in",
            "json",
            "--app-format",
            "jq=json:bytes",
            "@a cat in | @b jq -r .level | @c sort | @a uniq -c",
        ])
        .run();
    run.assert_status(0)
        .assert_wrote("      1 error\n      2 info\n");
    cluster
        .dpipes(&[
            "-f",
            "json",
            "--format-out",
            "bytes",
            "@a cat in | @b jq -r .level",
        ])
        .run()
        .assert_status(0)
        .assert_wrote("info\nerror\ninfo\n");
}

#[test]
fn after_an_app_that_writes_text_comes_text_whatever_else_flows() {
    let cluster = Cluster::of_three();
    cluster.scratch().file("in", "{\"n\":2}\n{\"n\":1}\n");
    let all = ["-f", "json", "--app-format", "jq=json:bytes"];
    cluster
        .dpipes(&[&all[..], &["@a cat in | @b jq -r .n | @c sort"]].concat())
        .run()
        .assert_status(0)
        .assert_wrote("1\n2\n");
    cluster
        .dpipes(&[
            "-f",
            "json",
            "--app-format",
            "jq=json",
            "@a cat in | @b cat",
        ])
        .run()
        .assert_status(125)
        .assert_says("no stage runs `jq`");
}

#[test]
fn jq_reads_objects_only_where_objects_flow() {
    let cluster = Cluster::of_three();
    cluster.scratch().file("in", "{\"a\":1}\n");
    let plain = cluster.dpipes(&["@a cat in | @b jq -c keys"]).run();
    plain.assert_status(0).assert_wrote("[\"a\"]\n");
    let told = cluster
        .dpipes(&["--format-in", "json", "@a cat in | @b jq -c keys"])
        .run();
    told.assert_status(0).assert_wrote("[\"__dpipes\",\"a\"]\n");
}

#[test]
fn a_check_shows_and_refuses_what_a_run_would() {
    let cluster = cluster();
    let run = cluster
        .dpipes(&["check", "@a cat in | @b resize seen"])
        .run();
    run.assert_says("`resize` reads json, but `cat` writes bytes");
    let run = cluster
        .dpipes(&[
            "check",
            "--json",
            "-f",
            "json",
            "@a cat in | @b resize seen",
        ])
        .run();
    run.assert_status(0);
    assert!(run.text().contains(r#""input":"json""#), "{run:?}");
}

#[test]
fn slips_in_options_of_objects_are_bad_usage() {
    let cluster = Cluster::of_one();
    for (arguments, says) in [
        (["-f", "xml"], "`xml` is no format"),
        (["--app-format", "jq"], "an app and its format are wanted"),
        (["--app-format", "jq=json:xml"], "`xml` is no format"),
        (
            ["-o", "on-bad-object=ignore"],
            "`ignore` is not one of fail, skip and pass",
        ),
        (
            ["-o", "on-non-object=no"],
            "`no` is not one of pass, wrap and error",
        ),
        (
            ["-o", "metadata=everything"],
            "`everything` is not one of argv, environ, credential",
        ),
        (["-o", "mix-format"], "did you mean `-o mix-formats`?"),
    ] {
        let run = cluster.dpipes(&[&arguments[..], &["cat"]].concat()).run();
        run.assert_status(125).assert_says(says);
    }
}
