//! From a connection to a session: prefaces, then Hellos.

use std::{io, time::Duration};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, timeout, timeout_at},
};
use ulid::Ulid;

use super::{
    address::{Peer, PeerAddress},
    driver,
    error::HandshakeError,
    session::Session,
    socket::Connected,
};
use crate::{
    mux::{Side, code},
    wire::{
        Frame, FrameType, Preface, PrefaceError, StreamId, Version,
        codec::{self, Header},
        limits,
        message::Hello,
        preface::{self, MAGIC},
    },
};

/// How long a peer may take for preface and Hello: a stranger must not hold a slot, and a loaded node answers well within it.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the rest of a foreign peer's first line is waited for. It is only wanted for the message.
const FOREIGN_LINE: Duration = Duration::from_secs(1);

/// How long a closing side reads on, so that what it wrote is not lost to a reset by the kernel.
pub(super) const LINGER: Duration = Duration::from_secs(2);

/// How much it reads then.
pub(super) const LINGER_BYTES: usize = 64 << 10;

/// Makes a session of a connection, within [`HANDSHAKE_TIMEOUT`].
///
/// `hello` is what this side says of itself; its nonce is filled in. `address` is where the peer was found to be.
///
/// # Errors
///
/// Returns why the connection did not become a session; it is closed then.
pub async fn greet<S: Connected>(
    io: S,
    side: Side,
    hello: Hello,
    address: PeerAddress,
) -> Result<Session, HandshakeError> {
    greet_within(io, side, hello, address, HANDSHAKE_TIMEOUT).await
}

/// Accepts a peer that is only wanted if what it says of itself is to the liking of `judge`, who is given its Hello; until then this side
/// says nothing but its protocol version. `reason` is for a peer that speaks something else: it reads why it is not wanted.
///
/// # Errors
///
/// As [`greet`]; [`HandshakeError::Unwanted`] when `judge` refused. The peer was told the reason then.
pub async fn greet_if<S: Connected>(
    mut io: S,
    hello: Hello,
    address: PeerAddress,
    reason: &str,
    judge: impl AsyncFnOnce(&Hello) -> Result<(), String>,
) -> Result<Session, HandshakeError> {
    io.prepare();
    let deadline = Instant::now() + HANDSHAKE_TIMEOUT;
    let own = Preface {
        version: Version::CURRENT,
        nonce: nonce(),
    };
    let theirs = match read_preface(&mut io, deadline, HANDSHAKE_TIMEOUT).await {
        Ok(theirs) => theirs,
        Err(error) => {
            refuse(io, reason).await;
            return Err(error);
        }
    };
    let exchange = async {
        // Even a peer of another version hears which one this is.
        io.write_all(&own.encode()).await.map_err(ended)?;
        let version = own.version.agree(theirs.version)?;
        let said = read_hello(&mut io).await?;
        if said.nonce != own.nonce_text() {
            return Err(HandshakeError::Nonce);
        }
        if let Err(reason) = judge(&said).await {
            turn_away(&mut io, &reason).await;
            return Err(HandshakeError::Unwanted(reason));
        }
        let hello = Hello {
            nonce: theirs.nonce_text(),
            ..hello
        };
        write_hello(&mut io, &hello).await?;
        Ok((said, version))
    };
    let (hello, version) = timeout_at(deadline, exchange)
        .await
        .map_err(|_| HandshakeError::Timeout(HANDSHAKE_TIMEOUT))??;
    let peer = Peer {
        hello,
        address,
        version,
    };
    Ok(driver::start(io, Side::Acceptor, peer))
}

/// Tells a peer that said its Hello that it is not wanted.
async fn turn_away<S: AsyncRead + AsyncWrite + Unpin>(io: &mut S, reason: &str) {
    let mut out = BytesMut::new();
    let farewell = Frame::GoAway {
        code: code::FAILED,
        reason: codec::cut(reason, limits::MAX_REASON).to_owned(),
    };
    codec::encode(&farewell, &mut out);
    let farewell = async {
        io.write_all(&out).await?;
        io.shutdown().await?;
        drain(io).await
    };
    // Whether a peer that is not wanted heard it makes no difference here.
    let _heard = timeout(LINGER, farewell).await;
}

/// The same within another time.
pub(super) async fn greet_within<S: Connected>(
    mut io: S,
    side: Side,
    hello: Hello,
    address: PeerAddress,
    within: Duration,
) -> Result<Session, HandshakeError> {
    io.prepare();
    let deadline = Instant::now() + within;
    let timed_out = |_| HandshakeError::Timeout(within);
    let own = Preface {
        version: Version::CURRENT,
        nonce: nonce(),
    };
    timeout_at(deadline, io.write_all(&own.encode()))
        .await
        .map_err(timed_out)?
        .map_err(ended)?;
    let theirs = read_preface(&mut io, deadline, within).await?;
    let version = own.version.agree(theirs.version)?;
    if theirs.nonce == own.nonce {
        return Err(HandshakeError::Itself);
    }
    let exchange = async {
        let hello = Hello {
            nonce: theirs.nonce_text(),
            ..hello
        };
        write_hello(&mut io, &hello).await?;
        read_hello(&mut io).await
    };
    let hello = timeout_at(deadline, exchange).await.map_err(timed_out)??;
    if hello.nonce != own.nonce_text() {
        return Err(HandshakeError::Nonce);
    }
    let peer = Peer {
        hello,
        address,
        version,
    };
    Ok(driver::start(io, side, peer))
}

