//! What an entry tells of its pipes: those that run, and those that have.

use serde_json::{Value, json};

use crate::kit::{Cluster, Local, Runner, eventually};

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

/// The name of the pipe that began last.
fn newest(cluster: &Cluster) -> String {
    let all = pipes(cluster, &[]);
    all[0]["pipe"].as_str().expect("a name").to_owned()
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

#[test]
fn a_pipe_that_is_killed_ends_as_if_its_client_had_been() {
    let cluster = Cluster::of_three();
    let running = cluster.dpipes(&["-n", "@b sleep 300 | @c cat"]).spawn();
    eventually!(is_running(&cluster), "the pipe runs");
    let pipe = newest(&cluster);
    // The end of its name is enough.
    cluster
        .dpipes(&["kill", &pipe[16..]])
        .run()
        .assert_status(0);
    running
        .wait()
        .assert_status(143)
        .assert_says("killed by process");
    assert!(cluster.apps().is_empty(), "its apps are gone");
    let again = cluster.dpipes(&["kill", &pipe]).run();
    again.assert_status(1).assert_says("is over");
    let shown = cluster.dpipes(&["inspect", &pipe]).run();
    shown.assert_status(0);
    assert!(
        shown.text().contains("stopped: killed by process"),
        "{shown:?}"
    );
    let unknown = cluster
        .dpipes(&["inspect", "01JD9S3V8Y6Q4T2R0P5N7M9K1H"])
        .run();
    unknown.assert_status(1).assert_says("no pipe");
}

#[test]
fn a_signal_reaches_the_stage_that_is_meant_and_no_other() {
    let cluster = Cluster::of_three();
    let waits =
        |status| format!("sh -c 'trap \"exit {status}\" USR1; while :; do sleep 0.1; done'");
    let pipeline = format!("@b {} | @c {}", waits(8), waits(9));
    let running = cluster.dpipes(&["-n", "--print-status", &pipeline]).spawn();
    eventually!(is_running(&cluster), "the pipe runs");
    let pipe = newest(&cluster);
    let kill = |stage: &str| {
        cluster
            .dpipes(&["kill", "--stage", stage, "-s", "USR1", &pipe])
            .run()
    };
    kill("3").assert_status(1).assert_says("no stage 3");
    // A shell that has not set its trap yet dies of the signal, which is not what is tried here.
    eventually!(cluster.apps().len() >= 4, "both shells are in their loops");
    kill("2").assert_status(0);
    eventually!(
        pipes(&cluster, &[])[0]["stages"][1]["exit"] == serde_json::json!({ "code": 9 }),
        "the second stage has ended"
    );
    assert_eq!(pipes(&cluster, &[])[0]["stages"][0]["exit"], Value::Null);
    kill("1").assert_status(0);
    running.wait().assert_status(9);
}

/// What holds the newest pipe up, once it is known.
fn limit(cluster: &Cluster) -> Value {
    let mut limit = Value::Null;
    eventually!(
        {
            let newest = pipes(cluster, &[]).into_iter().next();
            limit = newest.map_or(Value::Null, |pipe| pipe["limit"].clone());
            !limit.is_null()
        },
        "something holds the pipe up"
    );
    limit
}

#[test]
fn the_stage_that_holds_a_pipe_up_is_named() {
    let cluster = Cluster::of_three();
    let slow = "sh -c 'while head -c 10000; do sleep 0.05; done'";
    let running = cluster
        .dpipes(&["-n", &format!("@a cat /dev/zero | @b {slow} | @c cat")])
        .spawn();
    let limit = limit(&cluster);
    assert_eq!(
        (&limit["by"], &limit["stage"]),
        (&"stage".into(), &2.into()),
        "{limit}"
    );
    let pipe = newest(&cluster);
    let shown = cluster.dpipes(&["inspect", &pipe]).run();
    shown.assert_status(0);
    assert!(
        shown.text().contains("limited by  stage 2 `sh`"),
        "{shown:?}"
    );
    cluster.dpipes(&["kill", &pipe]).run().assert_status(0);
    running.wait().assert_status(143);
    let all = pipes(&cluster, &["-a"]);
    assert_eq!(
        all[0]["limit"]["stage"], 2,
        "it is known afterwards: {all:?}"
    );
}

#[test]
fn a_pipe_that_waits_for_its_client_says_so() {
    let cluster = Cluster::of_three();
    let mut running = cluster.dpipes(&["@b cat | @c cat"]).stdin_piped().spawn();
    let input = running.take_stdin();
    assert_eq!(limit(&cluster)["by"], "input");
    drop(input);
    running.wait().assert_status(0);
    let (unread, writer) = std::io::pipe().expect("a pipe");
    let stuffed = cluster
        .dpipes(&["-n", "@b cat /dev/zero | @c cat"])
        .stdout_to(writer)
        .spawn();
    assert_eq!(limit(&cluster)["by"], "output");
    drop(unread);
    stuffed.wait().assert_status(141);
}

#[test]
fn what_a_stage_said_last_is_shown_with_its_pipe() {
    let cluster = Cluster::of_three();
    cluster
        .dpipes(&["-n", "@b sh -c 'echo first >&2; echo no luck >&2; exit 3'"])
        .run()
        .assert_status(3);
    let all = pipes(&cluster, &["-a"]);
    assert_eq!(all[0]["stages"][0]["stderr"], Value::Null, "not in a list");
    let pipe = all[0]["pipe"].as_str().unwrap();
    let shown = cluster.dpipes(&["inspect", pipe]).run();
    assert!(shown.text().ends_with("  first\n  no luck\n"), "{shown:?}");
    let elsewhere = cluster.dpipes_at("c", &["inspect", pipe]).run();
    let text = elsewhere.text();
    assert!(text.contains(pipe), "{text}");
    assert!(
        !text.contains("stderr of"),
        "another node cannot tell whose it is: {text}"
    );
}

#[test]
fn every_node_can_tell_of_the_whole_cluster_and_says_whose_part_is_missing() {
    let mut cluster = Cluster::of_three();
    let (b, c) = (
        cluster.node("b").name.clone(),
        cluster.node("c").name.clone(),
    );
    let running = cluster
        .dpipes_over_tcp("b", &["-n", "@b sleep 300"])
        .spawn();
    eventually!(
        pipes(&cluster, &["--cluster"]).len() == 1,
        "another entry's pipe is there"
    );
    let all = pipes(&cluster, &["--cluster"]);
    assert_eq!(all[0]["entry"], b, "{all:?}");
    assert_eq!(pipes(&cluster, &[]).len(), 0, "it is not the entry's own");
    let name = all[0]["pipe"].as_str().unwrap();
    for part in [name, &name[20..]] {
        let shown = cluster.dpipes(&["inspect", "--json", part]).run();
        let shown: Value = serde_json::from_str(shown.text()).unwrap();
        assert_eq!(
            (&shown["pipe"], &shown["entry"]),
            (&all[0]["pipe"], &json!(b))
        );
    }
    let kill = cluster.dpipes(&["kill", name]).run();
    kill.assert_status(1)
        .assert_says(&format!("is conducted by {b}"));
    // The next step that it names, as it stands.
    let text = kill.stderr.clone();
    let step = text.split("say it there: dpipes ").nth(1).expect("a step");
    let step: Vec<_> = step.split_whitespace().take(4).collect();
    cluster.dpipes(&step).run().assert_status(0);
    running.wait().assert_status(143);
    for nothing in ["", "01JD9S3V8Y6Q4T2R0P5N7M9K1H", "a b", &"0".repeat(500)] {
        for order in ["inspect", "kill"] {
            let run = cluster.dpipes(&[order, "--", nothing]).run();
            run.assert_status(1).assert_says("no pipe");
        }
    }
    cluster.node_mut("c").crash();
    eventually!(
        pipes(&cluster, &["--cluster"])
            .iter()
            .any(|line| line["kind"] == "silent" && line["node"] == c),
        "the lost node is named"
    );
    let table = cluster.dpipes(&["ps", "--cluster"]).run();
    assert!(
        table
            .text()
            .contains(&format!("what {c} conducts is missing")),
        "{table:?}"
    );
}

#[test]
fn without_a_daemon_there_is_nobody_to_ask() {
    for command in [&["ps"][..], &["inspect", "M9K1H"], &["kill", "M9K1H"]] {
        let run = Local::new().dpipes(command).run();
        run.assert_status(1).assert_says("no daemon runs here");
    }
}
