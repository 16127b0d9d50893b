//! The REST API, asked as its users ask it: by curl, over the unix socket and over TCP.

mod attacks;
mod events;
mod runs;
mod state;

use std::fs;

use serde_json::Value;

use crate::kit::{Cluster, Invocation, Local, Runner, free_port};

/// A cluster of three whose node `a` serves the API.
struct Served {
    cluster: Cluster,
    port: u16,
}

/// An answer as curl prints it with its head.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

// === impl Served ===

impl Served {
    fn new() -> Self {
        Self::with("")
    }

    /// With more keys for its `rest` section.
    fn with(keys: &str) -> Self {
        Self::among(keys, "")
    }

    /// With more sections for the configuration of the node.
    fn among(keys: &str, section: &str) -> Self {
        let port = free_port();
        let rest = format!(
            "rest: {{ listen: [\"unix:api.sock\", \"127.0.0.1:{port}\"], token-file: api-token {keys} }}"
        );
        let cluster = Cluster::builder()
            .node_with("a", |node| node.section(&rest).section(section))
            .node("b")
            .node("c")
            .start();
        Self { cluster, port }
    }

    fn token(&self) -> String {
        let path = self.cluster.scratch().root().join("api-token");
        let token = fs::read_to_string(path).expect("a token that was made at the start");
        token.trim().to_owned()
    }

    /// curl over the unix socket; `path` begins with a slash.
    fn curl(&self, options: &[&str], path: &str) -> Invocation {
        let socket = self.cluster.scratch().root().join("api.sock");
        let mut curl = self.cluster.scratch().command("curl");
        curl.args(["-sS", "--unix-socket"]).arg(socket);
        curl.args(options).arg(format!("http://localhost{path}"));
        Invocation::new(curl)
    }

    /// curl over TCP.
    fn curl_tcp(&self, options: &[&str], path: &str) -> Invocation {
        let mut curl = self.cluster.scratch().command("curl");
        curl.arg("-sS").args(options);
        curl.arg(format!("http://127.0.0.1:{}{path}", self.port));
        Invocation::new(curl)
    }

    /// What is at a path.
    #[track_caller]
    fn get(&self, path: &str) -> Value {
        let run = self.curl(&["--fail-with-body"], path).run();
        run.assert_status(0);
        serde_json::from_str(run.text()).expect("an answer in JSON")
    }

    /// The answer over TCP.
    #[track_caller]
    fn ask(&self, options: &[&str], path: &str) -> Answer {
        let run = self.curl_tcp(&[&["-i"], options].concat(), path).run();
        run.assert_status(0);
        Answer::read(run.text())
    }

    /// The same with the token.
    #[track_caller]
    fn ask_as_operator(&self, options: &[&str], path: &str) -> Answer {
        let token = format!("Authorization: Bearer {}", self.token());
        self.ask(&[&["-H", &token], options].concat(), path)
    }

    fn newest(&self) -> Value {
        self.get("/v1/pipes?all=true")["pipes"][0].clone()
    }

    /// The newest pipe whose first stage runs this app.
    fn newest_of(&self, app: &str) -> Value {
        let all = self.get("/v1/pipes?all=true");
        let mut pipes = all["pipes"].as_array().expect("a list").iter();
        let found = pipes.find(|pipe| pipe["stages"][0]["app"] == app);
        found.expect("a pipe of that app").clone()
    }

    fn is_running(&self) -> bool {
        self.newest()["state"] == "running"
    }
}

// === impl Answer ===

impl Answer {
    fn read(text: &str) -> Self {
        // Before the answer there may be `100 Continue`.
        let text = text
            .rsplit_once("HTTP/1.1 100 Continue\r\n\r\n")
            .map_or(text, |(_, rest)| rest);
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).expect("a status");
        Self {
            status: status.parse().expect("a number"),
            head: head.to_ascii_lowercase(),
            body: body.to_owned(),
        }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("an answer in JSON")
    }

    /// Asserts that it is a problem document with this status and code.
    #[track_caller]
    fn assert_problem(&self, status: u16, code: &str) -> &Self {
        assert_eq!(self.status, status, "{self:?}");
        assert!(
            self.head.contains("content-type: application/problem+json"),
            "{self:?}"
        );
        let problem = self.json();
        assert_eq!(problem["code"], code, "{self:?}");
        assert_eq!(problem["status"], status);
        assert!(
            problem["detail"]
                .as_str()
                .is_some_and(|detail| !detail.is_empty()),
            "{self:?}"
        );
        self
    }
}

#[test]
fn it_is_off_unless_it_is_given_an_address() {
    let cluster = Cluster::of_one();
    assert!(!cluster.scratch().root().join("api.sock").exists());
    assert!(!cluster.node("a").log_text().contains("REST"));
}

#[test]
fn an_address_of_a_network_has_to_be_insisted_on() {
    let local = Local::new();
    let file = local.scratch().file(
        "dpipesd.yaml",
        "run: { allow-root: true }\nrest: { listen: [\"0.0.0.0:3748\"] }\n",
    );
    let check = |more: &[&str]| {
        let arguments = [
            &["--config", file.to_str().unwrap()],
            more,
            &["config", "check"],
        ]
        .concat();
        local.dpipesd(&arguments).run()
    };
    check(&[]).assert_status(78).assert_says("allow-plain");
    let insist = |rest: &str| {
        local.scratch().file(
            "dpipesd.yaml",
            format!(
                "run: {{ allow-root: true }}\nrest: {{ listen: [\"0.0.0.0:3748\"], {rest} }}\n"
            ),
        );
        check(&[])
    };
    insist("allow-plain: true").assert_status(0);
    insist("allow-plain: true, require-token: false")
        .assert_status(78)
        .assert_says("lets everybody there run programs");
}
