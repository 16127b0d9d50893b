//! Hosts as network namespaces on a bridge: `eth0` of host `n` is 10.77.0.n, with a link-local IPv6 address beside it.
//!
//! `faults` does to their packets what networks do, `layout` gives them other networks and routers, and `cable` long ways.
//!
//! Making them takes root. Nothing of it is seen outside the namespaces, and their names hold the number of the process, so that any
//! number of tests run at once.

mod cable;
mod faults;
mod kernel;
mod layout;

use std::{
    fs,
    net::Ipv4Addr,
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::{self, Command},
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use rustix::{
    process::{Pid, geteuid, test_kill_process},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

/// Where iproute2 keeps the namespaces that have a name.
const NAMESPACES: &str = "/run/netns";
/// How the names of all namespaces of this module begin.
const PREFIX: &str = "dptestbed";
/// Most hosts of one net: what the last byte of an address counts.
const MAX_HOSTS: u8 = 254;

use self::cable::Cable;
pub use self::{cable::Delay, faults::Says};

/// Some hosts, numbered from 1. Dropping it removes them; processes in them have to end before.
#[derive(Debug)]
pub struct Net {
    prefix: String,
    hosts: u8,
    /// Those that are a thread of this process.
    cables: Mutex<Vec<Cable>>,
}

// === impl Net ===

impl Net {
    /// Makes a net of so many hosts; `None` without root.
    ///
    /// # Panics
    ///
    /// Panics when root may not do it either, or iproute2 is missing.
    #[must_use]
    pub fn new(hosts: u8) -> Option<Self> {
        static NETS: AtomicU32 = AtomicU32::new(0);
        if !geteuid().is_root() {
            return None;
        }
        assert!((1..=MAX_HOSTS).contains(&hosts), "1 to {MAX_HOSTS} hosts");
        remove_leftovers();
        let number = NETS.fetch_add(1, Ordering::Relaxed);
        let net = Self {
            prefix: format!("{}{}x{number}", prefix(), process::id()),
            hosts,
            cables: Mutex::default(),
        };
        let bridge = net.namespace(0);
        ip(&format!("netns add {bridge}"));
        add_bridge(&bridge, "br0");
        for host in 1..=hosts {
            net.add(host);
        }
        Some(net)
    }

    fn add(&self, host: u8) {
        let (name, bridge) = (self.namespace(host), self.namespace(0));
        ip(&format!("netns add {name}"));
        // An address that is still being tested for twins cannot be sent from: a second lost in every test.
        let untested = "echo 0 > /proc/sys/net/ipv6/conf/default/dad_transmits";
        run(self.command(host, "sh").args(["-c", untested]));
        ip(&format!("-n {name} link set lo up"));
        ip(&format!(
            "link add name eth0 netns {name} type veth peer name p{host} netns {bridge}"
        ));
        ip(&format!("-n {bridge} link set p{host} master br0 up"));
        let address = Self::address(host);
        ip(&format!("-n {name} addr add {address}/24 dev eth0"));
        ip(&format!("-n {name} link set eth0 up"));
    }

    /// The IPv4 address of a host's `eth0`.
    #[must_use]
    pub const fn address(host: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, 0, host)
    }

    /// The name of a host's namespace, for `ip netns`; host 0 is the bridge.
    #[must_use]
    pub fn namespace(&self, host: u8) -> String {
        format!("{}h{host}", self.prefix)
    }

    /// A program on a host.
    #[must_use]
    pub fn command(&self, host: u8, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace(host)]);
        command.arg(program.as_ref());
        command
    }

    /// Moves the calling thread to a host, with the threads that it starts from then on.
    ///
    /// # Panics
    ///
    /// Panics when it cannot be moved.
    pub fn enter(&self, host: u8) {
        self.entrance(host)();
    }

    /// What moves a thread to a host, for threads that somebody else starts.
    pub fn entrance(&self, host: u8) -> impl Fn() + Send + Sync + use<> {
        let path = PathBuf::from(NAMESPACES).join(self.namespace(host));
        move || {
            let file = fs::File::open(&path).unwrap();
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        }
    }

    /// Runs iproute2 on a host, with words that hold no blanks.
    ///
    /// # Panics
    ///
    /// Panics when it fails.
    pub fn ip(&self, host: u8, words: &str) {
        ip(&format!("-n {} {words}", self.namespace(host)));
    }

    /// Cuts a host off somewhere behind the next switch: its interface sees nothing of it.
    pub fn cut(&self, host: u8) {
        self.ip(0, &format!("link set p{host} nomaster"));
    }

    /// Takes that back.
    pub fn heal(&self, host: u8) {
        self.ip(0, &format!("link set p{host} master br0"));
    }

    /// Pulls a host's cable: its interface has no carrier.
    pub fn unplug(&self, host: u8) {
        self.ip(0, &format!("link set p{host} down"));
    }

    /// Plugs it in again.
    pub fn plug(&self, host: u8) {
        self.ip(0, &format!("link set p{host} up"));
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        // Their ends hold the namespaces.
        self.cables.get_mut().unwrap().clear();
        for host in 0..=self.hosts {
            remove(&self.namespace(host));
        }
    }
}

/// How the names of this PID namespace's nets begin: in another one a process number says nothing.
fn prefix() -> String {
    let own = fs::read_link("/proc/self/ns/pid").unwrap();
    let own: String = own
        .to_string_lossy()
        .chars()
        .filter(char::is_ascii_digit)
        .collect();
    format!("{PREFIX}{own}p")
}

/// Removes what tests left that were killed: namespaces of processes that are no more.
fn remove_leftovers() {
    let prefix = prefix();
    let Ok(entries) = fs::read_dir(NAMESPACES) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let number = name
            .strip_prefix(&prefix)
            .and_then(|rest| rest.split_once('x'));
        let pid = number
            .and_then(|(pid, _)| pid.parse().ok())
            .and_then(Pid::from_raw);
        if pid.is_some_and(|pid| test_kill_process(pid).is_err()) {
            remove(&name);
        }
    }
}

fn add_bridge(namespace: &str, name: &str) {
    ip(&format!("-n {namespace} link add {name} type bridge"));
    ip(&format!("-n {namespace} link set {name} up"));
}

/// Removes a namespace that may not be there any more.
fn remove(namespace: &str) {
    let mut command = Command::new("ip");
    command.args(["netns", "del", namespace]);
    let _it_may_be_gone = command.stderr(process::Stdio::null()).status();
}

fn ip(words: &str) {
    run(Command::new("ip").args(words.split_whitespace()));
}

fn run(command: &mut Command) {
    let status = command.status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "{command:?} failed"
    );
}
