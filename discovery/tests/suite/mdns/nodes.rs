//! Nodes that come, change and go as they should.

use std::{os::unix::fs::MetadataExt, path::Path};

use dpipes_discovery::{Health, LeaseState, Registry, RegistryError, ServiceDef};

use super::hosts::{Host, net_or_return, node};
use crate::bed::{names, service};

#[tokio::test]
async fn a_new_node_is_seen_and_its_goodbye_too() {
    let net = net_or_return!(2);
    let (here, there) = (Host::new(&net, 1), Host::new(&net, 2));
    let mut sort = here.watch("app.sort").await;
    assert_eq!(sort.now, [], "nobody answers, and that is an answer");
    let lease = there.register(node("n2", "1", &["sort"])).await;
    assert_eq!(*lease.state().borrow(), LeaseState::Live);
    let took = sort.until_nodes(&["n2"]).await;
    eprintln!("seen {took:?} after the announcement");
    assert_eq!(sort.now[0].host, "10.77.0.2");
    assert_eq!(sort.now[0].health, Health::Unknown);
    lease.deregister().await.unwrap();
    let took = sort.until_nodes(&[]).await;
    eprintln!("gone {took:?} after the goodbye");
}

#[tokio::test]
async fn a_dropped_lease_stops_answering() {
    let net = net_or_return!(2);
    let (here, there) = (Host::new(&net, 1), Host::new(&net, 2));
    let lease = there.register(node("n2", "1", &["sort"])).await;
    let mut sort = here.watch("app.sort").await;
    sort.until_nodes(&["n2"]).await;
    drop(lease);
    sort.until_nodes(&[]).await;
}

#[tokio::test]
async fn a_changed_list_of_apps_is_seen_without_a_removal_between() {
    let net = net_or_return!(2);
    let (here, there) = (Host::new(&net, 1), Host::new(&net, 2));
    let lease = there.register(node("n2", "1", &["sort", "cat"])).await;
    let mut cat = here.watch("app.cat").await;
    let mut wc = here.watch("app.wc").await;
    cat.until_nodes(&["n2"]).await;
    for round in 0..5 {
        let apps = if round % 2 == 0 {
            ["cat", "wc"]
        } else {
            ["cat", "sort"]
        };
        let defs = apps.map(|app| ServiceDef::new(service(&format!("app.{app}"))));
        lease.update(defs.into()).await.unwrap();
        let there: &[&str] = if round % 2 == 0 { &["n2"] } else { &[] };
        let took = wc.until_nodes(there).await;
        eprintln!("changed {took:?} after the update");
    }
    lease.set_health(Health::Warning, "draining").await.unwrap();
    // Every item of the app that stayed is looked at: none of them is without the node.
    cat.until(|set| {
        assert_eq!(names(set), ["n2"]);
        set[0].health == Health::Warning
    })
    .await;
    lease.set_health(Health::Passing, "").await.unwrap();
    cat.until(|set| set[0].health == Health::Unknown).await;
}

#[tokio::test]
async fn two_registries_on_one_host_see_each_other() {
    let net = net_or_return!(1);
    let (one, two) = (Host::new(&net, 1), Host::new(&net, 1));
    let _one = one.register(node("n1", "1", &["sort"])).await;
    let _two = two.register(node("n2", "1", &["sort"])).await;
    for host in [&one, &two] {
        host.watch("app.sort")
            .await
            .until_nodes(&["n1", "n2"])
            .await;
    }
}

