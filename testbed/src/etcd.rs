//! etcd members.

use std::{fs, io, net::Ipv4Addr, path::PathBuf, process::Command, sync::Arc, time::Duration};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use crate::{address, certificates::Certificate, process::Process, servers::Server};

/// Where clients are served. Ports can be fixed, for every member has an address of its own.
const CLIENTS: u16 = 2379;
/// Where other members are.
const PEERS: u16 = 2380;
/// Where its health is told, in plaintext whatever clients must speak.
const METRICS: u16 = 2381;
/// Longest wait for a member to be well: an election takes one to two seconds, and the machine may be busy.
const HEALTHY: Duration = Duration::from_secs(60);
/// How often a starting member is asked: it is up after about a second.
const ASK: Duration = Duration::from_millis(50);
/// How long a member may take over one such question.
const ANSWER: Duration = Duration::from_secs(2);
/// Members of a cluster: the fewest of which one can be spared.
const MEMBERS: usize = 3;

/// One member with an address and a data directory of its own. Dropping it kills it and removes its data.
#[derive(Debug)]
pub struct Member {
    name: String,
    address: Ipv4Addr,
    peers: String,
    clients: Clients,
    home: Arc<TempDir>,
    process: Option<Process>,
}

/// What clients must speak.
#[derive(Clone, Debug)]
pub enum Clients {
    /// Plaintext.
    Plain,
    /// TLS; the server shows this certificate.
    Tls(Certificate),
    /// TLS, and clients show a certificate of the authority in this file.
    Mutual(Certificate, PathBuf),
}

/// Three members that form a cluster.
#[derive(Debug)]
pub struct Cluster {
    /// They.
    pub members: Vec<Member>,
}

// === impl Member ===

impl Member {
    /// A cluster of one, ready to serve.
    pub async fn start() -> Self {
        Self::serving(own_address(), Clients::Plain).await
    }

    /// The same at this address, with TLS if wanted; [`own_address`] makes one for which a certificate can be issued before.
    pub async fn serving(address: Ipv4Addr, clients: Clients) -> Self {
        let mut member = Self {
            name: "m0".to_owned(),
            address,
            peers: format!("m0=http://{address}:{PEERS}"),
            clients,
            home: Arc::new(tempfile::tempdir().unwrap()),
            process: None,
        };
        member.restart().await;
        member
    }

    /// `address:port` for clients.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("{}:{CLIENTS}", self.address)
    }

    /// Kills it if it runs, starts it with what it has stored, and waits until it serves.
    pub async fn restart(&mut self) {
        self.spawn();
        self.healthy().await;
    }

    /// The same without waiting.
    pub fn spawn(&mut self) {
        self.kill();
        let scheme = match self.clients {
            Clients::Plain => "http",
            Clients::Tls(_) | Clients::Mutual(..) => "https",
        };
        let clients = format!("{scheme}://{}:{CLIENTS}", self.address);
        let peers = format!("http://{}:{PEERS}", self.address);
        let metrics = format!("http://{}:{METRICS}", self.address);
        let mut command = Command::new(Server::Etcd.program());
        command
            .args(["--name", &self.name])
            .arg("--data-dir")
            .arg(self.data())
            .args(["--listen-client-urls", &clients])
            .args(["--advertise-client-urls", &clients])
            .args(["--listen-peer-urls", &peers])
            .args(["--initial-advertise-peer-urls", &peers])
            .args(["--listen-metrics-urls", &metrics])
            .args(["--initial-cluster", &self.peers])
            .args(["--initial-cluster-state", "new"])
            // The cheapest hash that it offers: tests of wrong passwords are about refusals, not about hashing.
            .args(["--bcrypt-cost", "4"])
            .args(["--logger", "zap"]);
        if let Clients::Tls(shown) | Clients::Mutual(shown, _) = &self.clients {
            command.arg("--cert-file").arg(&shown.cert);
            command.arg("--key-file").arg(&shown.key);
        }
        if let Clients::Mutual(_, authority) = &self.clients {
            command.arg("--client-cert-auth");
            command.arg("--trusted-ca-file").arg(authority);
        }
        let log = self.home.path().join(format!("{}.log", self.name));
        self.process = Some(Process::start(command, &log));
    }

    /// Waits until it serves.
    ///
    /// # Panics
    ///
    /// Panics with what it said when it is not well within a minute.
    pub async fn healthy(&self) {
        let deadline = Instant::now() + HEALTHY;
        while !self.is_healthy().await {
            let said = self.process.as_ref().map(Process::log).unwrap_or_default();
            assert!(Instant::now() < deadline, "etcd does not serve: {said}");
            sleep(ASK).await;
        }
    }

    async fn is_healthy(&self) -> bool {
        let answer = self.ask("/health").await;
        answer.is_ok_and(|answer| answer.contains("\"health\":\"true\""))
    }

    /// One of its own measurements.
    ///
    /// # Panics
    ///
    /// Panics when it has none of that name.
    pub async fn metric(&self, name: &str) -> f64 {
        let answer = self.ask("/metrics").await.unwrap();
        let mut values = answer
            .lines()
            .filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = values.next().unwrap_or_else(|| panic!("no metric {name}"));
        value.trim().parse().unwrap()
    }

    async fn ask(&self, path: &str) -> io::Result<String> {
        let ask = async {
            let mut stream = TcpStream::connect((self.address, METRICS)).await?;
            let request = format!("GET {path} HTTP/1.0\r\nHost: m\r\n\r\n");
            stream.write_all(request.as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            Ok(answer)
        };
        let silence = |_| io::Error::from(io::ErrorKind::TimedOut);
        timeout(ANSWER, ask).await.map_err(silence)?
    }

    /// What it said so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.running().log()
    }

    /// Kills it at once. Its data stays.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Kills it and removes its data; the next start is its first.
    pub fn wipe(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(self.data());
    }

    /// Stops it as an overloaded or suspended machine does.
    pub fn freeze(&self) {
        self.running().freeze();
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.running().thaw();
    }

    fn running(&self) -> &Process {
        self.process.as_ref().expect("it runs")
    }

    fn data(&self) -> PathBuf {
        self.home.path().join(&self.name)
    }
}

// === impl Cluster ===

impl Cluster {
    /// A cluster that serves.
    pub async fn start() -> Self {
        let home = Arc::new(tempfile::tempdir().unwrap());
        let addresses: Vec<_> = (0..MEMBERS).map(|_| own_address()).collect();
        let peers = addresses.iter().enumerate();
        let peers: Vec<_> = peers
            .map(|(i, address)| format!("m{i}=http://{address}:{PEERS}"))
            .collect();
        let members = addresses.iter().enumerate().map(|(i, address)| Member {
            name: format!("m{i}"),
            address: *address,
            peers: peers.join(","),
            clients: Clients::Plain,
            home: Arc::clone(&home),
            process: None,
        });
        let mut cluster = Self {
            members: members.collect(),
        };
        for member in &mut cluster.members {
            member.spawn();
        }
        for member in &cluster.members {
            member.healthy().await;
        }
        cluster
    }

    /// `address:port` of each member, for clients.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        self.members.iter().map(Member::endpoint).collect()
    }
}

/// An address for a member, for which a certificate can be issued before it starts.
#[must_use]
pub fn own_address() -> Ipv4Addr {
    address::own(&[CLIENTS, PEERS, METRICS])
}
