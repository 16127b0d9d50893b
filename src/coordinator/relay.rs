//! Carries a stream through the entry: the client's stdin to the first stage, the last stage's output and everybody's stderr to the
//! client. Each ending of one side becomes the same ending on the other.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::transport::{Lost, ReadError, RecvStream, SendStream, StopCause, WriteError, code};

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
}

/// Copies until one of the endings. `bytes` counts what was handed to the reader's side.
pub(super) async fn relay(
    mut from: RecvStream,
    mut to: SendStream,
    bytes: Arc<AtomicU64>,
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
                let length = data.len() as u64;
                if let Err(error) = to.send(data).await {
                    return match error {
                        WriteError::Stopped { code, reason } => stopped(from, code, reason),
                        WriteError::Lost(lost) => reader_lost(from, &lost),
                        other => RelayEnd::Refused(other.to_string()),
                    };
                }
                bytes.fetch_add(length, Ordering::Relaxed);
            }
            Ok(None) => {
                return match to.finish().await {
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
