//! What every bed has to do, whatever its registry is.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    sync::Arc,
};

use crate::{
    bed::{Bed, Node, Profile, docker},
    kit::{Running, eventually},
    loops::Loop,
};

/// The pipeline of the first minute.
const FIRST: &str = "cat /data/words.txt | sort | uniq -c | sort -rn | head";

/// Pipelines over the apps that the bed offers. bash, in the container of the entry, says what is right. Without `pipefail` where a stage
/// may or may not have written everything before its reader left.
const PIPELINES: [&str; 8] = [
    FIRST,
    "cat data/words.txt | tr a-z A-Z | grep -c E",
    "seq 200000 | sort -rn | uniq | tail -n 3",
    "cat /data/words.txt | grep -v e | wc",
    "cat /data/words.txt | head -n 1",
    "cat /data/nothing | wc -l",
    "seq 5 | grep 7",
    "cat /data/access.log | sort | sort -r | head -n 5 | wc -c",
];

/// A producer that goes on, and a consumer at another node that tells if it ever sees the end. `grep` runs between them.
const ENDLESS: &str = "@node-a sh -c 'while echo x; do sleep 0.1; done' | @node-b grep --line-buffered x \
                       | @node-c sh -c 'rm -f /tmp/committed; cat > /dev/null && touch /tmp/committed'";

