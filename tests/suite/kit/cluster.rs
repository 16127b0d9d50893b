//! Several real daemons on loopback that know each other by a static list, or by a registry that a test names.

use std::{
    collections::BTreeMap,
    fmt::Write,
    fs,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use rustix::process::Signal;

use super::{
    DPIPES, Invocation, Runner, Scratch,
    daemon::{Daemon, free_port},
    holds_within, patience, processes,
    proxy::Proxy,
};

/// Starts of a whole cluster before a port that somebody else took fails the test.
const START_ATTEMPTS: usize = 3;

/// The status of a daemon whose port is taken.
const PORT_TAKEN: i32 = 69;

/// What an idle daemon may hold beyond what it held when it said that it listens: two sessions with every other node (each may have
/// dialled); the keeper, the nursery and four shims, a socket and a process descriptor each, for they may come a moment later; and a few for
/// a client that is just leaving, for the look at the static list, and for a dial that is under way.
const fn idle_allowance(nodes: usize) -> usize {
    2 * nodes + 12 + 4
}

/// Connections to a registry beside these: one for each watch of a service and for the heartbeat, of a handful of apps.
const REGISTRY_ALLOWANCE: usize = 16;

/// How one node is configured.
#[derive(Clone)]
pub(crate) struct NodeSpec {
    alias: String,
    run: BTreeMap<String, String>,
    sections: Vec<String>,
    labels: BTreeMap<String, String>,
}

/// What a cluster is made of.
pub(crate) struct Builder {
    nodes: Vec<NodeSpec>,
    run: BTreeMap<String, String>,
    proxied: Vec<String>,
    delay: Duration,
    registry: Option<String>,
}

/// A running cluster. Dropping it checks that nothing is left behind.
pub(crate) struct Cluster {
    scratch: Scratch,
    daemons: Vec<Daemon>,
    proxies: BTreeMap<String, Proxy>,
    idle_allowance: usize,
}

// === impl NodeSpec ===

impl NodeSpec {
    fn new(alias: &str) -> Self {
        let run = [("allow-root", "true"), ("kill-grace", "1s")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()));
        Self {
            alias: alias.to_owned(),
            run: run.into(),
            sections: Vec::new(),
            labels: BTreeMap::new(),
        }
    }

    /// Sets a key of the `run` section.
    pub(crate) fn run(mut self, key: &str, value: &str) -> Self {
        self.run.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Sets the `apps` section, in YAML's flow style.
    pub(crate) fn apps(self, apps: &str) -> Self {
        self.section(&format!("apps: {apps}"))
    }

    /// Sets a label.
    pub(crate) fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Adds a section as written.
    pub(crate) fn section(mut self, text: &str) -> Self {
        self.sections.push(text.to_owned());
        self
    }

    fn yaml(
        &self,
        daemon: &Daemon,
        scratch: &Scratch,
        shared: &BTreeMap<String, String>,
        registry: &str,
    ) -> String {
        let flow = |map: &BTreeMap<String, String>| {
            map.iter()
                .map(|(key, value)| format!("{key}: {value}"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let mut run = self.run.clone();
        run.insert("cwd".to_owned(), format!("{:?}", scratch.work()));
        run.extend(shared.clone());
        let mut yaml = format!(
            "version: 1\nnode: {{ name: {}, labels: {{ {} }} }}\nlisten: [\"{}\", \"unix:{}\"]\naccess: local\nrun: {{ {} }}\nregistry:\n  - {registry}\n",
            daemon.name,
            flow(&self.labels),
            daemon.address,
            daemon.socket.display(),
            flow(&run),
        );
        for section in &self.sections {
            writeln!(yaml, "{section}").expect("writing to a string");
        }
        yaml
    }
}

// === impl Builder ===

impl Builder {
    /// Adds a node.
    pub(crate) fn node(self, alias: &str) -> Self {
        self.node_with(alias, |node| node)
    }

    /// Adds a node with settings of its own.
    pub(crate) fn node_with(
        mut self,
        alias: &str,
        settings: impl FnOnce(NodeSpec) -> NodeSpec,
    ) -> Self {
        self.nodes.push(settings(NodeSpec::new(alias)));
        self
    }

    /// Sets a key of the `run` section of every node.
    pub(crate) fn run(mut self, key: &str, value: &str) -> Self {
        self.run.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Lets the nodes find each other by this registry, an entry of `registry:` in YAML's flow style, and not by a list.
    pub(crate) fn registry(mut self, entry: &str) -> Self {
        self.registry = Some(entry.to_owned());
        self
    }

    /// Puts a proxy before a node: the others know its address for that of the node.
    pub(crate) fn proxied(mut self, alias: &str) -> Self {
        self.proxied.push(alias.to_owned());
        self
    }

    /// Lets the proxies delay what they pass, from the first byte on.
    pub(crate) fn delayed(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Starts all daemons and waits until each listens.
    #[track_caller]
    pub(crate) fn start(self) -> Cluster {
        for _ in 1..START_ATTEMPTS {
            match self.try_start() {
                Ok(cluster) => return cluster,
                Err((Some(PORT_TAKEN), _)) => {}
                Err((status, log)) => panic!("a daemon did not start (status {status:?}):\n{log}"),
            }
        }
        self.try_start().unwrap_or_else(|(status, log)| {
            panic!("a daemon did not start (status {status:?}):\n{log}")
        })
    }

    fn try_start(&self) -> Result<Cluster, (Option<i32>, String)> {
        static CLUSTERS: AtomicU32 = AtomicU32::new(1);
        let scratch = Scratch::new();
        let prefix = format!(
            "t{}x{}",
            std::process::id(),
            CLUSTERS.fetch_add(1, Ordering::Relaxed)
        );
        let daemon = |node: &NodeSpec| {
            Daemon::new(
                &scratch,
                &node.alias,
                format!("{prefix}-{}", node.alias),
                free_port(),
            )
        };
        let daemons: Vec<_> = self.nodes.iter().map(daemon).collect();
        let is_proxied = |daemon: &&Daemon| self.proxied.contains(&daemon.alias);
        let proxies: BTreeMap<_, _> = daemons
            .iter()
            .filter(is_proxied)
            .map(|daemon| {
                let proxy = Proxy::to(daemon.address);
                proxy.delay(self.delay);
                (daemon.alias.clone(), proxy)
            })
            .collect();
        let known = |daemon: &Daemon| {
            let proxy = proxies.get(&daemon.alias);
            proxy.map_or(daemon.address, Proxy::address)
        };
        let list: String = daemons
            .iter()
            .map(|daemon| {
                format!(
                    "- {{ name: {}, addr: \"{}\" }}\n",
                    daemon.name,
                    known(daemon)
                )
            })
            .collect();
        fs::write(scratch.root().join("nodes.yaml"), list).expect("a writable folder");
        let list = format!(
            "static: {{ file: {:?} }}",
            scratch.root().join("nodes.yaml")
        );
        let registry = self.registry.as_ref().unwrap_or(&list);
        for (daemon, node) in daemons.iter().zip(&self.nodes) {
            // A node behind a proxy knows only itself: a session that it dialled would go around the proxy.
            let alone = format!(
                "static: {{ nodes: [ {{ name: {}, addr: \"{}\" }} ] }}",
                daemon.name, daemon.address
            );
            let registry = if is_proxied(&daemon) {
                &alone
            } else {
                registry
            };
            let yaml = node.yaml(daemon, &scratch, &self.run, registry);
            fs::write(&daemon.config, yaml).expect("a writable folder");
        }
        let more = self.registry.as_ref().map_or(0, |_| REGISTRY_ALLOWANCE);
        let idle_allowance = idle_allowance(daemons.len()) + more;
        let mut cluster = Cluster {
            scratch,
            daemons,
            proxies,
            idle_allowance,
        };
        for index in 0..cluster.daemons.len() {
            cluster.daemons[index].start(&cluster.scratch)?;
        }
        Ok(cluster)
    }
}

// === impl Cluster ===

impl Cluster {
    /// Begins a cluster.
    pub(crate) fn builder() -> Builder {
        Builder {
            nodes: Vec::new(),
            run: BTreeMap::new(),
            proxied: Vec::new(),
            delay: Duration::ZERO,
            registry: None,
        }
    }

    /// One node, `a`.
    #[track_caller]
    pub(crate) fn of_one() -> Self {
        Self::builder().node("a").start()
    }

    /// Three nodes, `a`, `b` and `c`.
    #[track_caller]
    pub(crate) fn of_three() -> Self {
        Self::builder().node("a").node("b").node("c").start()
    }

    /// A node by its alias.
    #[track_caller]
    pub(crate) fn node(&self, alias: &str) -> &Daemon {
        self.daemons
            .iter()
            .find(|daemon| daemon.alias == alias)
            .expect("a node of this cluster")
    }

    /// The same, to end it.
    #[track_caller]
    pub(crate) fn node_mut(&mut self, alias: &str) -> &mut Daemon {
        self.daemons
            .iter_mut()
            .find(|daemon| daemon.alias == alias)
            .expect("a node of this cluster")
    }

    /// The proxy before a node.
    #[track_caller]
    pub(crate) fn proxy(&self, alias: &str) -> &Proxy {
        self.proxies.get(alias).expect("a node with a proxy")
    }

    /// All nodes.
    pub(crate) fn nodes(&self) -> &[Daemon] {
        &self.daemons
    }

    /// Starts a node again that the test ended.
    #[track_caller]
    pub(crate) fn restart(&mut self, alias: &str) {
        let index = self
            .daemons
            .iter()
            .position(|daemon| daemon.alias == alias)
            .expect("a node of this cluster");
        let started = self.daemons[index].start(&self.scratch);
        started.unwrap_or_else(|(status, log)| {
            panic!("{alias} did not start again (status {status:?}):\n{log}")
        });
    }

    /// Every app that runs on any node.
    pub(crate) fn apps(&self) -> Vec<u32> {
        self.daemons.iter().flat_map(Daemon::apps).collect()
    }

    /// The client with these arguments and this node as its entry.
    pub(crate) fn dpipes_at(&self, entry: &str, arguments: &[&str]) -> Invocation {
        self.dpipes_by(
            &format!("unix:{}", self.node(entry).socket.display()),
            arguments,
        )
    }

    /// The same over TCP instead of the unix socket.
    pub(crate) fn dpipes_over_tcp(&self, entry: &str, arguments: &[&str]) -> Invocation {
        self.dpipes_by(&self.node(entry).address.to_string(), arguments)
    }

    fn dpipes_by(&self, address: &str, arguments: &[&str]) -> Invocation {
        let mut command = self.scratch.command(DPIPES);
        command.env("DPIPES_CONNECT", address);
        command.args(
            arguments
                .iter()
                .map(|argument| self.with_full_names(argument)),
        );
        Invocation::new(command)
    }

    /// Puts the nodes' full names where `@alias` stands before a command.
    pub(crate) fn with_full_names(&self, text: &str) -> String {
        let names: Vec<_> = self
            .daemons
            .iter()
            .map(|daemon| (daemon.alias.as_str(), daemon.name.as_str()))
            .collect();
        put_full_names(text, &names)
    }

    /// Everything that is wrong once the test is over and every daemon should be idle.
    fn complaints(&mut self) -> Vec<String> {
        let mut complaints = Vec::new();
        if !holds_within(patience(), || self.apps().is_empty()) {
            complaints.push(format!("apps left: {}", processes::describe(&self.apps())));
        }
        complaints.extend(
            self.daemons
                .iter()
                .flat_map(|daemon| daemon.complaints(self.idle_allowance)),
        );
        for daemon in self.daemons.iter().filter(|daemon| daemon.runs()) {
            daemon.signal(Signal::TERM);
        }
        for daemon in self.daemons.iter_mut().filter(|daemon| daemon.runs()) {
            match daemon.wait(patience()) {
                Some(status) if status.success() => {}
                Some(status) => complaints.push(format!(
                    "{} ended with {status} after SIGTERM",
                    daemon.alias
                )),
                None => complaints.push(format!("{} did not end after SIGTERM", daemon.alias)),
            }
        }
        if !holds_within(patience(), || self.scratch.processes().is_empty()) {
            complaints.push(format!(
                "processes left: {}",
                processes::describe(&self.scratch.processes())
            ));
        }
        let files = self.scratch.left_files();
        if !files.is_empty() {
            complaints.push(format!("temporary files left: {files:?}"));
        }
        complaints
    }
}

fn put_full_names(text: &str, names: &[(&str, &str)]) -> String {
    let mut full = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('@') {
        full.push_str(&rest[..at]);
        let alias = rest[at + 1..].split(' ').next().unwrap_or_default();
        let begins_a_stage = full.trim_end().is_empty() || full.trim_end().ends_with(['|', '&']);
        let name = names
            .iter()
            .find(|(known, _)| *known == alias && begins_a_stage);
        full.push('@');
        full.push_str(name.map_or(alias, |(_, name)| name));
        rest = &rest[at + 1 + alias.len()..];
    }
    full + rest
}

#[test]
fn aliases_before_commands_become_full_names_and_nothing_else_does() {
    let names = [("a", "t1-a"), ("b", "t1-b")];
    let put = |text| put_full_names(text, &names);
    assert_eq!(
        put("@a cat | @b sort |& @a wc|@b tac"),
        "@t1-a cat | @t1-b sort |& @t1-a wc|@t1-b tac"
    );
    assert_eq!(put("echo x@a @b | @c cat"), "echo x@a @b | @c cat");
    assert_eq!(put("@gpu=yes cat"), "@gpu=yes cat");
}

impl Runner for Cluster {
    fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    fn dpipes(&self, arguments: &[&str]) -> Invocation {
        let entry = self
            .daemons
            .first()
            .expect("a cluster has a node")
            .alias
            .clone();
        self.dpipes_at(&entry, arguments)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // A stopped process takes no SIGTERM.
        self.daemons
            .iter()
            .filter(|daemon| daemon.runs())
            .for_each(|daemon| daemon.signal(Signal::CONT));
        let failed_already = std::thread::panicking();
        let complaints = if failed_already {
            Vec::new()
        } else {
            self.complaints()
        };
        if failed_already || !complaints.is_empty() {
            for daemon in &self.daemons {
                eprintln!(
                    "--- {} ({})\n{}",
                    daemon.alias,
                    daemon.name,
                    daemon.log_text()
                );
            }
            self.scratch.keep();
        }
        let ours = self.apps().into_iter().chain(self.scratch.processes());
        ours.for_each(|pid| processes::send(pid, Signal::KILL));
        for daemon in self.daemons.iter_mut().filter(|daemon| daemon.runs()) {
            daemon.crash();
        }
        assert!(
            complaints.is_empty(),
            "left behind:\n  {}",
            complaints.join("\n  ")
        );
    }
}
