//! Apps that misbehave: rows P of the fault matrix.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::kit::{
    Cluster, Runner, Signal, bash, eventually, heavy, holds_within, patience, processes,
};

/// Kill-grace of the suite's daemons is one second; the rest is for a busy machine.
const SOON: Duration = Duration::from_secs(10);

/// A file that may be executed and cannot be: neither a format the kernel knows nor the name of an interpreter.
fn no_program(cluster: &Cluster) -> PathBuf {
    let file = cluster.scratch().file("no-program", [1, 2, 3, 4]);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    file
}

/// P14: the failure comes after Start, so that stages downstream run already. None of them may take it for the end of its input, be it
/// on the same kernel pipe or on another node.
#[test]
fn a_program_that_cannot_be_executed_ends_the_pipe_and_is_no_end_of_input() {
    let cluster = Cluster::of_three();
    let file = no_program(&cluster);
    let app = file.display();
    for round in 0..6 {
        for (from, to) in [("a", "a"), ("a", "b"), ("b", "b"), ("c", "b")] {
            let run = cluster
                .dpipes(&[&format!(
                    "@{from} {app} | @{to} sh -c 'cat && touch committed-{round}'"
                )])
                .run();
            run.assert_status(126);
            assert!(
                run.stderr.contains("no-program"),
                "the program is named: {run:?}"
            );
            assert!(
                !cluster.scratch().has(&format!("committed-{round}")),
                "{from} to {to}: a stage took the failure for the end of its input"
            );
        }
    }
    let run = cluster
        .dpipes(&[&format!(
            "@a yes | @b {app} | @c sh -c 'cat && touch committed'"
        )])
        .run();
    run.assert_status(126);
    eventually!(cluster.apps().is_empty(), "nothing is left");
    assert!(!cluster.scratch().has("committed"));
}

/// P18: it has left its session, its parent and its group; it goes with the pipe, when that is over and when that is aborted.
#[test]
fn a_process_that_hid_in_a_session_of_its_own_goes_with_the_pipe() {
    let cluster = Cluster::of_three();
    let hide = "sh -c '(setsid sh -c \"(exec sleep 301) &\" < /dev/null > /dev/null 2>&1 &) ; sleep 0.3; echo x'";
    let run = cluster.dpipes(&[&format!("@b {hide} | @c cat")]).run();
    run.assert_status(0).assert_wrote("x\n");
    assert!(
        holds_within(SOON, || cluster.apps().is_empty()),
        "left: {}",
        processes::describe(&cluster.apps())
    );

    let hide = hide.replace("echo x", "exec sleep 302");
    let running = cluster.dpipes(&[&format!("@b {hide} | @c cat")]).spawn();
    eventually!(
        cluster
            .node("b")
            .apps()
            .iter()
            .any(|&pid| processes::command_line(pid) == "sleep 301"),
        "it hides"
    );
    running.signal(Signal::TERM);
    running.wait().assert_status(143);
    assert!(
        holds_within(SOON, || cluster.apps().is_empty()),
        "left: {}",
        processes::describe(&cluster.apps())
    );
}

/// P19.
#[test]
fn a_flood_of_stderr_stops_nobody_else_and_arrives_whole() {
    let _turn = heavy();
    let cluster = Cluster::of_three();
    let line = "a line of stderr that is to arrive whole";
    let noisy = format!("sh -c 'yes \"{line}\" | head -n 300000 >&2; echo x'");
    let before: Vec<_> = cluster
        .nodes()
        .iter()
        .map(|node| processes::resident(node.pid()))
        .collect();
    let run = cluster.dpipes(&[&format!("@b {noisy} | @c cat")]).run();
    run.assert_status(0).assert_wrote("x\n");
    assert_eq!(run.stderr.lines().count(), 300_000);
    assert!(run.stderr.lines().all(|said| said == line));
    for (node, before) in cluster.nodes().iter().zip(before) {
        let now = processes::resident(node.pid());
        assert!(
            now < before + (40 << 20),
            "{}: {before} to {now}",
            node.alias
        );
    }

    // Nobody reads what it says: that stage is held up, and no other pipe is.
    let (unread, full) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let held = cluster
        .dpipes(&["@b sh -c 'yes >&2'"])
        .stderr_to(full)
        .spawn();
    eventually!(cluster.node("b").runs_app("yes"), "it floods");
    cluster
        .dpipes(&["@b head -c 30000000 /dev/zero | @c cat | @b wc -c"])
        .run()
        .assert_status(0)
        .assert_wrote("30000000\n");
    held.signal(Signal::TERM);
    held.wait().assert_status(143);
    drop(unread);
}

