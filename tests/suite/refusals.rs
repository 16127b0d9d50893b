//! Nothing starts before everybody agreed, and whoever does not agree says why.

use crate::kit::{Cluster, Local, Run, Runner, Signal, eventually};

/// Node `b` has rules, node `a` has none.
fn cluster() -> Cluster {
    let rules = "{ sort: { args: { deny: [\"--compress-program*\"] }, version: \"9.1\" }, cat: {}, touch: {} }";
    Cluster::builder()
        .node("a")
        .node_with("b", |node| node.apps(rules))
        .start()
}

/// Runs a pipeline of which one stage is refused while others would leave marks, and checks that none did.
#[track_caller]
fn refused(cluster: &Cluster, arguments: &[&str], status: i32) -> Run {
    let run = cluster.dpipes(arguments).run();
    run.assert_status(status).assert_wrote("");
    let marks = ["mark-1", "mark-2"].map(|mark| cluster.scratch().has(mark));
    assert_eq!(
        marks,
        [false, false],
        "a stage was started although another was refused: {run:?}"
    );
    assert!(cluster.apps().is_empty(), "something still runs");
    run
}

#[test]
fn a_forbidden_argument_starts_nothing_anywhere() {
    let cluster = cluster();
    let run = refused(
        &cluster,
        &["@a touch mark-1 | @b sort --compress-program=sh | @a touch mark-2"],
        126,
    );
    run.assert_says(&cluster.node("b").name)
        .assert_says("--compress-program");
}

#[test]
fn an_unknown_app_is_127_with_a_near_name() {
    let rules = "{ sort: {}, touch: {} }";
    let listed = Cluster::builder()
        .node_with("a", |node| node.apps(rules))
        .node_with("b", |node| node.apps(rules))
        .start();
    let run = refused(&listed, &["touch mark-1 | srot | touch mark-2"], 127);
    run.assert_says("srot")
        .assert_says("sort")
        .assert_says("^^^^");
}

#[test]
fn an_app_that_no_search_path_has_is_127() {
    let cluster = Cluster::of_three();
    refused(
        &cluster,
        &["touch mark-1 | no-such-program-anywhere | touch mark-2"],
        127,
    )
    .assert_says("no-such-program-anywhere");
    let local = Local::new();
    local
        .dpipes(&["touch mark-1 | no-such-program-anywhere"])
        .run()
        .assert_status(127);
    assert!(!local.scratch().has("mark-1"));
}

#[test]
fn a_builtin_of_shells_is_127_with_a_hint() {
    refused(&cluster(), &["touch mark-1 | @a export X=1"], 127).assert_says("shell");
}

#[test]
fn an_app_that_a_node_does_not_list_is_refused_there() {
    let cluster = cluster();
    let run = cluster.dpipes(&["@a touch mark-1 | @b head -n 1"]).run();
    assert!([126, 127].contains(&run.status), "{run:?}");
    run.assert_says("head");
    assert!(!cluster.scratch().has("mark-1"), "{run:?}");
}

#[test]
fn a_wrong_version_starts_nothing_anywhere() {
    let cluster = cluster();
    let pipeline = "@a touch mark-1 | @b sort";
    let run = refused(&cluster, &["--require", "sort>=99.1", pipeline], 126);
    run.assert_says(&cluster.node("b").name)
        .assert_says("99.1")
        .assert_says("9.1");
    cluster
        .dpipes(&["--require", "sort>=8.30", "@b sort"])
        .run()
        .assert_status(0);
}

#[test]
fn a_variable_asked_for_by_name_is_refused_and_never_dropped() {
    let cluster = cluster();
    let run = refused(
        &cluster,
        &["-e", "LD_PRELOAD=x.so", "@a touch mark-1 | @a touch mark-2"],
        126,
    );
    run.assert_says("LD_PRELOAD");
    refused(&cluster, &["@a touch mark-1 | @a LD_PRELOAD=x.so cat"], 126).assert_says("LD_PRELOAD");
}

