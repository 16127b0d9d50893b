//! Hosts with addresses of their own: network namespaces on a bridge, a daemon in each. Making them takes root; without it these tests
//! say that they were not run.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use crate::kit::{
    DPIPESD, Invocation, Scratch, Signal, eventually, holds_within, patience, processes,
};

/// Two nodes that know each other, `n1` and `n2`, and a third host that nobody knows.
struct Net {
    scratch: Scratch,
    prefix: String,
    daemons: Vec<Child>,
}

/// Says why there is no network, and so no test.
macro_rules! net_or_return {
    () => {
        match Net::start() {
            Some(net) => net,
            None => return eprintln!("not run: network namespaces take root"),
        }
    };
}

impl Net {
    fn start() -> Option<Self> {
        let mut net = Self::hosts()?;
        for host in 1..=2 {
            net.start_daemon(host);
        }
        eventually!(
            net.dpipes(1, &["nodes"]).run().text().contains("  up "),
            "the nodes find each other"
        );
        Some(net)
    }

    /// Three hosts without a daemon.
    fn hosts() -> Option<Self> {
        static NETS: AtomicU32 = AtomicU32::new(0);
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let number = NETS.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("dp{}x{number}", std::process::id());
        let mut net = Self {
            scratch: Scratch::new(),
            prefix,
            daemons: Vec::new(),
        };
        let bridge = net.namespace(0);
        ip(&format!("netns add {bridge}"));
        ip(&format!("-n {bridge} link add br0 type bridge"));
        ip(&format!("-n {bridge} link set br0 up"));
        for host in 1..=3 {
            let name = net.namespace(host);
            ip(&format!("netns add {name}"));
            ip(&format!("-n {name} link set lo up"));
            ip(&format!(
                "link add name eth0 netns {name} type veth peer name p{host} netns {bridge}"
            ));
            ip(&format!("-n {bridge} link set p{host} master br0 up"));
            ip(&format!("-n {name} addr add 10.77.0.{host}/24 dev eth0"));
            ip(&format!("-n {name} link set eth0 up"));
        }
        Some(net)
    }

    fn namespace(&self, host: usize) -> String {
        format!("{}h{host}", self.prefix)
    }

    fn node(&self, host: usize) -> String {
        format!("{}-n{host}", self.prefix)
    }

    fn socket(&self, host: usize) -> PathBuf {
        self.scratch.root().join(format!("{host}.sock"))
    }

    fn start_daemon(&mut self, host: usize) {
        let both = format!("nodes: [ {}, {} ]", self.entry(1), self.entry(2));
        self.start_daemon_as(host, &self.node(host), &both);
    }

    /// A node as a static list has it.
    fn entry(&self, host: usize) -> String {
        format!(
            "{{ name: {}, addr: '10.77.0.{host}:3747' }}",
            self.node(host)
        )
    }

