//! `deploy/etcd/`: the script that makes the user of the nodes, with a real etcd that asks who one is.

use std::os::unix::fs::PermissionsExt;

use dpipes_testbed::{etcd::Member, servers::Server};

use super::shipped;
use crate::{
    kit::{Cluster, Invocation, Local, Runner, bash, eventually},
    registries::wait,
};

/// A script with the shipped one and etcdctl at hand.
fn script(machine: &Local, member: &Member, text: &str) -> Invocation {
    let etcdctl = Server::Etcdctl.program();
    let dirs = [etcdctl.parent().unwrap(), &shipped("etcd")].map(|dir| dir.display().to_string());
    let text = format!(
        "set -e; PATH={}:$PATH; export ETCDCTL_API=3; {text}",
        dirs.join(":")
    );
    bash(machine.scratch(), &text).env(
        "ETCDCTL_ENDPOINTS",
        &format!("http://{}", member.endpoint()),
    )
}

/// As docs/deploy.md does it.
#[track_caller]
fn turn_authentication_on(machine: &Local, member: &Member) {
    script(
        machine,
        member,
        "echo root-word | etcdctl user add root --interactive=false; etcdctl auth enable",
    )
    .run()
    .assert_status(0);
}

#[test]
fn the_user_of_the_script_does_what_a_node_does_and_no_more() {
    let member = wait(Member::start());
    let machine = Local::new();
    turn_authentication_on(&machine, &member);
    let as_root =
        |text: &str| script(&machine, &member, text).env("ETCDCTL_USER", "root:root-word");
    // Twice: who is not sure whether it was run runs it again.
    as_root("make-user.sh password; make-user.sh password")
        .run()
        .assert_status(0);
    let file = machine.scratch().work().join("password");
    let mode = file.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "others can read the password");

    let registry = format!(
        "etcd: {{ endpoints: [{:?}], user: dpipes, password-file: {file:?} }}",
        member.endpoint()
    );
    let cluster = Cluster::builder()
        .registry(&registry)
        .node_with("a", |node| node.apps("{ echo: {} }"))
        .node_with("b", |node| node.apps("{ sort: {} }"))
        .start();
    eventually!(
        cluster.dpipes(&["echo x | sort"]).run().status == 0,
        "the nodes see each other"
    );

    let as_node = |text: &str| {
        script(
            &machine,
            &member,
            &format!("export ETCDCTL_USER=dpipes:$(cat password); {text}"),
        )
        .run()
    };
    as_node("etcdctl get --prefix /dpipes/v1/").assert_status(0);
    for denied in [
        "etcdctl put /dpipes/v2/x 1",
        "etcdctl get --prefix /",
        "etcdctl user list",
    ] {
        let run = as_node(denied);
        assert_ne!(run.status, 0, "{run:?}");
        run.assert_says("permission denied");
    }
}

#[test]
fn the_script_makes_nothing_where_it_may_not() {
    let member = wait(Member::start());
    let machine = Local::new();
    turn_authentication_on(&machine, &member);
    let run = script(&machine, &member, "make-user.sh password")
        .env("ETCDCTL_USER", "root:wrong-word")
        .run();
    assert_ne!(run.status, 0, "{run:?}");
    assert!(!machine.scratch().has("password"));
    let run = script(&machine, &member, "make-user.sh").run();
    assert_ne!(run.status, 0);
    run.assert_says("usage: make-user.sh");
}
