//! Same bytes and same status as bash, whatever the pipeline and wherever its stages run.

use std::fmt::Write;

use crate::kit::{Cluster, Local, Runner, heavy, hostile::noise, patience};

/// Ordinary pipelines; each is valid as a pipeline of dpipes and as a script of bash.
const PIPELINES: &[&str] = &[
    "cat a.txt | sort | uniq -c",
    "cat a.txt | sort | uniq -c | sort -rn | head -n 2",
    "cat input.1.txt input.2.txt input.3.txt | wc -l",
    "cat input.?.txt | sort",
    "cat a.txt | tr a-z A-Z",
    "cat a.txt | cut -c 1-2 | sort -u",
    "cat a.txt | awk '{ print NR, $1 }'",
    "cat a.txt | sed -e 's/pear/plum/' -e '2d'",
    "cat a.txt | grep pear | wc -l",
    "cat a.txt | grep nothing",
    "cat a.txt | grep nothing | wc -l",
    "cat a.txt | grep -c nothing",
    "cat a.txt | tail -n 2",
    "cat a.txt | tac",
    "cat a.txt | head -c 7",
    "seq 1 2 99 | paste -s -d+",
    "seq 100000 | sort -r | tail -n 1",
    "printf 'a\\0b\\0c'",
    "printf 'a\\0b\\0c' | tr '\\0' '\\n'",
    "printf 'no last newline' | cat | cat",
    "printf '' | cat",
    "true",
    "true | true",
    "false",
    "false | true",
    "true | false",
    "false | cat",
    "cat missing.txt | wc -c",
    "cat missing.txt",
    "sh -c 'exit 3'",
    "sh -c 'exit 3' | cat",
    "cat a.txt | sh -c 'exit 3'",
    "sh -c 'exit 3' | sh -c 'exit 4' | true",
    "sh -c 'kill -9 $$'",
    "sh -c 'kill -9 $$' | cat",
    "sh -c 'kill -TERM $$'",
    "sh -c 'echo half; kill -9 $$' | cat",
    "echo 'one argument with  blanks' \"and 'quotes'\" back\\ slash",
    "printf '[%s]\\n' '' a '' \"b c\"",
    "printf '%s\\n' 'a | b' 'c; d' '$HOME' '*'",
    "printf '%s\\n' input.*.txt nothing-matches-*.this",
    "X=1 Y='two words' sh -c 'echo \"$X $Y\"'",
    "sh -c 'echo out; echo err >&2' |& sort",
    "seq 10 | tee copy.txt | wc -l",
    "cat a.txt | xargs -n 1 echo fruit:",
    "cat a.txt | sort | comm -12 - a.sorted",
    "cat binary | od -An -tx1 | head -n 3",
    "cat binary | sha256sum",
    "cat binary | gzip -c | gzip -dc | cmp - binary",
    "cat binary",
    "dd if=/dev/zero bs=1000 count=3 status=none | wc -c",
    "env -i true",
];

fn lay_out_files(runner: &impl Runner) {
    let scratch = runner.scratch();
    for number in 1..=5 {
        scratch.file(
            &format!("input.{number}.txt"),
            format!("line {number}\nshared\n"),
        );
    }
    scratch.file("a.txt", "pear\napple\npear\nfig\napple\npear\n");
    scratch.file("a.sorted", "apple\nfig\nplum\n");
    scratch.file("binary", noise(300_000, 7));
}

#[test]
fn ordinary_pipelines_give_the_same_when_every_stage_runs_on_another_node() {
    let cluster = Cluster::of_three();
    lay_out_files(&cluster);
    PIPELINES
        .iter()
        .for_each(|pipeline| cluster.same_as_bash(pipeline));
}

#[test]
fn ordinary_pipelines_give_the_same_when_all_stages_run_on_one_node() {
    let cluster = Cluster::of_one();
    lay_out_files(&cluster);
    PIPELINES
        .iter()
        .for_each(|pipeline| cluster.same_as_bash(pipeline));
}

#[test]
fn ordinary_pipelines_give_the_same_without_any_daemon() {
    let local = Local::new();
    lay_out_files(&local);
    PIPELINES
        .iter()
        .for_each(|pipeline| local.same_as_bash(pipeline));
}

