//! Bad input is refused where it stands, with what to do about it.

use std::fs;

use crate::kit::{
    Cluster, DPIPESD, Invocation, Local, Run, Runner, Signal, eventually, free_port, holds_within,
    patience,
};

/// Starts a daemon with this configuration, which must end at once.
#[track_caller]
fn start_with(text: &str) -> Run {
    let machine = Local::new();
    let file = machine.scratch().file("bad.yaml", text);
    machine
        .dpipesd(&["--foreground", "--config", &file.display().to_string()])
        .run()
}

#[test]
fn an_unknown_key_is_78_with_its_place_and_the_nearest_key() {
    let run = start_with("version: 1\nlisten: [\"127.0.0.1:0\"]\nacces: local\n");
    run.assert_status(78)
        .assert_says("bad.yaml:3")
        .assert_says("acces")
        .assert_says("`access`")
        .assert_says("^");
}

#[test]
fn an_unknown_key_inside_a_section_is_78_too() {
    let run = start_with("version: 1\nrun:\n  kill-grace: 1s\n  leese: 3s\n");
    run.assert_status(78)
        .assert_says("bad.yaml:4")
        .assert_says("leese")
        .assert_says("`lease`")
        .assert_says("^");
}

#[test]
fn a_wrong_type_is_78_with_its_place() {
    for (text, line) in [
        ("version: 1\nrun: { max-processes: many }\n", "bad.yaml:2"),
        ("version: 1\nlisten: 3747\n", "bad.yaml:2"),
        ("version: 1\nrun:\n  lease: quite long\n", "bad.yaml:3"),
        ("version: 1\naccess: everybody\n", "bad.yaml:2"),
        ("version: 1\nnode: { name: \"two words\" }\n", "bad.yaml:2"),
    ] {
        start_with(text)
            .assert_status(78)
            .assert_says(line)
            .assert_says("^");
    }
}

#[test]
fn a_repeated_key_is_78() {
    start_with("version: 1\naccess: local\naccess: open\n")
        .assert_status(78)
        .assert_says("access");
}

#[test]
fn broken_yaml_is_78_with_its_place() {
    start_with("version: 1\nlisten: [\"127.0.0.1:0\"\naccess: local\n")
        .assert_status(78)
        .assert_says("bad.yaml:");
}

#[test]
fn a_missing_file_is_78() {
    let machine = Local::new();
    let run = machine
        .dpipesd(&["--foreground", "--config", "no-such-file.yaml"])
        .run();
    run.assert_status(78).assert_says("no-such-file.yaml");
}

#[test]
fn a_check_of_the_configuration_starts_nothing() {
    let machine = Local::new();
    let good = machine.scratch().file(
        "good.yaml",
        "version: 1\nlisten: [\"127.0.0.1:1\"]\naccess: local\nrun: { allow-root: true }\n",
    );
    let good = good.display().to_string();
    machine
        .dpipesd(&["config", "check", "--config", &good])
        .run()
        .assert_status(0);
}

#[test]
fn a_registry_that_cannot_be_is_refused_by_daemon_and_client_alike() {
    let machine = Local::new();
    for (registry, said) in [
        ("zookeeper://h:1", "this build knows `static`"),
        ("consul://localhost", "`localhost:8500`"),
        ("consul://::1:8500", "`[::1]:8500`"),
        ("etcd://h:2379/a//b", "between any two slashes"),
        ("mdns://eth0", "`mdns:eth0,eth1`"),
    ] {
        let flag = ["--registry", registry];
        machine
            .dpipesd(&[&["--foreground"], &flag[..]].concat())
            .run()
            .assert_status(78)
            .assert_says("--registry")
            .assert_says(said);
        machine
            .plain_dpipes(&[&flag[..], &["true"]].concat())
            .run()
            .assert_status(125)
            .assert_says("--registry")
            .assert_says(said);
        machine
            .dpipesd(&["config", "check"])
            .env("DPIPES_REGISTRY", registry)
            .run()
            .assert_status(78)
            .assert_says("$DPIPES_REGISTRY")
            .assert_says(said);
        start_with(&format!("version: 1\nregistry:\n  - {registry}\n"))
            .assert_status(78)
            .assert_says("bad.yaml:3:5")
            .assert_says(said);
    }
}

#[test]
fn a_password_in_a_registry_is_refused_and_not_repeated() {
    let machine = Local::new();
    let registry = "consul://ann:hunter2@127.0.0.1:8500";
    let daemon = machine.dpipesd(&["--registry", registry]).run();
    let client = machine
        .plain_dpipes(&["--registry", registry, "true"])
        .run();
    let file = start_with(&format!("version: 1\nregistry:\n  - {registry}\n"));
    for (run, status) in [(daemon, 78), (client, 125), (file, 78)] {
        run.assert_status(status).assert_says("`token-file`");
        assert!(!run.stderr.contains("hunter2"), "{run:?}");
    }
}