/// P20.
#[test]
fn an_app_that_ignores_everything_but_sigkill_gets_that_after_the_grace() {
    let cluster = Cluster::of_three();
    let stubborn = "sh -c 'trap \"\" TERM INT HUP; while :; do sleep 1; done'";
    let running = cluster
        .dpipes(&[&format!("@b {stubborn} | @c {stubborn}")])
        .spawn();
    eventually!(
        cluster.node("b").runs_app("sleep") && cluster.node("c").runs_app("sleep"),
        "both run"
    );
    let since = Instant::now();
    running.signal(Signal::TERM);
    running.wait().assert_status(143);
    assert!(
        holds_within(SOON, || cluster.apps().is_empty()),
        "left: {}",
        processes::describe(&cluster.apps())
    );
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
}

/// P25: stages on one node are ended from the last to the first, and at every moment of their lives, the start included.
#[test]
fn an_aborted_pipe_of_neighbours_shows_none_of_them_an_end_of_input() {
    let _turn = heavy();
    let cluster = Cluster::of_three();
    for round in 0..60_u64 {
        let pipeline = format!(
            "@b yes | @b sh -c 'cat && touch committed-1-{round}' | @b sh -c 'cat > /dev/null && touch committed-2-{round}' | @c sh -c 'cat && touch committed-3-{round}'"
        );
        let running = cluster.dpipes(&[&pipeline]).count_stdout().spawn();
        let at = Duration::from_millis(5 + round * 3);
        let _it_runs_on = holds_within(at, || false);
        running.signal(if round % 2 == 0 {
            Signal::KILL
        } else {
            Signal::TERM
        });
        let run = running.wait();
        assert!([137, 143].contains(&run.status), "{run:?}");
    }
    eventually!(
        cluster.apps().is_empty(),
        "nothing is left; {}",
        processes::describe(&cluster.apps())
    );
    let committed: Vec<_> = fs::read_dir(cluster.scratch().work())
        .unwrap()
        .flatten()
        .map(|file| file.file_name())
        .collect();
    assert!(committed.is_empty(), "{committed:?}");
}

/// P24.
#[test]
fn three_hundred_short_apps_leave_no_zombie_and_no_descriptor() {
    let _turn = heavy();
    let cluster = Cluster::of_three();
    let five = "true | true | true | true | true";
    cluster.dpipes(&[five]).run().assert_status(0);
    let held = |alias| processes::descriptors(cluster.node(alias).pid());
    let before = ["a", "b", "c"].map(held);
    for _ in 0..60 {
        cluster.dpipes(&[five]).run().assert_status(0);
    }
    for (alias, before) in ["a", "b", "c"].into_iter().zip(before) {
        let pid = cluster.node(alias).pid();
        eventually!(held(alias) <= before + 6, "{alias} gives descriptors back");
        eventually!(processes::zombies_of(pid).is_empty(), "{alias} reaps");
    }
}

