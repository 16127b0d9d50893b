//! The life of a daemon: start, stop, drain, and what watches over it.

use std::{io::Write, time::Duration};

use crate::kit::{
    Cluster, Local, Runner, Signal, eventually, free_port, holds_within, patience, processes,
};

#[test]
fn a_background_start_returns_when_the_daemon_can_be_used() {
    let machine = Local::new();
    let listen = format!("listen: [\"127.0.0.1:{}\"]", free_port());
    machine.scratch().allow_any_user(&listen);
    let run = machine.dpipesd(&[]).run();
    run.assert_status(0);
    assert!(
        format!("{}{}", run.text(), run.stderr).contains(" listening on "),
        "{run:?}"
    );
    machine
        .plain_dpipes(&["seq 5 | sort -r | head -n 1"])
        .run()
        .assert_status(0)
        .assert_wrote("5\n");
    machine.dpipesd(&["status"]).run().assert_status(0);
    machine.dpipesd(&["stop"]).run().assert_status(0);
    eventually!(
        machine.scratch().processes().is_empty(),
        "the daemon is gone"
    );
    assert_ne!(machine.dpipesd(&["status"]).run().status, 0);
}

#[test]
fn a_daemon_for_one_app_runs_it_once_and_leaves_with_its_status() {
    for (words, pipeline, stdin, output, status) in [
        (&["sort", "-n"][..], "sort -n", "10\n9\n", "9\n10\n", 0),
        (
            &["sh", "-c", "cat; exit 7"],
            "sh -c 'cat; exit 7'",
            "x\n",
            "x\n",
            7,
        ),
    ] {
        let machine = Local::new();
        machine.scratch().allow_any_user("");
        let address = format!("127.0.0.1:{}", free_port());
        let arguments = [
            &[
                "--foreground",
                "--exit",
                "--access",
                "local",
                "--listen",
                &address,
                "--",
            ],
            words,
        ]
        .concat();
        let daemon = machine.dpipesd(&arguments).spawn();
        let other = || {
            machine
                .plain_dpipes(&["--connect", &address, "sort -r"])
                .run()
                .status
        };
        assert!(
            holds_within(patience(), || [126, 127].contains(&other())),
            "another command line is refused"
        );
        let run = machine
            .plain_dpipes(&["--connect", &address, pipeline])
            .stdin(stdin)
            .run();
        run.assert_status(status).assert_wrote(output);
        daemon.wait().assert_status(status);
    }
}

#[test]
fn a_daemon_that_is_told_to_leave_lets_running_pipes_end() {
    let mut cluster = Cluster::of_three();
    let mut running = cluster.dpipes(&["@b cat | @c cat"]).stdin_piped().spawn();
    let mut stdin = running.take_stdin();
    eventually!(
        cluster.node("b").runs_app("cat") && cluster.node("c").runs_app("cat"),
        "the pipe runs"
    );
    cluster.node("b").signal(Signal::TERM);
    let refuses = || cluster.dpipes(&["@b echo x"]).run().status != 0;
    assert!(
        holds_within(patience(), refuses),
        "a leaving daemon takes no new stages"
    );
    stdin.write_all(b"to the end\n").unwrap();
    drop(stdin);
    running.wait().assert_status(0).assert_wrote("to the end\n");
    let status = cluster
        .node_mut("b")
        .wait(patience())
        .expect("it leaves when its last pipe has ended");
    assert!(status.success(), "{status}");
}

#[test]
fn a_daemon_that_is_told_to_leave_does_not_wait_for_ever() {
    let mut cluster = Cluster::builder()
        .node("a")
        .node_with("b", |node| node.section("drain-timeout: 1s"))
        .start();
    let running = cluster
        .dpipes(&["@b sh -c 'sleep 100 && touch committed' | @a cat"])
        .spawn();
    eventually!(cluster.node("b").runs_app("sleep"), "the stage runs");
    cluster.node("b").signal(Signal::TERM);
    running.wait().assert_status(125);
    let status = cluster
        .node_mut("b")
        .wait(patience())
        .expect("it leaves after the drain");
    assert!(status.success(), "{status}");
    assert!(cluster.apps().is_empty());
}

#[test]
fn an_idle_daemon_leaves_at_once() {
    let mut cluster = Cluster::of_three();
    cluster
        .dpipes(&["@a echo x | @b cat | @c cat"])
        .run()
        .assert_status(0);
    cluster.node("b").signal(Signal::TERM);
    let status = cluster
        .node_mut("b")
        .wait(Duration::from_secs(10))
        .expect("nothing keeps it");
    assert!(status.success(), "{status}");
}

#[test]
fn a_killed_keeper_is_replaced_and_pipes_go_on() {
    let cluster = Cluster::of_three();
    let mut running = cluster.dpipes(&["@b cat | @b cat"]).stdin_piped().spawn();
    let mut stdin = running.take_stdin();
    eventually!(cluster.node("b").apps().len() == 2, "both stages run");
    let daemon = cluster.node("b").pid();
    let apps = cluster.node("b").apps();
    let helpers = || {
        processes::children_of(daemon)
            .into_iter()
            .filter(|pid| !apps.contains(pid))
            .collect::<Vec<_>>()
    };
    let before = helpers();
    assert!(!before.is_empty(), "no keeper beside the daemon");
    before
        .iter()
        .for_each(|&pid| processes::send(pid, Signal::KILL));
    let replaced = || {
        !helpers().is_empty()
            && helpers()
                .iter()
                .all(|pid| !before.contains(pid) && processes::is_alive(*pid))
    };
    assert!(
        holds_within(patience(), replaced),
        "the keeper is not replaced"
    );
    stdin.write_all(b"still here\n").unwrap();
    drop(stdin);
    running.wait().assert_status(0).assert_wrote("still here\n");
}

#[test]
fn strangers_in_the_environment_of_a_daemon_do_not_reach_apps() {
    let cluster = Cluster::of_one();
    let run = cluster
        .dpipes(&["env"])
        .env("SECRET_OF_THE_CLIENT", "1")
        .run();
    run.assert_status(0);
    let names: Vec<_> = run
        .text()
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name)
        .collect();
    let leaked: Vec<_> = names
        .iter()
        .filter(|name| {
            name.starts_with("DPIPES_") || name.starts_with("XDG_") || name.contains("SECRET")
        })
        .collect();
    assert!(leaked.is_empty(), "{leaked:?}");
    for promised in ["DP_PIPE", "DP_STAGE", "DP_STAGES", "DP_NODE"] {
        assert!(names.contains(&promised), "no {promised} among {names:?}");
    }
}

#[test]
fn nodes_and_apps_are_shown() {
    let cluster = Cluster::builder()
        .node_with("a", |node| node.apps("{ sort: {}, uniq: {} }"))
        .node("b")
        .start();
    let known = || {
        let run = cluster.dpipes(&["nodes"]).run();
        run.status == 0
            && cluster
                .nodes()
                .iter()
                .all(|node| run.text().contains(&node.name))
    };
    assert!(holds_within(patience(), known), "both nodes are shown");
    let apps = || cluster.dpipes(&["apps"]).run();
    assert!(
        holds_within(patience(), || ["sort", "uniq"]
            .iter()
            .all(|app| apps().text().contains(app))),
        "{:?}",
        apps()
    );
    let run = cluster.dpipes(&["nodes", "--json"]).run();
    for line in run.assert_status(0).text().lines() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(value["schema"], "dpipes/v1");
    }
}
