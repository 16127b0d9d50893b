//! Frames on their way into the socket.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::{
    mux::{Connection, Outgoing, Payload},
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
    pieces: VecDeque<Bytes>,
    head: BytesMut,
    finished: Vec<StreamId>,
}

// === impl Batch ===

impl Batch {
    /// Whether everything has been written.
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Takes what the connection wants to send, up to a full batch.
    pub(super) fn fill(&mut self, connection: &mut Connection) {
        let mut length = 0;
        while length < FULL && self.pieces.len() + 2 < PIECES {
            let Some(outgoing) = connection.poll_outgoing() else {
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
                            self.pieces.push_back(bytes);
                            continue;
                        }
                    }
                }
            }
            length += self.head.len() - before;
        }
        self.close_head();
    }

    /// Adds bytes that are frames already.
    pub(super) fn push(&mut self, frames: Bytes) {
        if !frames.is_empty() {
            self.pieces.push_back(frames);
        }
    }

    /// Writes everything. Cancel safe: what was written has been taken off.
    pub(super) async fn write_to<W: AsyncWrite + Unpin>(&mut self, io: &mut W) -> io::Result<()> {
        while !self.pieces.is_empty() {
            let mut slices = [IoSlice::new(&[]); PIECES];
            let mut count = 0;
            for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
                *slice = IoSlice::new(piece);
                count += 1;
            }
            let written = io.write_vectored(&slices[..count]).await?;
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

    fn advance(&mut self, mut written: usize) {
        while let Some(front) = self.pieces.front_mut() {
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
            self.pieces.push_back(self.head.split().freeze());
        }
    }
}
