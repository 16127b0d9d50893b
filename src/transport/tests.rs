use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    net::{TcpListener, TcpStream, UnixStream},
    time::timeout,
};

use super::*;
use crate::{
    id::{PipeId, StageNumber},
    wire::{
        Frame, Preface, PrefaceError, StreamId, Version, codec,
        message::{FromEntry, Hello, Load, Purpose, Query, Role},
    },
};

mod ends;
mod handshake;
mod lost;
mod splicing;

/// Patience for what happens at once on an idle machine.
pub(super) const SOON: Duration = Duration::from_secs(20);

pub(super) fn hello(name: &str) -> Hello {
    Hello {
        role: Role::Node,
        node: name.parse().ok(),
        boot: "1".to_owned(),
        version: "0.1.0".to_owned(),
        features: BTreeSet::new(),
        nonce: String::new(),
        advertise: None,
        apps: None,
        labels: BTreeMap::new(),
        load: Load::default(),
    }
}

pub(super) fn stdin() -> Purpose {
    Purpose::Stdin {
        pipe: PipeId::from_u128(7),
        coding: crate::media::Coding::Plain,
    }
}

/// Two sessions, joined.
pub(super) async fn joined<A: Connected, B: Connected>(a: A, b: B) -> (Session, Session) {
    let (a, b) = tokio::join!(
        greet(a, Side::Dialler, hello("a"), PeerAddress::InProcess),
        greet(b, Side::Acceptor, hello("b"), PeerAddress::InProcess),
    );
    (a.unwrap(), b.unwrap())
}

pub(super) async fn pair() -> (Session, Session) {
    let (a, b) = UnixStream::pair().unwrap();
    joined(a, b).await
}

pub(super) async fn tcp_streams() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (a, b) = tokio::join!(
        TcpStream::connect(listener.local_addr().unwrap()),
        listener.accept()
    );
    (a.unwrap(), b.unwrap().0)
}

pub(super) async fn soon<F: Future>(what: F) -> F::Output {
    timeout(SOON, what).await.expect("in time")
}

/// A one-way stream from a to b, accepted with this window.
pub(super) async fn uni(a: &Session, b: &Session, window: u32) -> (SendStream, RecvStream) {
    let send = a.open_uni(&stdin()).await.unwrap();
    let Some(Incoming::Uni {
        purpose,
        mut stream,
    }) = soon(b.accept()).await
    else {
        panic!("a one-way stream");
    };
    assert_eq!(purpose, stdin());
    if window > 0 {
        stream.grant(window);
    }
    (send, stream)
}

/// A two-way stream: a's ends, then b's.
pub(super) async fn bidi(
    a: &Session,
    b: &Session,
) -> ((SendStream, RecvStream), (SendStream, RecvStream)) {
    let ours = a.open_bidi(&Purpose::Query).await.unwrap();
    let Some(Incoming::Bidi { send, recv, .. }) = soon(b.accept()).await else {
        panic!("a two-way stream");
    };
    (ours, (send, recv))
}

/// Reads to the end.
pub(super) async fn all(stream: &mut RecvStream) -> Result<Vec<u8>, ReadError> {
    let mut out = Vec::new();
    while let Some(piece) = soon(stream.recv()).await? {
        out.extend_from_slice(&piece);
    }
    Ok(out)
}
