//! From a pipe into a stream.

use std::{io, os::fd::OwnedFd, sync::Arc};

use tokio::net::unix::pipe::Receiver;
use tokio_util::sync::CancellationToken;

use super::{Bulk, Grower, Meter, Transfer};
use crate::transport::{
    Lost, SendStream, StopCause, WriteError, buffers::Buffers, code, splice::Source,
};

/// A read of this length means that more is waiting.
pub(super) const FULL: usize = 16 << 10;

/// What is read into at first: many small pieces share it, so that it is not made anew for every line.
pub(super) const SMALL: usize = 64 << 10;

/// What is read into when the pipe carries bulk: beyond it the copies miss the cache.
pub(super) const BULK: usize = 256 << 10;

/// How the emptying of a pipe ended. The pipe is closed then, so its writer gets SIGPIPE if it goes on.
#[derive(Debug)]
pub enum SendEnd {
    /// The pipe came to its end, and the stream was finished.
    Finished {
        /// Bytes sent.
        bytes: u64,
    },
    /// The reader at the other end is gone.
    Stopped {
        /// Bytes sent until then.
        bytes: u64,
        /// Why, for programs.
        code: u32,
        /// Why, for people.
        reason: String,
    },
    /// The session is over.
    Lost {
        /// Bytes sent until then.
        bytes: u64,
        /// Why.
        why: Lost,
    },
    /// The stage was aborted, so the stream was reset.
    Aborted {
        /// Bytes sent until then.
        bytes: u64,
    },
    /// The pipe could not be read, so the stream was reset.
    ReadFailed {
        /// Bytes sent until then.
        bytes: u64,
        /// Why.
        error: io::Error,
    },
}

/// What is waited for before the pipe is read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// That there is something in it.
    Readable,
    /// That the session has taken the bulk out of it.
    Dry,
}

/// What there is to do next.
enum Step {
    Ready,
    Aborted,
    Stopped(StopCause),
    Failed(io::Error),
}

/// Sends what can be read from a pipe until its end, then finishes the stream. Where it can and `transfer` allows it, the kernel moves bulk from
/// the pipe into the socket.
///
/// Once `aborting` is cancelled the stream ends with a reset, never with a finish, whatever the pipe says: cancel it before the first
/// signal is sent to the process that writes the pipe. The reader's stop is noticed at once, also while nothing can be read.
///
/// Dropped before it returns, the stream is reset and the pipe closed.
pub async fn send_pipe(
    pipe: OwnedFd,
    mut stream: SendStream,
    meter: Arc<Meter>,
    aborting: CancellationToken,
    transfer: Transfer,
) -> SendEnd {
    let source = match Receiver::from_owned_fd(pipe) {
        Ok(pipe) => Arc::new(Source::new(pipe, Arc::clone(&meter))),
        Err(error) => return read_failed(stream, error),
    };
    meter.look_into(&source);
    let pipe = source.pipe();
    let splices = transfer == Transfer::Splice && stream.can_splice();
    if splices {
        stream.attach(&source);
    }
    let mut buffers = Buffers::default();
    let mut grower = Grower::default();
    let mut size = SMALL;
    loop {
        if aborting.is_cancelled() {
            return aborted(stream);
        }
        buffers.make_room(FULL, size);
        let wait_for = match pipe.try_read_buf(&mut buffers.current) {
            Ok(0) => break,
            Ok(read) => {
                let is_full = read >= FULL;
                let is_bulk = grower.note(pipe, is_full) != Bulk::No;
                let sent = tokio::select! {
                    biased;
                    () = aborting.cancelled() => return aborted(stream),
                    sent = stream.send(buffers.current.split().freeze()) => sent,
                };
                if let Err(error) = sent {
                    return write_failed(stream.bytes(), error);
                }
                meter.add(read);
                if is_bulk && splices && is_full {
                    stream.announce();
                    Wait::Dry
                } else {
                    if is_bulk && !splices {
                        size = BULK;
                    }
                    continue;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Wait::Readable,
            Err(error) => return read_failed(stream, error),
        };
        let ready = async {
            match wait_for {
                Wait::Readable => pipe.readable().await,
                Wait::Dry => {
                    source.dry().await;
                    Ok(())
                }
            }
        };
        let step = tokio::select! {
            biased;
            () = aborting.cancelled() => Step::Aborted,
            cause = stream.stopped() => Step::Stopped(cause),
            ready = ready => ready.map_or_else(Step::Failed, |()| Step::Ready),
        };
        match step {
            Step::Ready => {}
            Step::Aborted => return aborted(stream),
            Step::Stopped(cause) => return write_failed(stream.bytes(), cause.into()),
            Step::Failed(error) => return read_failed(stream, error),
        }
    }
    let bytes = stream.bytes();
    tokio::select! {
        biased;
        // Dropping the finish resets the stream.
        () = aborting.cancelled() => SendEnd::Aborted { bytes },
        finished = stream.finish() => match finished {
            Ok(bytes) => SendEnd::Finished { bytes },
            Err(error) => write_failed(bytes, error),
        },
    }
}

fn aborted(stream: SendStream) -> SendEnd {
    let bytes = stream.bytes();
    stream.reset(code::CANCELLED, "aborted");
    SendEnd::Aborted { bytes }
}

fn read_failed(stream: SendStream, error: io::Error) -> SendEnd {
    let bytes = stream.bytes();
    stream.reset(code::FAILED, &format!("cannot read the pipe: {error}"));
    SendEnd::ReadFailed { bytes, error }
}

pub(super) fn write_failed(bytes: u64, error: WriteError) -> SendEnd {
    match error {
        WriteError::Stopped { code, reason } => SendEnd::Stopped {
            bytes,
            code,
            reason,
        },
        WriteError::Lost(why) => SendEnd::Lost { bytes, why },
        WriteError::TooLong(length) => SendEnd::Stopped {
            bytes,
            code: code::FAILED,
            reason: format!("{length} bytes are more than one message holds"),
        },
    }
}
