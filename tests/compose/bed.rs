//! The bed: the containers of one profile, and what can be done to them.

use std::{
    env,
    fmt::Write as _,
    net::TcpStream,
    path::Path,
    process::{self, Command},
    time::Duration,
};

use crate::kit::{Invocation, Run, eventually, holds_within, patience};

/// How long bringing a bed up may take: the images are made if they are not there, and with optimisations, which is some minutes on two
/// cores.
const BUILD_PATIENCE: Duration = Duration::from_secs(20 * 60);

/// How long one word to the engine may take. A container that leaves gets 40 s from it, on top of what the engine needs for itself.
const ENGINE_PATIENCE: Duration = Duration::from_secs(120);

/// How long a node may take to be known again. What was cut off from multicast is found by a question that is asked once a minute.
const NEWS_PATIENCE: Duration = Duration::from_secs(90);

/// What may run in a container of a node while no pipe does: the daemon, or its health check, and the daemon's helpers.
const DAEMON: [&str; 4] = ["dpipesd", "dpipes-keeper", "dpipes-nursery", "dpipes-exec"];

/// How the nodes find each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    Consul,
    Etcd,
    Mdns,
}

/// A node of the bed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    A,
    B,
    C,
}

/// A bed that runs. Dropping it tears it down.
#[derive(Debug)]
pub(crate) struct Bed {
    profile: Profile,
    compose: Compose,
    project: String,
}

/// The program that reads `docker-compose.yml`.
#[derive(Clone, Debug)]
struct Compose(Vec<String>);

// === impl Profile ===

impl Profile {
    /// The one that is meant when none is named comes first.
    pub(crate) const ALL: [Self; 3] = [Self::Consul, Self::Etcd, Self::Mdns];

    /// As after `--profile`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Consul => "consul",
            Self::Etcd => "etcd",
            Self::Mdns => "mdns",
        }
    }

    /// The service of a node.
    pub(crate) fn service(self, node: Node) -> String {
        match self {
            Self::Consul => node.name().to_owned(),
            Self::Etcd | Self::Mdns => format!("{}-{}", self.name(), node.name()),
        }
    }

    /// The service of the registry's server, if it takes one.
    pub(crate) const fn server(self) -> Option<&'static str> {
        match self {
            Self::Consul | Self::Etcd => Some(self.name()),
            Self::Mdns => None,
        }
    }
}

// === impl Node ===

impl Node {
    pub(crate) const ALL: [Self; 3] = [Self::A, Self::B, Self::C];

    /// Its name, in pipelines and messages.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::A => "node-a",
            Self::B => "node-b",
            Self::C => "node-c",
        }
    }
}

// === impl Compose ===

impl Compose {
    /// The one that `DPIPES_TEST_COMPOSE` names, else Docker's own command, else the older program.
    fn find() -> Self {
        if let Ok(named) = env::var("DPIPES_TEST_COMPOSE") {
            return Self(named.split_whitespace().map(str::to_owned).collect());
        }
        let works = |words: &[&str]| {
            let mut command = Command::new(words[0]);
            command.args(&words[1..]).arg("version");
            command.output().is_ok_and(|output| output.status.success())
        };
        [&["docker", "compose"][..], &["docker-compose"]]
            .into_iter()
            .find(|words| works(words))
            .map(|words| Self(words.iter().map(|word| (*word).to_owned()).collect()))
            .expect("neither `docker compose` nor `docker-compose` runs here: install one of them")
    }
}

// === impl Bed ===

impl Bed {
    /// Brings the profile up from the files at the root of the repository and waits until every container is healthy.
    pub(crate) fn up(profile: Profile) -> Self {
        let bed = Self {
            profile,
            compose: Compose::find(),
            project: format!("dpipes-test-{}-{}", profile.name(), process::id()),
        };
        eprintln!("bringing up: {}", profile.name());
        bed.compose(&["up", "-d"])
            .within(BUILD_PATIENCE)
            .run()
            .assert_status(0);
        for node in Node::ALL {
            bed.until_healthy(node);
        }
        bed.until_all_know_all();
        bed
    }

