//! From a stream into a pipe.

use std::{io, os::fd::OwnedFd, sync::Arc};

use bytes::{Buf, Bytes};
use tokio::{io::Interest, net::unix::pipe::Sender};
use tokio_util::sync::CancellationToken;

use super::{grow::Grower, meter::Meter};
use crate::transport::{Lost, ReadError, RecvStream, code};

/// A pipe that cannot take a piece of this length is short of room.
const LARGE: usize = 16 << 10;

/// How the filling of a pipe ended.
///
/// Where a pipe is given back, it is open: whoever closes it says to the reading process that its input is complete. That is true after
/// [`ReceiveEnd::Finished`] alone.
#[derive(Debug)]
pub enum ReceiveEnd {
    /// The writer finished and everything is in the pipe.
    Finished {
        /// Bytes written to the pipe.
        bytes: u64,
        /// The pipe: close it, and its reader sees the end.
        pipe: OwnedFd,
    },
    /// Nobody reads the pipe any more; the stream was stopped.
    ReaderGone {
        /// Bytes written to the pipe. Some of them may not have been read.
        bytes: u64,
    },
    /// The writer gave up.
    Reset {
        /// Bytes written to the pipe until then.
        bytes: u64,
        /// Why, for programs.
        code: u32,
        /// Why, for people.
        reason: String,
        /// The pipe, open.
        pipe: OwnedFd,
    },
    /// The session is over.
    Lost {
        /// Bytes written to the pipe until then.
        bytes: u64,
        /// Why.
        why: Lost,
        /// The pipe, open.
        pipe: OwnedFd,
    },
    /// The stage was aborted; the stream was stopped.
    Aborted {
        /// Bytes written to the pipe until then.
        bytes: u64,
        /// The pipe, open.
        pipe: OwnedFd,
    },
    /// The pipe could not be written, for another reason than that nobody reads it; the stream was stopped.
    WriteFailed {
        /// Bytes written to the pipe until then.
        bytes: u64,
        /// Why.
        error: io::Error,
    },
}

/// Why the loop came to its end.
enum End {
    Finished,
    ReaderGone,
    Aborted,
    Broken(ReadError),
    WriteFailed(io::Error),
}

/// Writes what a stream delivers into a pipe until the stream ends. The caller has granted the stream its window.
///
/// That the pipe's reader is gone, that the stream broke, and that the stage is aborted are each noticed at once, also while nothing
/// comes or while the pipe is full.
///
/// Dropped before it returns, the stream is stopped and the pipe **closed**; cancel `aborting` instead to get it back open.
pub async fn receive_pipe(
    mut stream: RecvStream,
    pipe: OwnedFd,
    meter: Arc<Meter>,
    aborting: CancellationToken,
) -> ReceiveEnd {
    let pipe = match Sender::from_owned_fd(pipe) {
        Ok(pipe) => pipe,
        Err(error) => {
            stream.stop(code::FAILED, &format!("cannot write the pipe: {error}"));
            return ReceiveEnd::WriteFailed { bytes: 0, error };
        }
    };
    let mut bytes = 0;
    let end = fill(&mut stream, &pipe, &meter, &aborting, &mut bytes).await;
    let (end, pipe) = match (end, pipe.into_nonblocking_fd()) {
        (End::WriteFailed(error), _) | (_, Err(error)) => {
            stream.stop(code::FAILED, &format!("cannot write the pipe: {error}"));
            return ReceiveEnd::WriteFailed { bytes, error };
        }
        (end, Ok(pipe)) => (end, pipe),
    };
    match end {
        End::Finished => ReceiveEnd::Finished { bytes, pipe },
        End::ReaderGone => {
            stream.stop(
                code::READER_GONE,
                "the reading process has closed its input",
            );
            ReceiveEnd::ReaderGone { bytes }
        }
        End::Aborted | End::WriteFailed(_) => {
            stream.stop(code::CANCELLED, "aborted");
            ReceiveEnd::Aborted { bytes, pipe }
        }
        End::Broken(ReadError::Reset { code, reason }) => ReceiveEnd::Reset {
            bytes,
            code,
            reason,
            pipe,
        },
        End::Broken(ReadError::Lost(why)) => ReceiveEnd::Lost { bytes, why, pipe },
    }
}

async fn fill(
    stream: &mut RecvStream,
    pipe: &Sender,
    meter: &Meter,
    aborting: &CancellationToken,
    bytes: &mut u64,
) -> End {
    let mut grower = Grower::default();
    loop {
        // All branches are cancel safe.
        let mut piece = tokio::select! {
            biased;
            () = aborting.cancelled() => return End::Aborted,
            () = reader_gone(pipe) => return End::ReaderGone,
            received = stream.recv() => match received {
                Ok(Some(piece)) => piece,
                Ok(None) => return End::Finished,
                Err(error) => return End::Broken(error),
            },
        };
        if let Err(end) = put(
            &mut piece,
            stream,
            pipe,
            meter,
            aborting,
            bytes,
            &mut grower,
        )
        .await
        {
            return end;
        }
    }
}

/// Writes one piece.
async fn put(
    piece: &mut Bytes,
    stream: &RecvStream,
    pipe: &Sender,
    meter: &Meter,
    aborting: &CancellationToken,
    bytes: &mut u64,
    grower: &mut Grower,
) -> Result<(), End> {
    while !piece.is_empty() {
        match pipe.try_write(piece) {
            Ok(written) => {
                piece.advance(written);
                *bytes += written as u64;
                meter.add(written);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                grower.note(pipe, piece.len() >= LARGE);
                tokio::select! {
                    biased;
                    () = aborting.cancelled() => return Err(End::Aborted),
                    error = stream.broken() => return Err(End::Broken(error)),
                    ready = pipe.writable() => ready.map_err(End::WriteFailed)?,
                }
            }
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                return Err(End::ReaderGone);
            }
            Err(error) => return Err(End::WriteFailed(error)),
        }
    }
    Ok(())
}

/// Waits until nobody reads the pipe any more. The kernel reports it on the write end by itself, also when nothing is written.
async fn reader_gone(pipe: &Sender) {
    loop {
        match pipe.ready(Interest::ERROR).await {
            Ok(ready) if !ready.is_error() && !ready.is_write_closed() => {
                tokio::task::yield_now().await;
            }
            // An error here is one of the runtime that is shutting down.
            _ => return,
        }
    }
}
