//! Strangers at the door.

use std::io;

use super::*;

/// What becomes of a handshake with a peer that says this, and then waits or ends.
async fn with_peer(says: &[u8], ends: bool) -> HandshakeError {
    let (ours, mut theirs) = duplex(1 << 20);
    theirs.write_all(says).await.unwrap();
    if ends {
        theirs.shutdown().await.unwrap();
    }
    let greeted = greet(ours, Side::Dialler, hello("a"), PeerAddress::InProcess).await;
    drop(theirs);
    greeted.expect_err("no session")
}

#[tokio::test(start_paused = true)]
async fn a_web_server_is_recognized() {
    let error = with_peer(b"HTTP/1.1 400 Bad Request\r\n", false).await;
    assert_eq!(
        error.to_string(),
        "not a dpipesd (it said 'HTTP/1.1 400 Bad Request')"
    );
}

#[tokio::test(start_paused = true)]
async fn a_line_without_an_end_is_cut_off_after_a_second() {
    let began = tokio::time::Instant::now();
    let error = with_peer(b"\x16\x03\x01\x02", false).await;
    assert!(matches!(
        error,
        HandshakeError::Preface(PrefaceError::NotDpipes { .. })
    ));
    assert!(began.elapsed() < Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_given_ten_seconds() {
    for says in [&b""[..], b"dpi", &preface(1)] {
        let began = tokio::time::Instant::now();
        let error = with_peer(says, false).await;
        assert!(matches!(error, HandshakeError::Timeout(_)), "{error}");
        assert!(began.elapsed() < Duration::from_secs(11));
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_closes_is_named_so() {
    for says in [&b""[..], b"dpi", &preface(1)] {
        let error = with_peer(says, true).await;
        assert!(matches!(error, HandshakeError::Closed), "{error}");
    }
}

fn preface(major: u8) -> [u8; 24] {
    let version = Version { major, minor: 0 };
    Preface {
        version,
        nonce: [9; 16],
    }
    .encode()
}

#[tokio::test(start_paused = true)]
async fn another_major_version_is_named_on_both_sides() {
    let error = with_peer(&preface(2), false).await;
    assert_eq!(
        error.to_string(),
        "protocol 2.0 there, 1.0 here: upgrade this side"
    );
}

#[tokio::test(start_paused = true)]
async fn only_a_hello_that_answers_comes_first() {
    let with = |frame: &[u8]| [&preface(1)[..], frame].concat();
    let ping = with(&[8, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let error = with_peer(&ping, false).await;
    assert!(matches!(error, HandshakeError::NoHello(_)), "{error}");

    let huge = with(&[0xff, 0xff, 0xff, 1, 0, 0, 0, 0]);
    assert!(matches!(
        with_peer(&huge, false).await,
        HandshakeError::Frame(_)
    ));

    let long = with(&[0, 0, 2, 1, 0, 0, 0, 0]);
    let error = with_peer(&long, false).await;
    assert!(matches!(error, HandshakeError::HelloTooLong(131_072)));

    let nonsense = with(&[2, 0, 0, 1, 0, 0, 0, 0, b'{', b'}']);
    assert!(matches!(
        with_peer(&nonsense, false).await,
        HandshakeError::Hello(_)
    ));

    let body = serde_json::to_vec(&Hello {
        nonce: "00".repeat(16),
        ..hello("liar")
    })
    .unwrap();
    let mut frame = vec![body.len() as u8, (body.len() >> 8) as u8, 0, 1, 0, 0, 0, 0];
    frame.extend_from_slice(&body);
    assert!(matches!(
        with_peer(&with(&frame), false).await,
        HandshakeError::Nonce
    ));
}

#[tokio::test]
async fn a_mirror_is_recognized() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mirror = tokio::spawn(async move {
        let (mut reader, mut writer) = theirs.into_split();
        tokio::io::copy(&mut reader, &mut writer).await
    });
    let error = greet(ours, Side::Dialler, hello("a"), PeerAddress::InProcess)
        .await
        .unwrap_err();
    assert!(matches!(error, HandshakeError::Itself));
    soon(mirror).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_refusal_reaches_the_dialler_though_nobody_reads_what_it_says() {
    for _ in 0..50 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::from(listener.local_addr().unwrap());
        let refusing = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            refuse(stream, "127.0.0.1 is no\nmember").await;
        });
        let error = soon(dial(&address, hello("a"), Timeouts::default()))
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{address}: refused: 127.0.0.1 is no member")
        );
        soon(refusing).await.unwrap();
    }
}

#[tokio::test]
async fn a_daemon_is_dialled_by_name_by_path_and_from_a_given_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let address: Address = format!("localhost:{port}").parse().unwrap();
    let local = Some("127.0.0.1".parse().unwrap());
    let (session, accepted) = tokio::join!(
        dial_from(&address, local, hello("a"), Timeouts::default()),
        async {
            let (stream, peer) = listener.accept().await.unwrap();
            greet(stream, Side::Acceptor, hello("b"), PeerAddress::Tcp(peer)).await
        }
    );
    assert_eq!(session.unwrap().peer().hello.node, "b".parse().ok());
    assert!(matches!(
        accepted.unwrap().peer().address,
        PeerAddress::Tcp(_)
    ));

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let address: Address = format!("unix:{}", path.display()).parse().unwrap();
    let (session, accepted) =
        tokio::join!(dial(&address, hello("a"), Timeouts::default()), async {
            let (stream, _) = listener.accept().await.unwrap();
            let peer = stream.peer_cred().unwrap().into();
            greet(stream, Side::Acceptor, hello("b"), peer).await
        });
    let own = i32::try_from(std::process::id()).unwrap();
    let uid = rustix::process::getuid().as_raw();
    let expected = PeerAddress::Unix {
        pid: Some(own),
        uid,
    };
    assert_eq!(session.unwrap().peer().address, expected);
    assert_eq!(accepted.unwrap().peer().address, expected);
}

#[tokio::test]
async fn a_failed_dial_lists_what_was_tried() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::from(listener.local_addr().unwrap());
    drop(listener);
    let error = dial(&address, hello("a"), Timeouts::default())
        .await
        .unwrap_err();
    let DialError::Connect { tried, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(tried.len(), 1);
    assert_eq!(tried[0].1.kind(), io::ErrorKind::ConnectionRefused);
}

#[test]
fn addresses_are_hosts_with_ports_or_paths() {
    for good in [
        "a:1",
        "[::1]:3747",
        "10.0.0.1:65535",
        "unix:/run/x",
        "unix:x",
    ] {
        assert_eq!(good.parse::<Address>().unwrap().to_string(), good);
    }
    for bad in [
        "", "a", "a:", ":1", "a:0", "a:65536", "::1:3747", "unix:", "a b:1",
    ] {
        assert!(bad.parse::<Address>().is_err(), "{bad}");
    }
}

/// What a peer without a welcome learns, and what the acceptor made of it.
async fn judged(
    verdict: Result<(), String>,
) -> (Result<Session, DialError>, Result<Session, HandshakeError>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::from(listener.local_addr().unwrap());
    let accepting = async {
        let (stream, peer) = listener.accept().await.unwrap();
        let judge = async |theirs: &Hello| {
            assert_eq!(theirs.node, hello("a").node);
            verdict
        };
        let peer = PeerAddress::Tcp(peer);
        greet_if(stream, hello("b"), peer, "who are you", judge).await
    };
    let dialling = dial(&address, hello("a"), Timeouts::default());
    soon(async { tokio::join!(dialling, accepting) }).await
}

#[tokio::test]
async fn a_peer_is_judged_by_its_hello_before_it_learns_anything() {
    let (dialled, accepted) = judged(Ok(())).await;
    assert_eq!(dialled.unwrap().peer().hello.node, hello("b").node);
    assert_eq!(accepted.unwrap().peer().hello.node, hello("a").node);
    let (dialled, accepted) = judged(Err("a is not listed".to_owned())).await;
    let error = dialled.unwrap_err().to_string();
    assert!(error.ends_with("refused: a is not listed"), "{error}");
    assert!(matches!(accepted, Err(HandshakeError::Unwanted(why)) if why == "a is not listed"));
}

#[tokio::test]
async fn a_stranger_that_speaks_something_else_reads_why_it_is_not_wanted() {
    let (mut near, far) = UnixStream::pair().unwrap();
    let judge = async |_: &Hello| panic!("it said no hello");
    let greeting = greet_if(
        far,
        hello("b"),
        PeerAddress::InProcess,
        "not a member",
        judge,
    );
    let talking = async {
        near.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        near.shutdown().await.unwrap();
        let mut said = String::new();
        near.read_to_string(&mut said).await.unwrap();
        said
    };
    let (greeted, said) = soon(async { tokio::join!(greeting, talking) }).await;
    assert!(matches!(greeted, Err(HandshakeError::Preface(_))));
    assert_eq!(said, "refused: not a member\n");
}
