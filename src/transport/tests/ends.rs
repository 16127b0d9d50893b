//! The endings of streams, and what must not hold what up.

use super::*;

#[tokio::test]
async fn peers_know_each_other_after_the_handshake() {
    let (a, b) = tcp_streams().await;
    let (a, b) = joined(a, b).await;
    assert_eq!(a.peer().hello.node, "b".parse().ok());
    assert_eq!(b.peer().hello.node, "a".parse().ok());
    assert_eq!(a.peer().version, Version::CURRENT);
    assert!(!a.is_closed());
}

#[tokio::test]
async fn data_sent_before_the_finish_arrives_before_the_end() {
    for _ in 0..20 {
        let (a, b) = tcp_streams().await;
        let (a, b) = joined(a, b).await;
        let (mut send, mut recv) = uni(&a, &b, DEFAULT_WINDOW).await;
        let data: Vec<u8> = (0..3_000_000_u32).map(|n| n as u8).collect();
        let sent = data.clone();
        let writer = tokio::spawn(async move {
            for piece in sent.chunks(70_001) {
                send.send(Bytes::copy_from_slice(piece)).await.unwrap();
            }
            let count = send.finish().await.unwrap();
            // What was confirmed arrives, though the session is closed at once.
            a.close("done");
            count
        });
        assert!(all(&mut recv).await.unwrap() == data);
        assert_eq!(recv.bytes(), 3_000_000);
        assert_eq!(writer.await.unwrap(), 3_000_000);
    }
}

#[tokio::test]
async fn an_end_wakes_a_blocked_reader() {
    let (a, b) = pair().await;
    let (send, mut recv) = uni(&a, &b, DEFAULT_WINDOW).await;
    let reader = tokio::spawn(async move { recv.recv().await });
    tokio::task::yield_now().await;
    assert_eq!(soon(send.finish()).await, Ok(0));
    assert_eq!(soon(reader).await.unwrap(), Ok(None));
}

#[tokio::test]
async fn nothing_flows_before_the_stream_is_accepted() {
    let (a, b) = pair().await;
    let (mut send, mut recv) = uni(&a, &b, 0).await;
    send.send(Bytes::from_static(b"early")).await.unwrap();
    // A query that goes there and back shows that the bytes had time to come.
    let ((mut out, mut back), (mut answer, mut question)) = bidi(&a, &b).await;
    out.message(&Query::Nodes).await.unwrap();
    assert!(soon(question.message::<Query>()).await.unwrap().is_some());
    answer.message(&Query::Nodes).await.unwrap();
    assert!(soon(back.message::<Query>()).await.unwrap().is_some());
    assert!(timeout(Duration::ZERO, recv.recv()).await.is_err());
    recv.grant(10);
    assert_eq!(soon(recv.recv()).await.unwrap().unwrap(), "early");
}

#[tokio::test]
async fn a_refused_stream_tells_its_writer_the_code() {
    let (a, b) = pair().await;
    let (mut send, recv) = uni(&a, &b, 0).await;
    send.send(Bytes::from_static(b"x")).await.unwrap();
    recv.stop(code::DIGEST, "agreements differ");
    let expected = WriteError::Stopped {
        code: code::DIGEST,
        reason: "agreements differ".to_owned(),
    };
    assert_eq!(WriteError::from(soon(send.stopped()).await), expected);
    assert_eq!(soon(send.finish()).await, Err(expected));
}

#[tokio::test]
async fn a_stop_is_seen_by_a_writer_that_waits_for_room() {
    let (a, b) = pair().await;
    let (mut send, mut recv) = uni(&a, &b, 1000).await;
    let writer = tokio::spawn(async move {
        loop {
            if let Err(error) = send.send(Bytes::from(vec![0; 100_000])).await {
                return error;
            }
        }
    });
    assert!(soon(recv.recv()).await.unwrap().is_some());
    drop(recv);
    let error = soon(writer).await.unwrap();
    assert!(matches!(
        error,
        WriteError::Stopped {
            code: code::CANCELLED,
            ..
        }
    ));
}

#[tokio::test]
async fn a_reset_is_no_end() {
    let (a, b) = pair().await;
    let (mut send, mut recv) = uni(&a, &b, DEFAULT_WINDOW).await;
    send.send(Bytes::from_static(b"some")).await.unwrap();
    assert_eq!(soon(recv.recv()).await.unwrap().unwrap(), "some");
    send.reset(77, "upstream failed");
    let expected = ReadError::Reset {
        code: 77,
        reason: "upstream failed".to_owned(),
    };
    assert_eq!(soon(recv.broken()).await, expected);
    assert_eq!(soon(recv.recv()).await, Err(expected));
}

#[tokio::test]
async fn a_dropped_writer_is_a_reset_even_while_it_finishes() {
    let (a, b) = pair().await;
    let (mut send, mut recv) = uni(&a, &b, 0).await;
    send.send(Bytes::from_static(b"never granted"))
        .await
        .unwrap();
    assert!(
        timeout(Duration::from_millis(1), send.finish())
            .await
            .is_err()
    );
    recv.grant(100);
    let error = soon(recv.broken()).await;
    assert!(matches!(
        error,
        ReadError::Reset {
            code: code::CANCELLED,
            ..
        }
    ));
}

