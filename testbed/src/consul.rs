//! Consul agents, each on a loopback address of its own.

pub mod http;

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use self::http::{Answer, request};
use crate::{address, certificates::Authority, process::Process, servers::Server};

/// The port of the HTTP API.
const HTTP: u16 = 8500;
/// The port of the HTTP API over TLS, where the configuration opens one.
const HTTPS: u16 = 8501;
/// Where agents speak to servers, and servers to each other.
const SERVERS: u16 = 8300;
/// Where agents gossip.
const SERF: u16 = 8301;
/// Longest wait for an agent that knows a leader. It takes two seconds, and ten on a busy machine.
const READY: Duration = Duration::from_secs(60);
/// How often it is asked.
const ASK: Duration = Duration::from_millis(50);

/// A running agent that is a server too. Dropping it kills it and removes its data.
#[derive(Debug)]
pub struct Agent {
    address: Ipv4Addr,
    node: String,
    arguments: Vec<String>,
    dir: TempDir,
    process: Process,
}

/// Consul's state as one server or more.
#[derive(Debug)]
pub struct Cluster {
    /// Its servers.
    pub servers: Vec<Agent>,
}

// === impl Agent ===

impl Agent {
    /// Starts one and waits until it can be used.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// The same with more configuration.
    #[must_use]
    pub fn start_with(hcl: &str) -> Self {
        let agent = Self::start_one(address(), "agent", &["-bootstrap-expect=1"], hcl);
        agent.wait_for_leader();
        agent
    }

