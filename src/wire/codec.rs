//! Frames to bytes and back.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use thiserror::Error;

use super::{
    frame::{Frame, FrameType, StreamId, StreamKind},
    limits,
};

/// The tag of the SHA-256 digest in a Finish frame.
const TAG_SHA256: u8 = 1;

/// Turns received bytes into frames.
///
/// An incomplete frame is no error: [`Decoder::decode`] returns `Ok(None)` and wants more bytes. Data payloads are slices of the
/// buffer, never copies, and are delivered as they arrive: one Data frame on the wire may become several [`Frame::Data`].
#[derive(Debug, Default)]
pub struct Decoder {
    state: State,
}

/// Where the decoder is.
///
/// ```text
///            Data header                       unknown type
///  Data <------------------- Header ----------------------> Skip
///    |   last payload byte    ^  ^    last byte skipped       |
///    +------------------------+  +----------------------------+
/// ```
#[derive(Debug, Default)]
enum State {
    /// At a frame's first byte, or within a frame that is decoded whole.
    #[default]
    Header,
    /// Within the payload of a Data frame.
    Data(Awaited),
    /// Within a frame of an unknown type.
    Skip { left: usize },
}

/// Why bytes are no frame. The session cannot go on after any of these.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// A length beyond the limit of its type.
    #[error("frame of type {frame_type} has {length} bytes, at most {limit} are allowed")]
    TooLong {
        /// The number of the type.
        frame_type: u8,
        /// The length announced.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// A length below what its type needs.
    #[error("{frame_type} frame of {length} bytes is too short")]
    TooShort {
        /// The type.
        frame_type: FrameType,
        /// The length announced.
        length: usize,
    },
    /// A frame about the session on a stream, or the other way round.
    #[error("{frame_type} frame on stream {stream}")]
    WrongStream {
        /// The type.
        frame_type: FrameType,
        /// The stream.
        stream: StreamId,
    },
    /// A payload that is not what its type says.
    #[error("malformed {frame_type} frame: {detail}")]
    Malformed {
        /// The type.
        frame_type: FrameType,
        /// What is wrong.
        detail: String,
    },
}

// === impl Decoder ===

impl Decoder {
    /// A decoder at a frame's first byte.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next frame off the buffer.
    ///
    /// `Ok(None)` means that more bytes are needed; what could be used has been taken off.
    ///
    /// # Errors
    ///
    /// Returns why the bytes are no frame. A length is refused as soon as the header is there, before its payload is waited for.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, DecodeError> {
        loop {
            match &mut self.state {
                State::Data(Awaited { stream, left, .. }) => {
                    if buffer.is_empty() {
                        return Ok(None);
                    }
                    let taken = buffer.len().min(*left);
                    let stream = *stream;
                    self.pass(taken);
                    let payload = buffer.split_to(taken).freeze();
                    return Ok(Some(Frame::Data { stream, payload }));
                }
                State::Skip { left } => {
                    let taken = buffer.len().min(*left);
                    buffer.advance(taken);
                    *left -= taken;
                    if *left > 0 {
                        return Ok(None);
                    }
                    self.state = State::Header;
                }
                State::Header => {
                    let Some(header) = buffer.first_chunk::<{ limits::HEADER }>() else {
                        return Ok(None);
                    };
                    let header = Header::parse(*header)?;
                    match header.frame_type {
                        None => {
                            buffer.advance(limits::HEADER);
                            self.state = State::Skip {
                                left: header.length,
                            };
                        }
                        Some(FrameType::Data) => {
                            buffer.advance(limits::HEADER);
                            self.state = State::Data(Awaited {
                                stream: header.stream,
                                length: header.length,
                                left: header.length,
                            });
                        }
                        Some(frame_type) => {
                            if buffer.len() < limits::HEADER + header.length {
                                return Ok(None);
                            }
                            buffer.advance(limits::HEADER);
                            let payload = buffer.split_to(header.length).freeze();
                            return decode_payload(frame_type, header.stream, payload).map(Some);
                        }
                    }
                }
            }
        }
    }

    /// What comes next when it is the payload of a Data frame.
    #[must_use]
    pub const fn awaits_data(&self) -> Option<Awaited> {
        match self.state {
            State::Data(awaited) => Some(awaited),
            State::Header | State::Skip { .. } => None,
        }
    }

    /// Notes that so many bytes of the payload that [it awaits](Self::awaits_data) went by without it.
    ///
    /// # Panics
    ///
    /// If it awaits fewer; whoever took them has taken part of the next frame.
    pub fn pass(&mut self, bytes: usize) {
        let Some(awaited) = self.awaits_data().filter(|awaited| bytes <= awaited.left) else {
            panic!("{bytes} bytes passed in state {:?}", self.state);
        };
        self.state = match awaited.left - bytes {
            0 => State::Header,
            left => State::Data(Awaited { left, ..awaited }),
        };
    }

    /// Whether the bytes so far end between two frames, given what is left in the buffer.
    #[must_use]
    pub fn at_boundary(&self, buffer: &BytesMut) -> bool {
        matches!(self.state, State::Header) && buffer.is_empty()
    }
}

