//! From a stream into a pipe.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
    sync::Arc,
};

use bytes::{Buf, Bytes};
use tokio::{io::Interest, net::unix::pipe::Sender};
use tokio_util::sync::CancellationToken;

use super::{Filter, Meter, Spoilt, Transfer};
use crate::{
    coding::{CodingError, Decoder},
    transport::{Lost, ReadError, RecvStream, code, splice::Outlet},
};

/// What a filter's output keeps for the next one. One long object must not hold its memory until the pipe ends.
const KEPT: usize = 1 << 20;

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
    /// The filter could make nothing of what came; the stream was stopped.
    Spoilt {
        /// Bytes that the filter had taken.
        bytes: u64,
        /// The pipe, open.
        pipe: OwnedFd,
    },
    /// What came is not what was sent; the stream was stopped.
    Damaged {
        /// Bytes written to the pipe until then.
        bytes: u64,
        /// What is wrong.
        error: CodingError,
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
pub(super) enum End {
    Finished,
    ReaderGone,
    Aborted,
    Broken(ReadError),
    Spoilt,
    Damaged(CodingError),
    WriteFailed(io::Error),
}

/// What stands between the stream and the pipe.
pub(super) enum Between<'a> {
    Nothing(Transfer),
    Filter(&'a mut dyn Filter),
    Decoder(&'a mut Decoder, Option<&'a mut dyn Filter>),
}

/// Writes what a stream delivers into a pipe until the stream ends. The caller has granted the stream its window. Where it can and `transfer`
/// allows it, the kernel moves bulk from the socket into the pipe.
///
/// That the pipe's reader is gone, that the stream broke, and that the stage is aborted are each noticed at once, also while nothing
/// comes or while the pipe is full.
///
/// Dropped before it returns, the stream is stopped and the pipe **closed**; cancel `aborting` instead to get it back open.
pub async fn receive_pipe(
    stream: RecvStream,
    pipe: OwnedFd,
    meter: Arc<Meter>,
    aborting: CancellationToken,
    transfer: Transfer,
) -> ReceiveEnd {
    receive(stream, pipe, meter, aborting, Between::Nothing(transfer)).await
}

/// The same, but the pipe gets what `filter` makes of the stream. Bytes are counted as they came, once what became of them is in the pipe.
pub async fn receive_through(
    filter: &mut dyn Filter,
    stream: RecvStream,
    pipe: OwnedFd,
    meter: Arc<Meter>,
    aborting: CancellationToken,
) -> ReceiveEnd {
    receive(stream, pipe, meter, aborting, Between::Filter(filter)).await
}

pub(super) async fn receive(
    mut stream: RecvStream,
    pipe: OwnedFd,
    meter: Arc<Meter>,
    aborting: CancellationToken,
    between: Between<'_>,
) -> ReceiveEnd {
    let outlet = match Sender::from_owned_fd(pipe) {
        Ok(pipe) => Arc::new(Outlet::new(pipe, meter.clone())),
        Err(error) => {
            stream.stop(code::FAILED, &format!("cannot write the pipe: {error}"));
            return ReceiveEnd::WriteFailed { bytes: 0, error };
        }
    };
    meter.look_into(&outlet);
    if matches!(between, Between::Nothing(Transfer::Splice)) && stream.can_splice() {
        stream.attach(&outlet);
    }
    let mut filling = Filling {
        stream: &mut stream,
        outlet: &outlet,
        aborting: &aborting,
    };
    let end = match between {
        Between::Nothing(_) => filling.fill().await,
        Between::Filter(filter) => filling.fill_through(filter).await,
        Between::Decoder(decoder, filter) => filling.fill_coded(decoder, filter).await,
    };
    stream.detach();
    let bytes = outlet.bytes();
    let pipe = match Arc::try_unwrap(outlet) {
        Ok(outlet) => outlet.into_pipe(),
        // The session's reader is passing something on at this moment, which it cannot when the stream has finished.
        Err(outlet) => outlet.pipe().as_fd().try_clone_to_owned(),
    };
    let (end, pipe) = match (end, pipe) {
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
        End::Spoilt => {
            stream.stop(code::CANCELLED, "what came is not what was agreed");
            ReceiveEnd::Spoilt { bytes, pipe }
        }
        End::Damaged(error) => {
            stream.stop(code::FAILED, &error.to_string());
            ReceiveEnd::Damaged { bytes, error, pipe }
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

/// A pipe that is being filled.
pub(super) struct Filling<'a> {
    pub(super) stream: &'a mut RecvStream,
    pub(super) outlet: &'a Outlet,
    aborting: &'a CancellationToken,
}

// === impl Filling ===

impl Filling<'_> {
    async fn fill(&mut self) -> End {
        loop {
            let mut piece = match self.next().await {
                Ok(Some(piece)) => piece,
                Ok(None) => return End::Finished,
                Err(end) => return end,
            };
            while !piece.is_empty() {
                match self.put(&piece).await {
                    Ok(written) => {
                        piece.advance(written);
                        self.outlet.count(written);
                    }
                    Err(end) => return end,
                }
            }
        }
    }

    async fn fill_through(&mut self, filter: &mut dyn Filter) -> End {
        let mut output = Vec::new();
        loop {
            let put = match self.next().await {
                Ok(Some(piece)) => self.put_filtered(filter, &piece, &mut output).await,
                Ok(None) => return self.finish_filtered(filter, &mut output).await,
                Err(end) => Err(end),
            };
            if let Err(end) = put {
                return end;
            }
        }
    }

    /// Writes what a filter makes of a piece, which is counted as it came.
    pub(super) async fn put_filtered(
        &mut self,
        filter: &mut dyn Filter,
        mut rest: &[u8],
        filtered: &mut Vec<u8>,
    ) -> Result<(), End> {
        while !rest.is_empty() {
            let before = rest.len();
            let pushed = filter.push(&mut rest, filtered);
            self.put_all(filtered).await?;
            self.outlet.count(before - rest.len());
            pushed.map_err(|Spoilt| End::Spoilt)?;
        }
        Ok(())
    }

    /// Writes what a filter has held back, now that the stream has finished.
    pub(super) async fn finish_filtered(
        &mut self,
        filter: &mut dyn Filter,
        filtered: &mut Vec<u8>,
    ) -> End {
        let finished = filter.finish(filtered);
        match (self.put_all(filtered).await, finished) {
            (Err(end), _) => end,
            (Ok(()), Ok(())) => End::Finished,
            (Ok(()), Err(Spoilt)) => End::Spoilt,
        }
    }

    /// What the stream brings next. All branches are cancel safe.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, End> {
        tokio::select! {
            biased;
            () = self.aborting.cancelled() => Err(End::Aborted),
            () = reader_gone(self.outlet.pipe()) => Err(End::ReaderGone),
            received = self.stream.recv() => received.map_err(End::Broken),
        }
    }

    /// Writes all, and leaves the buffer empty.
    pub(super) async fn put_all(&mut self, output: &mut Vec<u8>) -> Result<(), End> {
        let mut rest = &output[..];
        while !rest.is_empty() {
            let written = self.put(rest).await?;
            rest = &rest[written..];
        }
        output.clear();
        output.shrink_to(KEPT);
        Ok(())
    }

    /// Writes some.
    pub(super) async fn put(&mut self, piece: &[u8]) -> Result<usize, End> {
        loop {
            match self.outlet.pipe().try_write(piece) {
                Ok(written) => {
                    let _larger = self.outlet.note(written);
                    return Ok(written);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    tokio::select! {
                        biased;
                        () = self.aborting.cancelled() => return Err(End::Aborted),
                        error = self.stream.broken() => return Err(End::Broken(error)),
                        ready = self.outlet.pipe().writable() => ready.map_err(End::WriteFailed)?,
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                    return Err(End::ReaderGone);
                }
                Err(error) => return Err(End::WriteFailed(error)),
            }
        }
    }
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