/// P6: the daemon dies in mid-stream, as by a crash. `DPIPES_TEST_CRASHES` asks for more rounds.
#[test]
fn a_daemon_killed_in_mid_stream_shows_no_stage_an_end_of_input() {
    let _turn = heavy();
    let rounds = std::env::var("DPIPES_TEST_CRASHES")
        .ok()
        .and_then(|rounds| rounds.parse::<u64>().ok());
    let mut cluster = Cluster::of_three();
    for round in 0..rounds.unwrap_or(20) {
        let pipeline = format!(
            "@b cat /dev/zero | @b sh -c 'cat && touch same-node-{round}' | @c sh -c 'cat && touch next-node-{round}' | @b sh -c 'cat > /dev/null && touch linked-{round}'"
        );
        let running = cluster.dpipes(&[&pipeline]).spawn();
        eventually!(cluster.node("c").runs_app("cat"), "the pipe runs");
        let at = Duration::from_millis(round % 20 * 7);
        let _it_runs_on = holds_within(at, || false);
        cluster.node_mut("b").crash();
        running.wait().assert_status(125);
        assert!(
            holds_within(patience(), || cluster.apps().is_empty()),
            "round {round}: left {}",
            processes::describe(&cluster.apps())
        );
        let committed: Vec<_> = fs::read_dir(cluster.scratch().work())
            .unwrap()
            .flatten()
            .map(|file| file.file_name())
            .collect();
        assert!(committed.is_empty(), "round {round}: {committed:?}");
        cluster.restart("b");
        let works = || cluster.dpipes(&["@b true"]).run().status == 0;
        assert!(holds_within(patience(), works), "round {round}");
    }
}

/// P2, P4: a suspended client loses nothing, and no byte twice.
#[test]
fn a_client_suspended_by_its_terminal_goes_on_with_the_same_bytes() {
    let cluster = Cluster::builder()
        .node("a")
        .node("b")
        .run("lease", "2s")
        .start();
    let pipeline = "seq 1 2000000";
    let running = cluster
        .dpipes(&[&format!("@b {pipeline} | @a cat")])
        .spawn();
    eventually!(
        cluster.node("b").runs_app("seq") || cluster.apps().is_empty(),
        "the pipe runs"
    );
    for _ in 0..2 {
        running.signal(Signal::TSTP);
        crate::kit::pause(Duration::from_secs(3));
        running.signal(Signal::CONT);
    }
    let run = running.wait();
    run.assert_status(0);
    assert!(run.stdout == bash(cluster.scratch(), pipeline).run().stdout);
}

/// A daemon that drains lets pipes that run go on: also to open what they had not needed before.
#[test]
fn an_app_may_say_its_first_word_while_its_node_drains() {
    let mut cluster = Cluster::of_three();
    let running = cluster
        .dpipes_at("a", &["@b sh -c 'sleep 2; echo oops >&2; echo x' | @c cat"])
        .spawn();
    eventually!(cluster.node("b").runs_app("sleep"), "the pipe runs");
    cluster.node("b").signal(Signal::TERM);
    running
        .wait()
        .assert_status(0)
        .assert_wrote("x\n")
        .assert_says("oops");
    let status = cluster.node_mut("b").wait(patience());
    assert!(status.is_some_and(|status| status.success()));
}

/// N1: the next node is tried; where there is none, every address is named with its error.
#[test]
fn a_node_that_refuses_is_passed_over_and_named_when_nobody_is_left() {
    let mut cluster = Cluster::of_three();
    let entry = cluster.node("a").name.clone();
    cluster.node_mut("b").crash();
    for _ in 0..10 {
        cluster
            .dpipes(&["--avoid", &entry, "echo x | cat"])
            .run()
            .assert_status(0)
            .assert_wrote("x\n");
    }
    cluster.node_mut("c").crash();
    let run = cluster.dpipes(&["--avoid", &entry, "echo x"]).run();
    run.assert_status(125);
    let named = |alias| {
        let port = cluster.node(alias).address.port().to_string();
        run.stderr.contains(&port)
    };
    assert!(named("b") || named("c"), "{run:?}");
}

/// How many descriptors a process may have at most.
fn hard_limit(pid: u32) -> u64 {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap();
    files.split_whitespace().nth(4).unwrap().parse().unwrap()
}

