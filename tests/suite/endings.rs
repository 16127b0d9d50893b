//! How pipes end when everybody is well: who gets an end of file, who SIGPIPE, and when.

use std::{io::Write, time::Duration};

use crate::kit::{
    Cluster, Local, Runner, Signal, bash, eventually, hostile::noise, patience, processes,
};

/// What "at once" means on a busy machine. Without a signal towards the producer these pipes never end.
const AT_ONCE: Duration = Duration::from_secs(5);

#[test]
fn yes_ends_at_once_when_head_has_enough() {
    let cluster = Cluster::of_three();
    for pipeline in [
        "@a yes | @b head -n 1",
        "@a yes | @a head -n 1",
        "@b yes | @c cat | @a cat | @b head -n 1",
    ] {
        let run = cluster.dpipes(&[pipeline]).run();
        run.assert_status(0).assert_wrote("y\n");
        assert!(run.elapsed < AT_ONCE, "{run:?}");
        cluster
            .dpipes(&["-o", "pipefail", pipeline])
            .run()
            .assert_status(141);
    }
    Local::new()
        .dpipes(&["yes | head -n 1"])
        .run()
        .assert_status(0)
        .assert_wrote("y\n");
}

#[test]
fn the_report_names_the_signal_that_ended_yes() {
    let cluster = Cluster::of_three();
    let run = cluster
        .dpipes(&["--print-status", "@a yes | @b head -n 1"])
        .run();
    let (a, b) = (&cluster.node("a").name, &cluster.node("b").name);
    run.assert_status(0)
        .assert_says(&format!("1:yes@{a} SIGPIPE(141) 2:head@{b} 0"));
}

#[test]
fn the_record_on_a_descriptor_is_one_json_object_with_every_stage() {
    let cluster = Cluster::of_three();
    let socket = cluster.node("a").socket.display();
    let script = format!(
        "dpipes --connect unix:{socket} --status-fd 3 'echo x | sh -c \"cat; exit 5\"' 3> record.json"
    );
    bash(cluster.scratch(), &script)
        .run()
        .assert_status(5)
        .assert_wrote("x\n");
    let record: serde_json::Value =
        serde_json::from_str(&cluster.scratch().read("record.json")).unwrap();
    assert_eq!(record["schema"], "dpipes/v1");
    let stages = record["stages"].as_array().unwrap();
    assert_eq!(stages.len(), 2);
    let apps: Vec<_> = stages
        .iter()
        .map(|stage| stage["app"].as_str().unwrap())
        .collect();
    assert_eq!(apps, ["echo", "sh"]);
    assert!(stages.iter().all(|stage| stage["pid"].is_u64()), "{record}");
}

#[test]
fn a_stage_that_never_reads_ends_the_pipe_when_it_exits() {
    let cluster = Cluster::of_three();
    for pipeline in [
        "@a cat /dev/urandom | @b sleep 0.1",
        "@a yes | @b true",
        "@b cat /dev/zero | @c cat | @a true",
    ] {
        let run = cluster.dpipes(&[pipeline]).run();
        run.assert_status(0).assert_wrote("");
        assert!(run.elapsed < AT_ONCE, "{run:?}");
    }
}

#[test]
fn an_exit_without_reading_is_no_error() {
    let cluster = Cluster::of_three();
    cluster.scratch().file("big", noise(3_000_000, 5));
    for pipeline in [
        "true | cat",
        "true | true | cat",
        "cat big | true",
        "cat big | head -c 1 | wc -c",
    ] {
        let run = cluster.dpipes(&[pipeline]).run();
        run.assert_status(0);
        assert_eq!(run.stderr, "", "{run:?}");
    }
}

#[test]
fn a_stage_that_closes_its_output_early_may_go_on() {
    let cluster = Cluster::of_three();
    let run = cluster
        .dpipes(&["@a sh -c 'echo x; exec >&-; sleep 0.3; exit 4' | @b cat"])
        .run();
    run.assert_status(0).assert_wrote("x\n");
    let pipeline = "@a sh -c 'echo x; exec >&-; sleep 0.3; exit 4' | @b cat";
    cluster
        .dpipes(&["-o", "pipefail", pipeline])
        .run()
        .assert_status(4)
        .assert_wrote("x\n");
}

#[test]
fn a_stage_that_closes_its_input_early_may_go_on() {
    let cluster = Cluster::of_three();
    let run = cluster
        .dpipes(&["@a yes | @b sh -c 'exec <&-; sleep 0.3; echo still here; exit 6'"])
        .run();
    run.assert_status(6).assert_wrote("still here\n");
}

