//! Daemons on hosts of their own: network namespaces on a bridge. Making them takes root.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use dpipes_testbed::net::Net;

use super::{
    DPIPESD, Invocation, Running, Scratch, Signal, eventually, holds_within,
    invocation::wait_until, patience, processes,
};

/// How long silence counts as life, unless a test says otherwise: three pings, and long enough for a daemon on a busy machine to answer
/// one of them.
pub(crate) const LEASE: Duration = Duration::from_secs(2);

/// A lease as daemons have it by themselves.
pub(crate) const USUAL_LEASE: Duration = Duration::from_secs(15);

/// How long a pipe may take to end after the lease: kill-grace, and a busy machine.
pub(crate) const AIR: Duration = Duration::from_secs(12);

/// Some hosts, of which some have a daemon. Dropping it checks that nothing is left behind.
pub(crate) struct Lan {
    pub(crate) scratch: Scratch,
    pub(crate) net: Net,
    hosts: u8,
    lease: Duration,
    listen: &'static str,
    /// Where hosts are listed, if it is not where the net has them.
    places: BTreeMap<u8, String>,
    /// Further lines of their configuration.
    sections: BTreeMap<u8, String>,
    daemons: BTreeMap<u8, Child>,
}

/// Some hosts, three unless said otherwise, or the end of the test where there can be none.
macro_rules! lan_or_return {
    () => {
        lan_or_return!(3)
    };
    ($hosts:expr) => {
        match $crate::kit::lan::Lan::of($hosts) {
            Some(lan) => lan,
            None => return eprintln!("not run: network namespaces take root"),
        }
    };
}
pub(crate) use lan_or_return;

impl Lan {
    /// So many hosts without a daemon.
    pub(crate) fn of(hosts: u8) -> Option<Self> {
        Some(Self {
            net: Net::new(hosts)?,
            scratch: Scratch::new(),
            hosts,
            lease: LEASE,
            listen: "0.0.0.0:3747",
            places: BTreeMap::new(),
            sections: BTreeMap::new(),
            daemons: BTreeMap::new(),
        })
    }

    /// Sets the lease of the daemons that are started from then on.
    pub(crate) fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Sets where the daemons listen that are started from then on.
    pub(crate) fn listen(mut self, listen: &'static str) -> Self {
        self.listen = listen;
        self
    }

    /// Lists a host at this address from then on.
    pub(crate) fn place(mut self, host: u8, address: impl ToString) -> Self {
        self.places.insert(host, address.to_string());
        self
    }

    /// Adds a line to a host's configuration.
    pub(crate) fn section(mut self, host: u8, yaml: &str) -> Self {
        self.sections.insert(host, yaml.to_owned());
        self
    }

    /// Starts a daemon on the first hosts, which know each other by a list, and waits until they work together.
    pub(crate) fn with_listed(mut self, hosts: u8) -> Self {
        let hosts: Vec<_> = (1..=hosts).collect();
        self.start_listed(&hosts);
        let each = hosts.iter().map(|host| format!("@n{host} cat"));
        let through = each.collect::<Vec<_>>().join(" | ");
        eventually!(
            self.dpipes(1, &[&through]).run().status == 0,
            "the nodes find each other"
        );
        self
    }

    /// Starts a daemon on hosts 1 and 2, which know each other by a list, and waits until they do.
    pub(crate) fn with_two_listed(mut self) -> Self {
        self.start_listed(&[1, 2]);
        eventually!(
            self.dpipes(1, &["nodes"]).run().text().contains("  up "),
            "the nodes find each other"
        );
        self
    }

    /// Starts a daemon on each of these hosts, which know each other by a list.
    pub(crate) fn start_listed(&mut self, hosts: &[u8]) {
        let list = self.list(hosts);
        for &host in hosts {
            self.start(host, &self.node(host), &list);
        }
    }

    /// The name of a host's node, unique on this machine.
    pub(crate) fn node(&self, host: u8) -> String {
        format!("{}-n{host}", self.net.namespace(host))
    }

    fn socket(&self, host: u8) -> PathBuf {
        self.scratch.root().join(format!("{host}.sock"))
    }