    /// The same with a Unix socket beside the port.
    #[must_use]
    pub fn start_listening_on(socket: &Path) -> Self {
        let address = address();
        let socket = socket.display();
        let hcl = format!(r#"addresses {{ http = "{address} unix://{socket}" }}"#);
        let agent = Self::start_one(address, "agent", &["-bootstrap-expect=1"], &hcl);
        agent.wait_for_leader();
        agent
    }

    /// The same with TLS on a second port, and in `dir()` what belongs to it: `ca.pem`, an authority; `server.pem` and `server.key`,
    /// certified for the address and the name `server.dc1.consul`; `client.pem` and `client.key`; and `other.pem`, an authority that
    /// has certified nobody.
    #[must_use]
    pub fn start_with_tls() -> Self {
        let address = address();
        let dir = tempfile::tempdir().unwrap();
        let (authority, other) = (Authority::new(), Authority::new());
        let server = authority.issue("server", &[address.into()], &["server.dc1.consul"]);
        let client = authority.issue("client", &[], &["client.dc1.consul"]);
        for (from, name) in [
            (authority.cert(), "ca.pem"),
            (other.cert(), "other.pem"),
            (server.cert, "server.pem"),
            (server.key, "server.key"),
            (client.cert, "client.pem"),
            (client.key, "client.key"),
        ] {
            fs::copy(from, dir.path().join(name)).unwrap();
        }
        let path = dir.path().display();
        let hcl = format!(
            r#"ports {{ https = {HTTPS} }} ca_file = "{path}/ca.pem" cert_file = "{path}/server.pem" key_file = "{path}/server.key" verify_incoming_https = true"#
        );
        let agent = Self::start_in(dir, address, "agent", &["-bootstrap-expect=1"], &hcl);
        agent.wait_for_leader();
        agent
    }

    fn start_one(address: Ipv4Addr, node: &str, arguments: &[&str], hcl: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), address, node, arguments, hcl)
    }

    fn start_in(
        dir: TempDir,
        address: Ipv4Addr,
        node: &str,
        arguments: &[&str],
        hcl: &str,
    ) -> Self {
        let base = format!(
            "disable_update_check = true  telemetry {{ disable_hostname = true }}  performance {{ raft_multiplier = 1 }}
             ports {{ dns = -1  grpc = -1  serf_wan = -1 }}  limits {{ http_max_conns_per_client = 200 }}
             bind_addr = \"{address}\"  client_addr = \"{address}\"  node_name = \"{node}\"  server = true
             data_dir = \"{}/data\"  leave_on_terminate = false  skip_leave_on_interrupt = true",
            dir.path().display()
        );
        let mut all = vec!["-hcl".to_owned(), base];
        if !hcl.is_empty() {
            all.extend(["-hcl".to_owned(), hcl.to_owned()]);
        }
        all.extend(arguments.iter().map(|&argument| argument.to_owned()));
        let process = spawn(&dir, &all);
        Self {
            address,
            node: node.to_owned(),
            arguments: all,
            dir,
            process,
        }
    }

    /// `host:port` of its HTTP API.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}:{HTTP}", self.address)
    }

    /// `host:port` of its HTTP API over TLS.
    #[must_use]
    pub fn tls_address(&self) -> String {
        format!("{}:{HTTPS}", self.address)
    }

    /// What it calls itself.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Where its files are.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What it said so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// A request to its API. `None` when it does not answer.
    #[must_use]
    pub fn request(&self, method: &str, path: &str, body: &str) -> Option<Answer> {
        self.request_as(None, method, path, body)
    }

    /// A request with an ACL token.
    #[must_use]
    pub fn request_as(
        &self,
        token: Option<&str>,
        method: &str,
        path: &str,
        body: &str,
    ) -> Option<Answer> {
        let address = SocketAddr::from((self.address, HTTP));
        request(address, token, method, path, body).ok()
    }

    /// A request that must succeed; what it answers.
    pub fn call(&self, token: Option<&str>, method: &str, path: &str, body: &str) -> String {
        let answer = self.request_as(token, method, path, body);
        let answer = answer.unwrap_or_else(|| panic!("{method} {path}: no answer\n{}", self.log()));
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.body);
        answer.body
    }

    /// Waits until it knows a leader.
    pub fn wait_for_leader(&self) {
        self.wait(|| {
            let answer = self.request("GET", "/v1/status/leader", "");
            // The catalog answers only once the leader has begun its work.
            answer.is_some_and(|answer| answer.status == 200 && answer.body.contains(':'))
                && self
                    .request("GET", "/v1/catalog/nodes", "")
                    .is_some_and(|a| {
                        a.status == 200 && (a.body.contains(&self.node) || a.body.trim() == "[]")
                    })
        });
    }

    /// Waits until something holds.
    pub fn wait(&self, mut holds: impl FnMut() -> bool) {
        let deadline = Instant::now() + READY;
        while !holds() {
            assert!(
                Instant::now() < deadline,
                "agent {}:\n{}",
                self.address,
                self.log()
            );
            thread::park_timeout(ASK);
        }
    }

    /// Makes the first token, which may do everything. The agent needs `acl { enabled = true }`.
    #[must_use]
    pub fn bootstrap_acl(&self) -> String {
        let mut token = String::new();
        self.wait(|| {
            let answer = self.request("PUT", "/v1/acl/bootstrap", "");
            let body = answer.filter(|answer| answer.status == 200);
            token = body.map_or_else(String::new, |answer| field(&answer.body, "SecretID"));
            !token.is_empty()
        });
        token
    }

    /// Makes a token that may do what these rules say.
    #[must_use]
    pub fn make_token(&self, management: &str, name: &str, rules: &str) -> String {
        let rules = rules.replace('"', "\\\"");
        self.call(
            Some(management),
            "PUT",
            "/v1/acl/policy",
            &format!(r#"{{"Name": "{name}", "Rules": "{rules}"}}"#),
        );
        let token = self.call(
            Some(management),
            "PUT",
            "/v1/acl/token",
            &format!(r#"{{"Policies": [{{"Name": "{name}"}}]}}"#),
        );
        field(&token, "SecretID")
    }

    /// Stops it with SIGSTOP.
    pub fn freeze(&self) {
        self.process.freeze();
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.process.thaw();
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again with its data, and waits until it can be used.
    pub fn restart(&mut self) {
        self.process.kill();
        self.process = spawn(&self.dir, &self.arguments);
        self.wait_for_leader();
    }

    /// Starts it again without its data, and waits until it can be used.
    pub fn wipe(&mut self) {
        self.process.kill();
        fs::remove_dir_all(self.dir.path().join("data")).unwrap();
        self.restart();
    }
}

// === impl Cluster ===

impl Cluster {
    /// Starts as many servers and waits until all of them know a leader.
    #[must_use]
    pub fn start(servers: usize) -> Self {
        let addresses: Vec<Ipv4Addr> = (0..servers).map(|_| address()).collect();
        let expect = format!("-bootstrap-expect={servers}");
        let join = addresses.iter().map(|a| format!("-retry-join={a}"));
        let mut arguments: Vec<String> = join.collect();
        arguments.push(expect);
        arguments.push("-retry-interval=1s".to_owned());
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let servers = addresses.iter().enumerate();
        let servers: Vec<Agent> = servers
            .map(|(n, &address)| Agent::start_one(address, &format!("s{n}"), &arguments, ""))
            .collect();
        for server in &servers {
            server.wait_for_leader();
        }
        Self { servers }
    }

    /// The place of the leader among the servers, as server `asked` knows it.
    #[must_use]
    pub fn leader(&self, asked: usize) -> Option<usize> {
        let answer = self.servers[asked].request("GET", "/v1/status/leader", "")?;
        let found = |server: &Agent| answer.body.contains(&format!("\"{}:", server.address));
        self.servers.iter().position(found)
    }
}

fn address() -> Ipv4Addr {
    address::own(&[HTTP, HTTPS, SERVERS, SERF])
}

fn spawn(dir: &TempDir, arguments: &[String]) -> Process {
    let mut command = Command::new(Server::Consul.program());
    command.arg("agent").args(arguments);
    // What the surroundings say about another agent is not for this one.
    for (key, _) in std::env::vars_os() {
        if key.to_string_lossy().starts_with("CONSUL_") {
            command.env_remove(key);
        }
    }
    Process::start(command, &dir.path().join("log"))
}

/// The text of a field in a flat answer.
fn field(json: &str, name: &str) -> String {
    let start = json.split_once(&format!("\"{name}\":"));
    let value = start.and_then(|(_, rest)| rest.split('"').nth(1));
    value.unwrap_or_default().to_owned()
}
