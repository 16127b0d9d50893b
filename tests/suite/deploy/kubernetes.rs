//! `deploy/kubernetes/`: what the manifests promise each other, and their configuration with a real etcd. A cluster is not there for tests.

use std::{fs, time::Duration};

use dpipes_testbed::etcd::Member;
use serde::Deserialize;
use serde_json::Value;

use super::{Fleet, is_a_configuration, shipped, text_of};
use crate::{
    kit::{Local, Runner},
    registries::wait,
};

/// From SIGTERM to SIGKILL for the stages that outlive the drain, where the configuration does not say: `run.kill-grace`.
const KILL_GRACE: Duration = Duration::from_secs(5);

fn documents(file: &str) -> Vec<Value> {
    let text = text_of(&format!("kubernetes/{file}"));
    serde_yaml::Deserializer::from_str(&text)
        .map(|document| Value::deserialize(document).unwrap())
        .collect()
}

/// The files that the kustomization names.
fn resources() -> Vec<String> {
    let [kustomization] = &documents("kustomization.yaml")[..] else {
        panic!("one document");
    };
    let names = kustomization["resources"].as_array().unwrap();
    let names = names.iter().map(|name| name.as_str().unwrap().to_owned());
    names.collect()
}

/// The only object of this kind and name.
fn object(kind: &str, name: &str) -> Value {
    let all = resources().into_iter().flat_map(|file| documents(&file));
    let mut found =
        all.filter(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    let object = found.next().unwrap_or_else(|| panic!("no {kind} {name}"));
    assert!(found.next().is_none(), "two {kind} {name}");
    object
}

fn configuration() -> String {
    let map = object("ConfigMap", "dpipesd");
    map["data"]["dpipesd.yaml"].as_str().unwrap().to_owned()
}

fn pods() -> [Value; 2] {
    [
        object("DaemonSet", "dpipesd"),
        object("Deployment", "dpipesd-etcd"),
    ]
}

fn container(workload: &Value) -> &Value {
    let containers = workload["spec"]["template"]["spec"]["containers"].as_array();
    let [container] = &containers.unwrap()[..] else {
        panic!("one container");
    };
    container
}

#[test]
fn every_file_belongs_to_the_kustomization_and_names_no_namespace() {
    let mut files = resources();
    files.push("kustomization.yaml".to_owned());
    files.sort();
    let entries = fs::read_dir(shipped("kubernetes")).unwrap();
    let mut there: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    there.sort();
    assert_eq!(files, there);
    for file in resources() {
        for object in documents(&file) {
            assert_eq!(object["metadata"]["namespace"], Value::Null, "{file}");
        }
    }
}

#[test]
fn no_pod_has_a_right_that_it_does_not_need() {
    for workload in pods() {
        let pod = &workload["spec"]["template"]["spec"];
        assert_eq!(pod["automountServiceAccountToken"], false);
        assert_eq!(pod["enableServiceLinks"], false);
        assert_eq!(pod["hostNetwork"], Value::Null);
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert_eq!(
            pod["securityContext"]["seccompProfile"]["type"],
            "RuntimeDefault"
        );
        let security = &container(&workload)["securityContext"];
        assert_eq!(security["allowPrivilegeEscalation"], false);
        assert_eq!(security["readOnlyRootFilesystem"], true);
        assert_eq!(security["capabilities"]["drop"][0], "ALL");
        assert_eq!(security["capabilities"]["add"], Value::Null);
        for volume in pod["volumes"].as_array().unwrap() {
            assert_eq!(volume["hostPath"], Value::Null);
        }
    }
}

#[test]
fn ports_and_labels_are_the_same_everywhere() {
    for (workload, port) in pods().into_iter().zip([3747, 2379]) {
        let name = workload["metadata"]["name"].as_str().unwrap();
        let labels = &workload["spec"]["template"]["metadata"]["labels"];
        assert_eq!(labels["app.kubernetes.io/name"], name);
        assert_eq!(&workload["spec"]["selector"]["matchLabels"], labels);
        let exposed = &container(&workload)["ports"][0];
        assert_eq!(exposed["containerPort"], port);

        let service = object("Service", name);
        assert_eq!(&service["spec"]["selector"], labels);
        assert_eq!(service["spec"]["ports"][0]["port"], port);
        assert_eq!(service["spec"]["ports"][0]["targetPort"], exposed["name"]);

        let policy = object("NetworkPolicy", name);
        assert_eq!(&policy["spec"]["podSelector"]["matchLabels"], labels);
        let [rule] = &policy["spec"]["ingress"].as_array().unwrap()[..] else {
            panic!("one rule");
        };
        assert_eq!(rule["ports"][0]["port"], port);
        let from = &rule["from"][0]["podSelector"]["matchLabels"];
        assert_eq!(from["app.kubernetes.io/name"], "dpipesd");
    }
    let config: Value = serde_yaml::from_str(&configuration()).unwrap();
    assert_eq!(config["listen"][0], "0.0.0.0:3747");
    assert_eq!(config["registry"][0], "etcd://dpipesd-etcd:2379");
}

#[test]
fn the_configuration_is_one_and_drains_within_the_grace_period() {
    // In the pod it is not root who runs it, and in these tests it may be.
    let here = [("DPIPES_RUN_ALLOW_ROOT", "true")];
    is_a_configuration("the ConfigMap", &configuration(), &here);
    let config: Value = serde_yaml::from_str(&configuration()).unwrap();
    let drain = humantime::parse_duration(config["drain-timeout"].as_str().unwrap()).unwrap();
    let set = object("DaemonSet", "dpipesd");
    let grace = &set["spec"]["template"]["spec"]["terminationGracePeriodSeconds"];
    assert!(drain + KILL_GRACE < Duration::from_secs(grace.as_u64().unwrap()));
}

#[test]
fn the_daemon_is_asked_whether_it_is_well_and_no_port_is_open_for_that() {
    let set = object("DaemonSet", "dpipesd");
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        let command = &container(&set)[probe]["exec"]["command"];
        assert_eq!(command[0], "dpipesd", "{probe}");
        assert_eq!(command[1], "healthcheck", "{probe}");
        // A daemon may take five seconds to answer before it counts as silent.
        assert!(container(&set)[probe]["timeoutSeconds"].as_u64().unwrap() > 5);
    }
}

