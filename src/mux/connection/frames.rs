//! What the frames of the peer do to a session.

use std::time::Duration;

use bytes::Bytes;

use super::{Connection, Event, Halves, MAX_REFUSED, MAX_STREAMS, Stream};
use crate::{
    mux::{
        code,
        error::Violation,
        half::{Ending, Excess, ReceiveHalf, SendHalf},
    },
    wire::{Frame, FrameType, Half, StreamId, StreamKind, message::Purpose},
};

impl Connection {
    pub(super) fn opened(
        &mut self,
        id: StreamId,
        kind: StreamKind,
        purpose: Purpose,
        now: Duration,
    ) -> Result<(), Violation> {
        if id.0 % 2 == self.side.first_id() % 2 || id.0 <= self.last_peer_id {
            return Err(Violation::BadId(id));
        }
        if self.peers >= MAX_STREAMS + MAX_REFUSED {
            return Err(Violation::TooManyStreams(self.peers));
        }
        self.last_peer_id = id.0;
        self.peers += 1;
        self.streams
            .insert(id, Halves::new(kind, false, &self.budget));
        let refusal = if self.peers > MAX_STREAMS {
            Some((code::BUSY, "too many streams"))
        } else if self.away.here.is_some() {
            Some((code::GOING_AWAY, "going away"))
        } else {
            None
        };
        if let Some((code, reason)) = refusal {
            self.reset(id, code, reason);
            self.stop(id, code, reason);
            self.release_send(id, now);
            self.release_receive(id, now);
        } else {
            self.accept.push_back(Stream { id, kind, purpose });
            self.events.push_back(Event::Incoming);
        }
        Ok(())
    }

    pub(super) fn arrived(
        &mut self,
        stream: StreamId,
        payload: Bytes,
        kind: StreamKind,
    ) -> Result<(), Violation> {
        let messages = kind == StreamKind::Bidi;
        let frame = if messages {
            FrameType::Message
        } else {
            FrameType::Data
        };
        let half = self.reader_of(stream, frame, Some(kind))?;
        match half.arrive(payload, messages) {
            Ok(()) => {}
            Err(Excess::Again) => return Err(Violation::IgnoresCredit(stream)),
            Err(Excess::First) => self.line.control.push_back(Frame::Stop {
                stream,
                code: code::FLOW_CONTROL,
                reason: "more data than was granted".to_owned(),
            }),
        }
        self.changed(stream, Half::Receive);
        Ok(())
    }

    pub(super) fn finished(
        &mut self,
        stream: StreamId,
        said: u64,
        digest: Option<[u8; 32]>,
    ) -> Result<(), Violation> {
        let half = self.reader(stream, FrameType::Finish)?;
        let arrived = half.received();
        if said != arrived {
            return Err(Violation::Count {
                stream,
                said,
                arrived,
            });
        }
        half.finish(digest);
        self.receive_ended(stream);
        Ok(())
    }

    pub(super) fn credited(&mut self, stream: StreamId, delta: u32) -> Result<(), Violation> {
        let Some(half) = self.writer(stream, FrameType::Credit)? else {
            return Ok(());
        };
        if half.is_live() {
            if half.add_credit(delta) {
                self.line_up(stream);
            } else {
                self.reset(stream, code::FLOW_CONTROL, "credit overflow");
            }
        }
        Ok(())
    }

    pub(super) fn stopped(
        &mut self,
        stream: StreamId,
        code: u32,
        reason: String,
    ) -> Result<(), Violation> {
        let Some(half) = self.writer(stream, FrameType::Stop)? else {
            return Ok(());
        };
        if half.is_live() {
            half.end(Ending::Stopped {
                code,
                reason: reason.clone(),
            });
            self.line.control.push_back(Frame::Reset {
                stream,
                code: code::STOPPED,
                reason,
            });
            self.send_ended(stream);
        }
        Ok(())
    }

    /// The half that the peer writes, if such a frame may come for it now.
    pub(super) fn reader(
        &mut self,
        stream: StreamId,
        frame: FrameType,
    ) -> Result<&mut ReceiveHalf, Violation> {
        self.reader_of(stream, frame, None)
    }

    /// The same, for streams of one kind only.
    fn reader_of(
        &mut self,
        stream: StreamId,
        frame: FrameType,
        only: Option<StreamKind>,
    ) -> Result<&mut ReceiveHalf, Violation> {
        let was_opened = self.was_opened(stream);
        let Some(halves) = self.streams.get_mut(&stream) else {
            return Err(if was_opened {
                Violation::AfterEnd { frame, stream }
            } else {
                Violation::UnknownStream { frame, stream }
            });
        };
        let kind = halves.kind;
        match &mut halves.receive {
            Some(half) if only.is_none_or(|only| only == kind) => {
                if half.has_ended() {
                    Err(Violation::AfterEnd { frame, stream })
                } else {
                    Ok(half)
                }
            }
            _ => Err(Violation::Misplaced {
                frame,
                stream,
                kind,
            }),
        }
    }

    /// The half that the peer reads; `None` if it is gone, for then the frame has crossed its end.
    fn writer(
        &mut self,
        stream: StreamId,
        frame: FrameType,
    ) -> Result<Option<&mut SendHalf>, Violation> {
        if !self.streams.contains_key(&stream) {
            return if self.was_opened(stream) {
                Ok(None)
            } else {
                Err(Violation::UnknownStream { frame, stream })
            };
        }
        let halves = self.streams.get_mut(&stream).expect("looked up just above");
        let kind = halves.kind;
        halves.send.as_mut().map(Some).ok_or(Violation::Misplaced {
            frame,
            stream,
            kind,
        })
    }

    /// Whether a stream of this name is or was there.
    fn was_opened(&self, stream: StreamId) -> bool {
        if stream == StreamId::SESSION {
            false
        } else if stream.0 % 2 == self.side.first_id() % 2 {
            stream.0 < self.next_id
        } else {
            stream.0 <= self.last_peer_id
        }
    }
}
