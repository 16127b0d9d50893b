//! Objects as a stream: whole, unchanged, in order, and at once.

use std::io::Write;

use super::{json, objects_in};
use crate::kit::{Cluster, Runner, bash, eventually, patience};

/// What common parsers change or lose.
const DELICATE: &str = concat!(
    r#"{"z":1,"a":[1e400,0.10,9223372036854775808,-0,1E+2],"s":"\u00e9\/\ud800\u0000","d":1,"d":2,"":{}}"#,
    "\n"
);

#[test]
fn the_apps_own_data_come_through_unchanged() {
    let cluster = Cluster::of_three();
    cluster.scratch().file("in", DELICATE);
    json(&cluster, "@a cat in | @b tee seen | @c cat")
        .assert_status(0)
        .assert_wrote(DELICATE);
    let seen = cluster.scratch().read("seen");
    assert!(seen.ends_with(&format!(",{}", &DELICATE[1..])), "{seen}");
}

#[test]
fn every_way_to_write_a_stream_reaches_an_app_as_one_object_a_line() {
    let cluster = Cluster::of_three();
    let bare = |line: &str| line.rsplit_once("},").map(|(_, rest)| format!("{{{rest}"));
    for stream in [
        "{\"a\":1}\n{\"b\":2}\n",
        "{\"a\":1}{\"b\":2}",
        "\u{feff}{\"a\":1}\r\n{\"b\":2}\r\n",
        "{\n  \"a\":1\n}\n\n\n{\r\n\t\"b\":2}",
    ] {
        cluster.scratch().file("in", stream);
        json(&cluster, "@a cat in | @b tee seen").assert_status(0);
        let seen = cluster.scratch().read("seen");
        let lines: Vec<_> = seen.lines().filter_map(bare).collect();
        assert_eq!(lines, ["{\"a\":1}", "{\"b\":2}"], "{stream:?} was {seen}");
    }
    // The user gets what was written, byte for byte.
    let pretty = "{\n  \"a\": 1\n}\n";
    json(
        &cluster,
        &format!("@b printf '{}'", pretty.replace('\n', "\\n")),
    )
    .assert_wrote(pretty);
}

#[test]
fn an_object_arrives_while_the_next_one_is_still_to_come() {
    let cluster = Cluster::of_three();
    let mut running = cluster
        .dpipes(&["-f", "json", "@a cat | @b tee seen | @c cat"])
        .stdin_piped()
        .spawn();
    let mut stdin = running.take_stdin();
    for number in 1..=3 {
        // Without the end of its line: an object is whole at its closing brace.
        write!(stdin, "{{\"n\":{number}}}").unwrap();
        stdin.flush().unwrap();
        eventually!(
            cluster.scratch().has("seen") && objects_in(&cluster, "seen").len() == number,
            "object {number} arrives"
        );
    }
    drop(stdin);
    running.wait().assert_status(0);
}

#[test]
fn many_objects_and_long_ones_arrive_whole() {
    let cluster = Cluster::of_three();
    let script =
        r#"seq 50000 | awk '{ printf "{\"n\":%d,\"pad\":\"%0*d\"}\n", $1, $1 % 300, $1 }' > many"#;
    bash(cluster.scratch(), script).run().assert_status(0);
    let long = format!("{{\"long\":\"{}\"}}\n", "x".repeat(5_000_000));
    cluster.scratch().file("long", long);
    let wanted = bash(cluster.scratch(), "cat many long | cat | sha256sum").run();
    let run = cluster
        .dpipes(&[
            "-f",
            "json",
            "--format-out",
            "bytes",
            "@a cat many long | @b cat | @c cat",
        ])
        .within(patience() * 3)
        .run();
    // The last app's output is its own, with the metadata that came to it.
    run.assert_status(0);
    assert_eq!(
        run.stdout.iter().filter(|byte| **byte == b'\n').count(),
        50_001
    );
    let stripped = cluster
        .dpipes(&["-f", "json", "@a cat many long | @b cat | @c cat"])
        .within(patience() * 3)
        .stdout_to(std::fs::File::create(cluster.scratch().work().join("out")).unwrap())
        .run();
    stripped.assert_status(0);
    let got = bash(cluster.scratch(), "sha256sum < out").run();
    got.assert_wrote(wanted.text());
}

#[test]
fn a_reader_that_has_enough_ends_the_pipe_as_in_a_shell() {
    let cluster = Cluster::of_three();
    let wanted = bash(cluster.scratch(), "yes '{}' | head -n 2").run();
    let run = cluster
        .dpipes(&["-f", "json", "@a yes '{}' | @b head -n 2"])
        .run();
    run.assert_status(wanted.status).assert_wrote(wanted.text());
}

#[test]
fn stages_of_one_node_see_objects_too() {
    let cluster = Cluster::of_one();
    cluster.scratch().file("in", "{\"n\":1}\n");
    json(&cluster, "cat in | tee first | tee second").assert_status(0);
    for (file, stage) in [("first", 2), ("second", 3)] {
        assert_eq!(objects_in(&cluster, file)[0]["__dpipes"]["dp.stage"], stage);
    }
}

#[test]
fn a_node_that_is_lost_is_no_end_of_the_stream() {
    let mut cluster = Cluster::of_three();
    let running = cluster
        .dpipes(&[
            "-f",
            "json",
            "@a yes '{\"n\":1}' | @b cat | @c sh -c 'cat > whole && touch committed'",
        ])
        .spawn();
    eventually!(
        std::fs::metadata(cluster.scratch().work().join("whole"))
            .is_ok_and(|file| file.len() > 100_000),
        "objects flow"
    );
    cluster.node_mut("b").crash();
    running.wait().assert_status(125).assert_says("lost");
    eventually!(cluster.apps().is_empty(), "nothing is left");
    assert!(!cluster.scratch().has("committed"));
}
