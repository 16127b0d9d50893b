//! Bytes of a stranger at the other end of a connection.

use std::{collections::HashMap, fmt::Debug, time::Duration};

use bytes::{Bytes, BytesMut};
use dpipes::{
    mux::{Budget, Connection, Event, Outgoing, Payload, Read, Room, Side},
    wire::{
        Decoder, Frame, Preface, StreamId, StreamKind, Version, codec, limits,
        message::{FromEntry, FromNode, Hello, Purpose, Query, Reply, ToEntry, ToNode},
        preface,
    },
};
use serde::{Serialize, de::DeserializeOwned};

/// The first bytes of a peer are judged as soon as they suffice, and more bytes change nothing; what is shown of them is harmless.
pub fn preface(input: &[u8]) {
    // Whoever reads a preface stops here.
    let input = &input[..input.len().min(limits::MAX_FIRST_LINE)];
    let whole = Preface::decode(input);
    let enough = (0..=input.len()).find(|have| Preface::decode(&input[..*have]) != Ok(None));
    if let Some(enough) = enough {
        assert_eq!(Preface::decode(&input[..enough]), whole);
    }
    match whole {
        Ok(None) => assert!(enough.is_none() && input.len() < limits::MAX_FIRST_LINE),
        Ok(Some(preface)) => {
            assert_eq!(enough, Some(preface::LENGTH));
            assert_eq!(preface.encode(), input[..preface::LENGTH]);
            if let Ok(spoken) = Version::CURRENT.agree(preface.version) {
                assert!(spoken <= preface.version && spoken <= Version::CURRENT);
            }
        }
        Err(error) => assert_eq!(error, Preface::foreign(input)),
    }
    let shown = Preface::foreign(input).to_string();
    assert!(!shown.contains(char::is_control), "{shown:?}");
}

/// Frames are the same however their bytes arrive, and survive being sent again.
pub fn frame_decode(input: &[u8]) {
    let whole = decoded(input, usize::MAX);
    assert_eq!(whole, decoded(input, 1));
    for frame in whole.into_iter().flatten() {
        if !matches!(&frame, Frame::Data { payload, .. } if payload.len() > limits::MAX_DATA) {
            assert_eq!(decoded(&encoded(&frame), usize::MAX), [Some(frame)]);
        }
    }
}

/// What is decoded, with neighbouring Data joined, for the decoder may cut it anywhere. `None` at the end stands for an error.
fn decoded(input: &[u8], step: usize) -> Vec<Option<Frame>> {
    let (mut decoder, mut buffer, mut out) = (Decoder::new(), BytesMut::new(), Vec::new());
    for piece in input.chunks(step) {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut buffer) {
                Ok(None) => break,
                Ok(Some(frame)) => join(&mut out, frame),
                Err(_) => {
                    out.push(None);
                    return out;
                }
            }
        }
    }
    out
}

fn join(out: &mut Vec<Option<Frame>>, frame: Frame) {
    match (out.last_mut(), frame) {
        (
            Some(Some(Frame::Data { stream, payload })),
            Frame::Data {
                stream: same,
                payload: more,
            },
        ) if *stream == same => *payload = [&payload[..], &more].concat().into(),
        (_, frame) => out.push(Some(frame)),
    }
}

fn encoded(frame: &Frame) -> BytesMut {
    let mut out = BytesMut::new();
    codec::encode(frame, &mut out);
    out
}

/// Control messages that decode survive another round trip.
pub fn message_decode(input: &[u8]) {
    check::<Hello>(input);
    check::<Purpose>(input);
    check::<Query>(input);
    check::<Reply>(input);
    check::<ToEntry>(input);
    check::<FromEntry>(input);
    check::<ToNode>(input);
    check::<FromNode>(input);
}

fn check<T: DeserializeOwned + Serialize + PartialEq + Debug>(input: &[u8]) {
    if let Ok(message) = serde_json::from_slice::<T>(input) {
        let text = serde_json::to_vec(&message).expect("what was JSON is JSON");
        let again: T = serde_json::from_slice(&text).expect("own text decodes");
        assert_eq!(again, message);
    }
}

