//! What lies in `deploy/` is read and run as it lies there, so that no example goes stale.

mod consul;
mod etcd;
mod examples;
mod image;
mod kubernetes;
mod nomad;

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::kit::{
    Invocation, Local, Runner, Running, Signal, bash, eventually, free_port, patience,
};

/// A file or folder of `deploy/`.
fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy")
        .join(name)
}

/// The text of a file of `deploy/`.
#[track_caller]
fn text_of(name: &str) -> String {
    fs::read_to_string(shipped(name)).unwrap_or_else(|error| panic!("deploy/{name}: {error}"))
}

/// A shipped configuration is one that the daemon takes in this environment, and tells of nothing but what this machine does not have.
#[track_caller]
fn is_a_configuration(name: &str, text: &str, environment: &[(&str, &str)]) {
    let machine = Local::new();
    let file = machine.scratch().file("shipped.yaml", text);
    let mut check = machine.dpipesd(&["config", "check", "--config", &file.display().to_string()]);
    for (variable, value) in environment {
        check = check.env(variable, value);
    }
    let run = check.run();
    run.assert_status(0);
    assert!(
        run.text().contains("the configuration is fine"),
        "{name}: {run:?}"
    );
    for line in run.text().lines().filter(|line| line.contains(": ")) {
        let is_absent = line.contains("there is no ") || line.contains("is not there yet");
        let is_read = line.starts_with("the configuration is fine");
        assert!(is_absent || is_read, "{name}: {line}");
    }
}

/// Two daemons started as a deployment starts its own: with these arguments, and what it says in the environment. Only what belongs to
/// this machine differs: addresses, and the user who runs apps.
struct Fleet {
    machine: Local,
    daemons: Vec<Running>,
}

/// The nodes of a [`Fleet`].
const NODES: [&str; 2] = ["node-a", "node-b"];

impl Fleet {
    fn start(machine: Local, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let user = bash(machine.scratch(), "id -un").run();
        let mut fleet = Self {
            machine,
            daemons: Vec::new(),
        };
        for name in NODES {
            let address = format!("127.0.0.1:{}", free_port());
            let mut daemon = fleet
                .machine
                .dpipesd(arguments)
                .env("DPIPES_RUNTIME_DIR", &fleet.dir(name))
                .env("DPIPES_NODE_NAME", name)
                .env("DPIPES_LISTEN", &address)
                .env("DPIPES_ADVERTISE", &address)
                .env("DPIPES_RUN_RUN_AS", user.text().trim())
                .env("DPIPES_RUN_ALLOW_ROOT", "true")
                // From the start to the end of the test, with several waits between.
                .within(4 * patience());
            for (variable, value) in environment {
                daemon = daemon.env(variable, value);
            }
            fleet.daemons.push(daemon.spawn());
        }
        let know_each_other = || {
            NODES.iter().all(|node| {
                let run = fleet.dpipes(node, &["check", "@node-a cat | @node-b sort"]);
                run.run().status == 0
            })
        };
        eventually!(know_each_other(), "both nodes know each other");
        fleet
    }

    fn dir(&self, node: &str) -> String {
        let dir = self.machine.scratch().root().join("run").join(node);
        dir.display().to_string()
    }

    /// The client, at one of the nodes.
    fn dpipes(&self, node: &str, arguments: &[&str]) -> Invocation {
        let socket = format!("unix:{}/dpipesd.sock", self.dir(node));
        self.machine
            .plain_dpipes(&[arguments, &["--connect", &socket]].concat())
    }

    /// A pipe over both nodes is what bash says; what is not offered is refused; and both leave when they are told.
    fn serves_and_leaves(self) {
        let words = self
            .machine
            .scratch()
            .file("words.txt", "pear\napple\npear\nfig\n");
        let words = words.display();
        let run = self.dpipes(
            "node-a",
            &[&format!(
                "@node-a cat {words} | @node-b sort | @node-a uniq -c | @node-b sort -rn | head -n 1"
            )],
        );
        run.run().assert_status(0).assert_wrote("      2 pear\n");
        self.dpipes("node-b", &["sort --compress-program=sh"])
            .run()
            .assert_status(126)
            .assert_says("--compress-program");
        let refused = self.dpipes("node-b", &["env"]).run();
        refused.assert_status(127);
        for daemon in self.daemons {
            daemon.signal(Signal::TERM);
            daemon.wait().assert_status(0);
        }
    }
}