#[tokio::test]
async fn messages_stay_whole_in_both_directions() {
    let (a, b) = pair().await;
    let ((mut send, mut back), (mut answer, mut recv)) = bidi(&a, &b).await;
    let large = FromEntry::Note {
        text: "x".repeat(1_000_000),
    };
    let reader = tokio::spawn(async move {
        for number in 0..30 {
            let note = recv.message::<FromEntry>().await.unwrap().unwrap();
            assert!(matches!(note, FromEntry::Note { text } if text.len() == 1_000_000));
            answer.message(&StageNumber::new(number)).await.unwrap();
        }
        assert!(recv.message::<FromEntry>().await.unwrap().is_none());
        answer.finish().await.unwrap();
    });
    let writer = tokio::spawn(async move {
        for _ in 0..30 {
            send.message(&large).await.unwrap();
        }
        send.finish().await.unwrap();
    });
    for number in 0..30 {
        let answer = soon(back.message::<StageNumber>()).await.unwrap();
        assert_eq!(answer, Some(StageNumber::new(number)));
    }
    assert!(soon(back.message::<StageNumber>()).await.unwrap().is_none());
    soon(writer).await.unwrap();
    soon(reader).await.unwrap();
}

#[tokio::test]
async fn a_message_that_is_too_long_is_the_senders_error_and_a_malformed_one_the_readers() {
    let (a, b) = pair().await;
    let ((mut send, _back), (_answer, mut recv)) = bidi(&a, &b).await;
    let error = send.message(&"x".repeat(1 << 20)).await.unwrap_err();
    assert_eq!(error, WriteError::TooLong((1 << 20) + 2));
    send.message(&"not a query").await.unwrap();
    let error = soon(recv.message::<Query>()).await.unwrap_err();
    assert!(matches!(error, MessageError::Malformed(_)));
}

#[tokio::test]
async fn a_stalled_reader_holds_its_window_and_its_sibling_runs_on() {
    let (a, b) = tcp_streams().await;
    let (a, b) = joined(a, b).await;
    let (mut stalled, stalled_end) = uni(&a, &b, 300_000).await;
    let (mut quick, mut quick_end) = uni(&a, &b, DEFAULT_WINDOW).await;
    let sent = tokio::spawn(async move {
        let mut sent = 0;
        while let Ok(result) = timeout(
            Duration::from_secs(1),
            stalled.send(Bytes::from(vec![0; 65_536])),
        )
        .await
        {
            result.unwrap();
            sent += 65_536;
        }
        (sent, stalled)
    });
    let writer = tokio::spawn(async move {
        for _ in 0..1000 {
            quick.send(Bytes::from(vec![0; 65_536])).await.unwrap();
        }
        quick.finish().await.unwrap()
    });
    let mut read = 0;
    while let Some(piece) = soon(quick_end.recv()).await.unwrap() {
        read += piece.len();
    }
    assert_eq!(read, 65_536_000);
    assert_eq!(soon(writer).await.unwrap(), 65_536_000);
    let (sent, _stalled) = soon(sent).await.unwrap();
    // The window, the queue, and one piece more.
    assert!(
        (300_000..=300_000 + SEND_QUEUE + 65_536).contains(&sent),
        "{sent}"
    );
    drop(stalled_end);
}

#[tokio::test]
async fn two_full_directions_do_not_wait_for_each_other() {
    let (a, b) = pair().await;
    let (ab, ba) = (
        uni(&a, &b, DEFAULT_WINDOW).await,
        uni(&b, &a, DEFAULT_WINDOW).await,
    );
    let pump = |mut send: SendStream| async move {
        for _ in 0..300 {
            send.send(Bytes::from(vec![1; 100_000])).await.unwrap();
        }
        send.finish().await.unwrap()
    };
    let (one, two) = (tokio::spawn(pump(ab.0)), tokio::spawn(pump(ba.0)));
    let (mut ab, mut ba) = (ab.1, ba.1);
    let (read_one, read_two) = tokio::join!(all(&mut ab), all(&mut ba));
    assert_eq!(read_one.unwrap().len(), 30_000_000);
    assert_eq!(read_two.unwrap().len(), 30_000_000);
    assert_eq!(soon(one).await.unwrap(), soon(two).await.unwrap());
}

#[tokio::test]
async fn many_streams_come_and_go() {
    let (a, b) = pair().await;
    let acceptor = tokio::spawn(async move {
        let mut total = 0;
        for _ in 0..2000 {
            let Some(Incoming::Uni { mut stream, .. }) = b.accept().await else {
                panic!("a one-way stream");
            };
            stream.accept();
            total += all(&mut stream).await.unwrap().len();
        }
        total
    });
    for batch in 0..20 {
        let mut writers = tokio::task::JoinSet::new();
        for _ in 0..100 {
            let mut send = a.open_uni(&stdin()).await.unwrap();
            writers.spawn(async move {
                send.send(Bytes::from(vec![0; 100 + batch])).await.unwrap();
                send.finish().await.unwrap();
            });
        }
        soon(writers.join_all()).await;
    }
    assert_eq!(soon(acceptor).await.unwrap(), 2000 * 100 + 190 * 100);
    assert!(a.idle_for() < SOON);
}

#[tokio::test]
async fn a_peer_that_goes_away_lets_streams_end_and_opens_none() {
    let (a, b) = pair().await;
    let (mut send, mut recv) = uni(&a, &b, DEFAULT_WINDOW).await;
    b.go_away("restart");
    let refusal = soon(async {
        loop {
            match a.open_uni(&stdin()).await {
                Err(error) => return error,
                Ok(stream) => drop(stream),
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(refusal, OpenError::GoingAway("restart".to_owned()));
    send.send(Bytes::from_static(b"still")).await.unwrap();
    assert_eq!(soon(send.finish()).await, Ok(5));
    assert_eq!(all(&mut recv).await.unwrap(), b"still");
    assert!(!a.is_closed());
}