/// S1: descriptors are used up. What runs goes on, what is new is refused, and nothing of it stays.
#[test]
fn a_daemon_without_descriptors_is_busy_and_recovers() {
    let cluster = Cluster::of_three();
    let mut running = cluster.dpipes(&["@b cat | @c cat"]).stdin_piped().spawn();
    let mut stdin = running.take_stdin();
    stdin.write_all(b"before\n").unwrap();
    eventually!(cluster.node("c").runs_app("cat"), "the pipe runs");
    cluster.dpipes(&["@b true"]).run().assert_status(0);

    let pid = cluster.node("b").pid();
    let hard = hard_limit(pid);
    let limit = |soft: u64| {
        let limit = Rlimit {
            current: Some(soft),
            maximum: Some(hard),
        };
        let pid = Pid::from_raw(i32::try_from(pid).unwrap());
        prlimit(pid, Resource::Nofile, limit).unwrap();
    };
    let held = processes::descriptors(pid) as u64;
    limit(held + 3);
    for pipeline in ["@b true | @b cat | @b cat | @b cat", "@b true"] {
        for _ in 0..3 {
            let run = cluster.dpipes(&[pipeline]).run();
            assert!([0, 125, 126].contains(&run.status), "{run:?}");
            assert!(run.status == 0 || !run.stderr.is_empty(), "{run:?}");
        }
    }
    // Connections beyond the limit wait, and do not make the daemon spin or end.
    let waiting: Vec<_> = (0..20)
        .filter_map(|_| std::net::TcpStream::connect(cluster.node("b").address).ok())
        .collect();
    stdin.write_all(b"meanwhile\n").unwrap();
    drop(waiting);
    limit(hard);
    let works = || cluster.dpipes(&["@b true | @b cat"]).run().status == 0;
    assert!(holds_within(patience(), works), "it recovers");
    stdin.write_all(b"after\n").unwrap();
    drop(stdin);
    running
        .wait()
        .assert_status(0)
        .assert_wrote("before\nmeanwhile\nafter\n");
}

/// S14.
#[test]
fn a_hundred_pipes_at_once_all_end_right() {
    let _turn = heavy();
    let cluster = Cluster::of_three();
    let start = |number: usize| {
        let entry = ["a", "b", "c"][number % 3];
        let pipeline = format!("seq 1 20000 | @b cat | @c tail -n 1 | sed 's/$/ {number}/'");
        cluster
            .dpipes_at(entry, &[&pipeline])
            .within(patience() * 4)
            .spawn()
    };
    let running: Vec<_> = (0..100).map(start).collect();
    for (number, pipe) in running.into_iter().enumerate() {
        pipe.wait()
            .assert_status(0)
            .assert_wrote(&format!("20000 {number}\n"));
    }
}

/// Losses pass as ends of input on request. That the last node is lost before it had opened its link must not leave the entry waiting.
#[test]
fn on_request_the_loss_of_the_last_node_still_ends_the_pipe() {
    let mut cluster = Cluster::of_three();
    let running = cluster
        .dpipes(&["-o", "on-loss=eof", "@b yes | @c sleep 304"])
        .spawn();
    eventually!(cluster.node("c").runs_app("sleep"), "the pipe runs");
    cluster.node_mut("c").crash();
    running.wait().assert_status(125);
    eventually!(cluster.apps().is_empty(), "nothing is left");
}

#[test]
fn a_daemon_whose_nursery_is_killed_has_another_and_loses_no_pipe() {
    let cluster = Cluster::of_one();
    let daemon = cluster.node("a").pid();
    let nursery = || {
        let is_nursery = |pid: &u32| processes::name(*pid).as_deref() == Some("dpipes-nursery");
        processes::children_of(daemon).into_iter().find(is_nursery)
    };
    let mut killed = Vec::new();
    for _ in 0..3 {
        eventually!(nursery().is_some(), "there is a nursery");
        let pid = nursery().expect("it was there a moment ago");
        assert!(!killed.contains(&pid), "a new one");
        processes::send(pid, Signal::KILL);
        killed.push(pid);
        // More stages than there are shims in stock.
        let many = ["cat"; 9].join(" | ");
        cluster
            .dpipes(&[&format!("echo hi | {many}")])
            .run()
            .assert_status(0)
            .assert_wrote("hi\n");
    }
    eventually!(processes::zombies_of(daemon).is_empty(), "{daemon} reaps");
}
