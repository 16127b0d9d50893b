//! The two tasks of a session.

use std::{io, sync::Arc};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{sleep_until, timeout},
};

use super::{
    address::Peer,
    batch::Batch,
    buffers::Buffers,
    error::Lost,
    handshake::{LINGER, drain},
    session::Session,
    shared::{Guard, Shared},
    socket::Connected,
};
use crate::{
    mux::{Side, Violation, code},
    wire::Decoder,
};

/// Buffer into which is received: with less the system calls cost more than the copying, with more the cache is missed.
const BUFFER: usize = 256 << 10;

/// Room below which a new buffer is taken. What is left of the old one is a quarter at most.
const LEAST_ROOM: usize = 64 << 10;

/// Starts the tasks of a session whose handshake is done.
pub(super) fn start<S: Connected>(io: S, side: Side, peer: Peer) -> Session {
    let shared = Arc::new(Shared::new(side, peer));
    let (reader, writer) = io.into_halves();
    let writing = tokio::spawn(write(Arc::clone(&shared), writer));
    let reading = read(Arc::clone(&shared), reader);
    let supervised = Arc::clone(&shared);
    tokio::spawn(async move {
        let mut reader = reading.await;
        // The writer ends by itself: when the session is over it has two seconds.
        let heard = writing.await.unwrap_or(false);
        if heard {
            // Closing with unread data would make the kernel send a reset, which eats what was written last.
            let _ended = timeout(LINGER, drain(&mut reader)).await;
        }
        drop(reader);
        supervised.closed.cancel();
    });
    Session::new(Guard { shared })
}

/// Reads until the session is over.
async fn read<R: AsyncRead + Unpin>(shared: Arc<Shared>, mut reader: R) -> R {
    let mut buffers = Buffers::default();
    let mut decoder = Decoder::new();
    let mut deadline = shared.with(|connection, now| {
        // The first ping is due at once.
        let _alive = connection.tick(now);
        connection.deadline()
    });
    loop {
        buffers.make_room(LEAST_ROOM, BUFFER);
        tokio::select! {
            biased;
            () = shared.over.cancelled() => return reader,
            // Cancel safe: bytes are in the buffer or in the kernel. Before the clock, so that a side which was suspended hears its peer first.
            read = reader.read_buf(&mut buffers.current) => match read {
                Ok(0) => {
                    let mid_frame = !decoder.at_boundary(&buffers.current);
                    shared.end(Lost::Cut { mid_frame }, None);
                }
                Ok(_) => match receive(&shared, &mut decoder, &mut buffers.current) {
                    Ok(next) => deadline = next,
                    Err(lost) => {
                        let code = match &lost {
                            Lost::Violation(violation) => violation.code(),
                            _ => code::AWAY_PROTOCOL,
                        };
                        let text = lost.to_string();
                        shared.end(lost, Some((code, &text)));
                    }
                },
                Err(error) => shared.end(error.into(), None),
            },
            () = sleep_until(shared.instant(deadline)) => {
                buffers.rest();
                let ticked = shared.with(|connection, now| {
                    connection.tick(now).map(|()| connection.deadline())
                });
                match ticked {
                    Ok(next) => deadline = next,
                    Err(violation) => silent(&shared, violation),
                }
            }
        }
    }
}

/// Hands what was received to the connection.
fn receive(
    shared: &Shared,
    decoder: &mut Decoder,
    buffer: &mut BytesMut,
) -> Result<std::time::Duration, Lost> {
    shared.with(|connection, now| {
        connection.heard(now);
        while let Some(frame) = decoder.decode(buffer).map_err(Lost::Decode)? {
            connection.receive(frame, now).map_err(Lost::Violation)?;
        }
        Ok(connection.deadline())
    })
}

/// Ends a session whose peer is dead. It is told nevertheless, should it hear.
fn silent(shared: &Shared, violation: Violation) {
    let text = violation.to_string();
    let code = violation.code();
    shared.end(Lost::Violation(violation), Some((code, &text)));
}

/// Writes until the session is over, then the last words. Says whether the peer could hear them.
async fn write<W: AsyncWrite + Unpin>(shared: Arc<Shared>, mut writer: W) -> bool {
    let mut batch = Batch::default();
    loop {
        {
            let mut state = shared.lock();
            batch.fill(&mut state.connection);
            // Users whose queue has room again need not wait for the socket.
            shared.settle(&mut state);
        }
        if batch.is_empty() {
            tokio::select! {
                biased;
                () = shared.over.cancelled() => break,
                () = shared.writer.notified() => continue,
            }
        }
        let written = tokio::select! {
            biased;
            () = shared.over.cancelled() => break,
            written = batch.write_to(&mut writer) => written,
        };
        if let Err(error) = written {
            shared.end(error.into(), None);
            break;
        }
        shared.with(|connection, now| {
            for stream in batch.take_finished() {
                connection.finish_written(stream, now);
            }
        });
    }
    let Some(words) = shared.lock().take_farewell() else {
        return false;
    };
    batch.push(words.freeze());
    let farewell = async {
        batch.write_to(&mut writer).await?;
        writer.shutdown().await
    };
    let said: Option<io::Result<()>> = timeout(LINGER, farewell).await.ok();
    matches!(said, Some(Ok(())))
}
