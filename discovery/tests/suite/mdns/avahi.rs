//! What the usual tools of a Linux host see.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use dpipes_discovery::mdns;
use dpipes_testbed::{net::Net, process::Process};

use super::hosts::{Host, SOON, net_or_return, node};

/// Starts the message bus and avahi, which look for their sockets in `/run`, and then stays; told `$@` it runs that beside them.
const AVAHI: &str = "\
    mount --make-rprivate / && mount -t tmpfs tmpfs /run && mkdir /run/dbus /run/avahi-daemon && \
    dbus-daemon --system --nofork --nopidfile & \
    while [ ! -S /run/dbus/system_bus_socket ]; do sleep 0.1; done; \
    exec avahi-daemon --no-drop-root --no-chroot --no-rlimits";

/// avahi on a host, with `/run` of its own.
struct Avahi {
    process: Process,
}

impl Avahi {
    fn start(net: &Net, host: u8, log: &Path) -> Self {
        for program in [
            "/usr/sbin/avahi-daemon",
            "/usr/bin/avahi-browse",
            "/usr/bin/dbus-daemon",
        ] {
            assert!(
                Path::new(program).exists(),
                "{program} is missing: install avahi-daemon, avahi-utils and dbus, or set DPIPES_SKIP_MDNS=1"
            );
        }
        let mut command = net.command(host, "unshare");
        // A process id space of its own, so that the bus ends with avahi.
        command.args([
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "sh",
            "-c",
            AVAHI,
        ]);
        Self {
            process: Process::start(command, log),
        }
    }

    /// What `avahi-browse` says about a type.
    fn browse(&self, kind: &str) -> String {
        let child = self.daemon();
        let mut command = Command::new("nsenter");
        command.args(["--mount", "--net", "--target", &child.unwrap_or_default()]);
        command.args([
            "avahi-browse",
            "--resolve",
            "--parsable",
            "--terminate",
            kind,
        ]);
        let output = command.stdin(Stdio::null()).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The process below `unshare`, which has the mounts.
    fn daemon(&self) -> Option<String> {
        let parent = self.process.pid().as_raw_nonzero();
        let children = format!("/proc/{parent}/task/{parent}/children");
        let children = std::fs::read_to_string(children).ok()?;
        children.split_whitespace().next().map(str::to_owned)
    }

    async fn until_says(&self, kind: &str, wanted: impl Fn(&str) -> bool) -> String {
        let deadline = tokio::time::Instant::now() + SOON;
        loop {
            let said = self.browse(kind);
            if wanted(&said) {
                return said;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "avahi-browse says {said:?}; the daemon: {}",
                self.process.log()
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

#[tokio::test]
async fn avahi_browse_sees_a_node_and_its_apps() {
    let net = net_or_return!(2);
    let dir = tempfile::tempdir().unwrap();
    let avahi = Avahi::start(&net, 2, &dir.path().join("log"));
    let config = mdns::Config {
        interfaces: vec!["eth0".to_owned()],
        subtypes: true,
    };
    let here = Host::with(&net, 1, config);
    let lease = here.register(node("n1", "1", &["sort", "g++"])).await;
    let said = avahi
        .until_says("_noded._tcp", |said| said.contains("10.77.0.1"))
        .await;
    let line = said
        .lines()
        .find(|line| line.starts_with("=;eth0;IPv4;n1;"));
    let line = line.unwrap_or_else(|| panic!("{said}"));
    for part in [
        "\"id=n1\"",
        "\"p=app.\"",
        "\"a0=sort,g++\"",
        ";10.77.0.1;4000;",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
    let sort = avahi
        .until_says("_sort._sub._app._tcp", |said| said.contains("10.77.0.1"))
        .await;
    assert!(sort.contains("\"id=n1\""), "{sort}");
    lease.update(Vec::new()).await.unwrap();
    avahi
        .until_says("_sort._sub._app._tcp", |said| !said.contains("=;"))
        .await;
    avahi
        .until_says("_noded._tcp", |said| said.contains("10.77.0.1"))
        .await;
    lease.deregister().await.unwrap();
    avahi
        .until_says("_noded._tcp", |said| !said.contains("=;"))
        .await;
}
