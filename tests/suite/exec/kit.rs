//! What the tests of `exec` share.

use std::{
    ffi::OsString,
    io::{Read, Write},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use dpipes::{
    exec::{Key, Launcher, LauncherSettings, Limits, Process, Spec, Stdio, Style, pipe},
    id::{PipeId, StageNumber},
    word::Word,
};

/// Long enough for a machine with many other things to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn settings() -> LauncherSettings {
    LauncherSettings {
        exe: PathBuf::from(env!("CARGO_BIN_EXE_dpipesd")),
        ..LauncherSettings::default()
    }
}

pub(crate) fn launcher() -> Launcher {
    Launcher::start(settings()).unwrap()
}

pub(crate) fn launcher_without_cgroups() -> Launcher {
    Launcher::start(LauncherSettings {
        cgroups: false,
        ..settings()
    })
    .unwrap()
}

pub(crate) fn key() -> Key {
    Key {
        pipe: PipeId::generate(),
        stage: StageNumber::FIRST,
    }
}

pub(crate) fn spec(program: &str, args: &[&str]) -> Spec {
    Spec {
        key: key(),
        program: PathBuf::from(program),
        arg0: Path::new(program).file_name().unwrap().to_owned(),
        args: args.iter().map(|arg| Word::literal(*arg)).collect(),
        env: vec![("PATH".into(), "/usr/bin:/bin".into())],
        env_words: Vec::new(),
        cwd: "/".into(),
        run_as: None,
        home: None,
        umask: Some(0o077),
        limits: Limits::default(),
        style: Style::Contained,
        no_new_privs: true,
        die_with_parent: false,
    }
}

pub(crate) fn shell(script: &str) -> Spec {
    spec("/bin/sh", &["-c", script])
}

pub(crate) fn null() -> OwnedFd {
    std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
        .unwrap()
        .into()
}

/// Nothing in, nothing out.
pub(crate) fn silent() -> Stdio {
    Stdio {
        stdin: null(),
        stdout: null(),
        stderr: null(),
        stdin_writer: None,
        stderr_reader: None,
    }
}

/// Nothing in; the output, errors included, is read from the pipe.
pub(crate) fn captured() -> (Stdio, OwnedFd) {
    let (read, write) = pipe().unwrap();
    let stdio = Stdio {
        stdout: write.try_clone().unwrap(),
        stderr: write,
        ..silent()
    };
    (stdio, read)
}

/// Reads all of a descriptor without holding up the runtime.
pub(crate) async fn read_all(descriptor: OwnedFd) -> Vec<u8> {
    let reading = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        std::fs::File::from(descriptor)
            .read_to_end(&mut bytes)
            .unwrap();
        bytes
    });
    tokio::time::timeout(PATIENCE, reading)
        .await
        .expect("the output ends")
        .unwrap()
}

/// Reads one line.
pub(crate) async fn read_line(descriptor: &OwnedFd) -> String {
    let mut file = std::fs::File::from(descriptor.try_clone().unwrap());
    let reading = tokio::task::spawn_blocking(move || {
        let mut line = Vec::new();
        let mut byte = [0];
        while file.read(&mut byte).unwrap() == 1 && byte != *b"\n" {
            line.push(byte[0]);
        }
        assert_eq!(byte, *b"\n", "the output ended");
        String::from_utf8(line).unwrap()
    });
    tokio::time::timeout(PATIENCE, reading)
        .await
        .expect("a line comes")
        .unwrap()
}

pub(crate) async fn start(launcher: &Launcher, spec: Spec, stdio: Stdio) -> Process {
    launcher
        .prepare(spec, stdio)
        .await
        .unwrap()
        .go()
        .await
        .unwrap()
}

/// Runs an app to its end and gives what it wrote.
pub(crate) async fn output(launcher: &Launcher, spec: Spec) -> String {
    let (stdio, read) = captured();
    let mut process = start(launcher, spec, stdio).await;
    let output = read_all(read).await;
    process.wait().await;
    String::from_utf8(output).unwrap()
}

pub(crate) fn write_file(path: &Path, text: &str, mode: u32) {
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::File::options()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(mode)
        .open(path)
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// Waits until something is so.
pub(crate) async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Whether a process runs; a zombie does not.
pub(crate) fn is_alive(pid: u32) -> bool {
    state(pid).is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// The state in `/proc/PID/stat`.
pub(crate) fn state(pid: u32) -> Option<char> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    text[text.rfind(')')? + 1..].trim_start().chars().next()
}

pub(crate) fn os(text: &[&str]) -> Vec<OsString> {
    text.iter().map(OsString::from).collect()
}
