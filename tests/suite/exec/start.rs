//! From a spec to a running app.

use dpipes::{
    exec::{ExitKind, Launcher, LauncherSettings, Limits, SpawnError, Stdio, Style, pipe},
    word::{Part, Word},
};
use rustix::io::Errno;

use super::kit::*;

/// A descriptor without close-on-exec would be passed on, and an end of file never come.
#[tokio::test(flavor = "multi_thread")]
async fn an_app_has_three_descriptors_and_no_others() {
    let launcher = launcher();
    // Descriptors without close-on-exec, as a careless parent of the daemon leaves them.
    let leaks: Vec<_> = (0..3).map(|_| null()).collect();
    for leak in &leaks {
        rustix::io::fcntl_setfd(leak, rustix::io::FdFlags::empty()).unwrap();
    }
    for _ in 0..3 {
        // `ls` itself opens one for the directory, the lowest that is free.
        let listed = output(&launcher, spec("/bin/ls", &["/proc/self/fd"])).await;
        assert_eq!(
            listed.split_whitespace().collect::<Vec<_>>(),
            ["0", "1", "2", "3"]
        );
    }
    drop(leaks);
    launcher.shutdown().await;
}

/// Ignored and blocked signals are inherited through execve: the shims come from a process that ignores and blocks.
#[tokio::test(flavor = "multi_thread")]
async fn no_signal_is_ignored_or_blocked_in_an_app() {
    let directory = tempfile::tempdir().unwrap();
    // What stands before the shim ignores some signals, as nohup does; std ignores SIGPIPE by itself.
    let exe = directory.path().join("careless");
    let script = format!(
        "#!/bin/sh\ntrap '' INT HUP QUIT USR1\nexec {} \"$@\"\n",
        env!("CARGO_BIN_EXE_dpipesd")
    );
    write_file(&exe, &script, 0o755);
    let launcher = Launcher::start(LauncherSettings { exe, ..settings() }).unwrap();
    let status = output(&launcher, spec("/bin/cat", &["/proc/self/status"])).await;
    for field in ["SigPnd", "SigBlk", "SigIgn", "SigCgt"] {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(field))
            .unwrap();
        let set = u64::from_str_radix(line.trim_start_matches(":\t"), 16).unwrap();
        // The two signals that the C library keeps for itself cannot be reset through it; it sets them up before it uses them.
        let reserved = 0b11 << 31;
        assert_eq!(set & !reserved, 0, "{field}{line}");
    }
    launcher.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_is_exactly_what_was_built() {
    let launcher = launcher();
    let mut spec = spec("/usr/bin/env", &["-0"]);
    let key = spec.key;
    spec.env = vec![
        ("B".into(), "two\nlines".into()),
        ("A".into(), String::new().into()),
    ];
    spec.env_words = vec![(
        "C".into(),
        Word {
            parts: vec![Part::Home(None), Part::Text("/x".into())],
        },
    )];
    spec.home = Some("/home/ann".into());
    let text = output(&launcher, spec).await;
    let mut all: Vec<&str> = text.split_terminator('\0').collect();
    all.sort_unstable();
    let (pipe, stage) = (
        format!("DP_PIPE={}", key.pipe),
        format!("DP_STAGE={}", key.stage),
    );
    assert_eq!(all, ["A=", "B=two\nlines", "C=/home/ann/x", &pipe, &stage]);
    launcher.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_arguments_are_what_bash_would_make_of_the_words() {
    let launcher = launcher();
    let directory = tempfile::tempdir().unwrap();
    for name in ["b.txt", "a b.txt", "*.md", ".hidden.txt"] {
        std::fs::write(directory.path().join(name), "").unwrap();
    }
    let glob = |text: &str| Part::Glob(text.into());
    let text = |text: &str| Part::Text(text.into());
    let mut spec = spec("/usr/bin/printf", &[r"%s\n"]);
    spec.args.extend([
        Word {
            parts: vec![glob("*"), text(".txt")],
        },
        Word {
            parts: vec![text("*.md")],
        },
        Word {
            parts: vec![glob("*"), text(".none")],
        },
        Word::default(),
        Word {
            parts: vec![Part::Home(Some("root".into()))],
        },
    ]);
    spec.cwd = directory.path().to_owned();
    let (stdio, read) = captured();
    let mut prepared = launcher.prepare(spec, stdio).await.unwrap();
    let expected = ["a b.txt", "b.txt", "*.md", "*.none", "", "/root"];
    assert_eq!(prepared.argv()[..2], os(&["printf", r"%s\n"]));
    assert_eq!(prepared.argv()[2..], os(&expected));
    let mut process = prepared.go().await.unwrap();
    let written = String::from_utf8(read_all(read).await).unwrap();
    let script = "printf '%s\\n' *.txt '*.md' *.none '' ~root";
    let bash = std::process::Command::new("bash")
        .args(["-c", script])
        .current_dir(directory.path())
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    assert_eq!(written.as_bytes(), bash.stdout);
    assert_eq!(process.wait().await.exit, ExitKind::Code(0));
    launcher.shutdown().await;
}

/// C3.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_dropped_at_the_barrier_has_never_run() {
    let launcher = launcher();
    let directory = tempfile::tempdir().unwrap();
    let marker = directory.path().join("marker");
    let (stdio, read) = captured();
    let prepared = launcher
        .prepare(shell(&format!("touch {}", marker.display())), stdio)
        .await
        .unwrap();
    let pid = prepared.pid();
    assert!(is_alive(pid));
    assert_eq!(launcher.running(), 1);
    drop(prepared);
    assert_eq!(read_all(read).await, b"");
    eventually("the shim is reaped", || state(pid).is_none()).await;
    eventually("it is forgotten", || launcher.running() == 0).await;
    assert!(!marker.exists());
    launcher.shutdown().await;
}

