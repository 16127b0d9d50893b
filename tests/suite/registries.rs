//! Daemons that find each other through real registry servers: the same tests for Consul and for etcd.

use std::io::Write as _;

use dpipes_testbed::{consul, etcd};

use crate::kit::{Cluster, Invocation, Local, Runner, Signal, eventually, patience};

/// A registry server that a test can treat badly.
trait Server {
    fn start() -> Self;
    /// As an entry of `registry:`, in YAML's flow style.
    fn entry(&self) -> String;
    /// As the word after `--registry`.
    fn uri(&self) -> String;
    fn kill(&mut self);
    /// Starts it again with what it knew.
    fn restart(&mut self);
    /// Starts it again with nothing.
    fn restart_empty(&mut self);
    fn freeze(&self);
    fn thaw(&self);
}

impl Server for consul::Agent {
    fn start() -> Self {
        Self::start()
    }

    fn entry(&self) -> String {
        format!("consul: {{ address: {:?} }}", self.address())
    }

    fn uri(&self) -> String {
        format!("consul://{}", self.address())
    }

    fn kill(&mut self) {
        Self::kill(self);
    }

    fn restart(&mut self) {
        Self::restart(self);
    }

    fn restart_empty(&mut self) {
        self.wipe();
        Self::restart(self);
    }

    fn freeze(&self) {
        Self::freeze(self);
    }

    fn thaw(&self) {
        Self::thaw(self);
    }
}

impl Server for etcd::Member {
    fn start() -> Self {
        wait(Self::start())
    }

    fn entry(&self) -> String {
        format!("etcd: {{ endpoints: [{:?}] }}", self.endpoint())
    }

    fn uri(&self) -> String {
        format!("etcd://{}", self.endpoint())
    }

    fn kill(&mut self) {
        Self::kill(self);
    }

    fn restart(&mut self) {
        wait(Self::restart(self));
    }

    fn restart_empty(&mut self) {
        self.wipe();
        wait(Self::restart(self));
    }

    fn freeze(&self) {
        Self::freeze(self);
    }

    fn thaw(&self) {
        Self::thaw(self);
    }
}

/// Waits on a thread that has no runtime.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(future)
}