    /// A static registry of these nodes.
    pub(crate) fn list(&self, hosts: &[u8]) -> String {
        let entries: Vec<_> = hosts.iter().map(|&host| self.entry(host)).collect();
        format!("static: {{ nodes: [ {} ] }}", entries.join(", "))
    }

    /// A node as a static list has it.
    pub(crate) fn entry(&self, host: u8) -> String {
        let address = self.places.get(&host).cloned();
        format!(
            "{{ name: {}, addr: '{}:3747' }}",
            self.node(host),
            address.unwrap_or_else(|| Net::address(host).to_string())
        )
    }

    /// Starts a daemon of this name with this entry of `registry:`, in YAML's flow style.
    pub(crate) fn start(&mut self, host: u8, name: &str, registry: &str) {
        let config = self.scratch.root().join(format!("{host}.yaml"));
        let text = format!(
            "node: {{ name: {name} }}\nlisten: ['{}', 'unix:{}']\n\
             run: {{ allow-root: true, cwd: {:?}, lease: {}ms, kill-grace: 1s }}\n\
             registry: [ {{ {registry} }} ]\n{}\n",
            self.listen,
            self.socket(host).display(),
            self.scratch.work(),
            self.lease.as_millis(),
            self.sections.get(&host).map_or("", String::as_str),
        );
        fs::write(&config, text).expect("a writable folder");
        self.start_again(host);
    }