#[test]
fn what_is_shown_of_a_registry_has_no_secret_and_every_origin() {
    let machine = Local::new();
    let file = machine.scratch().file(
        "r.yaml",
        "run: { allow-root: true }\nregistry:\n  - etcd: { user: u, password: geheim }\n  - consul:\n",
    );
    let file = file.display().to_string();
    let run = machine
        .dpipesd(&["config", "show", "--origin", "--config", &file])
        .env("CONSUL_HTTP_TOKEN", "s3cret")
        .run();
    run.assert_status(0);
    let line = |key: &str| {
        let found = run
            .text()
            .lines()
            .find(|line| line.trim_start().starts_with(key));
        found.unwrap_or_default().to_owned()
    };
    let (password, token) = (line("password:"), line("token:"));
    assert!(
        password.contains("(hidden)") && password.ends_with(&file),
        "{password}"
    );
    assert!(
        token.contains("(hidden)") && token.ends_with("# $CONSUL_HTTP_TOKEN"),
        "{token}"
    );
    assert!(!format!("{run:?}").contains("geheim") && !format!("{run:?}").contains("s3cret"));
}

#[test]
fn a_check_tells_of_members_that_nobody_guards() {
    let machine = Local::new();
    machine.scratch().allow_any_user("");
    let run = machine
        .dpipesd(&["config", "check"])
        .env("DPIPES_REGISTRY", "mdns:lo")
        .run();
    run.assert_status(0);
    assert!(
        run.text()
            .contains("warning: members by announcement (mdns on lo)"),
        "{run:?}"
    );
}

#[test]
fn a_taken_port_is_69() {
    let cluster = Cluster::of_one();
    cluster.scratch().allow_any_user("");
    let taken = cluster.node("a").address.to_string();
    let mut command = cluster.scratch().command(DPIPESD);
    command.args(["--foreground", "--listen", &taken, "--access", "local"]);
    Invocation::new(command)
        .run()
        .assert_status(69)
        .assert_says(&taken);
}

#[test]
fn a_taken_port_is_69_for_a_daemon_in_the_background_too() {
    let cluster = Cluster::of_one();
    cluster.scratch().allow_any_user("");
    let taken = cluster.node("a").address.to_string();
    let mut command = cluster.scratch().command(DPIPESD);
    command.args(["--listen", &taken, "--access", "local"]);
    Invocation::new(command)
        .run()
        .assert_status(69)
        .assert_says(&taken);
}

#[test]
fn unknown_options_are_usage_errors() {
    let machine = Local::new();
    machine
        .dpipesd(&["--no-such-option"])
        .run()
        .assert_status(2)
        .assert_says("--no-such-option");
    machine
        .plain_dpipes(&["--no-such-option", "true"])
        .run()
        .assert_status(125)
        .assert_says("--no-such-option");
    machine
        .plain_dpipes(&["echo", "unquoted", "words"])
        .run()
        .assert_status(125)
        .assert_says("'echo unquoted words'");
}

#[test]
fn an_entry_that_is_not_there_is_125_with_its_address() {
    let machine = Local::new();
    let nobody = format!("127.0.0.1:{}", free_port());
    machine
        .plain_dpipes(&["--connect", &nobody, "true"])
        .run()
        .assert_status(125)
        .assert_says(&nobody);
    machine
        .plain_dpipes(&["--connect", "unix:no-such.sock", "true"])
        .run()
        .assert_status(125)
        .assert_says("no-such.sock");
}

#[test]
fn an_unreachable_node_is_125_with_every_address_that_was_tried() {
    let mut cluster = Cluster::of_three();
    for lost in ["b", "c"] {
        cluster.node_mut(lost).crash();
    }
    for lost in ["b", "c"] {
        let address = cluster.node(lost).address.to_string();
        let run = cluster
            .dpipes(&[&format!("@a touch started | @{lost} cat")])
            .run();
        run.assert_status(125)
            .assert_says(&address)
            .assert_says(&cluster.node(lost).name);
    }
    assert!(!cluster.scratch().has("started"));
    cluster
        .dpipes(&["@a echo x"])
        .run()
        .assert_status(0)
        .assert_wrote("x\n");
}

#[test]
fn a_reload_with_a_bad_file_keeps_the_old_configuration() {
    let cluster = Cluster::of_one();
    let node = cluster.node("a");
    let good = fs::read_to_string(&node.config).unwrap();
    fs::write(&node.config, format!("{good}acces: open\n")).unwrap();
    node.signal(Signal::HUP);
    eventually!(
        node.log_text().contains("acces"),
        "the daemon says what is wrong"
    );
    cluster
        .dpipes(&["seq 3 | tail -n 1"])
        .run()
        .assert_status(0)
        .assert_wrote("3\n");
    fs::write(&node.config, format!("{good}apps: {{ seq: {{}} }}\n")).unwrap();
    node.signal(Signal::HUP);
    let refused = || cluster.dpipes(&["tail -n 1"]).run().status != 0;
    assert!(
        holds_within(patience(), refused),
        "a good file is not taken after a bad one"
    );
    cluster
        .dpipes(&["seq 1"])
        .run()
        .assert_status(0)
        .assert_wrote("1\n");
}