#[test]
fn what_the_client_reads_feeds_the_first_stage() {
    let cluster = Cluster::of_three();
    let inputs = [b"".as_slice(), b"x\n", b"no newline", &noise(2_000_000, 3)];
    for input in inputs {
        for pipeline in [
            "cat",
            "cat | cat | cat",
            "sort | sha256sum",
            "wc -c",
            "head -c 1000 | wc -c",
            "true",
            "head -n 1 | wc -l",
        ] {
            cluster.same_as_bash_given(pipeline, input);
        }
    }
}

#[test]
fn stages_stay_where_the_pipeline_puts_them() {
    let cluster = Cluster::of_three();
    let run = cluster
        .dpipes(&["@c sh -c 'echo $DP_NODE' | @a sed p | @b sh -c 'cat; echo $DP_NODE'"])
        .run();
    let (b, c) = (&cluster.node("b").name, &cluster.node("c").name);
    run.assert_status(0)
        .assert_wrote(&format!("{c}\n{c}\n{b}\n"));
}

#[test]
fn pipelines_of_1_to_100_stages_give_the_same_on_three_nodes() {
    let cluster = Cluster::of_three();
    for stages in [1, 2, 3, 4, 10, 100] {
        cluster.same_as_bash_given(&vec!["cat"; stages].join(" | "), b"through every stage\n");
    }
}

#[test]
fn a_pipeline_of_1000_stages_gives_the_same_on_three_nodes() {
    let _turn = heavy();
    let cluster = Cluster::of_three();
    cluster.same_as_bash_given(
        &vec!["cat"; 1000].join(" | "),
        b"through a thousand stages\n",
    );
}

#[test]
fn a_pipeline_of_1000_stages_gives_the_same_without_any_daemon() {
    let _turn = heavy();
    Local::new().same_as_bash_given(
        &vec!["cat"; 1000].join(" | "),
        b"through a thousand stages\n",
    );
}

#[test]
fn every_stage_does_its_part_in_order() {
    let cluster = Cluster::of_three();
    let mut pipeline = "echo start".to_owned();
    for number in 0..30 {
        write!(pipeline, " | sed 's/$/ {number}/'").unwrap();
    }
    cluster.same_as_bash(&pipeline);
}

#[test]
fn a_line_of_200_megabytes_passes_whole() {
    let _turn = heavy();
    let cluster = Cluster::of_three();
    // One line: 200 MB without a newline, then one.
    let make = "sh -c 'head -c 200000000 /dev/zero | tr \"\\0\" x; echo'";
    let run = cluster
        .dpipes(&[&format!("@a {make} | @b cat | @c wc -lc")])
        .run();
    assert_eq!(
        run.assert_status(0)
            .text()
            .split_whitespace()
            .collect::<Vec<_>>(),
        ["1", "200000001"]
    );
    let run = cluster
        .dpipes(&[&format!("@b {make} | @c tail -n 1")])
        .count_stdout()
        .run();
    assert_eq!(run.assert_status(0).written, 200_000_001);
}

#[test]
fn more_than_4_gigabytes_pass_between_nodes() {
    let _turn = heavy();
    let cluster = Cluster::of_three();
    let run = cluster
        .dpipes(&["@b head -c 4500000000 /dev/zero | @c wc -c"])
        .run();
    run.assert_status(0).assert_wrote("4500000000\n");
}

#[test]
fn more_than_4_gigabytes_reach_the_client() {
    let _turn = heavy();
    let cluster = Cluster::of_three();
    let run = cluster
        .dpipes(&["@b head -c 4300000000 /dev/zero"])
        .within(patience() * 6)
        .count_stdout()
        .run();
    assert_eq!(run.assert_status(0).written, 4_300_000_000);
}

#[test]
fn random_bytes_pass_every_hop_unchanged() {
    let _turn = heavy();
    let cluster = Cluster::of_three();
    cluster.scratch().file("random", noise(64_000_000, 11));
    cluster.same_as_bash("cat random | cat | cat | sha256sum");
    cluster.same_as_bash("cat random | gzip -1 | gzip -dc | cmp - random");
}

#[test]
fn bytes_in_small_pieces_arrive_as_they_come() {
    let cluster = Cluster::of_three();
    cluster
        .same_as_bash("dd if=/dev/zero bs=1 count=3000 status=none | dd bs=1 status=none | wc -c");
    cluster.same_as_bash("seq 2000 | sed -u p | sed -u 2~2d | cksum");
}
