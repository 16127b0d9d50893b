//! What is no object: the run fails and says where, or goes on as it was asked to, and counts.

use super::{json, objects_in};
use crate::kit::{Cluster, Run, Runner, eventually};

fn with_bad_object(cluster: &Cluster, options: &[&str]) -> Run {
    cluster
        .scratch()
        .file("in", "{\"n\":1}\n{\"n\":oops}\n{\"n\":3}\n");
    let pipeline = "@a cat in | @b sh -c 'cat > seen; touch committed'";
    cluster
        .dpipes(&[&["-f", "json"], options, &[pipeline]].concat())
        .run()
}

#[test]
fn a_bad_object_ends_the_run_and_is_no_end_of_input() {
    for options in [&[][..], &["-o", "on-loss=eof"]] {
        let cluster = Cluster::of_three();
        let run = with_bad_object(&cluster, options);
        run.assert_status(125)
            .assert_says(&format!(
                "stage 1 `cat` on {} wrote a bad object",
                cluster.node("a").name
            ))
            .assert_says("JSON object 2, byte 13: `o` where a value should be");
        eventually!(cluster.apps().is_empty(), "nothing is left");
        assert!(!cluster.scratch().has("committed"), "{options:?}");
    }
}

#[test]
fn bad_objects_are_left_out_or_passed_and_counted_when_that_is_asked_for() {
    let cluster = Cluster::of_three();
    let run = with_bad_object(&cluster, &["-o", "on-bad-object=skip", "--print-status"]);
    run.assert_status(0)
        .assert_says("what came to stage 2 `sh`: 1 bad left out")
        .assert_says("(2 objects, 1 bad left out)");
    let numbers: Vec<_> = objects_in(&cluster, "seen")
        .iter()
        .map(|object| object["n"].clone())
        .collect();
    assert_eq!(numbers, [1, 3]);

    let run = with_bad_object(&cluster, &["-o", "on-bad-object=pass"]);
    run.assert_status(0).assert_says("1 bad passed on");
    let seen = cluster.scratch().read("seen");
    assert_eq!(seen.lines().nth(1), Some("{\"n\":oops}"));
}

#[test]
fn what_the_last_app_writes_is_looked_at_too() {
    let cluster = Cluster::of_three();
    let run = json(&cluster, "@a echo '{}' | @b sh -c 'echo hello'");
    run.assert_status(125)
        .assert_wrote("")
        .assert_says("stage 2 `sh`")
        .assert_says("JSON object 1, byte 0: `h` where a value should be");
}

#[test]
fn standard_input_that_is_no_object_is_named_as_such() {
    let cluster = Cluster::of_three();
    let run = cluster
        .dpipes(&["-f", "json", "@a cat | @b cat"])
        .stdin("{\"a\":1}\nhello\n")
        .run();
    run.assert_status(125)
        .assert_says("standard input, for stage 1, has a bad object")
        .assert_says("object 2, byte 8");
    let run = cluster
        .dpipes(&["-n", "-f", "json", "@a echo '{}' | @b cat"])
        .stdin("hello\n")
        .run();
    run.assert_status(0).assert_wrote("{}\n");
}

#[test]
fn a_stream_that_ends_within_an_object_is_not_whole() {
    let cluster = Cluster::of_three();
    let run = json(
        &cluster,
        "@a printf '{\"a\":[1,2' | @b sh -c 'cat; touch committed'",
    );
    run.assert_status(125).assert_says("the stream ends where");
    assert!(!cluster.scratch().has("committed"));
}

#[test]
fn objects_have_limits() {
    let cluster = Cluster::builder()
        .node("a")
        .node_with("b", |node| {
            node.section("objects: { max-object: 1K, max-depth: 10 }")
        })
        .start();
    let long = format!("{{\"x\":\"{}\"}}\n", "x".repeat(2_000));
    let deep = format!("{}{}\n", "[".repeat(11), "]".repeat(11));
    for (stream, says) in [
        (long, "longer than 1024 bytes"),
        (deep, "nested deeper than 10 levels"),
    ] {
        cluster.scratch().file("in", stream);
        json(&cluster, "@a cat in | @b cat")
            .assert_status(125)
            .assert_says(says);
    }
}

#[test]
fn roots_that_are_no_objects_pass_or_are_wrapped_or_refused() {
    let cluster = Cluster::of_three();
    cluster.scratch().file("in", "7\n[1]\n{\"a\":1}\n");
    let way = |way: &str| {
        let run = cluster
            .dpipes(&[
                "-f",
                "json",
                "-o",
                &format!("on-non-object={way}"),
                "@a cat in | @b tee seen",
            ])
            .run();
        (run, cluster.scratch().read("seen"))
    };
    let (run, seen) = way("pass");
    run.assert_status(0).assert_wrote("7\n[1]\n{\"a\":1}\n");
    assert!(seen.starts_with("7\n[1]\n{\"__dpipes\""), "{seen}");
    let (run, seen) = way("wrap");
    run.assert_status(0);
    let values: Vec<_> = super::objects(&seen)
        .into_iter()
        .map(|o| o["value"].clone())
        .collect();
    assert_eq!(values[..2], [7.into(), serde_json::json!([1])]);
    let (run, _) = way("error");
    run.assert_status(125)
        .assert_says("object 1, byte 0: a number where an object should be");
}
