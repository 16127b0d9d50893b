//! The playground: a few daemons on this machine, put up and taken down by one command each.

use crate::kit::{Local, Runner, eventually, holds_within, patience, processes};

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
