//! What the kernel moves by itself: full pipes, slots, streams beside each other, and apps that read their own output.

use std::{
    io::{PipeReader, PipeWriter, Read as _, Write as _, pipe},
    sync::Arc,
    thread::JoinHandle,
};

use tokio_util::sync::CancellationToken;

use super::*;
use crate::transport::pump::{Meter, ReceiveEnd, SendEnd, Transfer, receive_pipe, send_pipe};

/// Sessions over TCP, which is what nodes have between them.
async fn nodes() -> (Session, Session) {
    let (a, b) = tcp_streams().await;
    joined(a, b).await
}

/// Text of which no two parts are alike.
fn content(seed: usize, length: usize) -> Vec<u8> {
    (0..length)
        .map(|n| ((n * 31 + n / 251 + seed * 7) % 251) as u8)
        .collect()
}

fn producer(mut pipe: PipeWriter, data: Vec<u8>) -> JoinHandle<()> {
    std::thread::spawn(move || pipe.write_all(&data).unwrap())
}

/// Reads to the end in pieces of this length.
fn consumer(mut pipe: PipeReader, piece: usize) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let (mut all, mut buffer) = (Vec::new(), vec![0; piece]);
        loop {
            match pipe.read(&mut buffer).unwrap() {
                0 => return all,
                read => all.extend_from_slice(&buffer[..read]),
            }
        }
    })
}

/// A link from a pipe to a pipe, being pumped.
struct Link {
    from: Option<PipeWriter>,
    to: Option<PipeReader>,
    sending: tokio::task::JoinHandle<SendEnd>,
    receiving: tokio::task::JoinHandle<ReceiveEnd>,
    received: Arc<Meter>,
}

impl Link {
    async fn new(a: &Session, b: &Session) -> Self {
        let (send, recv) = uni(a, b, 256 << 10).await;
        let ((from_end, from), (to, to_end)) = (pipe().unwrap(), pipe().unwrap());
        let received = Arc::new(Meter::new());
        let never = CancellationToken::new;
        Self {
            from: Some(from),
            to: Some(to),
            sending: tokio::spawn(send_pipe(
                from_end.into(),
                send,
                Arc::default(),
                never(),
                Transfer::Splice,
            )),
            receiving: tokio::spawn(receive_pipe(
                recv,
                to_end.into(),
                Arc::clone(&received),
                never(),
                Transfer::Splice,
            )),
            received,
        }
    }

    /// Sends some text through it, which is read in pieces of this length.
    fn carry(&mut self, data: Vec<u8>, piece: usize) -> (JoinHandle<()>, JoinHandle<Vec<u8>>) {
        let (from, to) = (self.from.take().unwrap(), self.to.take().unwrap());
        (producer(from, data), consumer(to, piece))
    }

    /// Waits until both ends are done, and closes the pipe.
    async fn finish(self) {
        let sent = soon(self.sending).await.unwrap();
        assert!(matches!(sent, SendEnd::Finished { .. }), "{sent:?}");
        let received = soon(self.receiving).await.unwrap();
        assert!(
            matches!(received, ReceiveEnd::Finished { .. }),
            "{received:?}"
        );
    }
}

