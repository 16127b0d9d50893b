//! Daemons on hosts of their own: network namespaces on a bridge. Making them takes root.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use dpipes_testbed::net::Net;

use super::{DPIPESD, Invocation, Scratch, Signal, eventually, holds_within, patience, processes};

/// Hosts of every such network.
const HOSTS: u8 = 3;

/// Three hosts, of which some have a daemon.
pub(crate) struct Lan {
    pub(crate) scratch: Scratch,
    pub(crate) net: Net,
    daemons: Vec<(u8, Child)>,
}

/// Three hosts, or the end of the test where there can be none.
macro_rules! lan_or_return {
    () => {
        match $crate::kit::lan::Lan::new() {
            Some(lan) => lan,
            None => return eprintln!("not run: network namespaces take root"),
        }
    };
}
pub(crate) use lan_or_return;

impl Lan {
    /// Three hosts without a daemon.
    pub(crate) fn new() -> Option<Self> {
        Some(Self {
            net: Net::new(HOSTS)?,
            scratch: Scratch::new(),
            daemons: Vec::new(),
        })
    }

    /// Starts a daemon on hosts 1 and 2, which know each other by a list, and waits until they do.
    pub(crate) fn with_two_listed(mut self) -> Self {
        for host in 1..=2 {
            self.start_listed(host);
        }
        eventually!(
            self.dpipes(1, &["nodes"]).run().text().contains("  up "),
            "the nodes find each other"
        );
        self
    }

    /// The name of a host's node, unique on this machine.
    pub(crate) fn node(&self, host: u8) -> String {
        format!("{}-n{host}", self.net.namespace(host))
    }

    fn socket(&self, host: u8) -> PathBuf {
        self.scratch.root().join(format!("{host}.sock"))
    }

    fn start_listed(&mut self, host: u8) {
        let both = format!("nodes: [ {}, {} ]", self.entry(1), self.entry(2));
        self.start(host, &self.node(host), &format!("static: {{ {both} }}"));
    }

    /// A node as a static list has it.
    pub(crate) fn entry(&self, host: u8) -> String {
        format!(
            "{{ name: {}, addr: '{}:3747' }}",
            self.node(host),
            Net::address(host)
        )
    }

    /// Starts a daemon of this name with this entry of `registry:`, in YAML's flow style.
    pub(crate) fn start(&mut self, host: u8, name: &str, registry: &str) {
        let config = self.scratch.root().join(format!("{host}.yaml"));
        let text = format!(
            "node: {{ name: {} }}\nlisten: ['0.0.0.0:3747', 'unix:{}']\n\
             run: {{ allow-root: true, cwd: {:?}, lease: 3s, kill-grace: 1s }}\n\
             registry: [ {{ {registry} }} ]\n",
            name,
            self.socket(host).display(),
            self.scratch.work(),
        );
        fs::write(&config, text).expect("a writable folder");
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.log(host))
            .expect("a log file");
        let mut command = self.on(host, DPIPESD);
        command
            .args(["--foreground", "--config"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log);
        self.daemons
            .push((host, command.spawn().expect("iproute2")));
        let socket = self.socket(host);
        eventually!(socket.exists(), "the daemon of host {host} listens");
    }

    /// A program on a host, in the test's environment.
    fn on(&self, host: u8, program: &str) -> Command {
        let mut command = self.scratch.command("ip");
        command.args(["netns", "exec", &self.net.namespace(host), program]);
        command
    }

    fn log(&self, host: u8) -> PathBuf {
        self.scratch.root().join(format!("{host}.log"))
    }

    /// Kills the daemon of a host as a crash would.
    pub(crate) fn crash(&mut self, host: u8) {
        let at = self.daemons.iter().position(|(one, _)| *one == host);
        let (_, mut daemon) = self.daemons.swap_remove(at.expect("a host with a daemon"));
        daemon.kill().expect("a child of ours");
        let _status = daemon.wait().expect("a child of ours");
        let _it_is_nobodys = fs::remove_file(self.socket(host));
    }

    /// The client with the daemon of a host as its entry; `@n1` to `@n3` become the nodes' names.
    pub(crate) fn dpipes(&self, entry: u8, arguments: &[&str]) -> Invocation {
        let mut command = self.scratch.command("dpipes");
        command
            .env(
                "DPIPES_CONNECT",
                format!("unix:{}", self.socket(entry).display()),
            )
            .args(self.with_full_names(arguments));
        Invocation::new(command)
    }

    /// The client on a host, without any daemon that it was told of.
    pub(crate) fn dpipes_on(&self, host: u8, arguments: &[&str]) -> Invocation {
        let mut command = self.on(host, "dpipes");
        command.args(self.with_full_names(arguments));
        Invocation::new(command)
    }

    fn with_full_names(&self, arguments: &[&str]) -> Vec<String> {
        let full = |text: &&str| {
            (1..=HOSTS).fold((*text).to_owned(), |text, host| {
                text.replace(&format!("@n{host}"), &format!("@{}", self.node(host)))
            })
        };
        arguments.iter().map(full).collect()
    }

    /// What runs on a host's node.
    pub(crate) fn apps(&self, host: u8) -> Vec<u32> {
        let variable = format!("DP_NODE={}", self.node(host));
        processes::all()
            .into_iter()
            .filter(|&pid| processes::has_variable(pid, &variable))
            .collect()
    }

    /// Checks that every stage goes, and that none of them took that for the end of its input.
    pub(crate) fn assert_gone_without_commit(&self) {
        eventually!(
            (1..=HOSTS).all(|host| self.apps(host).is_empty()),
            "every stage is gone"
        );
        assert!(
            !self.scratch.has("committed"),
            "a false end of file was seen"
        );
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        for (_, daemon) in &mut self.daemons {
            processes::send(daemon.id(), Signal::TERM);
            if !holds_within(patience(), || matches!(daemon.try_wait(), Ok(Some(_)))) {
                let _it_may_be_gone = daemon.kill();
                let _reaped = daemon.wait();
            }
        }
        if std::thread::panicking() {
            for host in 1..=HOSTS {
                let said = fs::read_to_string(self.log(host)).unwrap_or_default();
                eprintln!("--- host {host}\n{said}");
            }
        }
    }
}