    pub(crate) const fn profile(&self) -> Profile {
        self.profile
    }

    /// Compose with these words, in this bed.
    pub(crate) fn compose(&self, words: &[&str]) -> Invocation {
        self.compose_as(&self.project, words)
    }

    /// The same for another bed of the same profile.
    pub(crate) fn compose_as(&self, project: &str, words: &[&str]) -> Invocation {
        let mut command = Command::new(&self.compose.0[0]);
        command.args(&self.compose.0[1..]);
        command.current_dir(env!("CARGO_MANIFEST_DIR"));
        command.args(["--project-name", project]);
        // The default profile is to be found without being named.
        if self.profile != Profile::Consul {
            command.args(["--profile", self.profile.name()]);
        }
        // Any free port, so that it does not matter what else runs on this machine.
        command.env("DPIPES_CONSUL_PORT", "0").args(words);
        Invocation::new(command).within(ENGINE_PATIENCE)
    }

    /// The container of a node, as the engine names it.
    fn of(&self, node: Node) -> String {
        self.container(&self.profile.service(node))
    }

    /// The container of a service. Some versions of Compose cannot tell those that do not run, so the engine is asked.
    fn container(&self, service: &str) -> String {
        let filter = |label: &str, value: &str| format!("label=com.docker.compose.{label}={value}");
        let run = docker(&[
            "ps",
            "--all",
            "--quiet",
            "--filter",
            &filter("project", &self.project),
            "--filter",
            &filter("service", service),
        ])
        .run();
        let id = run.assert_status(0).text().trim().to_owned();
        assert!(!id.is_empty(), "{service} has no container");
        id
    }

    /// A program in a node's container.
    pub(crate) fn on(&self, node: Node, words: &[&str]) -> Invocation {
        let container = self.of(node);
        docker(&[&["exec", "-i", "-w", "/", &container], words].concat())
    }

    /// The client in a node's container, with the node as its entry.
    pub(crate) fn dpipes(&self, node: Node, words: &[&str]) -> Invocation {
        self.on(node, &[&["dpipes"], words].concat())
    }

    /// What bash makes of a pipeline in a node's container, where the files and programs are the same as in the others.
    pub(crate) fn bash(&self, node: Node, pipeline: &str) -> Run {
        self.on(node, &["bash", "-c", pipeline]).run()
    }

    /// Whether a node says that another one may be used.
    pub(crate) fn sees(&self, from: Node, node: Node) -> bool {
        let listed = self.dpipes(from, &["nodes"]).run();
        listed.text().lines().any(|line| {
            let mut columns = line.split_whitespace();
            columns.next() == Some(node.name())
                && columns.any(|column| ["up", "here"].contains(&column))
        })
    }

    #[track_caller]
    pub(crate) fn until_up(&self, from: Node, node: Node) {
        assert!(
            holds_within(NEWS_PATIENCE, || self.sees(from, node)),
            "{} is not up at {}: {:?}",
            node.name(),
            from.name(),
            self.dpipes(from, &["nodes"]).run()
        );
    }

    pub(crate) fn until_all_know_all(&self) {
        for seen_from in Node::ALL {
            for node in Node::ALL {
                self.until_up(seen_from, node);
            }
        }
    }

    pub(crate) fn until_gone(&self, from: Node, node: Node) {
        eventually!(
            !self.sees(from, node),
            "{} has left, as {} sees it: {:?}",
            node.name(),
            from.name(),
            self.dpipes(from, &["nodes"]).run()
        );
    }

    /// Waits for what the engine makes of the image's health check.
    pub(crate) fn until_healthy(&self, node: Node) {
        let health = || {
            let format = "{{.State.Health.Status}}";
            docker(&["inspect", "--format", format, &self.of(node)]).run()
        };
        eventually!(
            health().text().trim() == "healthy",
            "{} is healthy: {:?}",
            node.name(),
            health()
        );
    }

