//! How sessions end, and that a loss is never taken for an end.

use tokio::time::Instant;

use super::*;

#[tokio::test]
async fn a_closed_session_tells_both_sides_why() {
    let (a, b) = pair().await;
    let (send, mut recv) = uni(&a, &b, DEFAULT_WINDOW).await;
    a.close("enough");
    let here = Lost::Closed("enough".to_owned());
    let there = Lost::PeerClosed {
        code: code::AWAY_CLOSED,
        reason: "enough".to_owned(),
    };
    assert_eq!(soon(a.closed()).await, here);
    assert_eq!(soon(b.closed()).await, there);
    assert_eq!(soon(send.stopped()).await, StopCause::Lost(here));
    assert_eq!(soon(recv.recv()).await, Err(ReadError::Lost(there)));
    assert!(soon(a.accept()).await.is_none());
    assert_eq!(a.open_uni(&stdin()).await.unwrap_err(), OpenError::Over);
    soon(a.disconnected()).await;
    soon(b.disconnected()).await;
}

#[tokio::test]
async fn dropping_everything_closes_the_session() {
    let (a, b) = pair().await;
    let (send, recv) = uni(&a, &b, DEFAULT_WINDOW).await;
    drop(a);
    assert!(
        timeout(Duration::from_millis(20), b.closed())
            .await
            .is_err()
    );
    drop(send);
    let reason = soon(b.closed()).await;
    assert!(matches!(reason, Lost::PeerClosed { .. }), "{reason}");
    drop(recv);
}

/// A peer that shakes hands and is then spoken for by the test.
async fn by_hand() -> (Session, UnixStream) {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let greeting = greet(ours, Side::Acceptor, hello("a"), PeerAddress::InProcess);
    let answering = async {
        let own = Preface {
            version: Version::CURRENT,
            nonce: [1; 16],
        };
        theirs.write_all(&own.encode()).await.unwrap();
        let mut preface = [0; 24];
        theirs.read_exact(&mut preface).await.unwrap();
        let preface = Preface::decode(&preface).unwrap().unwrap();
        let hello = Hello {
            nonce: preface.nonce_text(),
            ..hello("hand")
        };
        let body = serde_json::to_vec(&hello).unwrap().into();
        say(
            &mut theirs,
            &Frame::Message {
                stream: StreamId::SESSION,
                body,
            },
        )
        .await;
    };
    let (session, ()) = tokio::join!(greeting, answering);
    (session.unwrap(), theirs)
}

async fn say<W: AsyncWriteExt + Unpin>(io: &mut W, frame: &Frame) {
    let mut out = bytes::BytesMut::new();
    codec::encode(frame, &mut out);
    io.write_all(&out).await.unwrap();
}

fn open_frame() -> Frame {
    Frame::Open {
        stream: StreamId(1),
        kind: crate::wire::StreamKind::Uni,
        purpose: stdin(),
    }
}

async fn one_stream(session: &Session) -> RecvStream {
    let Some(Incoming::Uni { mut stream, .. }) = soon(session.accept()).await else {
        panic!("a one-way stream");
    };
    stream.accept();
    stream
}

#[tokio::test]
async fn a_connection_that_ends_in_mid_stream_is_lost_and_not_finished() {
    for in_frame in [false, true] {
        let (session, mut peer) = by_hand().await;
        say(&mut peer, &open_frame()).await;
        let mut stream = one_stream(&session).await;
        say(
            &mut peer,
            &Frame::Data {
                stream: StreamId(1),
                payload: Bytes::from_static(b"half"),
            },
        )
        .await;
        if in_frame {
            peer.write_all(&[100, 0, 0, 3, 1, 0, 0, 0, b'x'])
                .await
                .unwrap();
        }
        let piece = soon(stream.recv()).await.unwrap().unwrap();
        assert!(piece.starts_with(b"half"));
        drop(peer);
        let lost = soon(stream.broken()).await;
        let expected = Lost::Cut {
            mid_frame: in_frame,
        };
        // The peer's unread bytes make some kernels report a reset instead of an end.
        let reset = matches!(&lost, ReadError::Lost(Lost::Io { .. }));
        assert!(reset || lost == ReadError::Lost(expected), "{lost}");
    }
}