    /// Starts a daemon of this name with this static registry.
    fn start_daemon_as(&mut self, host: usize, name: &str, registry: &str) {
        let config = self.scratch.root().join(format!("{host}.yaml"));
        let text = format!(
            "node: {{ name: {} }}\nlisten: ['0.0.0.0:3747', 'unix:{}']\n\
             run: {{ allow-root: true, cwd: {:?}, lease: 3s, kill-grace: 1s }}\n\
             registry: [ {{ static: {{ {registry} }} }} ]\n",
            name,
            self.socket(host).display(),
            self.scratch.work(),
        );
        fs::write(&config, text).unwrap();
        let log = fs::File::create(self.scratch.root().join(format!("{host}.log"))).unwrap();
        let mut command = self.scratch.command("ip");
        command
            .args(["netns", "exec", &self.namespace(host), DPIPESD])
            .args(["--foreground", "--config"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.daemons.push(command.spawn().unwrap());
        let socket = self.socket(host);
        eventually!(socket.exists(), "the daemon of host {host} listens");
    }

    /// The client with the daemon of a host as its entry; `@n1` and `@n2` become the nodes' names.
    fn dpipes(&self, entry: usize, arguments: &[&str]) -> Invocation {
        let mut command = self.scratch.command("dpipes");
        let full = |text: &&str| {
            text.replace("@n1", &format!("@{}", self.node(1)))
                .replace("@n2", &format!("@{}", self.node(2)))
        };
        command
            .env(
                "DPIPES_CONNECT",
                format!("unix:{}", self.socket(entry).display()),
            )
            .args(arguments.iter().map(full));
        Invocation::new(command)
    }

    /// The client on a host, with a daemon across the network as its entry.
    fn dpipes_from(&self, host: usize, address: &str, pipeline: &str) -> Invocation {
        let mut command = self.scratch.command("ip");
        command.args([
            "netns",
            "exec",
            &self.namespace(host),
            "dpipes",
            "--connect",
            address,
            pipeline,
        ]);
        Invocation::new(command)
    }

    fn apps(&self, host: usize) -> Vec<u32> {
        let variable = format!("DP_NODE={}", self.node(host));
        processes::all()
            .into_iter()
            .filter(|&pid| processes::has_variable(pid, &variable))
            .collect()
    }

    fn assert_gone_without_commit(&self) {
        eventually!(
            self.apps(1).is_empty() && self.apps(2).is_empty(),
            "every stage is gone"
        );
        assert!(
            !self.scratch.has("committed"),
            "a false end of file was seen"
        );
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for daemon in &mut self.daemons {
            processes::send(daemon.id(), Signal::TERM);
            if !holds_within(patience(), || matches!(daemon.try_wait(), Ok(Some(_)))) {
                let _it_may_be_gone = daemon.kill();
                let _reaped = daemon.wait();
            }
        }
        for host in 0..=3 {
            let _made_or_not = Command::new("ip")
                .args(["netns", "del", &self.namespace(host)])
                .status();
        }
        if std::thread::panicking() {
            for host in 1..=2 {
                let log = self.scratch.root().join(format!("{host}.log"));
                eprintln!(
                    "--- host {host}\n{}",
                    fs::read_to_string(log).unwrap_or_default()
                );
            }
        }
    }
}

/// Runs iproute2 with words that hold no blanks.
fn ip(words: &str) {
    let status = Command::new("ip").args(words.split_whitespace()).status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "ip {words} failed"
    );
}

/// A producer that goes on, and a consumer behind it that tells if it ever sees the end.
const ENDLESS: &str =
    "@n2 sh -c 'while echo x; do sleep 0.1; done' | @n1 sh -c 'cat > /dev/null && touch committed'";

#[test]
fn members_are_known_by_their_addresses_and_strangers_are_told_so() {
    let net = net_or_return!();
    net.dpipes(1, &["@n1 seq 5 | @n2 sort -r | @n1 head -n 2"])
        .run()
        .assert_status(0)
        .assert_wrote("5\n4\n");
    net.dpipes_from(2, "10.77.0.1:3747", "seq 2")
        .run()
        .assert_status(0)
        .assert_wrote("1\n2\n");
    net.dpipes_from(3, "10.77.0.1:3747", "seq 2")
        .run()
        .assert_status(125)
        .assert_says("10.77.0.3 is not a member (2 known)")
        .assert_wrote("");
}

/// A daemon looks at its list every two seconds. Whoever is listed a moment ago is let in nevertheless, for the list is read again when
/// an unknown node says its name; and a name alone opens nothing.
#[test]
fn a_node_listed_a_moment_ago_is_let_in_and_a_borrowed_name_is_not() {
    let Some(mut net) = Net::hosts() else {
        return eprintln!("not run: network namespaces take root");
    };
    let file = net
        .scratch
        .file("nodes.yaml", format!("- {}\n", net.entry(1)));
    net.start_daemon_as(1, &net.node(1), &format!("file: {file:?}"));
    let both = format!("nodes: [ {}, {} ]", net.entry(1), net.entry(2));
    net.start_daemon_as(2, &net.node(2), &both);
    net.dpipes(2, &["@n1 seq 1"])
        .run()
        .assert_status(125)
        .assert_says("10.77.0.2 is not a member (1 known), and the registries do not list");
    let list = format!("- {}\n- {}\n", net.entry(1), net.entry(2));
    fs::write(&file, list).unwrap();
    eventually!(
        net.dpipes(2, &["@n1 seq 1"]).run().status == 0,
        "who is listed may connect"
    );
    // The same name from another host.
    net.start_daemon_as(3, &net.node(2), &both);
    net.dpipes(3, &["@n1 seq 1"])
        .run()
        .assert_status(125)
        .assert_says("10.77.0.3 is not a member")
        .assert_says("the registries list")
        .assert_says("at another address");
}

#[test]
fn a_host_that_vanishes_without_a_word_is_noticed_within_the_lease() {
    let net = net_or_return!();
    let running = net.dpipes(1, &[ENDLESS]).spawn();
    eventually!(
        !net.apps(1).is_empty() && !net.apps(2).is_empty(),
        "both stages run"
    );
    ip(&format!("-n {} link set p2 down", net.namespace(0)));
    running.wait().assert_status(125).assert_says(&net.node(2));
    net.assert_gone_without_commit();
    ip(&format!("-n {} link set p2 up", net.namespace(0)));
    eventually!(
        net.dpipes(1, &["@n2 seq 1"]).run().status == 0,
        "the node is used again"
    );
}

#[test]
fn a_host_that_is_heard_but_cannot_hear_ends_the_pipe_on_both_sides() {
    let net = net_or_return!();
    let running = net.dpipes(1, &[ENDLESS]).spawn();
    eventually!(
        !net.apps(1).is_empty() && !net.apps(2).is_empty(),
        "both stages run"
    );
    // Host 1 no longer reaches host 2, while everything host 2 sends would still arrive.
    ip(&format!(
        "-n {} route add blackhole 10.77.0.2/32",
        net.namespace(1)
    ));
    running.wait().assert_status(125);
    net.assert_gone_without_commit();
}