/// Makes a test of each of these functions for each server.
macro_rules! for_each_server {
    ($($name:ident)*) => {
        mod with_consul {
            $(#[test] fn $name() { super::$name::<dpipes_testbed::consul::Agent>(); })*
        }
        mod with_etcd {
            $(#[test] fn $name() { super::$name::<dpipes_testbed::etcd::Member>(); })*
        }
    };
}

for_each_server! {
    each_app_runs_where_it_is_offered
    a_client_without_a_daemon_finds_the_nodes
    a_killed_node_is_replaced_at_once
    a_node_that_leaves_takes_its_apps_back
    an_app_added_by_a_reload_is_found
    a_node_without_weight_takes_no_work
    a_fresh_look_shows_what_every_node_runs
    an_unknown_app_is_127_with_a_near_name
    pipes_outlive_their_registry
    a_registry_that_hangs_stops_nobody
    a_registry_that_lost_everything_is_filled_again
}

/// `a` offers nothing but `echo` and `cat`, `b` and `c` both `sort`, `c` alone `uniq`.
fn cluster(server: &impl Server) -> Cluster {
    let cluster = Cluster::builder()
        .registry(&server.entry())
        .node_with("a", |node| {
            node.apps("{ echo: {}, cat: {} }").section(QUICK)
        })
        .node_with("b", |node| node.apps("{ sort: {} }").section(QUICK))
        .node_with("c", |node| {
            node.apps("{ sort: {}, uniq: {}, sleep: {} }")
                .section(QUICK)
        })
        .start();
    eventually!(
        cluster.dpipes(&["echo x | sort | uniq"]).run().status == 0,
        "every app is found"
    );
    cluster
}

/// The shortest time after which a registry may forget a node, so that tests need not wait for long.
const QUICK: &str = "discovery: { ttl: 5s }";

/// What somebody sees who has no daemon and asks the registry afresh.
fn stranger(machine: &Local, server: &impl Server, arguments: &[&str]) -> Invocation {
    let uri = server.uri();
    machine.plain_dpipes(&[arguments, &["--registry", uri.as_str()]].concat())
}

/// Whether a node's knowledge is told to be old.
fn says_stale(cluster: &Cluster) -> bool {
    let run = cluster.dpipes(&["nodes"]).run();
    format!("{}{}", run.text(), run.stderr).contains("is out of date")
}

fn each_app_runs_where_it_is_offered<S: Server>() {
    let server = S::start();
    let cluster = cluster(&server);
    let run = cluster.dpipes(&["nodes", "--json"]).run();
    for alias in ["a", "b", "c"] {
        assert!(run.text().contains(&cluster.node(alias).name), "{run:?}");
    }
    cluster
        .dpipes(&["echo 'b\na\nb' | sort | uniq -c"])
        .run()
        .assert_status(0)
        .assert_wrote("      1 a\n      2 b\n");
    let mut running = cluster.dpipes(&["cat | sort | uniq"]).stdin_piped().spawn();
    let stdin = running.take_stdin();
    eventually!(
        cluster.node("a").runs_app("cat") && cluster.node("c").runs_app("uniq"),
        "cat and uniq run on their only nodes"
    );
    drop(stdin);
    running.wait().assert_status(0).assert_wrote("");
}

fn a_client_without_a_daemon_finds_the_nodes<S: Server>() {
    let server = S::start();
    let cluster = cluster(&server);
    let machine = Local::new();
    stranger(&machine, &server, &["echo 'b\na' | sort"])
        .run()
        .assert_status(0)
        .assert_wrote("a\nb\n");
    drop(cluster);
}

fn a_killed_node_is_replaced_at_once<S: Server>() {
    let server = S::start();
    let mut cluster = cluster(&server);
    cluster.node_mut("b").crash();
    for _ in 0..10 {
        cluster
            .dpipes(&["echo x | sort | uniq"])
            .run()
            .assert_status(0)
            .assert_wrote("x\n");
    }
    cluster.node_mut("c").crash();
    let run = cluster.dpipes(&["echo x | sort"]).run();
    assert_ne!(run.status, 0, "nobody is left to sort: {run:?}");
    cluster.restart("c");
    eventually!(
        cluster.dpipes(&["echo x | sort"]).run().status == 0,
        "a node that is back is used again"
    );
}

fn a_node_that_leaves_takes_its_apps_back<S: Server>() {
    let server = S::start();
    let mut cluster = cluster(&server);
    cluster.node("c").signal(Signal::TERM);
    let status = cluster.node_mut("c").wait(patience());
    assert!(status.is_some_and(|status| status.success()));
    let machine = Local::new();
    let run = stranger(&machine, &server, &["apps"]).run();
    run.assert_status(0);
    assert!(!run.text().contains("uniq"), "{run:?}");
    assert!(run.text().contains("sort"), "{run:?}");
}

fn an_app_added_by_a_reload_is_found<S: Server>() {
    let server = S::start();
    let cluster = cluster(&server);
    let b = cluster.node("b");
    let before = std::fs::read_to_string(&b.config).unwrap();
    std::fs::write(&b.config, before.replace("sort: {}", "sort: {}, wc: {}")).unwrap();
    b.signal(Signal::HUP);
    eventually!(
        cluster.dpipes(&["echo x | wc -l"]).run().text() == "1\n",
        "the new app is found"
    );
    std::fs::write(&b.config, before).unwrap();
    b.signal(Signal::HUP);
    eventually!(
        cluster.dpipes(&["echo x | wc -l"]).run().status == 127,
        "the app is taken back"
    );
}

fn a_node_without_weight_takes_no_work<S: Server>() {
    let server = S::start();
    let cluster = cluster(&server);
    let set = |alias: &str, from: &str, to: &str| {
        let node = cluster.node(alias);
        let config = std::fs::read_to_string(&node.config).unwrap();
        std::fs::write(&node.config, config.replace(from, to)).unwrap();
        node.signal(Signal::HUP);
    };
    let is_out = |alias: &str| {
        let run = cluster.dpipes(&["nodes"]).run();
        let row = run
            .text()
            .lines()
            .find(|row| row.starts_with(&cluster.node(alias).name));
        row.is_some_and(|row| row.contains(" out "))
    };
    set("b", "node: {", "node: { weight: 0,");
    eventually!(is_out("b"), "everybody hears of it");
    let b = &cluster.node("b").name;
    let run = cluster.dpipes(&[&format!("echo x | @{b} sort")]).run();
    assert_ne!(run.status, 0, "{run:?}");
    cluster
        .dpipes(&["echo y | sort"])
        .run()
        .assert_status(0)
        .assert_wrote("y\n");
    set("b", "weight: 0,", "");
    eventually!(!is_out("b"), "it is back");
    // The entry itself.
    set("a", "node: {", "node: { weight: 0,");
    eventually!(
        cluster.dpipes(&["echo x"]).run().status != 0,
        "the only node with echo takes no work"
    );
}

fn a_fresh_look_shows_what_every_node_runs<S: Server>() {
    let server = S::start();
    let cluster = cluster(&server);
    let machine = Local::new();
    let run = stranger(&machine, &server, &["nodes", "--wide"]).run();
    run.assert_status(0);
    for (alias, apps) in [("a", "cat,echo"), ("b", " sort "), ("c", "sleep,sort,uniq")] {
        let name = &cluster.node(alias).name;
        let row = run.text().lines().find(|row| row.starts_with(name));
        let row = row.unwrap_or_default();
        assert!(row.contains(" up ") && row.contains(apps), "{run:?}");
    }
}

fn an_unknown_app_is_127_with_a_near_name<S: Server>() {
    let server = S::start();
    let cluster = cluster(&server);
    cluster
        .dpipes(&["echo x | srot"])
        .run()
        .assert_status(127)
        .assert_says("srot")
        .assert_says("sort");
}

fn pipes_outlive_their_registry<S: Server>() {
    let mut server = S::start();
    let cluster = cluster(&server);
    let mut running = cluster.dpipes(&["cat | sort | uniq"]).stdin_piped().spawn();
    let mut stdin = running.take_stdin();
    eventually!(cluster.node("c").runs_app("uniq"), "the pipe runs");
    server.kill();
    eventually!(says_stale(&cluster), "the age of the knowledge is said");
    cluster
        .dpipes(&["echo y | sort | uniq"])
        .run()
        .assert_status(0)
        .assert_wrote("y\n");
    stdin.write_all(b"b\na\n").unwrap();
    drop(stdin);
    running.wait().assert_status(0).assert_wrote("a\nb\n");
    server.restart();
    eventually!(!says_stale(&cluster), "the registry is heard again");
}

fn a_registry_that_hangs_stops_nobody<S: Server>() {
    let server = S::start();
    let cluster = cluster(&server);
    server.freeze();
    for _ in 0..3 {
        cluster
            .dpipes(&["echo y | sort | uniq"])
            .run()
            .assert_status(0)
            .assert_wrote("y\n");
    }
    server.thaw();
}

fn a_registry_that_lost_everything_is_filled_again<S: Server>() {
    let mut server = S::start();
    let cluster = cluster(&server);
    server.kill();
    server.restart_empty();
    let machine = Local::new();
    eventually!(
        stranger(&machine, &server, &["echo x | sort | uniq"])
            .run()
            .status
            == 0,
        "every node is back"
    );
    cluster
        .dpipes(&["echo y | sort | uniq"])
        .run()
        .assert_status(0);
}