/// A payload of a Data frame that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Awaited {
    /// Whose it is.
    pub stream: StreamId,
    /// Bytes of the whole payload.
    pub length: usize,
    /// Bytes that are still to come, at least one.
    pub left: usize,
}

/// A header whose length has been found legal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes that follow.
    pub length: usize,
    /// The type; `None` if this version does not know it.
    pub frame_type: Option<FrameType>,
    /// The stream.
    pub stream: StreamId,
}

// === impl Header ===

impl Header {
    /// Reads a header and checks its length and stream.
    ///
    /// # Errors
    ///
    /// Returns [`DecodeError::TooLong`], [`DecodeError::TooShort`] or [`DecodeError::WrongStream`].
    pub fn parse(bytes: [u8; limits::HEADER]) -> Result<Self, DecodeError> {
        let [l0, l1, l2, number, stream @ ..] = bytes;
        let length = u32::from_le_bytes([l0, l1, l2, 0]) as usize;
        let stream = StreamId(u32::from_le_bytes(stream));
        let frame_type = FrameType::from_number(number);
        let (least, most) = frame_type.map_or((0, limits::MAX_UNKNOWN), length_range);
        if length > most {
            return Err(DecodeError::TooLong {
                frame_type: number,
                length,
                limit: most,
            });
        }
        if let Some(frame_type) = frame_type {
            if length < least {
                return Err(DecodeError::TooShort { frame_type, length });
            }
            let of_session = matches!(
                frame_type,
                FrameType::Ping | FrameType::Pong | FrameType::GoAway
            );
            let on_session = stream == StreamId::SESSION;
            if of_session != on_session && frame_type != FrameType::Message {
                return Err(DecodeError::WrongStream { frame_type, stream });
            }
        }
        Ok(Self {
            length,
            frame_type,
            stream,
        })
    }
}

/// The least and the most bytes that a frame of this type may have.
const fn length_range(frame_type: FrameType) -> (usize, usize) {
    match frame_type {
        FrameType::Message => (1, limits::MAX_MESSAGE),
        FrameType::Open => (2, limits::MAX_OPEN),
        FrameType::Data => (1, limits::MAX_DATA),
        FrameType::Finish => (8, limits::MAX_FINISH),
        FrameType::Reset | FrameType::Stop | FrameType::GoAway => (4, 4 + limits::MAX_REASON),
        FrameType::Credit => (4, 4),
        FrameType::Ping | FrameType::Pong => (8, 8),
    }
}

/// Makes a frame of a payload whose length has been checked.
fn decode_payload(
    frame_type: FrameType,
    stream: StreamId,
    mut payload: Bytes,
) -> Result<Frame, DecodeError> {
    let malformed = |detail: String| DecodeError::Malformed { frame_type, detail };
    Ok(match frame_type {
        FrameType::Message => Frame::Message {
            stream,
            body: payload,
        },
        FrameType::Data => Frame::Data { stream, payload },
        FrameType::Open => {
            let kind = match payload.get_u8() {
                0 => StreamKind::Uni,
                1 => StreamKind::Bidi,
                other => return Err(malformed(format!("stream kind {other}"))),
            };
            let purpose =
                serde_json::from_slice(&payload).map_err(|error| malformed(error.to_string()))?;
            Frame::Open {
                stream,
                kind,
                purpose,
            }
        }
        FrameType::Finish => {
            let bytes = payload.get_u64_le();
            let digest = decode_digest(&mut payload).map_err(|text| malformed(text.to_owned()))?;
            Frame::Finish {
                stream,
                bytes,
                digest,
            }
        }
        FrameType::Reset | FrameType::Stop | FrameType::GoAway => {
            let code = payload.get_u32_le();
            let reason = std::str::from_utf8(&payload)
                .map_err(|_| malformed("reason is not UTF-8".to_owned()))?
                .to_owned();
            match frame_type {
                FrameType::Reset => Frame::Reset {
                    stream,
                    code,
                    reason,
                },
                FrameType::Stop => Frame::Stop {
                    stream,
                    code,
                    reason,
                },
                _ => Frame::GoAway { code, reason },
            }
        }
        FrameType::Credit => Frame::Credit {
            stream,
            delta: payload.get_u32_le(),
        },
        FrameType::Ping => Frame::Ping(payload.get_u64_le()),
        FrameType::Pong => Frame::Pong(payload.get_u64_le()),
    })
}

