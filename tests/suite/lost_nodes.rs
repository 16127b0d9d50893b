//! A node is lost in the middle of a pipe: the pipe fails loudly, nothing is left, and no stage takes the loss for the end of its input.

use std::{io::Write, time::Duration};

use crate::kit::{Cluster, Runner, Running, Signal, eventually, holds_within, patience, processes};

/// Three stages on three nodes, none of them the entry. Those that read would write a marker at the end of their input.
const PIPELINE: &str = "@b yes | @c sh -c 'cat && touch committed-c' | @d sh -c 'cat > /dev/null && touch committed-d'";

/// How long a pipe outlives the loss of a node in these tests.
const LEASE: &str = "3s";

fn cluster() -> Cluster {
    Cluster::builder()
        .node("a")
        .node("b")
        .node("c")
        .node("d")
        .run("lease", LEASE)
        .start()
}

#[track_caller]
fn start(cluster: &Cluster) -> Running {
    let running = cluster.dpipes(&[PIPELINE]).spawn();
    eventually!(cluster.node("b").runs_app("yes"), "the first stage runs");
    eventually!(
        cluster.node("c").runs_app("cat") && cluster.node("d").runs_app("cat"),
        "the others run"
    );
    running
}

#[track_caller]
fn assert_nothing_committed(cluster: &Cluster) {
    let committed: Vec<_> = ["c", "d"]
        .into_iter()
        .filter(|node| cluster.scratch().has(&format!("committed-{node}")))
        .collect();
    assert!(
        committed.is_empty(),
        "stages on {committed:?} took the loss of a node for the end of their input"
    );
}

#[track_caller]
fn a_crash_of(lost: &str) {
    let mut cluster = cluster();
    let running = start(&cluster);
    cluster.node_mut(lost).crash();
    let run = running.wait();
    run.assert_status(125).assert_says(&cluster.node(lost).name);
    eventually!(
        cluster.apps().is_empty(),
        "every stage is gone; left: {}",
        processes::describe(&cluster.apps())
    );
    assert_nothing_committed(&cluster);
}

#[track_caller]
fn a_freeze_of(lost: &str) {
    let cluster = cluster();
    let running = start(&cluster);
    cluster.node(lost).signal(Signal::STOP);
    let run = running.wait();
    run.assert_status(125).assert_says(&cluster.node(lost).name);
    let others = || {
        cluster
            .nodes()
            .iter()
            .filter(|node| node.alias != lost)
            .flat_map(|node| node.apps())
            .collect::<Vec<_>>()
    };
    eventually!(
        others().is_empty(),
        "every stage elsewhere is gone; left: {}",
        processes::describe(&others())
    );
    // It wakes up and must not feed on.
    cluster.node(lost).signal(Signal::CONT);
    eventually!(
        cluster.apps().is_empty(),
        "its own stage is gone; left: {}",
        processes::describe(&cluster.apps())
    );
    assert_nothing_committed(&cluster);
    cluster
        .dpipes(&[&format!("@{lost} echo back again")])
        .run()
        .assert_status(0)
        .assert_wrote("back again\n");
}

#[test]
fn a_crash_of_the_first_stages_node_is_loud() {
    a_crash_of("b");
}

#[test]
fn a_crash_of_the_middle_stages_node_is_loud() {
    a_crash_of("c");
}

#[test]
fn a_crash_of_the_last_stages_node_is_loud() {
    a_crash_of("d");
}

#[test]
fn a_freeze_of_the_first_stages_node_is_noticed() {
    a_freeze_of("b");
}

#[test]
fn a_freeze_of_the_middle_stages_node_is_noticed() {
    a_freeze_of("c");
}

#[test]
fn a_freeze_of_the_last_stages_node_is_noticed() {
    a_freeze_of("d");
}

#[test]
fn a_crash_of_the_entry_ends_the_pipe_everywhere() {
    let mut cluster = cluster();
    let running = start(&cluster);
    cluster.node_mut("a").crash();
    running.wait().assert_status(125);
    eventually!(
        cluster.apps().is_empty(),
        "every stage is gone; left: {}",
        processes::describe(&cluster.apps())
    );
    assert_nothing_committed(&cluster);
}