#[tokio::test]
async fn the_newer_start_of_a_node_wins_and_the_older_is_told() {
    let net = net_or_return!(3);
    let hosts = [1, 2, 3].map(|number| Host::new(&net, number));
    let mut sort = hosts[0].watch("app.sort").await;
    let old = hosts[1].register(node("twin", "1", &["sort"])).await;
    sort.until_nodes(&["twin"]).await;
    let new = hosts[2].register(node("twin", "2", &["sort"])).await;
    sort.until(|set| set.len() == 1 && set[0].host == "10.77.0.3")
        .await;
    let mut state = old.state();
    let told = state.wait_for(|state| matches!(state, LeaseState::Retrying { .. }));
    let told = tokio::time::timeout(super::hosts::SOON, told).await;
    let told = format!("{:?}", told.unwrap().unwrap());
    assert!(told.contains("10.77.0.3:4000, started later"), "{told}");
    let refused = old.set_health(Health::Warning, "").await;
    assert!(matches!(refused, Err(RegistryError::Conflict { .. })));
    old.deregister().await.unwrap();
    let late = hosts[1].try_register(node("twin", "1", &["sort"])).await;
    assert!(
        matches!(late, Err(RegistryError::Conflict { .. })),
        "{late:?}"
    );
    assert_eq!(names(&hosts[0].lookup("app.sort").await.unwrap()), ["twin"]);
    assert_eq!(*new.state().borrow(), LeaseState::Live);
}

#[tokio::test]
async fn a_second_registration_in_one_process_takes_the_name_over() {
    let net = net_or_return!(1);
    let host = Host::new(&net, 1);
    let old = host.register(node("n1", "1", &["sort"])).await;
    let new = host.register(node("n1", "2", &["sort"])).await;
    let late = host.try_register(node("n1", "1", &["sort"])).await;
    assert!(matches!(late, Err(RegistryError::Conflict { .. })));
    let told = old.set_health(Health::Critical, "").await;
    assert!(
        matches!(told, Err(RegistryError::Conflict { .. })),
        "{told:?}"
    );
    old.deregister().await.unwrap();
    let mut sort = host.watch("app.sort").await;
    sort.until(|set| names(set) == ["n1"] && set[0].boot() == "2")
        .await;
    new.deregister().await.unwrap();
    sort.until_nodes(&[]).await;
}

#[tokio::test]
async fn nothing_is_left_running_after_the_last_user() {
    let net = net_or_return!(1);
    let host = Host::new(&net, 1);
    // Those on this host: other tests may run in the same process.
    let inode = |path: &Path| std::fs::metadata(path).map(|metadata| metadata.ino());
    let own = inode(&Path::new("/run/netns").join(net.namespace(1))).unwrap();
    let threads = || {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
        let here = tasks.filter(|task| inode(&task.path().join("ns/net")).is_ok_and(|i| i == own));
        let names = here.map(|task| std::fs::read_to_string(task.path().join("comm")));
        let names = names.flatten();
        names.filter(|name| name.trim() == "mDNS_daemon").count()
    };
    let before = threads();
    let lease = host.register(node("n1", "1", &["sort"])).await;
    let watch = host.watch("app.sort").await;
    assert_eq!(threads(), before + 1, "a watch and a lease share one");
    drop(watch);
    lease.deregister().await.unwrap();
    let deadline = tokio::time::Instant::now() + super::hosts::SOON;
    while threads() > before {
        assert!(tokio::time::Instant::now() < deadline, "the thread ends");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    // And it begins again.
    assert_eq!(host.lookup("app.sort").await.unwrap(), []);
}

#[tokio::test]
async fn services_are_those_of_all_nodes() {
    let net = net_or_return!(2);
    let hosts = [1, 2].map(|number| Host::new(&net, number));
    let _one = hosts[0].register(node("n1", "1", &["sort"])).await;
    let _two = hosts[1].register(node("n2", "1", &["cat"])).await;
    let mut cat = hosts[0].watch("app.cat").await;
    cat.until_nodes(&["n2"]).await;
    let mdns = hosts[0].mdns.clone();
    let listed = hosts[0].run(async move { mdns.services().await }).await;
    let listed: Vec<_> = listed.unwrap().into_iter().map(String::from).collect();
    assert_eq!(listed, ["app.cat", "app.sort", "noded"]);
}
