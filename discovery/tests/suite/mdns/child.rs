//! A node in a process of its own, for tests that kill it.

use std::{path::Path, time::Duration};

use dpipes_discovery::{Registry, mdns::Mdns};
use dpipes_testbed::{net::Net, process::Process};

use super::hosts::{SOON, config, node};
use crate::bed::service_names;

/// Names the node; its apps are `sort` and `cat`.
const NODE: &str = "DPIPES_TEST_NODE";
const ANNOUNCED: &str = "the node is announced";

/// Starts a node on a host, and waits until it is announced.
pub(crate) async fn start(net: &Net, host: u8, name: &str, log: &Path) -> Process {
    let mut command = net.command(host, std::env::current_exe().unwrap());
    command.args(["--exact", "mdns::child::a_node", "--ignored", "--nocapture"]);
    let child = Process::start(
        {
            command.env(NODE, name);
            command
        },
        log,
    );
    let deadline = tokio::time::Instant::now() + SOON;
    while !child.log().contains(ANNOUNCED) {
        assert!(tokio::time::Instant::now() < deadline, "{}", child.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    child
}

#[tokio::test]
#[ignore = "other tests run it on a host, and kill it"]
async fn a_node() {
    let Ok(name) = std::env::var(NODE) else {
        return;
    };
    let mdns = Mdns::new(config(&["eth0"]), service_names()).unwrap();
    let _lease = mdns
        .register(node(&name, "1", &["sort", "cat"]))
        .await
        .unwrap();
    println!("{ANNOUNCED}");
    std::future::pending().await
}
