// What both ways of moving bytes have to do: these tests are in two modules, one for each way.

use std::{
    io::{Read, Write, pipe},
    os::fd::OwnedFd,
    process::{Command, Stdio},
};

use super::*;
use crate::{
    coding::{CodingError, Decoder, Encoder, Way},
    media::Coding,
    transport::{
        DEFAULT_WINDOW, RecvStream, SendStream, Session, code,
        tests::{all, pair, soon, tcp_streams, uni},
    },
};
use bytes::Bytes;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The way that this module tries.
fn transfer() -> Transfer {
    if module_path!().ends_with("spliced") {
        Transfer::Splice
    } else {
        Transfer::Copy
    }
}

struct Both {
    a: Session,
    b: Session,
    send: SendStream,
    recv: RecvStream,
}

async fn both() -> Both {
    let (a, b) = pair().await;
    let (send, recv) = uni(&a, &b, DEFAULT_WINDOW).await;
    Both { a, b, send, recv }
}

fn meter() -> Arc<Meter> {
    Arc::default()
}

fn token() -> CancellationToken {
    CancellationToken::new()
}

/// Waits for something that no event tells of.
async fn eventually(mut check: impl FnMut() -> bool) {
    soon(async {
        while !check() {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_go_from_pipe_to_pipe_unchanged() {
    let (a, b) = tcp_streams().await;
    let (a, b) = crate::transport::tests::joined(a, b).await;
    let (send, recv) = uni(&a, &b, DEFAULT_WINDOW).await;
    let (producer_end, mut producer) = pipe().unwrap();
    let (mut consumer, consumer_end) = pipe().unwrap();
    let data: Vec<u8> = (0..20_000_000_u32).map(|n| (n / 7) as u8).collect();
    let expected = data.clone();
    let writing = std::thread::spawn(move || {
        // Small pieces first, then bulk.
        for piece in data[..10_000].chunks(50) {
            producer.write_all(piece).unwrap();
        }
        producer.write_all(&data[10_000..]).unwrap();
    });
    let reading = std::thread::spawn(move || {
        let mut out = Vec::new();
        consumer.read_to_end(&mut out).unwrap();
        out
    });
    let (sent, received) = (meter(), meter());
    let sending = tokio::spawn(send_pipe(
        producer_end.into(),
        send,
        Arc::clone(&sent),
        token(),
        transfer(),
    ));
    let receiving = tokio::spawn(receive_pipe(
        recv,
        consumer_end.into(),
        Arc::clone(&received),
        token(),
        transfer(),
    ));
    assert!(matches!(
        soon(sending).await.unwrap(),
        SendEnd::Finished { bytes: 20_000_000 }
    ));
    let ReceiveEnd::Finished { bytes, pipe } = soon(receiving).await.unwrap() else {
        panic!("finished");
    };
    assert!(!reading.is_finished(), "no end before the pipe is closed");
    drop(pipe);
    assert_eq!(bytes, 20_000_000);
    assert_eq!((sent.bytes(), received.bytes()), (bytes, bytes));
    assert!(reading.join().unwrap() == expected);
    writing.join().unwrap();
}

#[tokio::test]
async fn what_can_be_read_now_goes_out_now() {
    let Both {
        a: _a,
        b: _b,
        send,
        mut recv,
    } = both().await;
    let (producer_end, mut producer) = pipe().unwrap();
    let sending = tokio::spawn(send_pipe(
        producer_end.into(),
        send,
        meter(),
        token(),
        transfer(),
    ));
    for line in ["one\n", "two\n", "three\n"] {
        producer.write_all(line.as_bytes()).unwrap();
        assert_eq!(soon(recv.recv()).await.unwrap().unwrap(), line);
    }
    drop(producer);
    assert_eq!(soon(recv.recv()).await, Ok(None));
    assert!(matches!(
        soon(sending).await.unwrap(),
        SendEnd::Finished { bytes: 14 }
    ));
}

#[tokio::test]
async fn an_endless_producer_dies_of_sigpipe_when_its_reader_leaves() {
    use std::os::unix::process::ExitStatusExt;
    let Both {
        a: _a,
        b: _b,
        send,
        mut recv,
    } = both().await;
    let mut yes = Command::new("yes").stdout(Stdio::piped()).spawn().unwrap();
    let stdout = OwnedFd::from(yes.stdout.take().unwrap());
    let sending = tokio::spawn(send_pipe(stdout, send, meter(), token(), transfer()));
    for _ in 0..5 {
        assert!(soon(recv.recv()).await.unwrap().is_some());
    }
    recv.stop(code::READER_GONE, "head has enough");
    let end = soon(sending).await.unwrap();
    assert!(
        matches!(end, SendEnd::Stopped { code: code::READER_GONE, bytes, .. } if bytes > 0),
        "{end:?}"
    );
    let mut status = None;
    eventually(|| {
        status = yes.try_wait().unwrap();
        status.is_some()
    })
    .await;
    assert_eq!(status.unwrap().signal(), Some(13));
}

#[tokio::test]
async fn an_idle_producer_learns_at_once_that_its_reader_is_gone() {
    let Both {
        a: _a,
        b: _b,
        send,
        recv,
    } = both().await;
    let (producer_end, producer) = pipe().unwrap();
    let sending = tokio::spawn(send_pipe(
        producer_end.into(),
        send,
        meter(),
        token(),
        transfer(),
    ));
    recv.stop(code::READER_GONE, "gone");
    assert!(matches!(
        soon(sending).await.unwrap(),
        SendEnd::Stopped { bytes: 0, .. }
    ));
    let error = (&producer).write(b"x").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn a_reader_that_leaves_an_idle_pipe_is_noticed_at_once() {
    let Both {
        a: _a,
        b: _b,
        mut send,
        recv,
    } = both().await;
    let (consumer, consumer_end) = pipe().unwrap();
    let receiving = tokio::spawn(receive_pipe(
        recv,
        consumer_end.into(),
        meter(),
        token(),
        transfer(),
    ));
    send.send(Bytes::from_static(b"abc")).await.unwrap();
    let mut first = [0; 3];
    let mut consumer = soon(tokio::task::spawn_blocking(move || {
        let mut consumer = consumer;
        consumer.read_exact(&mut first).unwrap();
        consumer
    }))
    .await
    .unwrap();
    rustix::io::ioctl_fionbio(&consumer, true).unwrap();
    assert!(
        consumer.read(&mut first).is_err(),
        "the pipe is empty and idle"
    );
    drop(consumer);
    assert!(matches!(
        soon(receiving).await.unwrap(),
        ReceiveEnd::ReaderGone { bytes: 3 }
    ));
    let cause = soon(send.stopped()).await;
    assert!(matches!(
        cause,
        crate::transport::StopCause::Stopped {
            code: code::READER_GONE,
            ..
        }
    ));
}

#[tokio::test]
async fn a_reader_that_leaves_a_full_pipe_is_noticed_at_once() {
    let Both {
        a: _a,
        b: _b,
        mut send,
        recv,
    } = both().await;
    let (consumer, consumer_end) = pipe().unwrap();
    let counted = meter();
    let receiving = tokio::spawn(receive_pipe(
        recv,
        consumer_end.into(),
        Arc::clone(&counted),
        token(),
        transfer(),
    ));
    send.send(Bytes::from(vec![0; 200_000])).await.unwrap();
    eventually(|| counted.bytes() == 65_536).await;
    drop(consumer);
    assert!(matches!(
        soon(receiving).await.unwrap(),
        ReceiveEnd::ReaderGone { bytes: 65_536 }
    ));
}

/// The reading end must have no end to see: an empty pipe that is open would block.
fn assert_open(consumer: &mut std::io::PipeReader) {
    rustix::io::ioctl_fionbio(&*consumer, true).unwrap();
    let mut rest = [0; 1 << 17];
    loop {
        match consumer.read(&mut rest) {
            Ok(0) => panic!("the pipe was closed"),
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
                return;
            }
        }
    }
}

#[tokio::test]
async fn a_reset_and_a_loss_hand_the_pipe_back_open_even_when_it_is_full() {
    for full in [false, true] {
        for reset in [false, true] {
            let Both {
                a,
                b: _b,
                mut send,
                recv,
            } = both().await;
            let (mut consumer, consumer_end) = pipe().unwrap();
            let counted = meter();
            let receiving = tokio::spawn(receive_pipe(
                recv,
                consumer_end.into(),
                Arc::clone(&counted),
                token(),
                transfer(),
            ));
            let length = if full { 200_000 } else { 1_000 };
            send.send(Bytes::from(vec![0; length])).await.unwrap();
            eventually(|| counted.bytes() == length.min(65_536) as u64).await;
            if reset {
                send.reset(77, "upstream failed");
            } else {
                a.close("node lost");
            }
            let end = soon(receiving).await.unwrap();
            assert_open(&mut consumer);
            match end {
                ReceiveEnd::Reset { code: 77, pipe, .. } if reset => drop(pipe),
                ReceiveEnd::Lost { pipe, .. } if !reset => drop(pipe),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn an_aborted_stage_resets_its_link_whatever_its_stdout_says() {
    let Both {
        a: _a,
        b: _b,
        send,
        mut recv,
    } = both().await;
    let (producer_end, mut producer) = pipe().unwrap();
    producer.write_all(b"abc").unwrap();
    let aborting = token();
    let sending = tokio::spawn(send_pipe(
        producer_end.into(),
        send,
        meter(),
        aborting.clone(),
        transfer(),
    ));
    assert_eq!(soon(recv.recv()).await.unwrap().unwrap(), "abc");
    aborting.cancel();
    drop(producer);
    assert!(matches!(
        soon(sending).await.unwrap(),
        SendEnd::Aborted { bytes: 3 }
    ));
    assert!(all(&mut recv).await.is_err());
}

#[tokio::test]
async fn an_abort_overtakes_a_finish_that_waits_for_credit() {
    let (a, b) = pair().await;
    let (send, mut recv) = uni(&a, &b, 0).await;
    let (producer_end, mut producer) = pipe().unwrap();
    producer.write_all(b"abc").unwrap();
    drop(producer);
    let (aborting, counted) = (token(), meter());
    let sending = tokio::spawn(send_pipe(
        producer_end.into(),
        send,
        Arc::clone(&counted),
        aborting.clone(),
        transfer(),
    ));
    eventually(|| counted.bytes() == 3).await;
    aborting.cancel();
    assert!(matches!(
        soon(sending).await.unwrap(),
        SendEnd::Aborted { bytes: 3 }
    ));
    recv.grant(1000);
    assert!(all(&mut recv).await.is_err());
}

#[tokio::test]
async fn an_aborted_reader_keeps_its_pipe_open() {
    let Both {
        a: _a,
        b: _b,
        send,
        recv,
    } = both().await;
    let (mut consumer, consumer_end) = pipe().unwrap();
    let aborting = token();
    let receiving = tokio::spawn(receive_pipe(
        recv,
        consumer_end.into(),
        meter(),
        aborting.clone(),
        transfer(),
    ));
    aborting.cancel();
    let end = soon(receiving).await.unwrap();
    assert_open(&mut consumer);
    assert!(matches!(end, ReceiveEnd::Aborted { bytes: 0, .. }));
    assert!(soon(send.finish()).await.is_err());
}

#[tokio::test]
async fn a_descriptor_that_is_no_pipe_fails_without_an_end() {
    let Both {
        a: _a,
        b: _b,
        send,
        mut recv,
    } = both().await;
    let file = std::fs::File::open("/dev/null").unwrap();
    let end = send_pipe(file.into(), send, meter(), token(), transfer()).await;
    assert!(matches!(end, SendEnd::ReadFailed { bytes: 0, .. }));
    assert!(all(&mut recv).await.is_err());
}

/// What comes of these payloads and this digest, at a reader to which the bytes come in this way.
async fn received(way: Way, payloads: &[Bytes], digest: Option<[u8; 32]>) -> ReceiveEnd {
    let Both {
        a: _a,
        b: _b,
        mut send,
        recv,
    } = both().await;
    let (_consumer, consumer_end) = pipe().unwrap();
    for payload in payloads {
        soon(send.send(payload.clone())).await.unwrap();
    }
    let finishing = tokio::spawn(send.finish_with(digest));
    let mut decoder = Decoder::new(way).unwrap();
    let receiving = receive_coded(
        &mut decoder,
        None,
        recv,
        consumer_end.into(),
        meter(),
        token(),
    );
    let end = soon(receiving).await;
    let _stopped_or_finished = finishing.await.unwrap();
    end
}

#[tokio::test]
async fn an_end_that_is_not_believed_leaves_the_pipe_open() {
    let digest_only = Way {
        coding: Coding::Plain,
        digest: true,
    };
    let compressed = Way {
        coding: Coding::Zstd,
        digest: false,
    };
    let mut encoder = Encoder::new(compressed).unwrap();
    let unfinished = encoder.push(Bytes::from_static(b"text")).unwrap();
    let text = Bytes::from_static(b"text");
    for (way, payload, digest, expected) in [
        (digest_only, &text, None, CodingError::NoDigest),
        (compressed, &unfinished, None, CodingError::CutOff),
    ] {
        let end = received(way, std::slice::from_ref(payload), digest).await;
        let ReceiveEnd::Damaged {
            bytes: 4,
            error,
            pipe: _open,
        } = end
        else {
            panic!("{end:?}");
        };
        assert_eq!(error, expected);
    }
    let end = received(digest_only, &[text], Some([7; 32])).await;
    assert!(
        matches!(
            end,
            ReceiveEnd::Damaged {
                error: CodingError::Digest { .. },
                ..
            }
        ),
        "{end:?}"
    );
    let end = received(compressed, &[Bytes::from_static(b"no frame")], None).await;
    assert!(
        matches!(
            end,
            ReceiveEnd::Damaged {
                error: CodingError::Decompress(_),
                bytes: 0,
                ..
            }
        ),
        "{end:?}"
    );
}

#[tokio::test]
async fn what_compresses_to_nothing_lets_other_tasks_have_their_turn() {
    const LENGTH: usize = 32 << 20;
    let Both { send, mut recv, .. } = both().await;
    let (reader, mut writer) = pipe().unwrap();
    let writing = std::thread::spawn(move || writer.write_all(&vec![0; LENGTH]).unwrap());
    let way = Way {
        coding: Coding::Zstd,
        digest: false,
    };
    let mut encoder = Encoder::new(way).unwrap();
    let sending = tokio::spawn(async move {
        send_coded(&mut encoder, reader.into(), send, meter(), token()).await
    });
    let reading = tokio::spawn(async move { while let Ok(Some(_)) = recv.recv().await {} });
    let mut turns = 0;
    while !sending.is_finished() {
        turns += 1;
        tokio::task::yield_now().await;
    }
    assert!(matches!(sending.await.unwrap(), SendEnd::Finished { .. }));
    reading.await.unwrap();
    writing.join().unwrap();
    assert!(turns >= 16, "others had {turns} turns meanwhile");
}