#[test]
fn volumes_hold_what_the_daemon_reads_and_writes() {
    let set = object("DaemonSet", "dpipesd");
    let container = container(&set);
    let under_a_mount = |path: &str| {
        let mounts = container["volumeMounts"].as_array().unwrap();
        mounts
            .iter()
            .any(|mount| path.starts_with(mount["mountPath"].as_str().unwrap()))
    };
    let variable = |name: &str| {
        let variables = container["env"].as_array().unwrap();
        let found = variables.iter().find(|variable| variable["name"] == name);
        found.unwrap()["value"].as_str().unwrap()
    };
    assert!(under_a_mount(variable("DPIPES_RUNTIME_DIR")));
    assert!(under_a_mount("/tmp"));
    assert_eq!(variable("DPIPES_CONFIG"), "/etc/dpipes/dpipesd.yaml");
    assert!(under_a_mount(variable("DPIPES_CONFIG")));
}

#[test]
fn nodes_started_as_by_the_daemon_set_find_each_other_through_etcd() {
    let set = object("DaemonSet", "dpipesd");
    let command = container(&set)["command"].as_array().unwrap();
    let command: Vec<&str> = command.iter().map(|word| word.as_str().unwrap()).collect();
    let ["dpipesd", arguments @ ..] = &command[..] else {
        panic!("{command:?}");
    };
    let member = wait(Member::start());
    let machine = Local::new();
    let file = machine.scratch().file("dpipesd.yaml", configuration());
    let fleet = Fleet::start(
        machine,
        arguments,
        &[
            ("DPIPES_CONFIG", &file.display().to_string()),
            ("DPIPES_REGISTRY", &format!("etcd://{}", member.endpoint())),
        ],
    );
    fleet.serves_and_leaves();
}