/// A liar's frames against a session whose users do what users do: a violation ends the session, and nothing that the session sends is
/// illegal or beyond the credit it was given.
///
/// The first byte counts the acts of the users, which follow it; the rest is what the liar sends.
pub fn session_state(input: &[u8]) {
    let Some((count, rest)) = input.split_first() else {
        return;
    };
    let (acts, wire) = rest.split_at(usize::from(*count).min(rest.len()));
    let (mut session, mut decoder) = (Session::new(), Decoder::new());
    let mut buffer = BytesMut::from(wire);
    let mut acts = acts.iter().copied();
    for step in 0_u32.. {
        let now = Duration::from_millis(u64::from(step));
        let legal = match decoder.decode(&mut buffer) {
            Ok(Some(frame)) => session.hear(frame, now),
            Ok(None) => break,
            Err(_) => false,
        };
        if !legal {
            break;
        }
        session.act(acts.next().unwrap_or(0), now);
        session.speak(now);
    }
    session.end();
}

/// A session and its users.
struct Session {
    connection: Connection,
    streams: Vec<StreamId>,
    /// What the peer has granted each of our one-way streams, less what was sent.
    credit: HashMap<StreamId, u64>,
    /// Whether what may be passed straight into pipes is.
    passes: bool,
}

impl Session {
    fn new() -> Self {
        Self {
            connection: Connection::new(Side::Acceptor, Budget::new(1 << 30)),
            streams: Vec::new(),
            credit: HashMap::new(),
            passes: false,
        }
    }

    /// Takes in a frame; whether it was legal.
    fn hear(&mut self, frame: Frame, now: Duration) -> bool {
        if let Frame::Credit { stream, delta } = frame
            && let Some(credit) = self.credit.get_mut(&stream)
        {
            *credit += u64::from(delta);
        }
        if let Frame::Data { stream, payload } = &frame
            && self.passes
            && self.connection.passable(*stream) >= payload.len()
        {
            if self.connection.passed(*stream, payload.len(), now) {
                let capacity = 1 << 16;
                let free = (payload.len() * 3) % capacity;
                let room = Room { capacity, free };
                self.connection.replenish(*stream, room);
            }
            return true;
        }
        let legal = self.connection.receive(frame, now).is_ok();
        let accepted = std::iter::from_fn(|| self.connection.accept());
        self.streams.extend(accepted.map(|stream| stream.id));
        legal
    }

    /// Does one thing that users do. The high half of the byte chooses the stream, its bit 3 whether pipes are at the ends.
    fn act(&mut self, act: u8, now: Duration) {
        self.passes = act & 8 != 0;
        if act >= 0xfe {
            let kind = if act == 0xff {
                StreamKind::Bidi
            } else {
                StreamKind::Uni
            };
            if let Ok(stream) = self.connection.open(kind, &Purpose::Query) {
                self.streams.push(stream);
                if kind == StreamKind::Uni {
                    self.credit.insert(stream, 0);
                }
            }
        }
        let Some(&stream) = self.streams.get(usize::from(act >> 4)) else {
            return;
        };
        let connection = &mut self.connection;
        match act & 7 {
            0 => connection.grant(stream, 1 << 16),
            1 if self.passes && self.credit.contains_key(&stream) => {
                connection.send(stream, Payload::Piped(100_000));
            }
            1 => connection.send(stream, Bytes::from_static(b"payload").into()),
            2 => connection.finish(stream, None),
            3 => connection.reset(stream, 1, "given up"),
            4 => connection.stop(stream, 1, "enough"),
            5 => connection.release_send(stream, now),
            6 => connection.release_receive(stream, now),
            _ => drop(connection.read(stream, None, now)),
        }
    }

    /// Sends what is to be sent and takes note of what happened.
    fn speak(&mut self, now: Duration) {
        while let Some(outgoing) = self.connection.poll_outgoing() {
            match outgoing {
                Outgoing::Frame(frame) => {
                    assert_eq!(decoded(&encoded(&frame), usize::MAX), [Some(frame.clone())]);
                    if let Frame::Finish { stream, .. } = frame {
                        self.connection.finish_written(stream, now);
                    }
                }
                Outgoing::Data { stream, payload } => {
                    let credit = self.credit.get_mut(&stream).expect("it is our own stream");
                    *credit = credit
                        .checked_sub(payload.len() as u64)
                        .expect("no more is sent than was granted");
                }
            }
        }
        while let Some(event) = self.connection.poll_event() {
            if let Event::Ended(stream, ..) = event {
                let _broken = self.connection.broken(stream);
            }
        }
    }

    /// Loses the session: it says nothing more, and each half of every stream is over once what arrived has been read.
    fn end(mut self) {
        self.connection.lose();
        assert!(self.connection.poll_outgoing().is_none());
        for stream in self.streams {
            assert!(self.connection.send_ending(stream).is_some());
            let last = loop {
                match self.connection.read(stream, None, Duration::MAX) {
                    Read::Payload(_) => {}
                    last => break last,
                }
            };
            assert!(matches!(last, Read::Ended(_)));
        }
    }
}
