//! Pipes that are run over HTTP.

use serde_json::json;

use super::Served;
use crate::kit::{Runner, eventually};

#[test]
fn what_is_sent_flows_through_the_pipe_and_the_statuses_stand_in_the_trailer() {
    let served = Served::new();
    let input: String = (0..300_000)
        .rev()
        .map(|number| format!("{number}\n"))
        .collect();
    let file = served.cluster.scratch().file("input", &input);
    let b = &served.cluster.node("b").name;
    let path = format!("/v1/pipes?pipeline=sort%20-n%20%7C%20@{b}%20cat%20%7C%20grep%20-c%207");
    let data = format!("@{}", file.display());
    let run = served
        .curl(
            &[
                "-N",
                "-D",
                "head",
                "-H",
                "TE: trailers",
                "--data-binary",
                &data,
            ],
            &path,
        )
        .run();
    run.assert_status(0);
    let sevens = input.lines().filter(|line| line.contains('7')).count();
    assert_eq!(run.text(), format!("{sevens}\n"));
    let head = served.cluster.scratch().read("head").to_ascii_lowercase();
    assert!(
        head.contains("dpipes-statuses: 0 0 0") && head.contains("dpipes-status: 0"),
        "{head}"
    );
    let name = served.newest()["pipe"]
        .as_str()
        .unwrap()
        .to_ascii_lowercase();
    assert!(head.contains(&format!("dpipes-pipe: {name}")), "{head}");
}

#[test]
fn every_byte_comes_back_however_much_there_is() {
    let served = Served::new();
    let run = served
        .curl(
            &["-N", "-X", "POST"],
            "/v1/pipes?pipeline=head%20-c%2050000000%20/dev/zero",
        )
        .count_stdout()
        .run();
    run.assert_status(0);
    assert_eq!(run.written, 50_000_000);
}

#[test]
fn a_document_can_say_what_is_to_be_run() {
    let served = Served::new();
    let body = json!({ "pipeline": "cat | tr a-z A-Z | grep -v X", "stdin": "abc\nxyz\n", "options": { "env": { "LC_ALL": "C" } } });
    let options = ["-i", "-H", "TE: trailers", "--json"]
        .map(str::to_owned)
        .to_vec();
    let mut options: Vec<&str> = options.iter().map(String::as_str).collect();
    let body = body.to_string();
    options.push(&body);
    let run = served.curl(&options, "/v1/pipes").run();
    run.assert_status(0);
    assert!(run.text().contains("\r\n\r\nABC\n"), "{run:?}");
    let checked = served
        .curl(&["--json", "{\"pipeline\": \"seq 3 | sort\"}"], "/v1/check")
        .run();
    assert!(
        checked.text().contains("\"program\":\"/usr/bin/sort\""),
        "{checked:?}"
    );
    assert_eq!(
        served.get("/v1/pipes?all=true")["pipes"]
            .as_array()
            .unwrap()
            .len(),
        1,
        "a check is no pipe"
    );
}

#[test]
fn a_status_that_is_not_0_is_an_apps_own_and_the_output_is_whole() {
    let served = Served::new();
    let run = served
        .curl(
            &["-i", "-H", "TE: trailers", "-X", "POST"],
            "/v1/pipes?pipeline=echo%20one%20%7C%20sh%20-c%20%27cat;exit%207%27",
        )
        .run();
    run.assert_status(0);
    let text = run.text().to_ascii_lowercase();
    assert!(
        text.contains("\r\n\r\none\n") && text.contains("dpipes-status: 7"),
        "{run:?}"
    );
}

#[test]
fn a_run_that_fails_breaks_its_answer_off() {
    let mut served = Served::new();
    let b = served.cluster.node("b").name.clone();
    let path = format!("/v1/pipes?pipeline=@{b}%20sh%20-c%20%27echo%20part;%20sleep%20300%27");
    let running = served.curl(&["-N", "-X", "POST"], &path).spawn();
    eventually!(served.newest()["delivered"] == 5, "a part has come");
    served.cluster.node_mut("b").crash();
    let run = running.wait();
    // As curl says that an answer broke off.
    run.assert_status(18);
    assert_eq!(run.text(), "part\n");
    let pipe = served.newest();
    assert_eq!(
        (&pipe["state"], &pipe["failure"]["failure"]),
        (&json!("failed"), &json!("lost-node"))
    );
}

#[test]
fn over_a_protocol_that_cannot_tell_a_part_from_the_whole_nothing_is_run() {
    let served = Served::new();
    let refused = served
        .curl(&["--http1.0", "-X", "POST"], "/v1/pipes?pipeline=seq%203")
        .run();
    assert!(refused.text().contains("http-version"), "{refused:?}");
    assert_eq!(served.get("/v1/pipes?all=true")["pipes"], json!([]));
}

#[test]
fn what_nobody_runs_is_a_problem_and_no_pipe() {
    let served = Served::new();
    let post = |path: &str| served.ask_as_operator(&["-X", "POST"], path);
    post("/v1/pipes?pipeline=no-such-app-anywhere").assert_problem(422, "refused");
    let wrong = post("/v1/pipes?pipeline=seq%203%20%7C");
    wrong.assert_problem(400, "bad-request");
    post("/v1/pipes?pipeline=@nobody%20cat").assert_problem(422, "no-fit");
}

#[test]
fn a_run_whose_client_goes_away_ends_as_that_of_any_other() {
    let served = Served::new();
    let b = &served.cluster.node("b").name;
    let path = format!("/v1/pipes?pipeline=@{b}%20sleep%20300%20%7C%20cat");
    let running = served.curl(&["-N", "-X", "POST"], &path).spawn();
    eventually!(served.is_running(), "the pipe runs");
    running.signal(rustix::process::Signal::KILL);
    eventually!(served.newest()["state"] == "failed", "the pipe has ended");
    eventually!(served.cluster.apps().is_empty(), "its apps are gone");
    assert_eq!(served.newest()["failure"]["reason"], "the client left");
    drop(running);
}

#[test]
fn an_upload_that_breaks_off_is_no_end_of_input() {
    let served = Served::new();
    let path = "/v1/pipes?pipeline=sh%20-c%20%27cat%20%3E/dev/null;touch%20believed%27";
    let mut running = served
        .curl(&["-N", "-T", "-", "-X", "POST", "-H", "Expect:"], path)
        .stdin_piped()
        .spawn();
    let mut input = running.take_stdin();
    std::io::Write::write_all(&mut input, b"a part of it").unwrap();
    eventually!(served.is_running(), "the pipe runs");
    running.signal(rustix::process::Signal::KILL);
    eventually!(served.newest()["state"] == "failed", "the pipe has ended");
    assert!(
        !served.cluster.scratch().has("believed"),
        "no app took it for the end"
    );
    drop((running, input));
}

#[test]
fn a_reader_that_has_enough_ends_the_pipe_as_head_does() {
    let served = Served::new();
    let run = served
        .curl(
            &["-N", "-X", "POST"],
            "/v1/pipes?pipeline=yes%20%7C%20head%20-n%202",
        )
        .run();
    run.assert_status(0);
    assert_eq!(run.text(), "y\ny\n");
}
