//! Nodes and links that fail.

use std::{net::IpAddr, time::Duration};

use dpipes_discovery::{LeaseState, RegistryError};
use mdns_sd::{ServiceDaemon, ServiceInfo};

use super::{
    child,
    hosts::{Host, SOON, net_or_return, node},
};
use crate::bed::names;

/// A node that was cut off is found when the whole question is asked again, once a minute; and some time for a busy machine.
const HEALED: Duration = Duration::from_secs(75);

#[tokio::test]
async fn a_killed_node_is_gone_seconds_after_it_was_suspected() {
    let net = net_or_return!(2);
    let dir = tempfile::tempdir().unwrap();
    let here = Host::new(&net, 1);
    let mut child = child::start(&net, 2, "n2", &dir.path().join("log")).await;
    let mut sort = here.watch("app.sort").await;
    sort.until_nodes(&["n2"]).await;
    here.suspect("n2").await;
    // It answers, and stays: nothing comes in the time that the suspicion takes.
    let quiet = tokio::time::timeout(Duration::from_secs(5), sort.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    child.kill();
    here.suspect("n2").await;
    let took = sort.until_nodes(&[]).await;
    eprintln!("gone {took:?} after the suspicion");
}

#[tokio::test]
async fn a_restarted_node_has_no_twin_and_its_new_start_counts() {
    let net = net_or_return!(2);
    let dir = tempfile::tempdir().unwrap();
    let (here, there) = (Host::new(&net, 1), Host::new(&net, 2));
    let mut child = child::start(&net, 2, "n2", &dir.path().join("log")).await;
    let mut sort = here.watch("app.sort").await;
    sort.until_nodes(&["n2"]).await;
    child.kill();
    let mut what = node("n2", "2", &["sort"]);
    what.port = 4001;
    let lease = there.register(what).await;
    sort.until(|set| names(set) == ["n2"] && set[0].port == 4001)
        .await;
    assert_eq!(sort.now[0].boot(), "2");
    assert_eq!(*lease.state().borrow(), LeaseState::Live);
}

#[tokio::test]
async fn a_pulled_cable_is_an_error_and_not_an_empty_set_and_all_returns_with_it() {
    let net = net_or_return!(2);
    let (here, there) = (Host::new(&net, 1), Host::new(&net, 2));
    let mut sort = here.watch("app.sort").await;
    let lease = there.register(node("n2", "1", &["sort"])).await;
    let mut seen_there = there.watch("app.sort").await;
    sort.until_nodes(&["n2"]).await;
    net.unplug(2);
    let error = loop {
        match seen_there.next().await {
            Some(Ok(set)) => assert_eq!(names(&set), ["n2"]),
            Some(Err(error)) => break error,
            None => panic!("an error before the end"),
        }
    };
    assert!(matches!(error, RegistryError::Unavailable { .. }));
    assert!(error.to_string().contains("eth0 is down"), "{error}");
    let mut state = lease.state();
    wait(&mut state, |state| {
        matches!(state, LeaseState::Retrying { .. })
    })
    .await;
    let refused = there.lookup("app.sort").await.unwrap_err();
    assert!(refused.to_string().contains("eth0 is down"), "{refused}");
    net.plug(2);
    wait(&mut state, |state| *state == LeaseState::Live).await;
    sort.until_nodes(&["n2"]).await;
}

async fn wait(
    state: &mut tokio::sync::watch::Receiver<LeaseState>,
    wanted: impl FnMut(&LeaseState) -> bool,
) {
    let waited = tokio::time::timeout(SOON, state.wait_for(wanted)).await;
    waited.expect("in time").expect("a lease that lives");
}

#[tokio::test]
async fn a_host_that_was_cut_off_is_found_again_within_a_minute() {
    let net = net_or_return!(2);
    let (here, there) = (Host::new(&net, 1), Host::new(&net, 2));
    let _lease = there.register(node("n2", "1", &["sort"])).await;
    let mut sort = here.watch("app.sort").await;
    sort.until_nodes(&["n2"]).await;
    net.cut(2);
    here.suspect("n2").await;
    sort.until_nodes(&[]).await;
    net.heal(2);
    let took = sort.until_within(HEALED, |set| names(set) == ["n2"]).await;
    eprintln!("back {took:?} after the link was healed");
}

#[tokio::test]
async fn a_node_whose_name_was_taken_and_given_back_by_another_is_seen_again() {
    let net = net_or_return!(2);
    let (here, there) = (Host::new(&net, 1), Host::new(&net, 2));
    let lease = here.register(node("n1", "1", &["sort"])).await;
    let mut sort = there.watch("app.sort").await;
    sort.until_nodes(&["n1"]).await;
    let thief = there
        .run(async {
            let thief = ServiceDaemon::new().unwrap();
            let (kind, host) = ("_noded._tcp.local.", "thief.local.");
            let address = IpAddr::from([10, 77, 0, 2]);
            let record = &[("v", "1"), ("id", "thief")][..];
            let mut info = ServiceInfo::new(kind, "n1", host, address, 4000, record).unwrap();
            info.set_requires_probe(false);
            thief.register(info).unwrap();
            thief
        })
        .await;
    sort.until_nodes(&[]).await;
    thief.unregister("n1._noded._tcp.local.").unwrap();
    let took = sort
        .until(|set| names(set) == ["n1"] && set[0].host == "10.77.0.1")
        .await;
    eprintln!("back {took:?} after it was given back");
    assert_eq!(*lease.state().borrow(), LeaseState::Live);
    thief.shutdown().unwrap();
}
