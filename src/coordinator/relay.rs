//! Carries a stream through the entry: the client's stdin to the first stage, the last stage's output and everybody's stderr to the
//! client. Each ending of one side becomes the same ending on the other.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;

use super::chronicle::Tail;
use crate::{
    coding::{CodingError, Decoder, Encoder, Way},
    transport::{Lost, ReadError, RecvStream, SendStream, StopCause, WriteError, code},
};

/// How a relayed stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RelayEnd {
    /// The writer finished, the count was right, and so it was passed on.
    Finished,
    /// The reader stopped; so the writer was.
    Stopped,
    /// The reader would not take the stream.
    Refused(String),
    /// The writer gave up; so the reader was told.
    Reset(String),
    /// The writer's session died.
    WriterLost(String),
    /// The reader's session died.
    ReaderLost(String),
    /// What came is not what was sent; so the reader was told that the writer gave up.
    Damaged(String),
}

/// What a relay does between a writer and a reader with other ways than to send bytes as they are.
#[derive(Debug)]
pub(super) struct Recoding {
    decoder: Decoder,
    encoder: Encoder,
}

/// What is seen of the bytes that were handed to the reader's side, as the apps wrote them.
#[derive(Debug)]
pub(super) enum Seen {
    /// How many.
    Count(Arc<AtomicU64>),
    /// What they were last.
    Tail(Tail),
    /// Nothing.
    Nothing,
}

/// Copies until one of the endings.
pub(super) async fn relay(
    mut from: RecvStream,
    mut to: SendStream,
    mut recoding: Option<Recoding>,
    mut seen: Seen,
) -> RelayEnd {
    loop {
        // Both calls are cancel safe. The reader's stop is seen even while the writer is silent.
        let received = tokio::select! {
            received = from.recv() => received,
            cause = to.stopped() => {
                return match cause {
                    StopCause::Stopped { code, reason } => stopped(from, code, reason),
                    StopCause::Lost(lost) => reader_lost(from, &lost),
                };
            }
        };
        match received {
            Ok(Some(data)) => {
                let passed = match &mut recoding {
                    None => pass(data, &mut to, &mut seen).await,
                    Some(recoding) => recoding.pass(&data, &mut to, &mut seen).await,
                };
                if let Err(broken) = passed {
                    return broken.end(from, to);
                }
            }
            Ok(None) => {
                let digest = match &mut recoding {
                    None => Ok(None),
                    Some(recoding) => recoding.finish(from.digest(), &mut to).await,
                };
                let digest = match digest {
                    Ok(digest) => digest,
                    Err(broken) => return broken.end(from, to),
                };
                return match to.finish_with(digest).await {
                    Ok(_) => RelayEnd::Finished,
                    Err(WriteError::Stopped { .. }) => RelayEnd::Stopped,
                    Err(error) => RelayEnd::ReaderLost(error.to_string()),
                };
            }
            Err(ReadError::Reset { reason, .. }) => {
                to.reset(code::CANCELLED, &reason);
                return RelayEnd::Reset(reason);
            }
            Err(error) => {
                to.reset(code::CANCELLED, "the writer was lost");
                return RelayEnd::WriterLost(error.to_string());
            }
        }
    }
}

/// Why a piece could not be passed on.
enum Broken {
    Write(WriteError),
    Damaged(CodingError),
}

// === impl Broken ===

impl Broken {
    fn end(self, from: RecvStream, to: SendStream) -> RelayEnd {
        match self {
            Self::Write(WriteError::Stopped { code, reason }) => stopped(from, code, reason),
            Self::Write(WriteError::Lost(lost)) => reader_lost(from, &lost),
            Self::Write(other) => RelayEnd::Refused(other.to_string()),
            Self::Damaged(error) => {
                let why = error.to_string();
                from.stop(code::FAILED, &why);
                to.reset(code::CANCELLED, &why);
                RelayEnd::Damaged(why)
            }
        }
    }
}

async fn pass(data: Bytes, to: &mut SendStream, seen: &mut Seen) -> Result<(), Broken> {
    // The same memory once more.
    to.send(data.clone()).await.map_err(Broken::Write)?;
    seen.note(&data);
    Ok(())
}

// === impl Seen ===

impl Seen {
    fn note(&mut self, data: &[u8]) {
        match self {
            Self::Count(bytes) => {
                bytes.fetch_add(data.len() as u64, Ordering::Relaxed);
            }
            Self::Tail(tail) => tail.push(data),
            Self::Nothing => {}
        }
    }
}

// === impl Recoding ===

impl Recoding {
    /// `None` where bytes come and go as they are.
    pub(super) fn new(from: Way, to: Way) -> Result<Option<Self>, CodingError> {
        if from.is_plain() && to.is_plain() {
            return Ok(None);
        }
        Ok(Some(Self {
            decoder: Decoder::new(from)?,
            encoder: Encoder::new(to)?,
        }))
    }

    async fn pass(
        &mut self,
        mut data: &[u8],
        to: &mut SendStream,
        seen: &mut Seen,
    ) -> Result<(), Broken> {
        while !data.is_empty() {
            let mut decoded = Vec::new();
            let pushed = self.decoder.push(&mut data, &mut decoded);
            if !decoded.is_empty() {
                let decoded = Bytes::from(decoded);
                let piece = self.encoder.push(decoded.clone());
                let piece = piece.map_err(Broken::Damaged)?;
                to.send(piece).await.map_err(Broken::Write)?;
                seen.note(&decoded);
            }
            pushed.map_err(Broken::Damaged)?;
        }
        Ok(())
    }

    /// Sends what is still to be sent once the writer has finished, and gives the digest for the reader.
    async fn finish(
        &mut self,
        said: Option<[u8; 32]>,
        to: &mut SendStream,
    ) -> Result<Option<[u8; 32]>, Broken> {
        self.decoder.finish(said).map_err(Broken::Damaged)?;
        let (last, digest) = self.encoder.finish().map_err(Broken::Damaged)?;
        if !last.is_empty() {
            to.send(last).await.map_err(Broken::Write)?;
        }
        Ok(digest)
    }
}

/// A reader that had enough is content; one that would not take the stream at all is a failure.
fn stopped(from: RecvStream, code: u32, reason: String) -> RelayEnd {
    if code == code::READER_GONE || code == code::CANCELLED {
        from.stop(code::READER_GONE, "the reader is gone");
        RelayEnd::Stopped
    } else {
        from.stop(code::FAILED, &reason);
        RelayEnd::Refused(reason)
    }
}

fn reader_lost(from: RecvStream, lost: &Lost) -> RelayEnd {
    from.stop(code::CANCELLED, "the reader was lost");
    RelayEnd::ReaderLost(lost.to_string())
}