#[test]
fn a_reload_leaves_running_pipes_alone() {
    let cluster = Cluster::of_one();
    let node = cluster.node("a");
    let mut running = cluster.dpipes(&["cat | cat"]).stdin_piped().spawn();
    let stdin = running.take_stdin();
    eventually!(node.runs_app("cat"), "the pipe runs");
    let good = fs::read_to_string(&node.config).unwrap();
    fs::write(&node.config, format!("{good}apps: {{ seq: {{}} }}\n")).unwrap();
    node.signal(Signal::HUP);
    let refused = || cluster.dpipes(&["tail -n 1"]).run().status != 0;
    assert!(holds_within(patience(), refused), "the new file is taken");
    drop(stdin);
    running.wait().assert_status(0);
}

#[test]
fn a_changed_list_of_nodes_is_noticed_without_a_reload() {
    let cluster = Cluster::of_three();
    let list = cluster.scratch().root().join("nodes.yaml");
    let (a, b) = (cluster.node("a"), cluster.node("b"));
    let shorter = format!(
        "- {{ name: {}, addr: \"{}\" }}\n- {{ name: {}, addr: \"{}\" }}\n",
        a.name, a.address, b.name, b.address
    );
    let whole = fs::read_to_string(&list).unwrap();
    fs::write(&list, shorter).unwrap();
    let gone = || cluster.dpipes(&["@c true"]).run().status != 0;
    assert!(
        holds_within(patience(), gone),
        "a node that left the list is still used"
    );
    fs::write(&list, whole).unwrap();
    let back = || cluster.dpipes(&["@c true"]).run().status == 0;
    assert!(
        holds_within(patience(), back),
        "a node that came back to the list is not used"
    );
}

/// Nobody listens on the port: it belongs to a listener that was closed.
fn required_and_absent(machine: &Local) -> String {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = port.local_addr().unwrap();
    drop(port);
    let root = machine.scratch().root().display().to_string();
    let text = format!(
        "version: 1\nlisten: [\"127.0.0.1:0\"]\nrun: {{ allow-root: true }}\nregistry:\n  - consul: {{ address: \"{address}\" }}\n\
         discovery: {{ required: true }}\npid-file: {root}/required.pid\nlog: {{ file: {root}/required.log }}\n"
    );
    machine
        .scratch()
        .file("required.yaml", text)
        .display()
        .to_string()
}

#[test]
fn a_daemon_that_waits_for_its_registries_can_be_stopped() {
    let machine = Local::new();
    let config = required_and_absent(&machine);
    for signal in [Signal::TERM, Signal::INT] {
        let waiting = machine
            .dpipesd(&["--foreground", "--config", &config])
            .spawn();
        let status = || machine.dpipesd(&["status", "--config", &config]).run();
        eventually!(status().status == 0, "it has its pid file");
        waiting.signal(signal);
        let run = waiting.wait();
        run.assert_status(0);
        assert!(!run.stderr.contains(" listening on "), "{run:?}");
    }
}

#[test]
fn who_starts_a_daemon_that_never_is_ready_hears_why_it_ended() {
    let machine = Local::new();
    let config = required_and_absent(&machine);
    let starter = machine.dpipesd(&["--config", &config]).spawn();
    let asked = |what: &str| machine.dpipesd(&[what, "--config", &config]).run();
    eventually!(asked("status").status == 0, "it has its pid file");
    asked("stop").assert_status(0);
    starter
        .wait()
        .assert_status(1)
        .assert_says("`discovery: required`")
        .assert_says("told to leave before every registry had answered");
    assert_ne!(asked("status").status, 0);
}

#[test]
fn a_port_that_is_taken_is_named_with_who_has_it_and_the_next_step() {
    let machine = Local::new();
    machine.scratch().allow_any_user("");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for start in [&["--foreground"][..], &[]] {
        machine
            .dpipesd(&[start, &["--listen", &address]].concat())
            .run()
            .assert_status(69)
            .assert_says(&format!(
                "cannot listen on {address}: Address already in use"
            ))
            .assert_says(&format!("by pid {} (", std::process::id()))
            .assert_says("--listen 127.0.0.1:0");
    }
}

#[test]
fn an_option_before_a_subcommand_is_obeyed_and_one_that_it_lacks_is_told_with_its_usage() {
    let machine = Local::new();
    machine.scratch().file(
        "nodes.yaml",
        "version: 1\nnodes: [ { name: far, addr: \"127.0.0.1:1\" } ]\n",
    );
    let run = machine
        .plain_dpipes(&["--no-daemon", "--registry", "static:nodes.yaml", "nodes"])
        .run();
    run.assert_status(0);
    assert!(run.text().contains("\nfar "), "{run:?}");
    machine
        .plain_dpipes(&["--tag", "nodes"])
        .run()
        .assert_status(2)
        .assert_says("unexpected argument '--tag'")
        .assert_says("Usage: dpipes nodes [OPTIONS]");
}