    /// Starts a daemon again as it was.
    pub(crate) fn start_again(&mut self, host: u8) {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.log(host))
            .expect("a log file");
        let mut command = self.on(host, DPIPESD);
        command
            .args(["--foreground", "--config"])
            .arg(self.scratch.root().join(format!("{host}.yaml")))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log);
        let child = command.spawn().expect("iproute2");
        let before = self.daemons.insert(host, child);
        assert!(before.is_none(), "host {host} has a daemon");
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

    /// The process of a host's daemon.
    pub(crate) fn pid(&self, host: u8) -> u32 {
        self.daemons.get(&host).expect("a host with a daemon").id()
    }

    fn take(&mut self, host: u8) -> Child {
        self.daemons.remove(&host).expect("a host with a daemon")
    }

    /// Kills the daemon of a host as a crash would.
    pub(crate) fn crash(&mut self, host: u8) {
        let mut daemon = self.take(host);
        daemon.kill().expect("a child of ours");
        let _status = daemon.wait().expect("a child of ours");
        let _it_is_nobodys = fs::remove_file(self.socket(host));
    }

    /// Lets the daemon of a host leave in order, and waits until it has.
    pub(crate) fn leave(&mut self, host: u8) {
        let mut daemon = self.take(host);
        processes::send(daemon.id(), Signal::TERM);
        let status = wait_until(&mut daemon, patience());
        assert!(
            status.is_some_and(|status| status.success()),
            "the daemon of host {host} left with {status:?}"
        );
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

    /// The same client as often as is asked for, whatever becomes of the daemons meanwhile.
    pub(crate) fn again(
        &self,
        entry: u8,
        arguments: &[&str],
    ) -> impl Fn() -> Invocation + Send + Sync + use<> {
        let connect = format!("unix:{}", self.socket(entry).display());
        let arguments = self.with_full_names(arguments);
        let (environment, work) = (self.scratch.command("dpipes"), self.scratch.work());
        let environment: Vec<_> = environment
            .get_envs()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
            .collect();
        move || {
            let mut command = Command::new(super::DPIPES);
            command
                .env_clear()
                .envs(environment.iter().map(|(name, value)| (name, value)))
                .env("DPIPES_CONNECT", &connect)
                .args(&arguments)
                .current_dir(&work);
            Invocation::new(command)
        }
    }

    /// The client on a host, without any daemon that it was told of.
    pub(crate) fn dpipes_on(&self, host: u8, arguments: &[&str]) -> Invocation {
        let mut command = self.on(host, "dpipes");
        command.args(self.with_full_names(arguments));
        Invocation::new(command)
    }

    fn with_full_names(&self, arguments: &[&str]) -> Vec<String> {
        let full = |text: &&str| {
            // From the last, for the name of the first is the beginning of that of the tenth.
            (1..=self.hosts)
                .rev()
                .fold((*text).to_owned(), |text, host| {
                    text.replace(&format!("@n{host} "), &format!("@{} ", self.node(host)))
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

    /// Starts a pipe and waits until something runs on each of these hosts.
    pub(crate) fn running(&self, entry: u8, pipeline: &str, on: &[u8]) -> Running {
        let running = self.dpipes(entry, &[pipeline]).spawn();
        self.assert_runs_on(on);
        running
    }

    /// Waits until something runs on each of these hosts.
    pub(crate) fn assert_runs_on(&self, hosts: &[u8]) {
        for &host in hosts {
            eventually!(!self.apps(host).is_empty(), "a stage runs on host {host}");
        }
    }

    /// Runs a pipeline that joins these hosts, until it works. The first of them is its entry.
    pub(crate) fn assert_work_together(&self, hosts: &[u8]) {
        let each = hosts[1..].iter().map(|host| format!(" | @n{host} cat"));
        let pipeline = format!("@n{} echo x{}", hosts[0], each.collect::<String>());
        eventually!(
            self.dpipes(hosts[0], &[&pipeline]).run().text() == "x\n",
            "{pipeline}"
        );
    }

    /// Checks that every stage goes, and that none of them took that for the end of its input.
    pub(crate) fn assert_gone_without_commit(&self) {
        let left = || {
            (1..=self.hosts)
                .flat_map(|host| self.apps(host))
                .collect::<Vec<_>>()
        };
        eventually!(
            left().is_empty(),
            "every stage is gone; left: {}",
            processes::describe(&left())
        );
        assert_eq!(self.committed(), [""; 0], "a false end of file was seen");
    }

    /// What stages wrote that would only do so at the end of their input.
    pub(crate) fn committed(&self) -> Vec<String> {
        let names = fs::read_dir(self.scratch.work()).expect("our folder");
        names
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| name.starts_with("committed"))
            .collect()
    }

    /// Everything that is wrong once the test is over and every daemon should be idle.
    fn complaints(&mut self) -> Vec<String> {
        let mut complaints = Vec::new();
        let apps = || {
            (1..=self.hosts)
                .flat_map(|host| self.apps(host))
                .collect::<Vec<_>>()
        };
        if !holds_within(patience(), || apps().is_empty()) {
            complaints.push(format!("apps left: {}", processes::describe(&apps())));
        }
        for (host, daemon) in &self.daemons {
            if !holds_within(patience(), || processes::zombies_of(daemon.id()).is_empty()) {
                complaints.push(format!("host {host}: zombies"));
            }
        }
        for host in self.daemons.keys().copied().collect::<Vec<_>>() {
            processes::send(self.pid(host), Signal::TERM);
        }
        for (host, mut daemon) in std::mem::take(&mut self.daemons) {
            match wait_until(&mut daemon, patience()) {
                Some(status) if status.success() => {}
                other => {
                    complaints.push(format!("host {host}: ended with {other:?} after SIGTERM"));
                    let _it_may_be_gone = daemon.kill();
                    let _reaped = daemon.wait();
                }
            }
        }
        if !holds_within(patience(), || self.scratch.processes().is_empty()) {
            let left = processes::describe(&self.scratch.processes());
            complaints.push(format!("processes left: {left}"));
        }
        let files = self.scratch.left_files();
        if !files.is_empty() {
            complaints.push(format!("temporary files left: {files:?}"));
        }
        complaints
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        let failed_already = std::thread::panicking();
        let complaints = self.complaints();
        if failed_already || !complaints.is_empty() {
            for host in 1..=self.hosts {
                let said = fs::read_to_string(self.log(host)).unwrap_or_default();
                eprintln!("--- host {host}\n{said}");
            }
            self.scratch.keep();
        }
        let ours = self.scratch.processes().into_iter();
        ours.for_each(|pid| processes::send(pid, Signal::KILL));
        assert!(
            failed_already || complaints.is_empty(),
            "left behind:\n  {}",
            complaints.join("\n  ")
        );
    }
}
