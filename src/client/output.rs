//! The last stage's output on its way to the user.

use bytes::Bytes;
use tokio::sync::mpsc;

use super::objects::Objects;
use crate::{
    media::Format,
    object::{BadObject, Transform},
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
}

/// Brings the last stage's output to the writing thread, through `objects` where it has any.
pub(super) async fn take_stdout(
    mut stream: RecvStream,
    pieces: mpsc::Sender<Bytes>,
    mut objects: Option<&mut Objects>,
) -> StdoutEnd {
    stream.grant(WINDOW);
    loop {
        let received = tokio::select! {
            received = stream.recv() => received,
            () = pieces.closed() => {
                stream.stop(code::READER_GONE, "standard output is closed");
                return StdoutEnd::Closed;
            }
        };
        match received {
            Ok(Some(data)) => {
                let sent = match &mut objects {
                    None => pieces.send(data).await.map_err(|_| None),
                    Some(objects) => send_objects(&mut objects.transform, &data, &pieces).await,
                };
                match sent {
                    Ok(()) => {}
                    Err(None) => {
                        stream.stop(code::READER_GONE, "standard output is closed");
                        return StdoutEnd::Closed;
                    }
                    Err(Some(bad)) => {
                        stream.stop(code::CANCELLED, "what came is not what was agreed");
                        let format = objects.map_or(Format::Bytes, |objects| objects.format);
                        return StdoutEnd::Spoilt(format, bad);
                    }
                }
            }
            Ok(None) => {
                let Some(objects) = objects else {
                    return StdoutEnd::Finished;
                };
                let mut output = Vec::new();
                let finished = objects.transform.finish(&mut output);
                if !output.is_empty() && pieces.send(output.into()).await.is_err() {
                    return StdoutEnd::Closed;
                }
                return match finished {
                    Ok(()) => StdoutEnd::Finished,
                    Err(bad) => StdoutEnd::Spoilt(objects.format, bad),
                };
            }
            Err(ReadError::Reset { reason, .. }) => return StdoutEnd::Broken(reason),
            Err(error) => return StdoutEnd::Broken(error.to_string()),
        }
    }
}

/// Sends what objects are made of a piece. Fails with `None` when nobody takes them.
async fn send_objects(
    transform: &mut Transform,
    data: &[u8],
    pieces: &mpsc::Sender<Bytes>,
) -> Result<(), Option<BadObject>> {
    let mut rest = data;
    while !rest.is_empty() {
        let mut output = Vec::with_capacity(rest.len());
        let pushed = transform.push(&mut rest, &mut output);
        if !output.is_empty() {
            pieces.send(output.into()).await.map_err(|_| None)?;
        }
        pushed.map_err(Some)?;
    }
    Ok(())
}
