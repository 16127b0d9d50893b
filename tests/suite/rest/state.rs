//! What is known: of nodes, apps, registries, pipes and stages; configuration and metrics.

use serde_json::{Value, json};

use super::Served;
use crate::kit::{Runner, eventually, patience};

#[test]
fn nodes_apps_registries_and_the_node_itself_are_told() {
    let served = Served::new();
    let (a, b) = (
        &served.cluster.node("a").name,
        &served.cluster.node("b").name,
    );
    let itself = served.get("/v1/self");
    assert_eq!(
        (&itself["node"], &itself["phase"]),
        (&json!(a), &json!("ready"))
    );
    assert!(itself["load"]["capacity"].as_u64() > Some(0), "{itself}");
    let nodes = served.get("/v1/nodes");
    let named = nodes["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .find(|node| node["node"] == *b);
    assert_eq!(named.unwrap()["state"], "up", "{nodes}");
    let sources = served.get("/v1/registry");
    assert_eq!(sources["sources"][0]["name"], "static", "{sources}");
    assert!(served.get("/v1/apps")["any"].as_array().unwrap().len() >= 3);
    assert_eq!(served.get("/v1/apps/sort")["app"], "sort");
    let document = served.get("/v1/openapi.json");
    assert_eq!(document["info"]["title"], "dpipes");
    for path in ["/livez", "/readyz"] {
        assert_eq!(served.ask(&[], path).status, 200);
    }
}

#[test]
fn a_running_pipe_is_told_with_its_stages_and_ends_when_it_is_told_to() {
    let served = Served::new();
    let running = served
        .cluster
        .dpipes(&["-n", "@b sleep 300 | @c cat"])
        .spawn();
    eventually!(served.is_running(), "the pipe runs");
    let pipe = served.newest();
    let name = pipe["pipe"].as_str().unwrap();
    assert_eq!(pipe["stages"][0]["app"], "sleep");
    assert_eq!(pipe["entry"], served.cluster.node("a").name);
    assert_eq!(
        served.get(&format!("/v1/pipes/{}", &name[18..]))["pipe"],
        name
    );
    let nobody = served
        .curl(&["-X", "DELETE"], "/v1/pipes/01JD9S3V8Y6Q4T2R0P5N7M9K1H")
        .run();
    assert!(nobody.text().contains("no-such-pipe"), "{nobody:?}");
    let path = format!("/v1/pipes/{name}");
    served
        .curl(&["--fail", "-X", "DELETE"], &path)
        .run()
        .assert_status(0);
    running.wait().assert_status(143);
    let again = served.ask_as_operator(&["-X", "DELETE"], &path);
    again.assert_problem(409, "over");
    let over = served.get(&path);
    assert_eq!(over["state"], "failed");
    assert!(
        over["failure_text"]
            .as_str()
            .unwrap()
            .contains("over the REST API"),
        "{over}"
    );
}

#[test]
fn a_signal_goes_to_the_stage_that_is_meant() {
    let served = Served::new();
    let waits =
        |status| format!("sh -c 'trap \"exit {status}\" USR1; while :; do sleep 0.1; done'");
    let pipeline = format!("@b {} | @c {}", waits(8), waits(9));
    let running = served.cluster.dpipes(&["-n", &pipeline]).spawn();
    eventually!(
        served.is_running() && served.cluster.apps().len() >= 4,
        "both shells are in their loops"
    );
    let name = served.newest()["pipe"].as_str().unwrap().to_owned();
    let signal = |stage: u8| {
        let path = format!("/v1/pipes/{name}?signal=USR1&stage={stage}");
        served.ask_as_operator(&["-X", "DELETE"], &path)
    };
    signal(3).assert_problem(404, "no-such-stage");
    signal(0).assert_problem(400, "bad-request");
    assert_eq!(signal(2).status, 202);
    eventually!(
        served.newest()["stages"][1]["exit"] == json!({ "code": 9 }),
        "the second stage has ended"
    );
    assert_eq!(signal(1).status, 202);
    running.wait().assert_status(9);
}

#[test]
fn each_node_tells_of_the_stages_that_run_on_it_whoever_conducts_them() {
    let served = Served::new();
    let running = served
        .cluster
        .dpipes_at("b", &["-n", "@a sleep 300"])
        .spawn();
    eventually!(
        served.get("/v1/stages")["stages"][0]["app"] == "sleep",
        "the stage runs"
    );
    let stage = served.get("/v1/stages")["stages"][0].clone();
    assert_eq!(stage["entry"], served.cluster.node("b").name);
    assert!(stage["pid"].as_u64().is_some());
    assert_eq!(
        served.get("/v1/pipes")["pipes"],
        json!([]),
        "it is another entry's pipe"
    );
    let all = served.get("/v1/pipes?cluster=true");
    assert_eq!(
        (&all["pipes"][0]["entry"], &all["silent"]),
        (&stage["entry"], &json!([]))
    );
    drop(running);
}

#[test]
fn without_the_token_nobody_sees_arguments_or_what_stages_said() {
    let served = Served::new();
    served
        .cluster
        .dpipes(&["-n", "@b sh -c 'echo secret-word >&2'"])
        .run()
        .assert_status(0);
    let name = served.newest()["pipe"].as_str().unwrap().to_owned();
    let path = format!("/v1/pipes/{name}");
    let shown = served.ask(&[], &path);
    assert_eq!(
        (shown.status, &shown.json()["pipeline"]),
        (200, &json!("sh"))
    );
    assert!(!shown.body.contains("secret-word"));
    let shown = served.ask_as_operator(&[], &path).json();
    assert!(shown["pipeline"].as_str().unwrap().contains("secret-word"));
    assert_eq!(shown["stages"][0]["stderr"], "secret-word\n");
    // Nor of a pipe that somebody has run over TCP, from the same address.
    let loud = "@b sh -c 'echo secret-word >&2; kill -9 $$'";
    served
        .cluster
        .dpipes_over_tcp("a", &["-n", loud])
        .run()
        .assert_status(137);
    let refused = ["-n", "--user", "secret-word", "@b true"];
    served.cluster.dpipes_over_tcp("a", &refused).run();
    let list = served.ask(&[], "/v1/pipes?all=true");
    assert_eq!(list.json()["pipes"].as_array().unwrap().len(), 3);
    assert!(!list.body.contains("secret-word"), "{list:?}");
    let loud = served.newest_of("sh")["pipe"].as_str().unwrap().to_owned();
    let shown = served.ask(&[], &format!("/v1/pipes/{loud}"));
    assert!(!shown.body.contains("secret-word"), "{shown:?}");
}

#[test]
fn configuration_and_policy_are_shown_with_their_origin_and_without_secrets() {
    let apps = "apps: { others: allow, tool: { path: /bin/cat, env: { set: { KEY: hunter2 } } } }";
    let served = Served::among("", apps);
    for path in ["/v1/config", "/v1/policy"] {
        served.ask(&[], path).assert_problem(401, "unauthorized");
        let shown = served.ask_as_operator(&[], path);
        assert_eq!(shown.status, 200);
        assert!(
            shown.body.contains("/bin/cat") && !shown.body.contains("hunter2"),
            "{shown:?}"
        );
    }
    let shown = served.get("/v1/config");
    assert!(
        shown["origins"]["node.name"]
            .as_str()
            .unwrap()
            .ends_with("a.yaml"),
        "{shown}"
    );
    assert_eq!(shown["origins"]["run.lease"], "built-in");
    assert_eq!(served.get("/v1/policy")["policy"]["rest"], Value::Null);
}

#[test]
fn a_reload_says_what_is_wrong_and_the_old_configuration_stays() {
    let served = Served::new();
    assert_eq!(served.ask(&["-X", "POST"], "/v1/reload").status, 401);
    assert_eq!(
        served.ask_as_operator(&["-X", "POST"], "/v1/reload").status,
        204
    );
    let file = served.cluster.scratch().root().join("a.yaml");
    let right = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{right}nonsense: 1\n")).unwrap();
    let wrong = served.ask_as_operator(&["-X", "POST"], "/v1/reload");
    wrong.assert_problem(422, "bad-configuration");
    assert!(
        wrong.json()["detail"]
            .as_str()
            .unwrap()
            .contains("nonsense"),
        "{wrong:?}"
    );
    let metrics = served.ask(&[], "/metrics").body;
    assert!(
        metrics.contains("dpipes_config_reload_failures_total 1\n"),
        "{metrics}"
    );
}

#[test]
fn metrics_are_what_prometheus_takes_and_count_what_has_happened() {
    let served = Served::among("", "apps: { others: allow, seq: { path: /usr/bin/seq } }");
    served
        .cluster
        .dpipes(&["-n", "@a seq 1000 | @b sh -c 'cat >/dev/null; exit 3'"])
        .run()
        .assert_status(3);
    served
        .cluster
        .dpipes(&["-n", "no-such-app-anywhere"])
        .run()
        .assert_status(127);
    let metrics = served.ask(&[], "/metrics");
    assert!(
        metrics.head.contains("text/plain; version=0.0.4"),
        "{metrics:?}"
    );
    for line in [
        "dpipes_pipes_started_total 2",
        "dpipes_pipes_finished_total{outcome=\"complete\"} 1",
        "dpipes_pipes_finished_total{outcome=\"failed\"} 1",
        "dpipes_stage_exits_total{app=\"seq\",result=\"zero\"} 1",
        "dpipes_link_bytes_total{app=\"seq\",direction=\"out\"} 3893",
        "dpipes_stages_running 0",
        "dpipes_registry_up{backend=\"static\"} 1",
        "dpipes_access_open 0",
    ] {
        assert!(
            metrics.body.contains(&format!("{line}\n")),
            "{line} is missing: {}",
            metrics.body
        );
    }
    let promtool = dpipes_testbed::servers::Server::Promtool.program();
    let mut check = served.cluster.scratch().command(promtool.to_str().unwrap());
    check.args(["check", "metrics"]);
    let checked = crate::kit::Invocation::new(check).stdin(metrics.body).run();
    checked.assert_status(0);
    assert_eq!(checked.text(), "");
}

#[test]
fn a_node_that_leaves_is_not_ready_and_still_answers() {
    let mut served = Served::new();
    let mut running = served.cluster.dpipes(&["@b cat"]).stdin_piped().spawn();
    let input = running.take_stdin();
    eventually!(served.is_running(), "the pipe runs");
    served
        .cluster
        .node("a")
        .signal(rustix::process::Signal::TERM);
    eventually!(served.ask(&[], "/readyz").status == 503, "it is not ready");
    assert_eq!(served.ask(&[], "/readyz").body, "draining\n");
    drop(input);
    running.wait().assert_status(0);
    let left = served.cluster.node_mut("a").wait(patience());
    assert!(left.is_some_and(|status| status.success()));
}

#[test]
fn the_name_of_a_pipe_stands_in_the_logs_of_all_its_nodes() {
    let served = Served::new();
    served
        .cluster
        .dpipes(&["-n", "@b seq 3 | @c sort"])
        .run()
        .assert_status(0);
    let name = served.newest()["pipe"].as_str().unwrap().to_owned();
    for node in ["a", "b", "c"] {
        eventually!(
            served
                .cluster
                .node(node)
                .log_text()
                .contains(&format!("pipe={name}")),
            "its name is in the log"
        );
    }
}
