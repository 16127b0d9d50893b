//! What registries say, and what the daemons make of it.

use std::fs;

use crate::kit::{Cluster, Invocation, Local, Runner, eventually};

/// Writes the list of nodes anew: all of them, with these words after name and address.
fn list(cluster: &Cluster, words: &[(&str, &str)]) {
    let line = |(alias, words): &(&str, &str)| {
        let node = cluster.node(alias);
        let words = if words.is_empty() {
            String::new()
        } else {
            format!(", {words}")
        };
        format!(
            "- {{ name: {}, addr: \"{}\"{words} }}\n",
            node.name, node.address
        )
    };
    let text: String = words.iter().map(line).collect();
    let file = cluster.scratch().root().join("nodes.yaml");
    // Renamed over, so that nobody reads half of it.
    fs::write(file.with_extension("new"), text).unwrap();
    fs::rename(file.with_extension("new"), file).unwrap();
}

/// Two nodes that run two apps each, and an entry that runs one of them.
fn listed() -> Cluster {
    let apps = "{ sort: { path: /usr/bin/sort }, cat: { path: /usr/bin/cat } }";
    let cluster = Cluster::builder()
        .node_with("a", |node| node.apps("{ cat: { path: /usr/bin/cat } }"))
        .node_with("b", |node| node.apps(apps))
        .node_with("c", |node| node.apps(apps))
        .start();
    list(&cluster, &listing("", ""));
    cluster
}

/// The list with more words for `b` and `c`.
fn listing(b: &'static str, c: &'static str) -> [(&'static str, &'static str); 3] {
    let both = |more| match more {
        "weight: 0" => "apps: [sort, cat], weight: 0",
        "labels" => "apps: [sort, cat], labels: { gpu: yes-please }",
        _ => "apps: [sort, cat]",
    };
    [("a", "apps: [cat]"), ("b", both(b)), ("c", both(c))]
}

#[test]
fn an_operator_takes_a_node_out_and_puts_it_back() {
    let cluster = listed();
    let name = |alias: &str| cluster.node(alias).name.clone();
    let offers = || cluster.dpipes(&["apps", "sort"]).run();
    eventually!(
        offers().text().matches("passing").count() == 2,
        "both nodes offer the app"
    );
    list(&cluster, &listing("weight: 0", ""));
    eventually!(
        offers().text().contains("(taken out by an operator)"),
        "the list is read again"
    );
    // Each service is read by a look of its own, two seconds apart at most.
    let b = name("b");
    eventually!(
        cluster
            .dpipes(&["nodes", "--wide"])
            .run()
            .text()
            .lines()
            .any(|line| line.starts_with(&b) && line.contains(" out ")),
        "the node is shown as taken out"
    );
    for _ in 0..10 {
        let check = cluster.dpipes(&["check", "sort"]).run();
        check.assert_status(0);
        let text = check.text();
        assert!(text.contains(&format!("sort  {}", name("c"))), "{text}");
        assert!(
            text.contains("taken out by an operator (weight 0)"),
            "{text}"
        );
    }
    list(&cluster, &listing("weight: 0", "weight: 0"));
    eventually!(
        cluster.dpipes(&["-n", "sort"]).run().status == 126,
        "nobody is left"
    );
    cluster
        .dpipes(&["-n", "sort"])
        .run()
        .assert_status(126)
        .assert_says("`weight` above 0; an operator took out those that would");
    list(&cluster, &listing("", "weight: 0"));
    eventually!(
        cluster.dpipes(&["-n", "sort"]).run().status == 0,
        "it is used again"
    );
}

#[test]
fn check_says_why_a_node_is_not_taken() {
    let cluster = listed();
    list(&cluster, &listing("labels", ""));
    eventually!(
        cluster
            .dpipes(&["check", "@gpu=yes-please sort"])
            .run()
            .status
            == 0,
        "the label is read"
    );
    let check = cluster.dpipes(&["check", "@gpu=yes-please sort"]).run();
    assert!(
        check.text().contains("does not fit @gpu=yes-please"),
        "{check:?}"
    );
    let json = cluster
        .dpipes(&["check", "--json", "@gpu=yes-please sort"])
        .run();
    assert!(
        json.text().contains("\"verdict\":\"the pipeline says so\""),
        "{json:?}"
    );
    assert!(json.text().contains("\"health\":\""), "{json:?}");
    // A run is not explained.
    let run = cluster.dpipes(&["-n", "@gpu=yes-please sort"]).run();
    run.assert_status(0);
}

