//! What stages say on stderr: every line whole, and nobody waits for it but the stage that says it.

use std::{fs::File, io::Read, thread};

use crate::kit::{Cluster, Local, Runner, eventually, heavy, processes};

/// 10 MB in lines, on stderr.
const TEN_MEGABYTES: &str =
    "yes 0123456789012345678901234567890123456789012345678 | head -c 10000000 >&2";

#[test]
fn a_stderr_that_nobody_reads_stops_its_stage_and_nothing_else() {
    let _turn = heavy();
    let cluster = Cluster::of_three();
    let (unread, full) = rustix::pipe::pipe().unwrap();
    let output = File::create(cluster.scratch().work().join("output")).unwrap();
    let pipeline = format!("@a seq 300000 | @b sh -c 'cat; {TEN_MEGABYTES}; exit 9'");
    let running = cluster
        .dpipes(&[&pipeline])
        .stdout_to(output)
        .stderr_to(full)
        .spawn();
    eventually!(
        cluster.scratch().read("output").ends_with("\n300000\n"),
        "the output passes a full stderr"
    );
    cluster
        .dpipes(&["@a seq 1000 | @b cat | @c wc -l"])
        .run()
        .assert_status(0)
        .assert_wrote("1000\n");
    assert!(
        processes::is_alive(running.pid()),
        "the client ended although its stderr was never read"
    );
    let reader = thread::spawn(move || {
        let mut said = Vec::new();
        File::from(unread)
            .read_to_end(&mut said)
            .map(|_| said.len())
    });
    running.wait().assert_status(9);
    assert!(
        reader.join().unwrap().unwrap() >= 10_000_000,
        "some of stderr was lost"
    );
}

#[test]
fn ten_megabytes_that_nobody_wants_are_dropped() {
    let cluster = Cluster::of_three();
    let pipeline =
        format!("@a sh -c '{TEN_MEGABYTES}; echo out' | @b sh -c '{TEN_MEGABYTES}; cat'");
    let run = cluster.dpipes(&["--stderr", "none", &pipeline]).run();
    run.assert_status(0).assert_wrote("out\n");
    assert_eq!(run.stderr, "");
}

#[test]
fn lines_of_several_stages_never_mix() {
    let cluster = Cluster::of_three();
    let line = |letter: char| letter.to_string().repeat(200);
    let stage = |letter: char| format!("sh -c 'cat; yes {} | head -n 2000 >&2'", line(letter));
    let pipeline = ['A', 'B', 'C', 'D'].map(stage).join(" | ");
    for runner in [&cluster as &dyn Runner, &Local::new()] {
        let run = runner.dpipes(&[&pipeline]).run();
        run.assert_status(0);
        for letter in ['A', 'B', 'C', 'D'] {
            let whole = run
                .stderr
                .lines()
                .filter(|&found| found == line(letter))
                .count();
            assert_eq!(whole, 2000, "lines of {letter}");
        }
        assert_eq!(run.stderr.lines().count(), 8000);
    }
}

#[test]
fn a_last_line_without_newline_arrives() {
    let cluster = Cluster::of_three();
    let run = cluster
        .dpipes(&["sh -c 'printf \"no newline\" >&2' | cat"])
        .run();
    assert_eq!(run.assert_status(0).stderr.trim_end(), "no newline");
}

#[test]
fn tagged_lines_name_stage_and_node() {
    let cluster = Cluster::of_three();
    let run = cluster
        .dpipes(&["--tag", "@b sh -c 'echo first >&2; echo second >&2'"])
        .run();
    let node = &cluster.node("b").name;
    assert_eq!(
        run.assert_status(0).stderr,
        format!("sh@{node}: first\nsh@{node}: second\n")
    );
}

#[test]
fn the_stderr_of_stages_that_succeed_can_be_left_out() {
    let cluster = Cluster::of_three();
    let pipeline =
        "sh -c 'echo of the good one >&2' | sh -c 'cat; echo of the bad one >&2; exit 2'";
    let run = cluster.dpipes(&["--stderr", "failed", pipeline]).run();
    run.assert_status(2).assert_says("of the bad one");
    assert!(!run.stderr.contains("of the good one"), "{run:?}");
}