/// A new link carries this text unchanged to one that reads it in pieces of this length.
async fn carries(a: &Session, b: &Session, data: Vec<u8>, piece: usize) {
    let mut link = Link::new(a, b).await;
    let (writing, reading) = link.carry(data.clone(), piece);
    link.finish().await;
    writing.join().unwrap();
    assert!(reading.join().unwrap() == data);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_of_crumbs_gets_everything() {
    let (a, b) = nodes().await;
    carries(&a, &b, content(1, 12_000_000), 777).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_not_read_holds_up_none_of_the_others() {
    let (a, b) = nodes().await;
    let mut stalled = Link::new(&a, &b).await;
    let (stalled_from, stalled_to) = (stalled.from.take().unwrap(), stalled.to.take().unwrap());
    let kept = content(0, 8_000_000);
    let writing = producer(stalled_from, kept.clone());
    let mut others = Vec::new();
    for seed in 1..9 {
        let mut link = Link::new(&a, &b).await;
        let data = content(seed, 6_000_000);
        let threads = link.carry(data.clone(), 64 << 10);
        others.push((link, data, threads));
    }
    for (link, data, (writing, reading)) in others {
        link.finish().await;
        writing.join().unwrap();
        assert!(reading.join().unwrap() == data);
    }
    assert!(!writing.is_finished(), "nobody reads what it writes");
    assert!(stalled.received.bytes() < 4 << 20);
    let reading = consumer(stalled_to, 1 << 20);
    stalled.finish().await;
    writing.join().unwrap();
    assert!(reading.join().unwrap() == kept);
}

#[tokio::test(flavor = "multi_thread")]
async fn pieces_that_use_up_the_slots_of_a_pipe_arrive_whole() {
    let (a, b) = nodes().await;
    let (mut send, recv) = uni(&a, &b, 4 << 20).await;
    let (to, to_end) = pipe().unwrap();
    let receiving = tokio::spawn(receive_pipe(
        recv,
        to_end.into(),
        Arc::default(),
        CancellationToken::new(),
        Transfer::Splice,
    ));
    let data = content(3, 9_000_000);
    // Long enough to be spliced, and no two of a length.
    let mut rest = &data[..];
    let mut length = 16_385;
    let reading = consumer(to, 5_000);
    while !rest.is_empty() {
        let (piece, others) = rest.split_at(length.min(rest.len()));
        soon(send.send(Bytes::copy_from_slice(piece)))
            .await
            .unwrap();
        rest = others;
        length = 16_385 + (length * 7) % 30_011;
    }
    soon(send.finish()).await.unwrap();
    drop(soon(receiving).await.unwrap());
    assert!(reading.join().unwrap() == data);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_idle_streams_cost_a_busy_one_nothing_but_memory() {
    let (a, b) = nodes().await;
    let mut idle = Vec::new();
    // Half from each side: so many at once from one peer would be a flood.
    for _ in 0..5_000 {
        idle.push(uni(&a, &b, 64 << 10).await);
        idle.push(uni(&b, &a, 64 << 10).await);
    }
    carries(&a, &b, content(4, 20_000_000), 1 << 20).await;
    for (send, recv) in &mut idle[9_990..] {
        soon(send.send(Bytes::from_static(b"still there")))
            .await
            .unwrap();
        assert_eq!(soon(recv.recv()).await.unwrap().unwrap(), "still there");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_reads_its_own_output_ends_its_stream_and_nothing_else() {
    let (a, b) = nodes().await;
    let (send, mut recv) = uni(&a, &b, 0).await;
    let (from_end, mut from) = pipe().unwrap();
    let mut thief = from_end.try_clone().unwrap();
    // 16 KiB four times are bulk; what comes after them is announced, and waits for credit.
    let mut fill = vec![7; 300 << 10];
    rustix::pipe::fcntl_setpipe_size(&from, 1 << 20).unwrap();
    from.write_all(&fill).unwrap();
    let sending = tokio::spawn(send_pipe(
        from_end.into(),
        send,
        Arc::default(),
        CancellationToken::new(),
        Transfer::Splice,
    ));
    let left = |pipe: &PipeReader| rustix::io::ioctl_fionread(pipe).unwrap();
    // The pump reads what it takes as proof, and announces the rest.
    let mut before = 0;
    soon(async {
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let now = left(&thief);
            if now > 0 && now == before {
                return;
            }
            before = now;
        }
    })
    .await;
    let stolen = thief.read(&mut fill).unwrap();
    assert!(stolen > 0);
    recv.grant(4 << 20);
    let error = loop {
        match soon(recv.recv()).await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a clean end of what was stolen from"),
            Err(error) => break error,
        }
    };
    assert!(
        matches!(&error, ReadError::Reset { code: code::FAILED, reason } if reason.contains("another process")),
        "{error:?}"
    );
    let end = soon(sending).await.unwrap();
    assert!(matches!(end, SendEnd::Stopped { .. }), "{end:?}");
    // The session goes on.
    carries(&a, &b, content(5, 2_000_000), 1 << 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_dies_in_mid_frame_is_a_loss_and_no_end() {
    let (a, b) = nodes().await;
    let mut link = Link::new(&a, &b).await;
    let data = vec![1; 64 << 20];
    let (writing, reading) = {
        let (from, to) = (link.from.take().unwrap(), link.to.take().unwrap());
        let writing = std::thread::spawn(move || {
            let mut from = from;
            // It gets SIGPIPE, or an error where that is ignored.
            from.write_all(&data).is_err()
        });
        (writing, consumer(to, 64 << 10))
    };
    while link.received.bytes() < 8 << 20 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    a.close("gone in the middle");
    let received = soon(link.receiving).await.unwrap();
    let ReceiveEnd::Lost { pipe, .. } = received else {
        panic!("{received:?}");
    };
    assert!(!reading.is_finished(), "the pipe is open: no end of file");
    drop(pipe);
    assert!(reading.join().unwrap().iter().all(|&byte| byte == 1));
    let sent = soon(link.sending).await.unwrap();
    assert!(matches!(sent, SendEnd::Lost { .. }), "{sent:?}");
    assert!(writing.join().unwrap(), "its pipe was closed");
}
