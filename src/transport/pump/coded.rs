//! Between pipes and links whose bytes are compressed or hashed on their way. What is counted are the bytes of the pipes.

use std::{io, os::fd::OwnedFd, sync::Arc};

use bytes::Bytes;
use tokio::net::unix::pipe::Receiver;
use tokio_util::sync::CancellationToken;

use super::{
    Bulk, Grower,
    filter::Filter,
    meter::Meter,
    receive::{Between, End, Filling, ReceiveEnd, receive},
    send::{BULK, FULL, SMALL, SendEnd, write_failed},
};
use crate::{
    coding::{CodingError, Decoder, Encoder},
    transport::{RecvStream, SendStream, WriteError, buffers::Buffers, code, turn::Turn},
};

/// As [`send_pipe`](super::send_pipe), but the stream gets what `encoder` makes of the pipe's bytes. An encoder that cannot go on ends as a
/// pipe that cannot be read.
pub async fn send_coded(
    encoder: &mut Encoder,
    pipe: OwnedFd,
    mut stream: SendStream,
    meter: Arc<Meter>,
    aborting: CancellationToken,
) -> SendEnd {
    let mut bytes = 0;
    match empty(encoder, pipe, &mut stream, &meter, &aborting, &mut bytes).await {
        Ok(digest) => tokio::select! {
            biased;
            // Dropping the finish resets the stream.
            () = aborting.cancelled() => SendEnd::Aborted { bytes },
            finished = stream.finish_with(digest) => match finished {
                Ok(_) => SendEnd::Finished { bytes },
                Err(error) => write_failed(bytes, error),
            },
        },
        Err(Broken::Aborted) => {
            stream.reset(code::CANCELLED, "aborted");
            SendEnd::Aborted { bytes }
        }
        Err(Broken::Write(error)) => write_failed(bytes, error),
        Err(Broken::Read(error)) => {
            stream.reset(code::FAILED, &format!("cannot read the pipe: {error}"));
            SendEnd::ReadFailed { bytes, error }
        }
    }
}

/// As [`receive_through`](super::receive_through), but what comes is given to `decoder` first. The end of the stream is the end of the pipe
/// only if the decoder believes it.
pub async fn receive_coded<'a>(
    decoder: &'a mut Decoder,
    filter: Option<&'a mut (dyn Filter + 'a)>,
    stream: RecvStream,
    pipe: OwnedFd,
    meter: Arc<Meter>,
    aborting: CancellationToken,
) -> ReceiveEnd {
    let between = Between::Decoder(decoder, filter);
    receive(stream, pipe, meter, aborting, between).await
}

/// Why a pipe was not emptied to its end.
enum Broken {
    Aborted,
    Write(WriteError),
    Read(io::Error),
}

/// Sends what can be read from a pipe until its end, and gives the digest of it.
async fn empty(
    encoder: &mut Encoder,
    pipe: OwnedFd,
    stream: &mut SendStream,
    meter: &Meter,
    aborting: &CancellationToken,
    bytes: &mut u64,
) -> Result<Option<[u8; 32]>, Broken> {
    let pipe = Arc::new(Receiver::from_owned_fd(pipe).map_err(Broken::Read)?);
    meter.look_into(&pipe);
    let mut buffers = Buffers::default();
    let mut grower = Grower::default();
    let mut size = SMALL;
    // What compresses to nearly nothing never waits for its reader.
    let mut turn = Turn::default();
    loop {
        if aborting.is_cancelled() {
            return Err(Broken::Aborted);
        }
        buffers.make_room(FULL, size);
        match pipe.try_read_buf(&mut buffers.current) {
            Ok(0) => break,
            Ok(read) => {
                if grower.note(&pipe, read >= FULL) != Bulk::No {
                    size = BULK;
                }
                let piece = encoder.push(buffers.current.split().freeze())?;
                send(stream, piece, aborting).await?;
                *bytes += read as u64;
                meter.add(read);
                turn.moved(read).await;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::select! {
                biased;
                () = aborting.cancelled() => return Err(Broken::Aborted),
                cause = stream.stopped() => return Err(Broken::Write(cause.into())),
                ready = pipe.readable() => ready.map_err(Broken::Read)?,
            },
            Err(error) => return Err(Broken::Read(error)),
        }
    }
    let (last, digest) = encoder.finish()?;
    if !last.is_empty() {
        send(stream, last, aborting).await?;
    }
    Ok(digest)
}

async fn send(
    stream: &mut SendStream,
    piece: Bytes,
    aborting: &CancellationToken,
) -> Result<(), Broken> {
    tokio::select! {
        biased;
        () = aborting.cancelled() => Err(Broken::Aborted),
        sent = stream.send(piece) => sent.map_err(Broken::Write),
    }
}

// === impl Broken ===

impl From<CodingError> for Broken {
    fn from(error: CodingError) -> Self {
        Self::Read(io::Error::other(error))
    }
}

// === impl Filling ===

impl Filling<'_> {
    pub(super) async fn fill_coded(
        &mut self,
        decoder: &mut Decoder,
        mut filter: Option<&mut dyn Filter>,
    ) -> End {
        let (mut decoded, mut filtered) = (Vec::new(), Vec::new());
        let mut turn = Turn::default();
        loop {
            let piece = match self.next().await {
                Ok(Some(piece)) => piece,
                Ok(None) => break,
                Err(end) => return end,
            };
            let mut rest = &piece[..];
            while !rest.is_empty() {
                let pushed = decoder.push(&mut rest, &mut decoded);
                let put = match &mut filter {
                    None => self.put_counted(&decoded).await,
                    Some(filter) => self.put_filtered(*filter, &decoded, &mut filtered).await,
                };
                turn.moved(decoded.len()).await;
                decoded.clear();
                if let Err(end) = put {
                    return end;
                }
                if let Err(error) = pushed {
                    return End::Damaged(error);
                }
            }
        }
        if let Err(error) = decoder.finish(self.stream.digest()) {
            return End::Damaged(error);
        }
        match filter {
            None => End::Finished,
            Some(filter) => self.finish_filtered(filter, &mut filtered).await,
        }
    }

    async fn put_counted(&mut self, mut rest: &[u8]) -> Result<(), End> {
        while !rest.is_empty() {
            let written = self.put(rest).await?;
            self.outlet.count(written);
            rest = &rest[written..];
        }
        Ok(())
    }
}