#[test]
fn the_end_of_input_travels_while_output_is_open() {
    let cluster = Cluster::of_three();
    let mut running = cluster.dpipes(&["@b sort | @c cat"]).stdin_piped().spawn();
    let mut stdin = running.take_stdin();
    stdin.write_all(b"b\na\n").unwrap();
    eventually!(cluster.node("c").runs_app("cat"), "the second stage runs");
    drop(stdin);
    running.wait().assert_status(0).assert_wrote("a\nb\n");
}

#[test]
fn input_travels_while_more_is_to_come() {
    let cluster = Cluster::of_three();
    let seen = cluster.scratch().work().join("seen");
    let output = std::fs::File::create(&seen).unwrap();
    let mut running = cluster
        .dpipes(&["@b cat | @c cat"])
        .stdin_piped()
        .stdout_to(output)
        .spawn();
    let mut stdin = running.take_stdin();
    for word in ["one\n", "two\n"] {
        stdin.write_all(word.as_bytes()).unwrap();
        eventually!(
            cluster.scratch().read("seen").ends_with(word),
            "{word:?} arrives"
        );
    }
    drop(stdin);
    running.wait().assert_status(0);
}

#[test]
fn a_client_fed_by_a_pipe_of_the_shell_does_as_bash() {
    let cluster = Cluster::of_three();
    cluster.scratch().file("big", noise(20_000_000, 6));
    cluster.scratch().file("a-file-of-bash", "in a file\n");
    let dpipes = format!(
        "dpipes --connect unix:{}",
        cluster.node("a").socket.display()
    );
    let same = |script: &str| {
        let wanted = bash(cluster.scratch(), &script.replace("DPIPES ", "bash -c ")).run();
        let got = bash(
            cluster.scratch(),
            &script.replace("DPIPES ", &format!("{dpipes} ")),
        )
        .run();
        assert_eq!(
            (got.text(), got.status),
            (wanted.text(), wanted.status),
            "{got:?}"
        );
    };
    same("echo x | DPIPES 'cat'");
    same("cat big | DPIPES 'head -c 100 | wc -c'; echo ${PIPESTATUS[@]}");
    same("DPIPES 'yes' | head -n 1; echo ${PIPESTATUS[0]}");
    same("DPIPES 'yes | cat' | head -n 1; echo ${PIPESTATUS[0]}");
    same("DPIPES 'seq 5' > file; cat file");
    same("DPIPES 'cat' < a-file-of-bash; echo $?");
    same("DPIPES 'seq 3' | DPIPES 'tac' | DPIPES 'sort'");
}

#[test]
fn a_grandchild_that_holds_the_output_is_waited_for_as_in_bash() {
    let cluster = Cluster::of_three();
    let run = cluster.dpipes(&["sh -c 'sleep 1 & echo done' | cat"]).run();
    run.assert_status(0).assert_wrote("done\n");
    assert!(run.elapsed >= Duration::from_secs(1), "{run:?}");
}

#[test]
fn a_dead_app_gives_its_reader_an_end_of_file_as_in_bash() {
    let cluster = Cluster::of_three();
    let pipeline = "@b cat | @c sh -c 'cat; echo the end'";
    let mut running = cluster
        .dpipes(&["-o", "pipefail", pipeline])
        .stdin_piped()
        .spawn();
    let _held = running.take_stdin();
    eventually!(cluster.node("b").runs_app("cat"), "the first stage runs");
    processes::send(cluster.node("b").app("cat").unwrap(), Signal::KILL);
    running.wait().assert_status(137).assert_wrote("the end\n");
}

#[test]
fn a_time_limit_ends_the_pipe_with_124() {
    let cluster = Cluster::of_three();
    for pipeline in [
        "sleep 100",
        "@b sleep 100 | @c cat",
        "@b yes | @c sh -c 'cat > /dev/null && touch committed'",
    ] {
        let run = cluster.dpipes(&["--timeout", "1s", pipeline]).run();
        run.assert_status(124);
        assert!(run.elapsed < patience(), "{run:?}");
    }
    assert!(
        !cluster.scratch().has("committed"),
        "a stage took the end of a killed pipe for the end of its input"
    );
    Local::new()
        .dpipes(&["--timeout", "1s", "sleep 100"])
        .run()
        .assert_status(124);
}

#[test]
fn an_app_that_ignores_sigterm_is_killed_after_the_grace() {
    let cluster = Cluster::of_one();
    let run = cluster
        .dpipes(&[
            "--timeout",
            "500ms",
            "sh -c 'trap \"\" TERM; sleep 50; sleep 50'",
        ])
        .run();
    run.assert_status(124);
    eventually!(cluster.apps().is_empty(), "the app is gone");
}
