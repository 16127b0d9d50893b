//! `deploy/nomad/`: the job's configuration and arguments, with a real Consul. Nomad itself is not there for tests.

use std::time::Duration;

use dpipes_testbed::consul::Agent;
use serde_json::Value;

use super::{Fleet, is_a_configuration, text_of};
use crate::kit::{Local, Runner};

/// The longest that a client of Nomad waits after `kill_signal`, unless its `max_kill_timeout` says otherwise.
const MAX_KILL_TIMEOUT: Duration = Duration::from_secs(30);

struct Job {
    text: String,
}

impl Job {
    fn read() -> Self {
        Self {
            text: text_of("nomad/dpipesd.nomad.hcl"),
        }
    }

    /// The configuration that the job's template writes.
    fn configuration(&self) -> &str {
        let (_, rest) = self.text.split_once("<<EOF_DPIPESD\n").unwrap();
        rest.split_once("\nEOF_DPIPESD\n").unwrap().0
    }

    /// The value of the only attribute of this name.
    fn attribute(&self, name: &str) -> &str {
        let mut values = self.text.lines().filter_map(|line| {
            let (key, value) = line.split_once('=')?;
            (key.trim() == name).then(|| value.trim())
        });
        let value = values.next().unwrap_or_else(|| panic!("no {name}"));
        assert_eq!(values.next(), None, "{name} is there twice");
        value
    }
}

fn duration(text: &str) -> Duration {
    humantime::parse_duration(text.trim_matches('"')).unwrap()
}

#[test]
fn the_configuration_of_the_job_is_one_and_drains_within_its_kill_timeout() {
    let job = Job::read();
    is_a_configuration("the job", job.configuration(), &[]);
    let config: Value = serde_yaml::from_str(job.configuration()).unwrap();
    let period = |value: &Value| duration(value.as_str().unwrap());
    let needed = period(&config["drain-timeout"]) + period(&config["run"]["kill-grace"]);
    let given = duration(job.attribute("kill_timeout"));
    assert!(needed < given && given <= MAX_KILL_TIMEOUT);
    let port = job.attribute("static");
    assert_eq!(
        config["listen"][0].as_str(),
        Some(format!("0.0.0.0:{port}").as_str())
    );
}

#[test]
fn nodes_started_as_by_the_job_find_each_other_through_consul() {
    let job = Job::read();
    let agent = Agent::start();
    let machine = Local::new();
    machine.scratch().file("dpipesd.yaml", job.configuration());
    let arguments: Vec<String> = serde_json::from_str(job.attribute("args")).unwrap();
    let task_dir = machine.scratch().work().display().to_string();
    let arguments: Vec<String> = arguments
        .iter()
        .map(|argument| argument.replace("${NOMAD_TASK_DIR}", &task_dir))
        .collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let fleet = Fleet::start(
        machine,
        &arguments,
        &[("CONSUL_HTTP_ADDR", &agent.address())],
    );
    fleet.serves_and_leaves();
}
