//! Frames on their way into the socket.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    os::fd::AsFd as _,
    sync::Arc,
};

use bytes::{Buf, Bytes, BytesMut};
use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};
use tokio::io::{AsyncWrite, AsyncWriteExt, Interest};

use super::{
    shared::State,
    socket::{OfSocket, Socket},
    splice::Source,
};
use crate::{
    mux::{Outgoing, Payload},
    wire::{Frame, FrameType, StreamId, codec},
};

/// Bytes after which a batch is full: enough to be worth a system call, little enough that a control frame does not wait long.
const FULL: usize = 512 << 10;

/// Pieces that one system call takes. Half of them are headers.
const PIECES: usize = 64;

/// Payloads up to this length are copied behind their header, which is cheaper than another piece.
const COPY: usize = 4 << 10;

/// Room for headers and small frames that is allocated at once.
const ROOM: usize = 64 << 10;

/// Frames that are being written together. Writing can be given up and taken up again at any point.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pieces: VecDeque<Piece>,
    head: BytesMut,
    finished: Vec<StreamId>,
    sent: Vec<(StreamId, Arc<Source>)>,
}

/// What is written next.
#[derive(Debug)]
enum Piece {
    /// Bytes in memory.
    Bytes(Bytes),
    /// So many bytes that are in a pipe. The descriptor lives until they are written, whatever becomes of the stream.
    Piped(StreamId, Arc<Source>, usize),
}

// === impl Batch ===

impl Batch {
    /// Whether everything has been written.
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Takes what the connection wants to send, up to a full batch, and says how many bytes that are.
    pub(super) fn fill(&mut self, state: &mut State) -> usize {
        let mut length = 0;
        while length < FULL && self.pieces.len() + 2 < PIECES {
            self.announce_more(state);
            let Some(outgoing) = state.connection.poll_outgoing() else {
                break;
            };
            if self.head.capacity() < COPY {
                self.head.reserve(ROOM);
            }
            let before = self.head.len();
            match outgoing {
                Outgoing::Frame(frame) => {
                    if let Frame::Finish { stream, .. } = &frame {
                        self.finished.push(*stream);
                    }
                    codec::encode(&frame, &mut self.head);
                }
                Outgoing::Data { stream, payload } => {
                    codec::encode_header(FrameType::Data, stream, payload.len(), &mut self.head);
                    match payload {
                        Payload::Bytes(bytes) if bytes.len() <= COPY => {
                            self.head.extend_from_slice(&bytes);
                        }
                        Payload::Bytes(bytes) => {
                            length += bytes.len() + self.head.len() - before;
                            self.close_head();
                            self.pieces.push_back(Piece::Bytes(bytes));
                            continue;
                        }
                        Payload::Piped(piped) => {
                            length += piped + self.head.len() - before;
                            self.close_head();
                            let source = state
                                .source(stream)
                                .expect("its user holds a stream that was not stopped");
                            self.pieces.push_back(Piece::Piped(stream, source, piped));
                            continue;
                        }
                    }
                }
            }
            length += self.head.len() - before;
        }
        self.close_head();
        length
    }

    /// Adds bytes that are frames already.
    pub(super) fn push(&mut self, frames: Bytes) {
        if !frames.is_empty() {
            self.pieces.push_back(Piece::Bytes(frames));
        }
    }

    /// Writes everything. Cancel safe: what was written has been taken off.
    pub(super) async fn write_to<W: AsyncWrite + OfSocket + Unpin>(
        &mut self,
        io: &mut W,
    ) -> io::Result<()> {
        while let Some(front) = self.pieces.front_mut() {
            if let Piece::Piped(stream, source, left) = front {
                let no_socket = || io::Error::other("nothing can be spliced here");
                source
                    .send(io.socket().ok_or_else(no_socket)?, left)
                    .await?;
                // Once for each stream, however many of its frames are in the batch.
                if self.sent.iter().all(|(sent, _)| sent != stream) {
                    self.sent.push((*stream, Arc::clone(source)));
                }
                self.pieces.pop_front();
                continue;
            }
            let mut slices = [IoSlice::new(&[]); PIECES];
            let mut count = 0;
            let mut pieces = self.pieces.iter();
            let mut next = pieces.next();
            for slice in &mut slices {
                let Some(Piece::Bytes(piece)) = next else {
                    break;
                };
                *slice = IoSlice::new(piece);
                count += 1;
                next = pieces.next();
            }
            let written = match (next, io.socket()) {
                (Some(Piece::Piped(..)), Some(socket)) => {
                    send_more(socket, &slices[..count]).await?
                }
                _ => io.write_vectored(&slices[..count]).await?,
            };
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.advance(written);
        }
        Ok(())
    }

    /// The streams whose Finish was in the batch, once it has been written.
    pub(super) fn take_finished(&mut self) -> impl Iterator<Item = StreamId> {
        self.finished.drain(..)
    }

    /// The streams that announced bytes were written of.
    pub(super) fn take_sent(&mut self) -> impl Iterator<Item = (StreamId, Arc<Source>)> {
        self.sent.drain(..)
    }

    /// Announces what has come into the pipe of the next stream since it took its place in the line. Not for one of which bytes are in the
    /// batch: those are still in the pipe, and would be announced twice.
    fn announce_more(&self, state: &mut State) {
        let Some((stream, announced)) = state.connection.next_announced() else {
            return;
        };
        let in_batch = |piece: &Piece| matches!(piece, Piece::Piped(piped, ..) if *piped == stream);
        if self.pieces.iter().any(in_batch) {
            return;
        }
        let waiting = state.source(stream).and_then(|source| source.waiting());
        if let Some(more) = waiting.and_then(|waiting| waiting.checked_sub(announced)) {
            state.connection.send(stream, Payload::Piped(more));
        }
    }

    fn advance(&mut self, mut written: usize) {
        while let Some(Piece::Bytes(front)) = self.pieces.front_mut() {
            if written < front.len() {
                front.advance(written);
                return;
            }
            written -= front.len();
            self.pieces.pop_front();
        }
    }

    fn close_head(&mut self) {
        if !self.head.is_empty() {
            self.pieces
                .push_back(Piece::Bytes(self.head.split().freeze()));
        }
    }
}

/// Sends bytes behind which others follow at once, so that a header travels with its payload.
async fn send_more(socket: Socket<'_>, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    loop {
        let sent = socket.attempt(Interest::WRITABLE, || {
            let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
            let mut nothing = SendAncillaryBuffer::default();
            Ok(sendmsg(socket.as_fd(), slices, &mut nothing, flags)?)
        });
        match sent {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                socket.ready(Interest::WRITABLE).await?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