/// Finds the digest among the tagged items of a Finish frame; items with other tags are skipped.
fn decode_digest(items: &mut Bytes) -> Result<Option<[u8; 32]>, &'static str> {
    let mut digest = None;
    while items.has_remaining() {
        let (Ok(tag), Ok(length)) = (items.try_get_u8(), items.try_get_u8()) else {
            return Err("item is cut");
        };
        if items.remaining() < usize::from(length) {
            return Err("item is cut");
        }
        let value = items.split_to(usize::from(length));
        if tag == TAG_SHA256 {
            digest =
                Some(<[u8; 32]>::try_from(&value[..]).map_err(|_| "digest is not of 32 bytes")?);
        }
    }
    Ok(digest)
}

// === encoding ===

/// Appends a header.
///
/// # Panics
///
/// If the length does not fit 24 bits; the limits of every type are far below.
pub fn encode_header(frame_type: FrameType, stream: StreamId, length: usize, out: &mut BytesMut) {
    assert!(length < 1 << 24, "a frame's length has 24 bits");
    #[expect(clippy::cast_possible_truncation, reason = "asserted just above")]
    let word = length as u32 | u32::from(frame_type.number()) << 24;
    out.put_u32_le(word);
    out.put_u32_le(stream.0);
}

/// Appends a frame, header and payload.
///
/// Reasons are cut to [`limits::MAX_REASON`].
///
/// # Panics
///
/// If a payload is beyond its limit; whoever makes such a frame has a bug.
pub fn encode(frame: &Frame, out: &mut BytesMut) {
    let (frame_type, stream) = (frame.frame_type(), frame.stream());
    let start = out.len();
    encode_header(frame_type, stream, 0, out);
    match frame {
        Frame::Message { body, .. } => out.put_slice(body),
        Frame::Data { payload, .. } => out.put_slice(payload),
        Frame::Open { kind, purpose, .. } => {
            out.put_u8(match kind {
                StreamKind::Uni => 0,
                StreamKind::Bidi => 1,
            });
            serde_json::to_writer((&mut *out).writer(), purpose)
                .expect("a purpose is plain data and the buffer grows");
        }
        Frame::Finish { bytes, digest, .. } => {
            out.put_u64_le(*bytes);
            if let Some(digest) = digest {
                out.put_u8(TAG_SHA256);
                out.put_u8(32);
                out.put_slice(digest);
            }
        }
        Frame::Reset { code, reason, .. }
        | Frame::Stop { code, reason, .. }
        | Frame::GoAway { code, reason } => {
            out.put_u32_le(*code);
            out.put_slice(cut(reason, limits::MAX_REASON).as_bytes());
        }
        Frame::Credit { delta, .. } => out.put_u32_le(*delta),
        Frame::Ping(number) | Frame::Pong(number) => out.put_u64_le(*number),
    }
    let length = out.len() - start - limits::HEADER;
    let (_, most) = length_range(frame_type);
    assert!(length <= most, "{frame_type} frame of {length} bytes");
    #[expect(clippy::cast_possible_truncation, reason = "asserted just above")]
    let word = length as u32 | u32::from(frame_type.number()) << 24;
    out[start..start + 4].copy_from_slice(&word.to_le_bytes());
}

/// The longest beginning of the text that has at most so many bytes and ends between two characters.
#[must_use]
pub fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