/// A test, with its name.
type Test = (&'static str, fn(&Arc<Bed>));

macro_rules! tests {
    ($($name:ident)*) => { [$((stringify!($name), $name as fn(&Arc<Bed>))),*] };
}

/// The tests of a profile, in the order in which they run.
pub(crate) fn all(profile: Profile) -> impl Iterator<Item = Test> {
    let all = tests![
        pipelines_give_what_bash_gives
        statuses_are_those_of_bash
        stages_run_on_different_nodes
        nodes_and_their_apps_are_listed
        a_client_that_is_killed_leaves_nothing_behind
        a_node_killed_in_mid_run_is_loud_and_then_replaced
        a_frozen_node_ends_the_run_within_the_lease
        a_node_cut_off_in_mid_run_is_loud_and_used_again_afterwards
        a_rolling_restart_gives_no_wrong_result
    ];
    let with_server = tests![a_run_outlives_the_registrys_restart];
    let of_consul = tests![
        consul_shows_the_nodes_and_their_checks
        a_node_runs_as_nobody_in_particular
        a_configuration_that_lets_everyone_in_has_to_say_so
        a_taken_port_is_named
    ];
    let of_etcd = tests![etcd_holds_the_nodes];
    let server = profile.server().map(|_| with_server);
    let consul = (profile == Profile::Consul).then_some(of_consul);
    let etcd = (profile == Profile::Etcd).then_some(of_etcd);
    all.into_iter()
        .chain(server.into_iter().flatten())
        .chain(consul.into_iter().flatten())
        .chain(etcd.into_iter().flatten())
}

fn pipelines_give_what_bash_gives(bed: &Arc<Bed>) {
    for pipeline in PIPELINES {
        let wanted = bed.bash(Node::A, pipeline);
        for entry in Node::ALL {
            let got = bed.dpipes(entry, &[pipeline]).run();
            assert!(
                got.stdout == wanted.stdout,
                "got {got:?}\nwanted {wanted:?}"
            );
            assert_eq!(got.status, wanted.status, "got {got:?}\nwanted {wanted:?}");
        }
    }
}

fn statuses_are_those_of_bash(bed: &Arc<Bed>) {
    for (options, status) in [(&["-o", "pipefail"][..], 3), (&[], 0)] {
        let words = [options, &["sh -c 'echo x; exit 3' | wc -c"]].concat();
        let run = bed.dpipes(Node::A, &words).run();
        run.assert_status(status).assert_wrote("2\n");
    }
}

fn stages_run_on_different_nodes(bed: &Arc<Bed>) {
    let check = bed.dpipes(Node::A, &["check", FIRST]).run();
    check.assert_status(0);
    for node in [Node::A, Node::B] {
        assert!(check.text().contains(node.name()), "{check:?}");
    }
    for node in Node::ALL {
        let placed = format!(
            "@{} {}",
            node.name(),
            if node == Node::B {
                "wc -c"
            } else {
                "head -c 1"
            }
        );
        bed.dpipes(Node::A, &[&placed])
            .stdin("xy")
            .run()
            .assert_status(0);
    }
    bed.dpipes(Node::A, &["@node-b cat"])
        .run()
        .assert_status(126)
        .assert_says("node-b");
}

fn nodes_and_their_apps_are_listed(bed: &Arc<Bed>) {
    let apps = bed.dpipes(Node::C, &["apps"]).run();
    for app in ["cat", "grep", "seq", "sort", "uniq"] {
        assert!(
            apps.text()
                .lines()
                .any(|line| line.split_whitespace().next() == Some(app)),
            "{app}: {apps:?}"
        );
    }
    let labelled = bed.dpipes(Node::C, &["nodes", "--wide"]).run();
    for zone in ["zone=a", "zone=b", "zone=c"] {
        assert!(labelled.text().contains(zone), "{labelled:?}");
    }
    bed.dpipes(Node::C, &["@zone=a seq 2"])
        .run()
        .assert_status(0)
        .assert_wrote("1\n2\n");
}

/// Starts [`ENDLESS`] and waits until all of it runs.
fn endless(bed: &Arc<Bed>) -> Running {
    let running = bed.dpipes(Node::A, &[ENDLESS]).spawn();
    eventually!(
        bed.runs(Node::A, "sleep") && bed.runs(Node::B, "grep") && bed.runs(Node::C, "cat"),
        "every stage runs"
    );
    running
}

/// Checks that the last stage has not taken the loss for the end of its input.
fn assert_not_committed(bed: &Arc<Bed>) {
    bed.assert_tidy();
    bed.on(Node::C, &["test", "!", "-e", "/tmp/committed"])
        .run()
        .assert_status(0);
}

/// Waits until a stage runs on `node-b` once more.
fn until_used_again(bed: &Arc<Bed>) {
    eventually!(
        bed.dpipes(Node::A, &["@node-b wc -c"])
            .stdin("xyz")
            .run()
            .status
            == 0,
        "the node is used again"
    );
}

fn a_client_that_is_killed_leaves_nothing_behind(bed: &Arc<Bed>) {
    let running = endless(bed);
    bed.on(Node::A, &["sh", "-c", "for p in /proc/[0-9]*; do [ \"$(cat $p/comm)\" = dpipes ] && kill -9 ${p#/proc/}; done; true"])
        .run()
        .assert_status(0);
    assert_eq!(running.wait().status, 137);
    assert_not_committed(bed);
}

fn a_node_killed_in_mid_run_is_loud_and_then_replaced(bed: &Arc<Bed>) {
    let wanted = bed.bash(Node::A, FIRST);
    let running = endless(bed);
    bed.engine("kill", Node::B);
    running.wait().assert_status(125).assert_says("node-b");
    // Its place is taken at once, and it leaves the list.
    bed.dpipes(Node::A, &[FIRST])
        .run()
        .assert_status(0)
        .assert_wrote(wanted.text());
    bed.until_gone(Node::A, Node::B);
    bed.engine("start", Node::B);
    bed.until_healthy(Node::B);
    bed.until_up(Node::A, Node::B);
    bed.dpipes(Node::A, &["@node-b wc -c"])
        .stdin("xyz")
        .run()
        .assert_status(0)
        .assert_wrote("3\n");
    assert_not_committed(bed);
}

fn a_frozen_node_ends_the_run_within_the_lease(bed: &Arc<Bed>) {
    let running = endless(bed);
    bed.engine("pause", Node::B);
    running.wait().assert_status(125).assert_says("node-b");
    bed.engine("unpause", Node::B);
    bed.until_up(Node::A, Node::B);
    until_used_again(bed);
    assert_not_committed(bed);
}

fn a_node_cut_off_in_mid_run_is_loud_and_used_again_afterwards(bed: &Arc<Bed>) {
    let running = endless(bed);
    bed.cut(Node::B);
    running.wait().assert_status(125).assert_says("node-b");
    bed.join(Node::B);
    bed.until_all_know_all();
    until_used_again(bed);
    assert_not_committed(bed);
}

fn a_rolling_restart_gives_no_wrong_result(bed: &Arc<Bed>) {
    let wanted = bed.bash(Node::A, FIRST);
    let loops = Node::ALL.map(|from| Loop::start(bed, from, FIRST, &wanted));
    for node in Node::ALL {
        bed.engine("restart", node);
        bed.until_healthy(node);
        for seen_from in Node::ALL {
            bed.until_up(seen_from, node);
        }
    }
    // All nodes are back: from here on nothing may fail.
    for from in Node::ALL {
        for _ in 0..5 {
            bed.dpipes(from, &[FIRST])
                .run()
                .assert_status(0)
                .assert_wrote(wanted.text());
        }
    }
    for running in loops {
        let tally = running.stop();
        eprintln!("rolling restart: {tally}");
        assert!(tally.wrong.is_empty(), "{:#?}", tally.wrong);
        assert!(tally.right > 0 && tally.right_since > 0, "{tally}");
    }
}

fn a_run_outlives_the_registrys_restart(bed: &Arc<Bed>) {
    let server = bed.profile().server().expect("only where there is one");
    let running = bed.dpipes(Node::A, &["@node-a sh -c 'echo before; until [ -e /tmp/go ]; do sleep 0.1; done; echo after' | @node-b grep ."]).spawn();
    eventually!(bed.runs(Node::B, "grep"), "the pipe runs");
    bed.compose(&["restart", server]).run().assert_status(0);
    bed.on(Node::A, &["touch", "/tmp/go"])
        .run()
        .assert_status(0);
    running
        .wait()
        .assert_status(0)
        .assert_wrote("before\nafter\n");
    bed.on(Node::A, &["rm", "/tmp/go"]).run().assert_status(0);
    // The server has forgotten everything, or not; either way every node is registered with it again, which a client that knows nothing
    // but the registry can tell.
    let uri = format!(
        "{server}://{server}:{}",
        if bed.profile() == Profile::Etcd {
            2379
        } else {
            8500
        }
    );
    for node in Node::ALL {
        eventually!(
            bed.dpipes(Node::A, &["nodes", "--registry", &uri])
                .run()
                .text()
                .lines()
                .any(|line| line.starts_with(node.name()) && line.contains(" up ")),
            "{} is registered again",
            node.name()
        );
    }
}

fn consul_shows_the_nodes_and_their_checks(bed: &Arc<Bed>) {
    let get = |path: &str| {
        let mut stream = bed.published("consul", 8500);
        write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")
            .expect("a server that listens");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("text");
        answer
    };
    assert!(
        get("/ui/").contains("200 OK"),
        "the user interface is published on this machine"
    );
    for (service, nodes) in [("dpipesd", 3), ("dp.sort", 2), ("dp.seq", 1)] {
        let passing = get(&format!("/v1/health/service/{service}?passing=1"));
        assert_eq!(
            passing
                .matches(&format!("\"ServiceID\": \"{service}@"))
                .count(),
            nodes,
            "{service}: {passing}"
        );
    }
}

fn etcd_holds_the_nodes(bed: &Arc<Bed>) {
    let keys = bed
        .on_service(
            "etcd",
            &[
                "/usr/local/bin/etcdctl",
                "get",
                "--prefix",
                "--keys-only",
                "/dpipes/v1/",
            ],
        )
        .run();
    for wanted in ["dpipesd", "dp.sort", "node-a", "node-b", "node-c"] {
        assert!(keys.text().contains(wanted), "{keys:?}");
    }
}

fn a_node_runs_as_nobody_in_particular(bed: &Arc<Bed>) {
    for (words, wanted) in [
        (&["id", "-u"][..], "3747\n"),
        (
            &[
                "sh",
                "-c",
                "touch /x /usr/bin/x 2>/dev/null; ls /x /usr/bin/x 2>/dev/null",
            ],
            "",
        ),
        (
            &[
                "grep",
                "-c",
                "^CapEff:\t0000000000000000$",
                "/proc/1/status",
            ],
            "1\n",
        ),
    ] {
        assert_eq!(bed.on(Node::A, words).run().text(), wanted, "{words:?}");
    }
    bed.dpipes(Node::A, &["@node-c sh -c 'id -u'"])
        .run()
        .assert_status(0)
        .assert_wrote("3747\n");
}

fn a_configuration_that_lets_everyone_in_has_to_say_so(_bed: &Arc<Bed>) {
    for words in [
        &["--networks", "0.0.0.0/0"][..],
        &["--networks", "::/0"],
        &["--networks", "0.0.0.0/1,128.0.0.0/1"],
    ] {
        let run = docker(
            &[
                &["run", "--rm", "dpipes-bed", "dpipesd", "--foreground"],
                words,
            ]
            .concat(),
        )
        .run();
        run.assert_status(78).assert_says("open");
    }
}

/// Compose says so itself; the docs say what to do.
fn a_taken_port_is_named(bed: &Arc<Bed>) {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("it is bound").port().to_string();
    let second = format!("{}-second", std::process::id());
    let run = |words: &[&str]| {
        bed.compose_as(&second, words)
            .env("DPIPES_CONSUL_PORT", &port)
            .run()
    };
    let up = run(&["up", "-d", "consul"]);
    let down = run(&["down"]);
    assert_ne!(up.status, 0, "{up:?}");
    assert!(up.stderr.contains(&port), "{up:?}");
    down.assert_status(0);
    let docs = include_str!("../../docs/deploy.md");
    assert!(
        docs.contains("DPIPES_CONSUL_PORT"),
        "the way out is documented"
    );
}
