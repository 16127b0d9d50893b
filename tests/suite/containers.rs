//! The daemon as process 1, as it is in a container. Making a space of process numbers takes root; without it these tests say that they
//! were not run.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use rustix::process::geteuid;

use crate::kit::{
    DPIPES, Invocation, Local, Run, Runner, Running, Signal, eventually, free_port, processes,
};

/// A machine whose daemon is process 1, and that daemon's number outside.
struct Container {
    machine: Local,
    unshare: Running,
    pid: u32,
}

impl Container {
    /// Starts one by an entrypoint that had a child before it became the daemon; `None` where that is not possible.
    fn start() -> Option<Self> {
        if !geteuid().is_root() {
            eprintln!("not run: a space of process numbers takes root");
            return None;
        }
        let machine = Local::new();
        machine
            .scratch()
            .allow_any_user(&format!("listen: [\"127.0.0.1:{}\"]", free_port()));
        let mut command = machine.scratch().command("unshare");
        command.args([
            "--fork",
            "--pid",
            "--mount-proc",
            "--kill-child",
            "sh",
            "-c",
        ]);
        command.arg("sleep 0.1 & exec dpipesd --foreground");
        let unshare = Invocation::new(command).spawn();
        eventually!(
            machine.dpipesd(&["healthcheck"]).run().status == 0,
            "the daemon serves"
        );
        let children = processes::children_of(unshare.pid());
        let [pid] = children[..] else {
            panic!("unshare has one child: {children:?}");
        };
        Some(Self {
            machine,
            unshare,
            pid,
        })
    }

    /// Whatever a shell does inside, as with `docker exec`.
    fn enter(&self, script: &str) {
        let mut command = self.machine.scratch().command("nsenter");
        command.args(["--target", &self.pid.to_string(), "--pid", "--mount"]);
        command.args(["sh", "-c", script]);
        Invocation::new(command).run().assert_status(0);
    }

    fn leaves_by(self, signal: Signal) {
        processes::send(self.pid, signal);
        self.unshare.wait().assert_status(0);
    }
}

#[test]
fn process_1_reaps_every_orphan_and_steals_no_status() {
    let Some(container) = Container::start() else {
        return;
    };
    container.enter("sleep 0.1 & setsid sleep 0.1 &");
    for status in [0, 7, 3] {
        let stage = format!("sh -c '(setsid sleep 0.1 &) ; (sleep 0.05 &) ; exit {status}'");
        container
            .machine
            .plain_dpipes(&[&stage])
            .run()
            .assert_status(status);
    }
    let orphans = || {
        let names = processes::children_of(container.pid);
        let names = names.into_iter().filter_map(processes::name);
        names.filter(|name| name == "sleep").count()
    };
    eventually!(
        orphans() == 0 && processes::zombies_of(container.pid).is_empty(),
        "every orphan has ended and is reaped"
    );
    container.leaves_by(Signal::TERM);
}

#[test]
fn signals_end_the_stages_of_process_1_and_process_1_itself() {
    for (name, status, leave) in [("TERM", 143, Signal::TERM), ("INT", 130, Signal::INT)] {
        let Some(container) = Container::start() else {
            return;
        };
        for (signal, status) in [(name, status), ("PIPE", 141), ("HUP", 129), ("QUIT", 131)] {
            let stage = format!("sh -c 'kill -{signal} $$; sleep 100'");
            container
                .machine
                .plain_dpipes(&[&stage])
                .run()
                .assert_status(status);
        }
        container.leaves_by(leave);
    }
}

#[test]
fn a_daemon_without_a_place_for_its_socket_serves_and_says_what_to_do() {
    let machine = Local::new();
    let address = format!("127.0.0.1:{}", free_port());
    machine
        .scratch()
        .allow_any_user(&format!("listen: [\"{address}\"]"));
    let daemon = machine
        .dpipesd(&["--foreground"])
        .env("DPIPES_RUNTIME_DIR", "/proc/nowhere")
        .spawn();
    let answers = || {
        let run = machine
            .plain_dpipes(&["--connect", &address, "echo x"])
            .run();
        run.status == 0
    };
    eventually!(answers(), "it serves");
    daemon.signal(Signal::TERM);
    daemon
        .wait()
        .assert_status(0)
        .assert_says("no unix socket at /proc/nowhere/dpipesd.sock")
        .assert_says("Set DPIPES_RUNTIME_DIR");
}

/// A user whom this machine does not know by name, and who has no home.
const STRANGER: &str = "12345";

/// Makes everything read-only but one directory, and becomes a daemon of a user without a name. The programs are put where that user
/// surely gets to. The pseudo file systems are not what a container has read-only, and a mount that vanishes meanwhile is another test's.
const SEAL: &str = r#"set -e
mount --make-rprivate /
mount --bind "$BINARIES" "$ROOT/bin"
mount -t tmpfs -o "$VOLUME" tmpfs "$ROOT/run"
findmnt --raw --noheadings --output TARGET | while read -r at; do
    case "$at" in
        /proc*|/sys*|/dev*|"$ROOT/run") ;;
        *) mount -o remount,bind,ro "$at" 2>/dev/null || true ;;
    esac
done
cd /
exec "$@""#;

/// A machine that is read-only but for one directory, with a daemon and clients whose user has neither a name nor a home.
struct Sealed {
    machine: Local,
    runtime: String,
    daemon: Running,
}