#[test]
fn a_freeze_of_the_entry_ends_the_pipe_everywhere() {
    let cluster = cluster();
    let running = start(&cluster);
    cluster.node("a").signal(Signal::STOP);
    eventually!(
        cluster.apps().is_empty(),
        "every stage is gone; left: {}",
        processes::describe(&cluster.apps())
    );
    cluster.node("a").signal(Signal::CONT);
    running.wait().assert_status(125);
    assert_nothing_committed(&cluster);
}

#[test]
fn an_idle_pipe_notices_a_lost_node_too() {
    let mut cluster = cluster();
    let running = cluster
        .dpipes(&["@b sleep 100 | @c sh -c 'cat && touch committed-c'"])
        .spawn();
    eventually!(
        cluster.node("b").runs_app("sleep") && cluster.node("c").runs_app("cat"),
        "both stages run"
    );
    cluster.node_mut("b").crash();
    running.wait().assert_status(125);
    eventually!(cluster.apps().is_empty(), "every stage is gone");
    assert_nothing_committed(&cluster);
}

#[test]
fn a_short_output_never_comes_with_status_0() {
    // The crash falls somewhere into a pipe that would end by itself, at another place in every round.
    let whole = 60_000_000;
    for round in 0..6_u64 {
        let mut cluster = cluster();
        let pipeline = format!("@b sh -c 'head -c {whole} /dev/zero' | @c cat | @d cat");
        let running = cluster.dpipes(&[&pipeline]).count_stdout().spawn();
        let _it_may_be_over = holds_within(Duration::from_millis(60 * round), || false);
        cluster
            .node_mut(["b", "c", "d"][usize::try_from(round % 3).unwrap()])
            .crash();
        let run = running.wait();
        match run.status {
            0 => assert_eq!(run.written, whole, "{run:?}"),
            125 => assert!(run.written <= whole, "{run:?}"),
            _ => panic!("neither whole nor loud: {run:?}"),
        }
    }
}

#[test]
fn on_request_a_loss_is_an_end_of_input_and_still_loud() {
    let mut cluster = cluster();
    let running = cluster
        .dpipes(&[
            "-o",
            "on-loss=eof",
            "@b sh -c 'echo x; sleep 100' | @c sh -c 'head -n 1; touch arrived; cat; echo the end'",
        ])
        .spawn();
    eventually!(cluster.scratch().has("arrived"), "the first line arrives");
    cluster.node_mut("b").crash();
    running
        .wait()
        .assert_status(125)
        .assert_wrote("x\nthe end\n");
}

#[test]
fn stages_joined_on_one_node_never_see_its_crash_as_an_end() {
    for _ in 0..5 {
        let mut cluster = cluster();
        let pipeline = "@b yes | @b sh -c 'cat && touch committed-c' | @b sh -c 'cat > /dev/null && touch committed-d'";
        let running = cluster.dpipes(&[pipeline]).spawn();
        eventually!(
            cluster.node("b").runs_app("yes") && cluster.node("b").runs_app("cat"),
            "the stages run"
        );
        cluster.node_mut("b").crash();
        running.wait().assert_status(125);
        eventually!(cluster.apps().is_empty(), "every stage is gone");
        assert_nothing_committed(&cluster);
    }
}

#[test]
fn a_node_that_comes_back_takes_stages_again() {
    let mut cluster = cluster();
    cluster.node_mut("b").crash();
    cluster.dpipes(&["@b echo x"]).run().assert_status(125);
    cluster.restart("b");
    let works = || cluster.dpipes(&["@b echo x"]).run().status == 0;
    assert!(
        holds_within(patience(), works),
        "the node is not used again"
    );
}

#[test]
fn a_lost_node_is_no_matter_for_pipes_elsewhere() {
    let mut cluster = cluster();
    let mut other = cluster.dpipes(&["@c cat | @d cat"]).stdin_piped().spawn();
    let mut stdin = other.take_stdin();
    stdin.write_all(b"before\n").unwrap();
    eventually!(cluster.node("d").runs_app("cat"), "the pipe runs");
    cluster.node_mut("b").crash();
    stdin.write_all(b"after\n").unwrap();
    drop(stdin);
    other
        .wait()
        .assert_status(0)
        .assert_wrote("before\nafter\n");
}