#[tokio::test]
async fn killing_the_socket_in_mid_data_is_a_loss_on_both_sides() {
    // Between the sessions stands a relay that is cut.
    let ((a, near), (far, b)) = (tcp_streams().await, tcp_streams().await);
    let relay = tokio::spawn(async move {
        let (mut near, mut far) = (near, far);
        tokio::io::copy_bidirectional(&mut near, &mut far).await
    });
    let (a, b) = joined(a, b).await;
    let (mut send, mut recv) = uni(&a, &b, DEFAULT_WINDOW).await;
    let writer = tokio::spawn(async move {
        loop {
            if let Err(error) = send.send(Bytes::from(vec![0; 10_000])).await {
                return error;
            }
        }
    });
    for _ in 0..10 {
        assert!(soon(recv.recv()).await.unwrap().is_some());
    }
    relay.abort();
    assert!(matches!(soon(recv.broken()).await, ReadError::Lost(_)));
    assert!(matches!(soon(writer).await.unwrap(), WriteError::Lost(_)));
    let end = soon(async {
        loop {
            match recv.recv().await {
                Ok(Some(_)) => {}
                other => return other,
            }
        }
    })
    .await;
    assert!(matches!(end, Err(ReadError::Lost(_))));
}

#[tokio::test]
async fn a_wrong_count_is_a_protocol_error_and_no_end() {
    let (session, mut peer) = by_hand().await;
    say(&mut peer, &open_frame()).await;
    let mut stream = one_stream(&session).await;
    say(
        &mut peer,
        &Frame::Finish {
            stream: StreamId(1),
            bytes: 3,
            digest: None,
        },
    )
    .await;
    let error = soon(stream.recv()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "session lost: stream 1 was finished after 3 bytes, but 0 arrived"
    );
    // The peer is told, behind whatever else was under way.
    let mut heard = Vec::new();
    soon(peer.read_to_end(&mut heard)).await.unwrap();
    let text = String::from_utf8_lossy(&heard);
    assert!(text.contains("was finished after 3 bytes"), "{text}");
}

async fn silent_pair() -> (Session, Session, DuplexStream, DuplexStream) {
    let ((a, near), (far, b)) = (duplex(1 << 20), duplex(1 << 20));
    let (a, b, near, far) = {
        let mut near = near;
        let mut far = far;
        let relay = async {
            let _cut = timeout(
                Duration::from_millis(1),
                tokio::io::copy_bidirectional(&mut near, &mut far),
            )
            .await;
        };
        let ((a, b), ()) = tokio::join!(joined(a, b), relay);
        (a, b, near, far)
    };
    (a, b, near, far)
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_falls_silent_is_lost_after_fifteen_seconds() {
    // The clock of the runtime moves on only when nothing else can happen, so this takes no time.
    let (a, b, near, far) = silent_pair().await;
    let began = Instant::now();
    let reasons = tokio::join!(a.closed(), b.closed());
    for reason in [reasons.0, reasons.1] {
        assert_eq!(reason.to_string(), "silent for 15 s");
    }
    let took = began.elapsed();
    assert!(
        took > Duration::from_secs(14) && took < Duration::from_secs(16),
        "{took:?}"
    );
    drop((near, far));
}

#[tokio::test(start_paused = true)]
async fn half_a_frame_and_then_silence_is_a_loss() {
    let (a, _b, near, _far) = silent_pair().await;
    let mut near = near;
    near.write_all(&[0, 0, 16, 1, 1, 0, 0, 0, b'{'])
        .await
        .unwrap();
    let began = Instant::now();
    assert_eq!(a.closed().await.to_string(), "silent for 15 s");
    assert!(began.elapsed() < Duration::from_secs(16));
}

#[tokio::test(start_paused = true)]
async fn an_idle_session_lives_by_its_pings() {
    let (a, b) = duplex(1 << 16);
    let (a, b) = joined(a, b).await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(!a.is_closed() && !b.is_closed());
    assert!(a.round_trip().is_some());
    assert!(a.idle_for() >= Duration::from_secs(3600));
}

#[tokio::test]
async fn both_sides_may_close_at_once_without_a_hang_or_a_lost_tail() {
    for _ in 0..300 {
        let (a, b) = pair().await;
        let (ab, ba) = (
            uni(&a, &b, DEFAULT_WINDOW).await,
            uni(&b, &a, DEFAULT_WINDOW).await,
        );
        let side = |session: Session, mut send: SendStream, mut recv: RecvStream| async move {
            send.send(Bytes::from_static(b"tail")).await.unwrap();
            send.finish().await.unwrap();
            let tail = all(&mut recv).await;
            session.close("done");
            soon(session.disconnected()).await;
            tail
        };
        let one = tokio::spawn(side(a, ab.0, ba.1));
        let two = tokio::spawn(side(b, ba.0, ab.1));
        assert_eq!(soon(one).await.unwrap().unwrap(), b"tail");
        assert_eq!(soon(two).await.unwrap().unwrap(), b"tail");
    }
}