/// P14.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_executed_after_all_is_told_with_its_errno() {
    let launcher = launcher();
    let directory = tempfile::tempdir().unwrap();
    let no_format = directory.path().join("garbage");
    write_file(&no_format, "\u{1}\u{2}\u{3} no program", 0o755);
    let vanishing = directory.path().join("vanishing");
    write_file(&vanishing, "#!/bin/sh\n", 0o755);

    let mut garbage = launcher
        .prepare(spec(no_format.to_str().unwrap(), &[]), silent())
        .await
        .unwrap();
    let error = garbage.go().await.unwrap_err();
    assert_eq!(
        (error.step.as_str(), error.errno),
        ("execve", Errno::NOEXEC.raw_os_error())
    );

    let mut gone = launcher
        .prepare(spec(vanishing.to_str().unwrap(), &[]), silent())
        .await
        .unwrap();
    std::fs::remove_file(&vanishing).unwrap();
    let error = gone.go().await.unwrap_err();
    assert_eq!(
        (error.step.as_str(), error.errno),
        ("execve", Errno::NOENT.raw_os_error())
    );
    launcher.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_fails_is_an_answer_before_the_barrier() {
    let launcher = launcher();
    let mut nowhere = shell("true");
    nowhere.cwd = "/nonexistent".into();
    let error = launcher.prepare(nowhere, silent()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "chdir: No such file or directory (os error 2)"
    );

    // U4: longer than one argument may be.
    let long = spec("/bin/true", &[&"x".repeat(200_000)]);
    let error = launcher.prepare(long, silent()).await.unwrap_err();
    assert!(
        matches!(&error, SpawnError::Step { step, errno } if step == "arguments" && *errno == Errno::TOOBIG.raw_os_error()),
        "{error}"
    );

    let nul = spec("/bin/true", &["a\0b"]);
    let error = launcher.prepare(nul, silent()).await.unwrap_err();
    assert!(
        matches!(&error, SpawnError::Step { errno, .. } if *errno == Errno::INVAL.raw_os_error()),
        "{error}"
    );
    eventually("nothing is left", || launcher.running() == 0).await;
    launcher.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_large_arguments_arrive_whole() {
    let launcher = launcher();
    let arguments: Vec<String> = (0..10).map(|n| n.to_string().repeat(100_000)).collect();
    let borrowed: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let written = output(
        &launcher,
        spec("/usr/bin/printf", &[&["%s"], borrowed.as_slice()].concat()),
    )
    .await;
    assert_eq!(written, arguments.concat());
    launcher.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contained_app_has_its_mask_limits_and_session() {
    let launcher = launcher();
    let mut spec = shell(
        "umask; ulimit -c; ulimit -n; ulimit -v; ulimit -t; cat /proc/self/oom_score_adj; grep NoNewPrivs /proc/self/status; cut -d' ' -f6 /proc/$$/stat; echo $$",
    );
    spec.umask = Some(0o027);
    spec.limits = Limits {
        open_files: Some(77),
        memory: Some(1 << 30),
        cpu_time: Some(std::time::Duration::from_millis(1500)),
        processes: None,
    };
    let text = output(&launcher, spec).await;
    let lines: Vec<&str> = text.lines().collect();
    let [
        umask,
        core,
        files,
        memory,
        cpu,
        score,
        privileges,
        session,
        pid,
    ] = lines[..]
    else {
        panic!("{text}")
    };
    assert_eq!(
        (umask, core, files, cpu, score),
        ("0027", "0", "77", "2", "500")
    );
    assert!(
        memory == "1048576" || launcher.isolation().as_str() == "cgroup" && memory == "unlimited",
        "{memory}"
    );
    assert_eq!(privileges, "NoNewPrivs:\t1");
    assert_eq!(session, pid);
    launcher.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_embedded_app_keeps_what_the_user_has() {
    let launcher = launcher_without_cgroups();
    let mut spec = shell("ulimit -c; cat /proc/self/oom_score_adj; pwd");
    spec.style = Style::Embedded;
    spec.umask = None;
    spec.cwd = std::fs::canonicalize(env!("CARGO_MANIFEST_DIR")).unwrap();
    let expected = std::process::Command::new("sh")
        .args(["-c", "ulimit -c; cat /proc/self/oom_score_adj; pwd"])
        .current_dir(&spec.cwd)
        .output()
        .unwrap();
    assert_eq!(output(&launcher, spec).await.as_bytes(), expected.stdout);
    launcher.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_cannot_be_set_is_refused() {
    let launcher = launcher_without_cgroups();
    let mut spec = shell("true");
    spec.limits.processes = Some(5);
    let error = launcher.prepare(spec, silent()).await.unwrap_err();
    assert!(
        matches!(
            error,
            SpawnError::Limit {
                limit: "processes",
                ..
            }
        ),
        "{error}"
    );
    launcher.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn neighbours_on_a_kernel_pipe_end_as_in_bash() {
    let launcher = launcher();
    let (read, write) = pipe().unwrap();
    let upstream = Stdio {
        stdout: write,
        ..silent()
    };
    let (mut downstream, out) = captured();
    downstream.stdin = read;
    let mut yes = launcher
        .prepare(spec("/usr/bin/yes", &[]), upstream)
        .await
        .unwrap();
    let mut head = launcher
        .prepare(spec("/usr/bin/head", &["-n1"]), downstream)
        .await
        .unwrap();
    let (mut yes, mut head) = (yes.go().await.unwrap(), head.go().await.unwrap());
    assert_eq!(read_all(out).await, b"y\n");
    assert_eq!(head.wait().await.exit, ExitKind::Code(0));
    // B19: SIGPIPE, as with the default disposition.
    assert_eq!(yes.wait().await.exit, ExitKind::Signal(13));
    launcher.shutdown().await;
}

/// P24: no zombie, no descriptor.
#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_short_apps_leave_nothing() {
    let launcher = launcher();
    // The first ones make threads and spares.
    for _ in 0..3 {
        start(&launcher, spec("/bin/true", &[]), silent())
            .await
            .wait()
            .await;
    }
    let own_descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = own_descriptors();
    let mut pids = Vec::new();
    for round in 0..300u32 {
        let mut process = start(&launcher, shell(&format!("exit {}", round % 256)), silent()).await;
        pids.push(process.pid());
        assert_eq!(
            process.wait().await.exit,
            ExitKind::Code((round % 256) as u8)
        );
    }
    // Other tests of this program open descriptors too; what 300 leaking apps would add is far more.
    eventually("descriptors are back", || own_descriptors() < before + 100).await;
    for pid in pids {
        assert_ne!(state(pid), Some('Z'));
    }
    assert_eq!(launcher.running(), 0);
    launcher.shutdown().await;
}

/// The spares are started in the background and used.
#[tokio::test(flavor = "multi_thread")]
async fn stages_prepared_at_once_do_not_share_a_shim() {
    let launcher = launcher();
    let runs = (0..16).map(|n| {
        let launcher = launcher.clone();
        async move { output(&launcher, shell(&format!("echo {n} $$"))).await }
    });
    let outputs = futures_util::future::join_all(runs).await;
    let pids: std::collections::BTreeSet<&str> = outputs
        .iter()
        .map(|line| line.split_whitespace().nth(1).unwrap())
        .collect();
    assert_eq!(pids.len(), 16);
    for (n, line) in outputs.iter().enumerate() {
        assert!(line.starts_with(&format!("{n} ")), "{line}");
    }
    launcher.shutdown().await;
}

/// Not a test unless it is started as one: it changes its whole process.
#[tokio::test(flavor = "multi_thread")]
async fn hardened_process() {
    if std::env::var_os(HARDENED).is_none() {
        return;
    }
    let leak = null();
    rustix::io::fcntl_setfd(&leak, rustix::io::FdFlags::empty()).unwrap();
    dpipes::exec::harden_daemon().unwrap();
    let closes = rustix::io::fcntl_getfd(&leak).unwrap();
    assert!(closes.contains(rustix::io::FdFlags::CLOEXEC));
    let own = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    assert_eq!(own.current, own.maximum);
    let launcher = launcher();
    let app = output(&launcher, shell("ulimit -n")).await;
    launcher.shutdown().await;
    println!("\napps have {app}");
}

/// Tells the started test program to be the one above.
const HARDENED: &str = "DPIPES_TEST_HARDENED";

#[test]
fn a_hardened_daemon_passes_on_neither_descriptors_nor_its_raised_limit() {
    let own = std::env::current_exe().unwrap();
    let script = format!(
        "ulimit -S -n 99; exec {} --exact exec::start::hardened_process --nocapture",
        own.display()
    );
    let mut command = std::process::Command::new("sh");
    let output = command
        .args(["-c", &script])
        .env(HARDENED, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.lines().any(|line| line == "apps have 99"), "{text}");
}

/// P14, P25: the process that did not become the app keeps the pipe to its neighbour open until its turn to be killed comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_execve_is_no_end_of_file_for_the_neighbour() {
    let launcher = launcher();
    let directory = tempfile::tempdir().unwrap();
    let garbage = directory.path().join("garbage");
    write_file(&garbage, "\u{1}\u{2}\u{3} no program", 0o755);
    let (stdio, read) = captured();
    let mut prepared = launcher
        .prepare(spec(garbage.to_str().unwrap(), &[]), stdio)
        .await
        .unwrap();
    let process = prepared.handle();
    assert_eq!(
        prepared.go().await.unwrap_err().errno,
        Errno::NOEXEC.raw_os_error()
    );
    let mut output = tokio::net::unix::pipe::Receiver::from_owned_fd(read).unwrap();
    let mut byte = [0];
    let end = tokio::time::timeout(
        std::time::Duration::from_millis(200),
        tokio::io::AsyncReadExt::read(&mut output, &mut byte),
    );
    assert!(end.await.is_err(), "an end of file before the kill");
    process.kill(std::time::Duration::ZERO).await;
    assert_eq!(
        tokio::io::AsyncReadExt::read(&mut output, &mut byte)
            .await
            .unwrap(),
        0
    );
    launcher.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_around_the_opening_of_the_barrier_leaves_nothing() {
    let launcher = launcher();
    for round in 0..40_u64 {
        let mut prepared = launcher
            .prepare(spec("/usr/bin/sleep", &["303"]), silent())
            .await
            .unwrap();
        let process = prepared.handle();
        let killing = tokio::spawn({
            let process = process.clone();
            async move {
                tokio::time::sleep(std::time::Duration::from_micros(round * 50)).await;
                process.kill(std::time::Duration::ZERO).await
            }
        });
        // Started or not, it has ended by the signal.
        let gone = prepared.go().await;
        let ended = killing.await.unwrap();
        assert_eq!(ended.exit, ExitKind::Signal(9), "{gone:?}");
        assert_eq!(process.wait().await.exit, ExitKind::Signal(9));
    }
    assert_eq!(launcher.running(), 0);
    launcher.shutdown().await;
}

/// A process that is copied to make another takes 20 ms for each GB of its memory. The nursery, which is copied instead, stays small.
#[tokio::test(flavor = "multi_thread")]
async fn to_make_a_shim_takes_no_longer_in_a_process_with_much_memory() {
    async fn fastest(launcher: &Launcher) -> std::time::Duration {
        let mut fastest = std::time::Duration::MAX;
        for _ in 0..10 {
            let began = std::time::Instant::now();
            let prepared = launcher.prepare(spec("/bin/true", &[]), silent()).await;
            fastest = fastest.min(began.elapsed());
            drop(prepared.unwrap());
        }
        fastest
    }
    let launcher = Launcher::start(LauncherSettings {
        spare_shims: 0,
        ..settings()
    })
    .unwrap();
    let small = fastest(&launcher).await;
    let memory = vec![1_u8; 512 << 20];
    let large = fastest(&launcher).await;
    assert_eq!(std::hint::black_box(&memory).len(), 512 << 20);
    // Half of what the copy alone would take, and room for a machine that is busy with other tests meanwhile.
    let limit = small * 2 + std::time::Duration::from_millis(5);
    assert!(large < limit, "{small:?}, and with much memory {large:?}");
    launcher.shutdown().await;
}
