//! Two connections joined by queues of bytes that are cut anywhere, driven by random users.
//!
//! After every step the books are checked; at the end everybody lets go, and everything must come to rest: each half with the same
//! ending on both sides, and no stream remembered.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;

use super::*;

/// What a user does.
#[derive(Clone, Debug)]
enum Act {
    Open {
        side: usize,
        uni: bool,
    },
    Accept {
        side: usize,
        window: u32,
    },
    Send {
        side: usize,
        pick: usize,
        length: usize,
    },
    Finish {
        side: usize,
        pick: usize,
    },
    Reset {
        side: usize,
        pick: usize,
    },
    Read {
        side: usize,
        pick: usize,
    },
    Stop {
        side: usize,
        pick: usize,
    },
    Transmit {
        side: usize,
    },
    Deliver {
        side: usize,
        length: usize,
    },
}

fn act() -> impl Strategy<Value = Act> {
    let side = 0..2_usize;
    let pick = 0..8_usize;
    prop_oneof![
        2 => (side.clone(), any::<bool>()).prop_map(|(side, uni)| Act::Open { side, uni }),
        2 => (side.clone(), 1..2000_u32).prop_map(|(side, window)| Act::Accept { side, window }),
        4 => (side.clone(), pick.clone(), 1..3000_usize).prop_map(|(side, pick, length)| Act::Send { side, pick, length }),
        1 => (side.clone(), pick.clone()).prop_map(|(side, pick)| Act::Finish { side, pick }),
        1 => (side.clone(), pick.clone()).prop_map(|(side, pick)| Act::Reset { side, pick }),
        4 => (side.clone(), pick.clone()).prop_map(|(side, pick)| Act::Read { side, pick }),
        1 => (side.clone(), pick).prop_map(|(side, pick)| Act::Stop { side, pick }),
        4 => side.clone().prop_map(|side| Act::Transmit { side }),
        4 => (side, 1..5000_usize).prop_map(|(side, length)| Act::Deliver { side, length }),
    ]
}

/// One side with its users and the bytes on their way to it.
struct Peer {
    connection: Connection,
    decoder: Decoder,
    arrived: BytesMut,
    under_way: BytesMut,
    writers: Vec<StreamId>,
    readers: Vec<StreamId>,
    /// Credit that this side has granted.
    granted: BTreeMap<StreamId, u64>,
    /// Credit that the other side has used.
    spent: BTreeMap<StreamId, u64>,
    endings: HashMap<(StreamId, Half), Ending>,
    written: BTreeMap<StreamId, u64>,
    read: BTreeMap<StreamId, u64>,
}

struct World {
    peers: [Peer; 2],
}

impl Peer {
    fn new(side: Side) -> Self {
        Self {
            connection: Connection::new(side, Budget::new(1 << 30)),
            decoder: Decoder::new(),
            arrived: BytesMut::new(),
            under_way: BytesMut::new(),
            writers: Vec::new(),
            readers: Vec::new(),
            granted: BTreeMap::new(),
            spent: BTreeMap::new(),
            endings: HashMap::new(),
            written: BTreeMap::new(),
            read: BTreeMap::new(),
        }
    }

    fn note_endings(&mut self) {
        while let Some(event) = self.connection.poll_event() {
            if let Event::Ended(stream, half, ending) = event {
                let before = self.endings.insert((stream, half), ending);
                assert_eq!(before, None, "{stream} ended twice");
            }
        }
    }

    fn accept(&mut self, window: u32) -> bool {
        let Some(stream) = self.connection.accept() else {
            return false;
        };
        self.readers.push(stream.id);
        if stream.kind == StreamKind::Bidi {
            self.writers.push(stream.id);
        } else {
            self.connection.grant(stream.id, window);
        }
        true
    }

    fn read(&mut self, stream: StreamId) -> bool {
        match self.connection.read(stream, None, START) {
            Read::Payload(payload) => {
                *self.read.entry(stream).or_default() += payload.len() as u64;
                true
            }
            Read::Pending => false,
            Read::Ended(_) => {
                self.connection.release_receive(stream, START);
                self.readers.retain(|&reader| reader != stream);
                true
            }
        }
    }
}

