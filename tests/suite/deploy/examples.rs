//! `deploy/examples/`: configurations to begin with.

use std::{collections::BTreeSet, fs};

use super::{is_a_configuration, shipped, text_of};
use crate::kit::{Local, Runner};

/// What is in the folder and no configuration of a daemon.
const OTHERS: [&str; 2] = ["client.yaml", "nodes.yaml"];

/// Beginnings for each way of finding nodes, and for the two ends: as little as possible, and something special.
const DAEMONS: [&str; 6] = [
    "consul.yaml",
    "etcd-tls.yaml",
    "gpu.yaml",
    "locked-down.yaml",
    "mdns.yaml",
    "static.yaml",
];

#[test]
fn every_example_of_a_daemon_is_taken_by_it() {
    let names: BTreeSet<String> = fs::read_dir(shipped("examples"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !OTHERS.contains(&name.as_str()))
        .collect();
    assert_eq!(Vec::from_iter(&names), DAEMONS);
    for name in names {
        let text = text_of(&format!("examples/{name}"));
        // The list lies beside its example in the folder, and in a real directory; here it would be missed.
        is_a_configuration(&name, &text, &[]);
    }
}

#[test]
fn the_example_of_a_client_is_taken_by_it() {
    let machine = Local::new();
    let folder = machine.scratch().root().join("home/config/dpipes");
    fs::create_dir_all(&folder).unwrap();
    let text = text_of("examples/client.yaml");
    fs::write(folder.join("dpipes.yaml"), &text).unwrap();
    let check = || machine.plain_dpipes(&["config", "check"]).run();
    check().assert_status(0);
    // A check that would take anything says nothing.
    fs::write(folder.join("dpipes.yaml"), text + "conect: node-b:3747\n").unwrap();
    assert_ne!(check().status, 0);
}

#[test]
fn the_example_of_a_list_names_three_nodes() {
    let machine = Local::new();
    // Nobody is asked beyond this machine: the same list with addresses of loopback, where nobody listens.
    let list = text_of("examples/nodes.yaml").replace("10.0.0.", "127.0.0.");
    machine.scratch().file("nodes.yaml", list);
    let run = machine
        .plain_dpipes(&["nodes", "--registry", "static:nodes.yaml"])
        .run();
    for (name, address) in [
        ("node-a", "127.0.0.11:3747"),
        ("node-b", "127.0.0.12:3747"),
        ("node-c", "127.0.0.13:3747"),
    ] {
        let line = run.text().lines().find(|line| line.starts_with(name));
        assert!(line.is_some_and(|line| line.contains(address)), "{run:?}");
    }
}