#[test]
fn an_app_that_nobody_has_is_told_from_one_that_was_mistyped() {
    let cluster = listed();
    let says = |invocation: Invocation| {
        let run = invocation.run();
        (run.status, run.stderr)
    };
    eventually!(
        says(cluster.dpipes(&["-n", "srot"]))
            .1
            .contains("did you mean `sort`"),
        "the list is read"
    );
    let (status, _) = says(cluster.dpipes(&["-n", "srot"]));
    assert_eq!(status, 127);
    let (status, stderr) = says(cluster.dpipes(&["apps", "srot"]));
    assert_eq!(status, 1);
    assert!(stderr.contains("did you mean `sort` (2 nodes)"), "{stderr}");
    let (status, stderr) = says(cluster.dpipes(&["-n", "nothing-like-it"]));
    assert_eq!(status, 127);
    assert!(stderr.contains("asked static"), "{stderr}");
    assert!(!stderr.contains("did you mean"), "{stderr}");
}

#[test]
fn a_registry_that_was_never_read_is_no_proof_that_an_app_is_missing() {
    let cluster = Cluster::builder()
        .node_with("a", |node| node.apps("{ cat: { path: /usr/bin/cat } }"))
        .start();
    let missing = cluster.scratch().root().join("missing.yaml");
    let registry = format!("static:{}", missing.display());
    let run = cluster
        .dpipes(&["--no-daemon", "--registry", &registry, "-n", "sort"])
        .run();
    run.assert_status(125)
        .assert_says("nothing was read yet from the registry static")
        .assert_says("missing.yaml")
        .assert_says("dpipes doctor");
}

#[test]
fn a_list_that_becomes_unreadable_stays_in_use_and_says_so() {
    let cluster = listed();
    let apps = || cluster.dpipes(&["apps"]).run();
    eventually!(apps().text().contains("sort "), "the list is read");
    let file = cluster.scratch().root().join("nodes.yaml");
    fs::write(&file, "no: [list").unwrap();
    eventually!(
        apps().text().contains("what static says is out of date"),
        "the error is seen"
    );
    cluster.dpipes(&["-n", "sort"]).run().assert_status(0);
    assert!(apps().text().contains("sort "));
    let json = cluster.dpipes(&["nodes", "--json"]).run();
    assert!(json.text().contains("\"stale\":\""), "{json:?}");
    assert!(json.text().contains("\"known_ms\":"), "{json:?}");
}

#[test]
fn a_fresh_look_at_a_list_asks_the_nodes_themselves() {
    let cluster = Cluster::builder()
        .node_with("a", |node| node.apps("{ sort: {} }"))
        .node("b")
        .start();
    let list = cluster.scratch().root().join("nodes.yaml");
    let list = format!("static:{}", list.display());
    let machine = Local::new();
    let run = machine.plain_dpipes(&["nodes", "--registry", &list]).run();
    run.assert_status(0);
    assert!(!run.text().contains("unknown"), "{run:?}");
    let run = machine.plain_dpipes(&["apps", "--registry", &list]).run();
    run.assert_status(0);
    assert!(run.text().contains("sort"), "{run:?}");
}

/// Half a rack may be gone before a registry knows.
#[test]
fn many_dead_nodes_keep_no_pipe_from_the_living() {
    let apps = "{ echo: {}, cat: {} }";
    let cluster = Cluster::builder()
        .node_with("a", |node| node.apps(apps))
        .node_with("b", |node| node.apps(apps))
        .start();
    let file = cluster.scratch().root().join("nodes.yaml");
    let mut list = fs::read_to_string(&file).unwrap();
    for number in 0..40 {
        // Nobody listens on the discard port.
        list += &format!("- {{ name: dead-{number}, addr: \"127.0.0.1:9\", apps: [echo, cat] }}\n");
    }
    fs::write(&file, list).unwrap();
    eventually!(
        cluster.dpipes(&["nodes"]).run().text().contains("dead-39"),
        "the list is read"
    );
    for _ in 0..5 {
        cluster
            .dpipes(&["echo x | cat | cat"])
            .run()
            .assert_status(0)
            .assert_wrote("x\n");
    }
}