#[test]
fn a_full_node_says_so_and_starts_nothing() {
    let cluster = Cluster::builder()
        .node_with("a", |node| node.run("max-processes", "1"))
        .start();
    let run = cluster.dpipes(&["touch mark-1 | touch mark-2"]).run();
    assert!([125, 126].contains(&run.status), "{run:?}");
    run.assert_says(&cluster.node("a").name);
    assert!(
        !cluster.scratch().has("mark-1") && !cluster.scratch().has("mark-2"),
        "{run:?}"
    );
    cluster
        .dpipes(&["echo room for one"])
        .run()
        .assert_status(0);
}

#[test]
fn a_stage_that_a_full_node_refused_goes_to_another() {
    let cluster = Cluster::builder()
        .node("a")
        .node_with("b", |node| node.run("max-processes", "1"))
        .start();
    let holding = cluster.dpipes(&["@b sleep 100"]).spawn();
    eventually!(cluster.node("b").runs_app("sleep"), "the node is full");
    cluster
        .dpipes(&["echo x | cat | cat | cat"])
        .run()
        .assert_status(0)
        .assert_wrote("x\n");
    holding.signal(Signal::TERM);
    holding.wait().assert_status(143);
}

#[test]
fn a_program_that_is_not_executable_is_126() {
    let local = Local::new();
    let program = local.scratch().file("no-program", "text\n");
    let program = program.display().to_string();
    let run = local.dpipes(&[&format!("touch mark-1 | {program}")]).run();
    run.assert_status(126).assert_says("no-program");
    assert!(!local.scratch().has("mark-1"));
}

#[test]
fn an_unknown_node_or_label_starts_nothing() {
    let cluster = cluster();
    refused(&cluster, &["@a touch mark-1 | @no-such-node cat"], 126).assert_says("no-such-node");
    refused(&cluster, &["@a touch mark-1 | @gpu=yes cat"], 126).assert_says("gpu=yes");
}

#[test]
fn labels_place_a_stage() {
    let cluster = Cluster::builder()
        .node("a")
        .node_with("b", |node| node.label("gpu", "\"yes\""))
        .start();
    let run = cluster.dpipes(&["@gpu=yes sh -c 'echo $DP_NODE'"]).run();
    run.assert_status(0)
        .assert_wrote(&format!("{}\n", cluster.node("b").name));
}

#[test]
fn a_check_asks_everybody_and_starts_nothing() {
    let cluster = cluster();
    let run = cluster
        .dpipes(&["check", "@a touch mark-1 | @b sort | @a touch mark-2"])
        .run();
    run.assert_status(0);
    for word in [
        "sort",
        "accepted",
        "nothing was started",
        &cluster.node("a").name,
        &cluster.node("b").name,
    ] {
        assert!(
            run.text().contains(word) || run.stderr.contains(word),
            "no `{word}` in {run:?}"
        );
    }
    let run = cluster
        .dpipes(&["check", "@a touch mark-1 | @b sort --compress-program=sh"])
        .run();
    run.assert_status(3);
    assert!(!cluster.scratch().has("mark-1") && !cluster.scratch().has("mark-2"));
}

#[test]
fn bad_expressions_are_125_with_a_caret_and_start_nothing() {
    let cluster = cluster();
    let bad = [
        "touch mark-1 | cat 'unclosed",
        "touch mark-1 | | cat",
        "touch mark-1 |",
        "touch mark-1 && cat",
        "touch mark-1 ; cat",
        "touch mark-1 | cat > file",
        "touch mark-1 | echo $HOME",
        "touch mark-1 | echo $(date)",
        "touch mark-1 | echo `date`",
        "touch mark-1 | (cat)",
        "touch mark-1 &",
    ];
    for pipeline in bad {
        let run = cluster.dpipes(&["-c", pipeline]).run();
        run.assert_status(125).assert_says("^");
        assert!(!cluster.scratch().has("mark-1"), "{run:?}");
    }
    cluster.dpipes(&["-c", ""]).run().assert_status(125);
}