/// Tells a peer that this connection will not become a session, in a line that any client can show, and closes it.
pub async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(mut io: S, reason: &str) {
    let reason: String = codec::cut(reason, limits::MAX_FIRST_LINE - preface::REFUSAL.len() - 1)
        .chars()
        .map(|character| if character == '\n' { ' ' } else { character })
        .collect();
    let line = format!("{}{reason}\n", preface::REFUSAL);
    let farewell = async {
        io.write_all(line.as_bytes()).await?;
        io.shutdown().await?;
        drain(&mut io).await
    };
    // Whether a peer that is not wanted heard it makes no difference here.
    let _heard = timeout(LINGER, farewell).await;
}

/// Reads until the end, or until a closing side has read enough.
pub(super) async fn drain<R: AsyncRead + Unpin>(io: &mut R) -> io::Result<()> {
    let mut buffer = [0; 4096];
    let mut left = LINGER_BYTES;
    while left > 0 {
        match io.read(&mut buffer).await? {
            0 => break,
            read => left = left.saturating_sub(read),
        }
    }
    Ok(())
}

/// Reads the peer's preface and not a byte more; from a foreign peer its first line.
async fn read_preface<R: AsyncRead + Unpin>(
    io: &mut R,
    deadline: Instant,
    within: Duration,
) -> Result<Preface, HandshakeError> {
    let mut buffer = [0; limits::MAX_FIRST_LINE];
    let mut have = 0;
    let mut deadline = deadline;
    loop {
        if let Some(preface) = Preface::decode(&buffer[..have])? {
            return Ok(preface);
        }
        let common = have.min(MAGIC.len());
        let foreign = buffer[..common] != MAGIC[..common];
        let most = if foreign {
            deadline = deadline.min(Instant::now() + FOREIGN_LINE);
            buffer.len()
        } else {
            preface::LENGTH
        };
        match timeout_at(deadline, io.read(&mut buffer[have..most])).await {
            Ok(Ok(read)) if read > 0 => have += read,
            _ if foreign => return Err(Preface::foreign(&buffer[..have]).into()),
            Ok(Ok(_)) => return Err(HandshakeError::Closed),
            Ok(Err(error)) => return Err(ended(error)),
            Err(_) => return Err(HandshakeError::Timeout(within)),
        }
    }
}

async fn write_hello<W: AsyncWrite + Unpin>(
    io: &mut W,
    hello: &Hello,
) -> Result<(), HandshakeError> {
    let body = serde_json::to_vec(hello).map_err(HandshakeError::Hello)?;
    if body.len() > limits::MAX_HELLO {
        return Err(HandshakeError::HelloTooLong(body.len()));
    }
    let mut out = BytesMut::with_capacity(limits::HEADER + body.len());
    let message = Frame::Message {
        stream: StreamId::SESSION,
        body: body.into(),
    };
    codec::encode(&message, &mut out);
    io.write_all(&out).await.map_err(ended)
}

/// Reads the peer's Hello and not a byte more.
async fn read_hello<R: AsyncRead + Unpin>(io: &mut R) -> Result<Hello, HandshakeError> {
    let mut header = [0; limits::HEADER];
    io.read_exact(&mut header).await.map_err(ended)?;
    let header = Header::parse(header)?;
    if header.frame_type == Some(FrameType::GoAway) {
        return Err(PrefaceError::Refused(read_reason(io, header.length).await?).into());
    }
    if header.frame_type != Some(FrameType::Message) || header.stream != StreamId::SESSION {
        return Err(HandshakeError::NoHello(header.frame_type));
    }
    if header.length > limits::MAX_HELLO {
        return Err(HandshakeError::HelloTooLong(header.length));
    }
    let mut body = vec![0; header.length];
    io.read_exact(&mut body).await.map_err(ended)?;
    serde_json::from_slice(&body).map_err(HandshakeError::Hello)
}

/// The reason in a GoAway, which is what a peer says instead of its Hello to one that it does not want.
async fn read_reason<R: AsyncRead + Unpin>(
    io: &mut R,
    length: usize,
) -> Result<String, HandshakeError> {
    let mut body = vec![0; length];
    io.read_exact(&mut body).await.map_err(ended)?;
    let reason = body.get(size_of::<u32>()..).unwrap_or_default();
    Ok(String::from_utf8_lossy(reason).into_owned())
}

/// A connection that ends during the handshake is closed, however the kernel puts it.
fn ended(error: io::Error) -> HandshakeError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe => HandshakeError::Closed,
        _ => HandshakeError::Io(error),
    }
}

/// 16 random bytes. An id holds 80 random bits, of which two ids give 64 each.
fn nonce() -> [u8; 16] {
    let mut nonce = [0; 16];
    for half in nonce.chunks_exact_mut(8) {
        let [.., a, b, c, d, e, f, g, h] = Ulid::generate().0.to_be_bytes();
        half.copy_from_slice(&[a, b, c, d, e, f, g, h]);
    }
    nonce
}