impl Sealed {
    /// Starts the daemon with a `tmpfs` of these options at `run`, and `below` that as its runtime directory; `None` without root.
    fn start(volume: &str, below: &str) -> Option<Self> {
        if !geteuid().is_root() {
            eprintln!("not run: a view of the file system of one's own takes root");
            return None;
        }
        let machine = Local::new();
        let root = machine.scratch().root();
        fs::create_dir(root.join("bin")).unwrap();
        fs::set_permissions(root, fs::Permissions::from_mode(0o711)).unwrap();
        let runtime = format!("{}/run{below}", root.display());
        let listen = format!("127.0.0.1:{}", free_port());
        let mut command = machine.scratch().command("unshare");
        command
            .args(["--mount", "sh", "-c", SEAL, "seal"])
            .args(as_stranger(root, &runtime))
            .args(["dpipesd", "--foreground", "--listen", &listen])
            .env("BINARIES", Path::new(DPIPES).parent().unwrap())
            .env("ROOT", root)
            .env("VOLUME", volume);
        let daemon = Invocation::new(command).spawn();
        Some(Self {
            machine,
            runtime,
            daemon,
        })
    }

    /// A program inside, as with `docker exec`.
    fn exec(&self, words: &[&str]) -> Run {
        let scratch = self.machine.scratch();
        let mut command = scratch.command("nsenter");
        command
            .args(["--target", &self.daemon.pid().to_string(), "--mount"])
            .args(as_stranger(scratch.root(), &self.runtime))
            .args(words);
        Invocation::new(command).run()
    }

    fn serves(&self) {
        eventually!(
            self.exec(&["dpipesd", "healthcheck"]).status == 0,
            "the daemon is healthy"
        );
    }
}

/// Words that run what follows them as [`STRANGER`], who has no other environment than an image gives.
fn as_stranger(root: &Path, runtime: &str) -> Vec<String> {
    let path = format!("PATH={}/bin:/usr/local/bin:/usr/bin:/bin", root.display());
    let runtime = format!("DPIPES_RUNTIME_DIR={runtime}");
    let user = ["setpriv", "--reuid", STRANGER, "--regid", STRANGER];
    let words = ["env", "-i", &path, &runtime].into_iter().chain(user);
    words.chain(["--clear-groups"]).map(str::to_owned).collect()
}

#[test]
fn a_user_without_a_name_serves_on_a_machine_that_is_read_only() {
    // A volume of that user alone, one as `docker run --tmpfs` mounts it, and one as Kubernetes makes it, with a directory made in it.
    for (volume, below) in [
        ("uid=12345,gid=12345,mode=0700", ""),
        ("mode=1777", ""),
        ("mode=0777", "/own"),
    ] {
        let Some(sealed) = Sealed::start(volume, below) else {
            return;
        };
        sealed.serves();
        sealed
            .exec(&["touch", "/tmp/x"])
            .assert_status(1)
            .assert_says("Read-only file system");
        let run = sealed.exec(&[
            "dpipes",
            "printf 'b\\na\\n' | sort | cat - /proc/self/status",
        ]);
        run.assert_status(0);
        assert!(run.text().starts_with("a\nb\n"), "{volume}: {run:?}");
        assert!(run.text().contains("\nUid:\t12345\t"), "{volume}: {run:?}");
        sealed.exec(&["dpipesd", "status"]).assert_status(0);
        sealed.exec(&["dpipesd", "stop"]).assert_status(0);
        sealed.daemon.wait().assert_status(0);
    }
}

#[test]
fn a_file_of_root_is_refused_with_both_users_and_one_without_its_volume_with_the_directory() {
    let Some(sealed) = Sealed::start("mode=1777", "") else {
        return;
    };
    sealed.serves();
    let scratch = sealed.machine.scratch();
    let secret = scratch.file("secret.yaml", "version: 1\n");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let secret = secret.display().to_string();
    sealed
        .exec(&["dpipesd", "config", "check", "--config", &secret])
        .assert_status(78)
        .assert_says(&format!(
            "--config: cannot read {secret}: Permission denied"
        ))
        .assert_says("it has mode 0600 and belongs to user 0, and this is user 12345")
        .assert_says(&format!("chown 12345 {secret} && chmod 0400 {secret}"));
    sealed
        .exec(&["dpipes", "--credential-file", &secret, "true"])
        .assert_status(125)
        .assert_says("--credential-file: cannot read ")
        .assert_says("it has mode 0600 and belongs to user 0, and this is user 12345");
    sealed
        .exec(&["env", "CONSUL_CACERT=/nowhere/tls/ca.pem", "dpipesd", "--foreground", "--registry", "consul+https://127.0.0.1:1"])
        .assert_status(78)
        .assert_says("registry[0].consul.tls.ca ($CONSUL_CACERT): cannot read /nowhere/tls/ca.pem: No such file")
        .assert_says("mount the volume that belongs at /nowhere");
    sealed.exec(&["dpipesd", "stop"]).assert_status(0);
    sealed.daemon.wait().assert_status(0);
}

#[test]
fn a_runtime_directory_that_others_may_take_away_is_named_with_the_way_out() {
    let Some(sealed) = Sealed::start("mode=0777", "") else {
        return;
    };
    sealed.serves();
    sealed.exec(&["dpipesd", "status"]).assert_status(1);
    sealed.daemon.signal(Signal::TERM);
    let way_out = format!("may make, such as {}/own", sealed.runtime);
    sealed
        .daemon
        .wait()
        .assert_status(0)
        .assert_says("belongs to user 0, not to 12345")
        .assert_says(&way_out);
}
