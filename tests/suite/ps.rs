//! What an entry tells of its pipes: those that run, and those that have.

use serde_json::Value;

use crate::kit::{Cluster, Runner, eventually};

/// The pipes that an entry tells of, as objects.
fn pipes(cluster: &Cluster, options: &[&str]) -> Vec<Value> {
    let arguments = [&["ps", "--json"], options].concat();
    let run = cluster.dpipes(&arguments).run();
    run.assert_status(0);
    let lines = run.text().lines();
    lines
        .map(|line| serde_json::from_str(line).expect("an object on each line"))
        .collect()
}

fn is_running(cluster: &Cluster) -> bool {
    let all = pipes(cluster, &[]);
    all.iter().any(|pipe| pipe["state"] == "running")
}

#[test]
fn a_pipe_is_shown_while_it_runs_and_afterwards_to_those_who_ask_for_all() {
    let cluster = Cluster::of_three();
    assert!(pipes(&cluster, &["-a"]).is_empty());
    let mut running = cluster
        .dpipes(&["@b cat | @c sh -c 'cat; exit 3'"])
        .stdin_piped()
        .spawn();
    let input = running.take_stdin();
    eventually!(is_running(&cluster), "the pipe runs");
    let table = cluster.dpipes(&["ps"]).run();
    let (b, c) = (&cluster.node("b").name, &cluster.node("c").name);
    table.assert_status(0);
    assert!(
        table.text().contains(&format!("running  {b}, {c}")),
        "{table:?}"
    );
    drop(input);
    running.wait().assert_status(3);
    assert!(pipes(&cluster, &[]).is_empty());
    let all = pipes(&cluster, &["-a"]);
    let [pipe] = all.as_slice() else {
        panic!("{all:?}");
    };
    assert_eq!(pipe["state"], "complete");
    assert_eq!(
        pipe["pipeline"],
        cluster.with_full_names("@b cat | @c sh -c 'cat; exit 3'")
    );
    let exits: Vec<_> = pipe["stages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stage| &stage["exit"])
        .collect();
    assert_eq!(
        exits,
        [
            &serde_json::json!({ "code": 0 }),
            &serde_json::json!({ "code": 3 })
        ]
    );
    let table = cluster.dpipes(&["ps", "-a"]).run();
    assert!(table.text().contains("exit 0 3"), "{table:?}");
}

#[test]
fn a_pipe_that_lost_a_node_is_shown_as_failed_with_the_reason() {
    let mut cluster = Cluster::of_three();
    let running = cluster.dpipes(&["-n", "@b sleep 300 | @c cat"]).spawn();
    eventually!(is_running(&cluster), "the pipe runs");
    cluster.node_mut("b").crash();
    running.wait().assert_status(125);
    let all = pipes(&cluster, &["-a"]);
    assert_eq!(all[0]["state"], "failed", "{all:?}");
    assert_eq!(all[0]["failure"]["failure"], "lost-node", "{all:?}");
}

#[test]
fn what_is_only_checked_or_refused_before_it_was_placed_is_no_running_pipe() {
    let cluster = Cluster::of_three();
    cluster
        .dpipes(&["check", "@a cat | @b cat"])
        .run()
        .assert_status(0);
    assert!(pipes(&cluster, &["-a"]).is_empty());
    cluster
        .dpipes(&["-n", "no-such-app-anywhere"])
        .run()
        .assert_status(127);
    let all = pipes(&cluster, &["-a"]);
    assert_eq!(all[0]["state"], "failed", "{all:?}");
    assert_eq!(all[0]["stages"], serde_json::json!([]));
}