    /// The programs that run in a node's container, as the machine's own `ps` sees them: a state and a name for each.
    pub(crate) fn processes(&self, node: Node) -> Vec<(String, String)> {
        let run = docker(&["top", &self.of(node), "-o", "pid,stat,comm"]).run();
        run.assert_status(0)
            .text()
            .lines()
            .skip(1)
            .filter_map(|line| {
                let mut columns = line.split_whitespace().skip(1);
                Some((columns.next()?.to_owned(), columns.next()?.to_owned()))
            })
            .collect()
    }

    pub(crate) fn runs(&self, node: Node, program: &str) -> bool {
        self.processes(node).iter().any(|(_, name)| name == program)
    }

    /// Checks that nothing is left of any pipe on any node: no app, no client, no zombie.
    pub(crate) fn assert_tidy(&self) {
        let left = || {
            let mut left = String::new();
            for node in Node::ALL {
                for (state, name) in self.processes(node) {
                    if !DAEMON.contains(&name.as_str()) || state.starts_with('Z') {
                        let _to_a_string = write!(left, " {}:{name}({state})", node.name());
                    }
                }
            }
            left
        };
        eventually!(left().is_empty(), "nothing runs any more; left:{}", left());
    }

    /// The container's word to a node, as `kill`, `pause`, `unpause`, `start` or `restart`.
    pub(crate) fn engine(&self, word: &str, node: Node) {
        docker(&[word, &self.of(node)]).run().assert_status(0);
    }

    /// Takes a node from the bed's network.
    pub(crate) fn cut(&self, node: Node) {
        docker(&["network", "disconnect", &self.network(), &self.of(node)])
            .run()
            .assert_status(0);
    }

    /// Gives a node back to the network, under its names.
    pub(crate) fn join(&self, node: Node) {
        self.connect(node).run().assert_status(0);
    }

    fn connect(&self, node: Node) -> Invocation {
        let service = self.profile.service(node);
        docker(&[
            "network",
            "connect",
            "--alias",
            &service,
            &self.network(),
            &self.of(node),
        ])
    }

    fn network(&self) -> String {
        format!("{}_default", self.project)
    }

    /// What a service answers at a port that is published on this machine.
    pub(crate) fn published(&self, service: &str, port: u16) -> TcpStream {
        let run = self.compose(&["port", service, &port.to_string()]).run();
        let address = run.assert_status(0).text().trim().to_owned();
        TcpStream::connect(&address).unwrap_or_else(|error| panic!("{address}: {error}"))
    }

    /// A program in the container of a service that is no node.
    pub(crate) fn on_service(&self, service: &str, words: &[&str]) -> Invocation {
        let container = self.container(service);
        docker(&[&["exec", &container], words].concat())
    }

    /// Puts back in order what a failed test left behind, so that the next one says something about dpipes.
    pub(crate) fn mend(&self) {
        for node in Node::ALL {
            let container = self.of(node);
            let may_fail = |words: &[&str]| drop(docker(words).run());
            may_fail(&["unpause", &container]);
            drop(self.connect(node).run());
            may_fail(&["restart", "--time", "1", &container]);
        }
        for node in Node::ALL {
            self.until_healthy(node);
        }
    }

    /// Shows what the containers said.
    pub(crate) fn show_logs(&self) {
        let run = self.compose(&["logs", "--tail", "60"]).run();
        eprintln!("--- {}\n{}{}", self.project, run.text(), run.stderr);
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        let run = self
            .compose(&["down", "--volumes", "--remove-orphans", "--timeout", "20"])
            .within(ENGINE_PATIENCE + patience())
            .run();
        let filter = format!("label=com.docker.compose.project={}", self.project);
        for what in ["container", "network", "volume"] {
            let left = docker(&[what, "ls", "--quiet", "--filter", &filter]).run();
            let nothing = left.status == 0 && left.stdout.is_empty();
            assert!(
                nothing || std::thread::panicking(),
                "{what}s are left: {left:?} {run:?}"
            );
        }
    }
}

/// Docker with these words.
pub(crate) fn docker(words: &[&str]) -> Invocation {
    let mut command = Command::new("docker");
    command.args(words).current_dir(Path::new("/"));
    Invocation::new(command).within(ENGINE_PATIENCE)
}
