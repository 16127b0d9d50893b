//! The tasks of a session, of which this is the writing one.

use std::{io, sync::Arc};

use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    time::timeout,
};

use super::{
    address::Peer,
    batch::Batch,
    handshake::{LINGER, drain},
    reader,
    session::Session,
    shared::{Guard, Shared},
    socket::{Connected, OfSocket},
    turn::Turn,
};
use crate::mux::{Side, code};

/// Starts the tasks of a session whose handshake is done.
pub(super) fn start<S: Connected>(io: S, side: Side, peer: Peer) -> Session {
    let (reader, writer) = io.into_halves();
    let has_socket = reader.socket().is_some();
    let shared = Arc::new(Shared::new(side, peer, has_socket));
    let writing = tokio::spawn(write(Arc::clone(&shared), writer));
    let reading = reader::read(Arc::clone(&shared), reader);
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

/// Writes until the session is over, then the last words. Says whether the peer could hear them.
async fn write<W: AsyncWrite + OfSocket + Unpin>(shared: Arc<Shared>, mut writer: W) -> bool {
    let mut batch = Batch::default();
    let mut turn = Turn::default();
    loop {
        let moved;
        {
            let mut state = shared.lock();
            moved = batch.fill(&mut state);
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
        settle(&shared, &mut batch);
        turn.moved(moved).await;
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

/// Notes what of a batch is in the socket.
fn settle(shared: &Shared, batch: &mut Batch) {
    let now = shared.now();
    let mut state = shared.lock();
    for stream in batch.take_finished() {
        state.connection.finish_written(stream, now);
    }
    for (stream, source) in batch.take_sent() {
        if source.is_robbed() {
            let reason = "another process has read what the stage wrote";
            state.connection.reset(stream, code::FAILED, reason);
        } else if state.connection.queued(stream) == 0 {
            // Otherwise credit or the length of a frame has cut what was announced, and the rest of it is next.
            state.announce(stream, &source);
        }
    }
    shared.settle(&mut state);
}
