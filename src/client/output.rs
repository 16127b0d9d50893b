//! The last stage's output on its way to the user.

use bytes::Bytes;
use tokio::sync::mpsc;

use super::objects::Objects;
use crate::{
    coding::{CodingError, Decoder},
    media::Format,
    object::BadObject,
    transport::{ReadError, RecvStream, code},
};

/// Credit for what the entry sends: bytes held in memory at most while the user's terminal or disk is slow.
pub(super) const WINDOW: u32 = 1_024 * 1_024;

/// How the last stage's output ended on this side.
#[derive(Debug)]
pub(super) enum StdoutEnd {
    /// Every byte was taken over by the writing thread.
    Finished,
    /// The writing thread could not go on; it knows why.
    Closed,
    /// The entry gave up, or was lost.
    Broken(String),
    /// What came was no object.
    Spoilt(Format, BadObject),
    /// What came is not what was sent.
    Damaged(CodingError),
}

/// The last stage's output on its way to the writing thread.
pub(super) struct Output<'a> {
    /// Where it goes.
    pub(super) pieces: mpsc::Sender<Bytes>,
    /// What is done to it on its way from the entry; `None` if nothing is.
    pub(super) decoder: Option<Decoder>,
    /// Its objects, where it has any.
    pub(super) objects: Option<&'a mut Objects>,
}

/// Brings the last stage's output to the writing thread.
pub(super) async fn take_stdout(mut stream: RecvStream, mut output: Output<'_>) -> StdoutEnd {
    stream.grant(WINDOW);
    loop {
        let received = tokio::select! {
            received = stream.recv() => received,
            () = output.pieces.closed() => {
                stream.stop(code::READER_GONE, "standard output is closed");
                return StdoutEnd::Closed;
            }
        };
        match received {
            Ok(Some(data)) => {
                if let Err(end) = output.take(data).await {
                    match &end {
                        StdoutEnd::Closed => {
                            stream.stop(code::READER_GONE, "standard output is closed");
                        }
                        _ => stream.stop(code::CANCELLED, "what came is not what was agreed"),
                    }
                    return end;
                }
            }
            Ok(None) => {
                let finished = output.finish(stream.digest()).await;
                return finished.err().unwrap_or(StdoutEnd::Finished);
            }
            Err(ReadError::Reset { reason, .. }) => return StdoutEnd::Broken(reason),
            Err(error) => return StdoutEnd::Broken(error.to_string()),
        }
    }
}

// === impl Output ===

impl Output<'_> {
    async fn take(&mut self, data: Bytes) -> Result<(), StdoutEnd> {
        let Some(decoder) = &mut self.decoder else {
            return show(&self.pieces, &mut self.objects, data).await;
        };
        let mut rest = &data[..];
        while !rest.is_empty() {
            let mut decoded = Vec::new();
            let pushed = decoder.push(&mut rest, &mut decoded);
            show(&self.pieces, &mut self.objects, decoded.into()).await?;
            pushed.map_err(StdoutEnd::Damaged)?;
        }
        Ok(())
    }

    async fn finish(&mut self, digest: Option<[u8; 32]>) -> Result<(), StdoutEnd> {
        if let Some(decoder) = &mut self.decoder {
            decoder.finish(digest).map_err(StdoutEnd::Damaged)?;
        }
        let Some(objects) = &mut self.objects else {
            return Ok(());
        };
        let mut rest = Vec::new();
        let finished = objects.transform.finish(&mut rest);
        send(&self.pieces, rest.into()).await?;
        finished.map_err(|bad| StdoutEnd::Spoilt(objects.format, bad))
    }
}

/// Sends what objects are made of a piece, or the piece where there are none.
async fn show(
    pieces: &mpsc::Sender<Bytes>,
    objects: &mut Option<&mut Objects>,
    data: Bytes,
) -> Result<(), StdoutEnd> {
    let Some(objects) = objects else {
        return send(pieces, data).await;
    };
    let mut rest = &data[..];
    while !rest.is_empty() {
        let mut output = Vec::with_capacity(rest.len());
        let pushed = objects.transform.push(&mut rest, &mut output);
        send(pieces, output.into()).await?;
        pushed.map_err(|bad| StdoutEnd::Spoilt(objects.format, bad))?;
    }
    Ok(())
}

async fn send(pieces: &mpsc::Sender<Bytes>, piece: Bytes) -> Result<(), StdoutEnd> {
    if piece.is_empty() {
        return Ok(());
    }
    let sent = pieces.send(piece).await;
    sent.map_err(|_| StdoutEnd::Closed)
}