impl World {
    fn new() -> Self {
        Self {
            peers: [Peer::new(Side::Dialler), Peer::new(Side::Acceptor)],
        }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Open { side, uni } => {
                let peer = &mut self.peers[side];
                let kind = if uni {
                    StreamKind::Uni
                } else {
                    StreamKind::Bidi
                };
                let id = peer.connection.open(kind, &purpose()).unwrap();
                peer.writers.push(id);
                if !uni {
                    peer.readers.push(id);
                }
            }
            Act::Accept { side, window } => {
                self.peers[side].accept(window);
            }
            Act::Send { side, pick, length } => {
                let peer = &mut self.peers[side];
                if let Some(&stream) = peer.writers.get(pick)
                    && peer.connection.has_room(stream, length) == Ok(true)
                {
                    peer.connection.send(stream, bytes(length).into());
                    let accepted = peer.connection.bytes_accepted(stream);
                    peer.written.insert(stream, accepted);
                }
            }
            Act::Finish { side, pick } => {
                let peer = &mut self.peers[side];
                if let Some(&stream) = peer.writers.get(pick) {
                    peer.connection.finish(stream, None);
                }
            }
            Act::Reset { side, pick } => {
                let peer = &mut self.peers[side];
                if let Some(&stream) = peer.writers.get(pick) {
                    peer.connection.reset(stream, code::FAILED, "model");
                }
            }
            Act::Read { side, pick } => {
                let peer = &mut self.peers[side];
                if let Some(&stream) = peer.readers.get(pick) {
                    peer.read(stream);
                }
            }
            Act::Stop { side, pick } => {
                let peer = &mut self.peers[side];
                if pick < peer.readers.len() {
                    let stream = peer.readers.remove(pick);
                    peer.connection.stop(stream, code::READER_GONE, "model");
                    peer.connection.release_receive(stream, START);
                }
            }
            Act::Transmit { side } => {
                self.transmit(side);
            }
            Act::Deliver { side, length } => {
                self.deliver(side, length);
            }
        }
        for peer in &mut self.peers {
            peer.note_endings();
        }
    }

    /// Puts one frame of this side on its way.
    fn transmit(&mut self, side: usize) -> bool {
        let Some(outgoing) = self.peers[side].connection.poll_outgoing() else {
            return false;
        };
        let frame = match outgoing {
            Outgoing::Frame(frame) => frame,
            Outgoing::Data {
                stream,
                payload: Payload::Bytes(payload),
            } => Frame::Data { stream, payload },
            Outgoing::Data { payload, .. } => panic!("{payload:?} was never sent"),
        };
        let other = 1 - side;
        match &frame {
            Frame::Credit { stream, delta } => {
                *self.peers[side].granted.entry(*stream).or_default() += u64::from(*delta);
            }
            Frame::Data { stream, payload } => self.spend(other, *stream, 0, payload.len() as u64),
            Frame::Message { stream, body } => {
                let cost = body.len() as u64 + u64::from(limits::MESSAGE_OVERHEAD);
                self.spend(other, *stream, u64::from(limits::MESSAGE_WINDOW), cost);
            }
            _ => {}
        }
        codec::encode(&frame, &mut self.peers[other].under_way);
        if let Frame::Finish { stream, .. } = frame {
            self.peers[side].connection.finish_written(stream, START);
        }
        true
    }

    /// Sent never exceeds granted.
    fn spend(&mut self, reader: usize, stream: StreamId, initial: u64, cost: u64) {
        let peer = &mut self.peers[reader];
        let granted = initial + peer.granted.get(&stream).copied().unwrap_or(0);
        let spent = peer.spent.entry(stream).or_default();
        *spent += cost;
        assert!(
            *spent <= granted,
            "{stream}: {spent} sent, {granted} granted"
        );
    }

    /// Lets bytes arrive at this side.
    fn deliver(&mut self, side: usize, length: usize) -> bool {
        let peer = &mut self.peers[side];
        let length = length.min(peer.under_way.len());
        if length == 0 {
            return false;
        }
        peer.arrived
            .extend_from_slice(&peer.under_way.split_to(length));
        while let Some(frame) = peer.decoder.decode(&mut peer.arrived).unwrap() {
            peer.connection.receive(frame, START).unwrap();
        }
        true
    }

    /// Readers read, writers finish, everything travels, until nothing moves any more.
    fn settle(&mut self) {
        for peer in &mut self.peers {
            for &stream in &peer.writers {
                peer.connection.finish(stream, None);
            }
        }
        loop {
            let mut moved = false;
            for side in 0..2 {
                while self.peers[side].accept(DEFAULT_WINDOW) {
                    moved = true;
                    for &stream in &self.peers[side].writers.clone() {
                        self.peers[side].connection.finish(stream, None);
                    }
                }
                for stream in self.peers[side].readers.clone() {
                    moved |= self.peers[side].read(stream);
                }
                moved |= self.transmit(side);
                moved |= self.deliver(side, usize::MAX);
                self.peers[side].note_endings();
            }
            if !moved {
                return;
            }
        }
    }

    /// Nothing is left, and both sides tell the same.
    fn check(mut self) {
        for peer in &mut self.peers {
            assert!(peer.readers.is_empty(), "{:?} still read", peer.readers);
            for &stream in &peer.writers {
                peer.connection.release_send(stream, START);
            }
            peer.note_endings();
            assert_eq!(peer.connection.idle_since(), Some(START));
        }
        for (here, there) in [(0, 1), (1, 0)] {
            for ((stream, half), ending) in &self.peers[here].endings {
                if *half == Half::Receive {
                    continue;
                }
                let theirs = self.peers[there].endings.get(&(*stream, Half::Receive));
                assert_eq!(theirs, Some(ending), "{stream}");
                let written = self.peers[here].written.get(stream).copied().unwrap_or(0);
                let read = self.peers[there].read.get(stream).copied().unwrap_or(0);
                assert!(read <= written);
            }
        }
    }
}

