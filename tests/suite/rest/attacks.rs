//! What nobody should send, and web pages that should not get through.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use super::{Answer, Served};
use crate::kit::Runner;

/// Longer than any answer takes, and than the time that a head may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sends bytes as they are, and reads until the connection is closed.
fn send(served: &Served, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", served.port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // The other end may have had enough before all of it is sent.
    let _sent = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _closed = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn is_well(served: &Served) {
    assert_eq!(served.ask(&[], "/livez").body, "ok\n");
}

#[test]
fn what_is_wrong_is_told_as_a_problem() {
    let served = Served::new();
    let ask = |options: &[&str], path: &str| served.ask_as_operator(options, path);
    let json = ["-H", "Content-Type: application/json", "-d"];
    let with = |body: &'static str| [&json[..], &[body]].concat();
    ask(&[], "/v1/nothing").assert_problem(404, "no-such-path");
    ask(&["-X", "PUT"], "/v1/pipes").assert_problem(405, "method-not-allowed");
    assert!(
        ask(&["-X", "PUT"], "/v1/pipes")
            .head
            .contains("allow: get,head,post")
    );
    ask(&[], "/v1/pipes/01JD9S3V8Y6Q4T2R0P5N7M9K1H").assert_problem(404, "no-such-pipe");
    ask(&[], "/v1/pipes?limit=0").assert_problem(400, "bad-request");
    ask(&[], "/v1/pipes?nonsense=1").assert_problem(400, "bad-request");
    for body in [
        "{",
        "[]",
        "{\"pipeline\": 3}",
        "{\"pipeline\": \"cat\", \"more\": 1}",
        "{}",
    ] {
        ask(&with(body), "/v1/pipes").assert_problem(400, "bad-request");
    }
    ask(&["-d", "{}"], "/v1/pipes").assert_problem(415, "bad-request");
    let long = format!("{{\"pipeline\": \"{}\"}}", "x".repeat(2 << 20));
    let file = served.cluster.scratch().file("long", long);
    let file = format!("@{}", file.display());
    let long = [
        "-H",
        "Content-Type: application/json",
        "-H",
        "Expect:",
        "--data-binary",
        &file,
    ];
    ask(&long, "/v1/pipes").assert_problem(413, "bad-request");
    is_well(&served);
}

#[test]
fn a_change_takes_the_token_and_no_other() {
    let served = Served::new();
    let post =
        |header: &str| served.ask(&["-X", "POST", "-H", header], "/v1/pipes?pipeline=seq%203");
    let refused = post("X-Nothing: 1");
    refused.assert_problem(401, "unauthorized");
    assert!(refused.head.contains("www-authenticate: bearer"));
    let token = served.token();
    for wrong in [
        "Authorization: Bearer".to_owned(),
        "Authorization: Bearer wrong".to_owned(),
        format!("Authorization: Basic {token}"),
        format!("Authorization: Bearer {}", &token[1..]),
        format!("Authorization: Bearer {token}x"),
    ] {
        post(&wrong).assert_problem(401, "unauthorized");
    }
    // Whoever shows a wrong one is not to think that it was right.
    served
        .ask(&["-H", "Authorization: Bearer wrong"], "/v1/pipes")
        .assert_problem(401, "unauthorized");
    assert_eq!(
        post(&format!("authorization: bearer {token}"))
            .body
            .trim_end(),
        "1\n2\n3"
    );
}

#[test]
fn without_a_token_where_its_owner_wants_none_the_plain_command_works() {
    let served = Served::with(", require-token: false");
    let file = served.cluster.scratch().file("big.txt", "b\na\nb\n");
    let data = format!("@{}", file.display());
    let run = served
        .curl_tcp(
            &["-N", "--data-binary", &data],
            "/v1/pipes?pipeline=sort%20|%20uniq%20-c",
        )
        .run();
    run.assert_status(0);
    assert_eq!(run.text(), "      1 a\n      2 b\n");
    let page = ["-X", "POST", "-H", "Origin: http://evil.example"];
    served
        .ask(&page, "/v1/pipes?pipeline=seq%203")
        .assert_problem(403, "bad-origin");
}

#[test]
fn a_page_of_another_origin_gets_nowhere() {
    let served = Served::with(", hosts: [pipes.example]");
    let host = |host: &str| served.ask(&["-H", &format!("Host: {host}")], "/v1/pipes");
    for own in ["localhost", "127.0.0.1:1", "[::1]:3748", "pipes.example"] {
        assert_eq!(host(own).status, 200, "{own}");
    }
    for foreign in [
        "evil.example",
        "localhost.evil.example",
        "10.0.0.1",
        "pipes.example.evil:80",
    ] {
        host(foreign).assert_problem(403, "bad-host");
    }
    let origin =
        |origin: &str| served.ask_as_operator(&["-H", &format!("Origin: {origin}")], "/v1/pipes");
    assert_eq!(
        origin(&format!("http://127.0.0.1:{}", served.port)).status,
        200
    );
    for foreign in [
        "null",
        "http://evil.example",
        "http://127.0.0.1:1",
        "https://localhost.evil.example",
    ] {
        origin(foreign).assert_problem(403, "bad-origin");
    }
    let shown = served.ask(
        &["-X", "OPTIONS", "-H", "Access-Control-Request-Method: POST"],
        "/v1/pipes",
    );
    assert!(!shown.head.contains("access-control-allow"), "{shown:?}");
    for said in [
        "content-security-policy: default-src 'self'",
        "x-content-type-options: nosniff",
        "x-frame-options: deny",
        "cache-control: no-store",
    ] {
        assert!(shown.head.contains(said), "{said}: {shown:?}");
    }
}

#[test]
fn tricks_with_paths_lead_nowhere() {
    let served = Served::new();
    for path in [
        "/../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%2fmod.rs",
        "//etc/passwd",
        "/v1/../../etc/passwd",
        "/app.js/",
        "/v1/pipes/..%2f..%2fself",
        "/v1/pipes/%00",
        "/v1/pipes/%ff",
    ] {
        let answer = served.ask(&["--path-as-is"], path);
        assert!(matches!(answer.status, 400 | 404), "{path}: {answer:?}");
        assert!(!answer.body.contains("root:"));
    }
    is_well(&served);
}

#[test]
fn nonsense_and_too_much_of_anything_is_answered_and_survived() {
    let served = Served::new();
    let long = "x".repeat(200 << 10);
    let headers: String = (0..200)
        .map(|number| format!("X-{number}: 1\r\n"))
        .collect();
    for (bytes, status) in [
        ("\0\u{1}\u{2}nonsense\r\n\r\n".to_owned(), "400"),
        ("GET / HTTP/9.9\r\n\r\n".to_owned(), "400"),
        ("GET /livez HTTP/1.1\r\n\r\n".to_owned(), "400"),
        ("GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n".to_owned(), "400"),
        (format!("GET /{long} HTTP/1.1\r\nHost: localhost\r\n\r\n"), "4"),
        (format!("GET /livez HTTP/1.1\r\nHost: localhost\r\nX: {long}\r\n\r\n"), "431"),
        (format!("GET /livez HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n"), "431"),
        ("POST /v1/pipes HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(), "40"),
        ("POST /v1/pipes HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n".to_owned(), "400"),
    ] {
        let close = bytes.replacen("\r\nHost", "\r\nConnection: close\r\nHost", 1);
        let answer = send(&served, close.as_bytes());
        let begins = format!("HTTP/1.1 {status}");
        assert!(answer.starts_with(&begins), "{}: {answer}", &bytes[..bytes.len().min(80)]);
    }
    is_well(&served);
}

/// Right requests, of which wrong ones are made.
const SEEDS: [&str; 6] = [
    "GET /v1/pipes?all=true&limit=10 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "GET /v1/apps/sort HTTP/1.1\r\nHost: [::1]:3748\r\nConnection: close\r\nOrigin: http://[::1]:3748\r\n\r\n",
    "DELETE /v1/pipes/01JD9S3V8Y6Q4T2R0P5N7M9K1H?signal=USR1&stage=2 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer x\r\n\r\n",
    "POST /v1/check HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 19\r\n\r\n{\"pipeline\":\"true\"}",
    "POST /v1/pipes?pipeline=cat HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "GET /app.js HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nIf-None-Match: \"0\"\r\n\r\n",
];

/// Requests that are garbled.
const GARBLED: u32 = 1_500;

/// Changes some bytes, takes some out, or puts others in.
fn garble(request: &[u8], random: &mut impl FnMut(usize) -> usize) -> Vec<u8> {
    let mut garbled = request.to_vec();
    for _ in 0..=random(4) {
        let at = random(garbled.len());
        let to = (at + random(12)).min(garbled.len());
        match random(4) {
            0 => garbled[at] = u8::try_from(random(256)).unwrap(),
            1 => drop(garbled.drain(at..to)),
            2 => {
                let piece = garbled[at..to].repeat(1 + random(40));
                garbled.splice(at..at, piece);
            }
            _ => {
                let other = SEEDS[random(SEEDS.len())].as_bytes();
                let from = random(other.len());
                let piece = &other[from..(from + 20).min(other.len())];
                garbled.splice(at..to, piece.iter().copied());
            }
        }
        if garbled.is_empty() {
            garbled.push(b'\n');
        }
    }
    garbled
}

#[test]
fn garbled_requests_are_refused_or_answered_and_nothing_is_run_by_them() {
    let served = Served::new();
    // xorshift64; the same requests each time.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    for number in 0..GARBLED {
        let seed = SEEDS[random(SEEDS.len())];
        let request = garble(seed.as_bytes(), &mut random);
        let mut stream = TcpStream::connect(("127.0.0.1", served.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let _sent = stream.write_all(&request);
        // Without more of it, what is not whole is over.
        let _closed = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _over = stream.read_to_end(&mut answer);
        let shown = String::from_utf8_lossy(&request);
        assert!(
            answer.is_empty() || answer.starts_with(b"HTTP/1."),
            "{number}: {shown}"
        );
        let is_server_error = answer.get(9..10) == Some(b"5");
        assert!(!is_server_error, "{number}: {shown}");
    }
    assert_eq!(
        served.get("/v1/pipes?all=true")["pipes"],
        serde_json::json!([])
    );
    assert!(!served.cluster.node("a").log_text().contains("panicked"));
    is_well(&served);
}

#[test]
fn who_does_not_come_to_the_point_is_cut_off() {
    let served = Served::new();
    let began = Instant::now();
    let mut idle = TcpStream::connect(("127.0.0.1", served.port)).unwrap();
    idle.set_read_timeout(Some(PATIENCE)).unwrap();
    idle.write_all(b"GET /livez HTTP/1.1\r\nHost: local")
        .unwrap();
    let mut answer = Vec::new();
    let _closed = idle.read_to_end(&mut answer);
    assert!(began.elapsed() < PATIENCE, "it was cut off");
    let slow = format!(
        "POST /v1/check HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{\"pipe",
        served.token()
    );
    assert!(send(&served, slow.as_bytes()).contains("too-slow"));
    is_well(&served);
}

#[test]
fn silent_connections_keep_nobody_from_asking_over_the_socket() {
    let served = Served::new();
    let silent: Vec<_> = (0..300)
        .map(|_| TcpStream::connect(("127.0.0.1", served.port)).unwrap())
        .collect();
    assert_eq!(served.get("/v1/self")["phase"], "ready");
    drop(silent);
    is_well(&served);
}

#[test]
fn an_answer_is_read_as_curl_prints_it() {
    let answer =
        Answer::read("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\nA: B\r\n\r\nbody");
    assert_eq!((answer.status, answer.body.as_str()), (404, "body"));
    assert!(answer.head.contains("a: b"));
}
