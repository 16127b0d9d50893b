//! No daemon, no configuration: the client does everything itself, and it is still the same as bash.

use crate::kit::{Local, Runner, bash, eventually, processes};

#[test]
fn the_first_run_needs_nothing() {
    let machine = Local::new();
    for run in [
        machine.plain_dpipes(&["seq 5 | sort -r"]).run(),
        machine
            .plain_dpipes(&["run", "--no-daemon", "seq 5 | sort -r"])
            .run(),
    ] {
        run.assert_status(0).assert_wrote("5\n4\n3\n2\n1\n");
        assert_eq!(
            run.stderr, "",
            "nothing is said where no terminal is: {run:?}"
        );
    }
}

#[test]
fn stages_have_the_clients_directory_environment_and_umask() {
    let machine = Local::new();
    machine.same_as_bash("pwd | cat");
    let script = |run: &str| {
        format!("export FRUIT='a pear'; umask 027; {run} 'sh -c \"echo \\$FRUIT; umask\" | cat'")
    };
    let wanted = bash(machine.scratch(), &script("bash -c")).run();
    let got = bash(machine.scratch(), &script("dpipes --no-daemon")).run();
    assert_eq!(
        (got.text(), got.status),
        (wanted.text(), wanted.status),
        "{got:?}"
    );
}

#[test]
fn no_stdin_means_an_empty_one() {
    let machine = Local::new();
    machine
        .dpipes(&["-n", "cat"])
        .stdin("never read")
        .run()
        .assert_status(0)
        .assert_wrote("");
}

#[test]
fn the_status_tells_an_app_from_dpipes() {
    let machine = Local::new();
    for (pipeline, status) in [
        ("true", 0),
        ("sh -c 'exit 3'", 3),
        ("sh -c 'exit 255'", 255),
        ("sh -c 'kill -SEGV $$'", 139),
        ("cat 'unclosed", 125),
        ("/etc/hostname", 126),
        ("no-such-program", 127),
    ] {
        machine
            .dpipes(&["-c", pipeline])
            .run()
            .assert_status(status);
    }
}

#[test]
fn a_word_that_is_a_subcommand_can_be_run_as_a_pipeline() {
    let machine = Local::new();
    machine.plain_dpipes(&["version"]).run().assert_status(0);
    machine.dpipes(&["-c", "version"]).run().assert_status(127);
}

#[test]
fn a_check_starts_nothing() {
    let machine = Local::new();
    let run = machine
        .plain_dpipes(&["check", "--no-daemon", "touch mark | cat"])
        .run();
    run.assert_status(0);
    assert!(
        run.text().contains("touch") && run.text().contains("accepted"),
        "{run:?}"
    );
    assert!(!machine.scratch().has("mark"));
}

#[test]
fn a_job_log_has_a_line_for_every_stage() {
    let machine = Local::new();
    machine
        .dpipes(&["--joblog", "log.tsv", "echo x | cat | sh -c 'cat; exit 4'"])
        .run()
        .assert_status(4);
    let log = machine.scratch().read("log.tsv");
    let stages = log
        .lines()
        .filter(|line| ["echo", "cat", "sh"].iter().any(|app| line.contains(app)))
        .count();
    assert_eq!(stages, 3, "{log}");
    assert!(log.lines().all(|line| line.contains('\t')), "{log}");
}

#[test]
fn five_pipes_at_once_stay_apart() {
    let machine = Local::new();
    let start = |number: usize| {
        machine
            .dpipes(&[&format!("seq {number} 3000 | sort -rn | tail -n 1")])
            .spawn()
    };
    let running: Vec<_> = (1..=5).map(start).collect();
    for (pipe, number) in running.into_iter().zip(1..) {
        pipe.wait()
            .assert_status(0)
            .assert_wrote(&format!("{number}\n"));
    }
}

#[test]
fn a_grandchild_that_was_left_behind_is_ended_with_its_pipe() {
    let machine = Local::new();
    // It keeps no output open, so nobody waits for it.
    machine
        .dpipes(&["sh -c 'sleep 300 > /dev/null 2>&1 & echo done'"])
        .run()
        .assert_wrote("done\n");
    let left = || machine.scratch().processes();
    eventually!(
        left().is_empty(),
        "nothing is left; still there: {}",
        processes::describe(&left())
    );
}

/// As in a container, or below `unshare --pid`: the session leader is not visible there and is number 0.
#[test]
fn a_session_leader_in_another_pid_namespace_is_no_obstacle() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("not run: a PID namespace takes root");
    }
    let machine = Local::new();
    let script = "exec unshare --fork --pid --mount-proc \
         dpipes --no-daemon --timeout 2s 'sh -c \"sleep 1000 & echo x; exec sleep 1000\" | cat'";
    let run = bash(machine.scratch(), script).run();
    assert_eq!((run.text(), run.status), ("x\n", 124), "{run:?}");
    assert!(!run.stderr.contains("panicked"), "{run:?}");
}