proptest! {
    #[test]
    fn every_half_ends_alike_on_both_sides_and_nothing_hangs(acts in prop::collection::vec(act(), 0..300)) {
        let mut world = World::new();
        for act in acts {
            world.act(act);
        }
        world.settle();
        world.check();
    }

    #[test]
    fn whatever_a_peer_sends_is_answered_or_ends_the_session(frames in prop::collection::vec(hostile(), 0..60)) {
        let mut alone = Alone::new();
        for frame in frames {
            let refused = alone.hear(frame).is_err();
            if let Some(stream) = alone.connection.accept() {
                alone.connection.grant(stream.id, 500);
                alone.connection.read(stream.id, None, START);
            }
            alone.says();
            if refused {
                alone.connection.lose();
                break;
            }
        }
        prop_assert!(alone.connection.streams.len() <= 60);
    }
}

/// Frames that a liar might send, near the borders of what is legal.
fn hostile() -> impl Strategy<Value = Frame> {
    let stream = prop_oneof![4 => 0..8_u32, 1 => any::<u32>()].prop_map(StreamId);
    let length = prop_oneof![1..600_usize, Just(1 << 20)];
    prop_oneof![
        (stream.clone(), any::<bool>()).prop_map(|(stream, uni)| Frame::Open {
            stream,
            kind: if uni {
                StreamKind::Uni
            } else {
                StreamKind::Bidi
            },
            purpose: purpose(),
        }),
        (stream.clone(), length.clone()).prop_map(|(stream, length)| Frame::Data {
            stream,
            payload: bytes(length),
        }),
        (stream.clone(), length).prop_map(|(stream, length)| Frame::Message {
            stream,
            body: bytes(length),
        }),
        (stream.clone(), 0..1200_u64).prop_map(|(stream, bytes)| Frame::Finish {
            stream,
            bytes,
            digest: None,
        }),
        (stream.clone(), 0..12_u32).prop_map(|(stream, code)| Frame::Reset {
            stream,
            code,
            reason: String::new(),
        }),
        (stream.clone(), 0..12_u32).prop_map(|(stream, code)| Frame::Stop {
            stream,
            code,
            reason: String::new(),
        }),
        (stream, any::<u32>()).prop_map(|(stream, delta)| Frame::Credit { stream, delta }),
        any::<u64>().prop_map(Frame::Ping),
        any::<u64>().prop_map(Frame::Pong),
    ]
}
