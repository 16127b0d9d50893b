//! The playground: a few daemons on this machine, put up and taken down by one command each.

use crate::kit::{Local, Runner, bash, eventually, holds_within, patience, processes};

#[test]
fn a_lab_of_three_runs_pipes_and_leaves_nothing() {
    let machine = Local::new();
    let dpipes = |arguments: &[&str]| machine.plain_dpipes(arguments);
    dpipes(&["lab", "up", "3"]).run().assert_status(0);
    let nodes = || dpipes(&["nodes"]).run();
    let three = || nodes().text().matches("127.0.0.1:").count() == 3;
    assert!(
        holds_within(patience(), three),
        "three nodes are shown: {:?}",
        nodes()
    );
    let check = dpipes(&["check", "seq 5 | sort -r | head -n 2"]).run();
    check.assert_status(0);
    assert!(check.text().matches("accepted").count() == 3, "{check:?}");

    for number in 1..=5 {
        machine.scratch().file(
            &format!("input.{number}.txt"),
            format!("b{number}\na{number}\nb{number}\n"),
        );
    }
    let folder = machine.scratch().work().display().to_string();
    let start = |number: u32| {
        dpipes(&[&format!(
            "cat {folder}/input.{number}.txt | sort | uniq -c | sort -rn | head -n 1"
        )])
        .spawn()
    };
    let running: Vec<_> = (1..=5).map(start).collect();
    for (pipe, number) in running.into_iter().zip(1..) {
        let run = pipe.wait();
        assert_eq!(run.assert_status(0).text().trim(), format!("2 b{number}"));
    }

    dpipes(&["lab", "down"]).run().assert_status(0);
    let left = || machine.scratch().processes();
    eventually!(
        left().is_empty(),
        "no daemon is left; still there: {}",
        processes::describe(&left())
    );
    let run = dpipes(&["seq 3 | tail -n 1"]).run();
    run.assert_status(0).assert_wrote("3\n");
}

#[test]
fn taking_down_a_lab_that_is_not_up_says_so() {
    let machine = Local::new();
    let run = machine.plain_dpipes(&["lab", "down"]).run();
    assert!(run.status <= 1, "{run:?}");
    assert!(
        !format!("{}{}", run.text(), run.stderr).is_empty(),
        "it says nothing"
    );
}

/// What `sha256sum` says of the samples. The documentation shows results of them: a change here is a change of the documentation.
const SAMPLES: &str = "\
446ab81d7eee97457d2853719a2a6e9102e52388283d0f9c9501625502ee948a  data/access.log
ee69383f8e1387ddd3c57d4a11635e3f60a8c878411d240b818292caf0e1257b  data/deploys.yaml
a87c1a05bbed2af3a940866eeb122d739af6c38e20093b887eb16b454fadbc50  data/events.ndjson
fd6992d1cb233e50e299cf4549b8987f32aa0c3b450f1543a28c6f77ad1d9d4f  data/words.txt
";

/// What the documentation begins with, in the lab and in containers.
const FIRST_PIPELINE: &str = "cat data/words.txt | sort | uniq -c | sort -rn | head";

#[test]
fn the_first_pipeline_on_the_samples_is_what_bash_says() {
    let machine = Local::new();
    let dpipes = |arguments: &[&str]| machine.plain_dpipes(arguments).run();
    let up = dpipes(&["lab", "up", "3"]);
    up.assert_status(0);
    let data = dpipes(&["lab", "data"]);
    data.assert_status(0);
    for run in [&up, &data] {
        assert!(run.text().contains(FIRST_PIPELINE), "{run:?}");
    }
    bash(machine.scratch(), "LC_ALL=C; sha256sum data/*")
        .run()
        .assert_wrote(SAMPLES);
    let wanted = bash(machine.scratch(), FIRST_PIPELINE).run();
    assert!(wanted.text().trim_start().starts_with("21855 the\n"));
    dpipes(&[FIRST_PIPELINE])
        .assert_status(0)
        .assert_wrote(wanted.text());
    for zone in ["a", "b", "c"] {
        dpipes(&[&format!("@zone={zone} printenv DP_NODE")])
            .assert_status(0)
            .assert_wrote(&format!("node-{zone}\n"));
    }
    dpipes(&["lab", "down"]).assert_status(0);
}

#[test]
fn samples_replace_nothing_that_differs_unless_told_to() {
    let machine = Local::new();
    let data = |more: &[&str]| {
        machine
            .plain_dpipes(&[&["lab", "data", "d"], more].concat())
            .run()
    };
    data(&[]).assert_status(0);
    machine.scratch().file("d/deploys.yaml", "mine\n");
    std::fs::remove_file(machine.scratch().work().join("d/words.txt")).unwrap();
    data(&[])
        .assert_status(1)
        .assert_says("d/deploys.yaml")
        .assert_says("--force");
    assert_eq!(machine.scratch().read("d/deploys.yaml"), "mine\n");
    assert!(!machine.scratch().has("d/words.txt"), "all or nothing");
    let run = data(&["--force"]);
    let states: Vec<&str> = run
        .assert_status(0)
        .text()
        .lines()
        .filter_map(|line| line.split_whitespace().nth(3))
        .collect();
    assert_eq!(states[..4], ["written", "there", "there", "replaced"]);
    bash(machine.scratch(), "sha256sum d/*")
        .run()
        .assert_status(0)
        .assert_wrote(&SAMPLES.replace("data/", "d/"));
}

#[test]
fn samples_that_do_not_fit_leave_nothing_behind() {
    let machine = Local::new();
    // Room for the first file and not for the second, which is how a full disk looks from inside.
    let full = "trap '' XFSZ; ulimit -f 2000; dpipes lab data d";
    bash(machine.scratch(), full)
        .run()
        .assert_status(1)
        .assert_says("cannot write d/access.log");
    assert!(!machine.scratch().has("d"));
    // A directory that was there stays, with what is in it.
    std::fs::create_dir(machine.scratch().work().join("d")).unwrap();
    machine.scratch().file("d/mine", "");
    bash(machine.scratch(), full).run().assert_status(1);
    bash(machine.scratch(), "ls -A d")
        .run()
        .assert_wrote("mine\n");
}
