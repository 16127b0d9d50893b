use bytes::{Bytes, BytesMut};

use super::*;
use crate::{
    id::PipeId,
    mux::{
        code,
        error::OpenError,
        half::{DEFAULT_WINDOW, Ending, Read, SEND_QUEUE},
    },
    wire::{Decoder, codec},
};

mod outlet;

const START: Duration = Duration::ZERO;

fn purpose() -> Purpose {
    Purpose::Stdin {
        pipe: PipeId::from_u128(7),
        coding: crate::media::Coding::Plain,
    }
}

fn bytes(length: usize) -> Bytes {
    Bytes::from(vec![b'x'; length])
}

fn open_frame(id: u32, kind: StreamKind) -> Frame {
    Frame::Open {
        stream: StreamId(id),
        kind,
        purpose: purpose(),
    }
}

fn data(id: u32, length: usize) -> Frame {
    Frame::Data {
        stream: StreamId(id),
        payload: bytes(length),
    }
}

/// An acceptor to whom the test speaks as the dialler.
struct Alone {
    connection: Connection,
}

impl Alone {
    fn new() -> Self {
        Self {
            connection: Connection::new(Side::Acceptor, Budget::new(1 << 30)),
        }
    }

    fn hear(&mut self, frame: Frame) -> Result<(), Violation> {
        self.connection.receive(frame, START)
    }

    fn says(&mut self) -> Vec<Frame> {
        std::iter::from_fn(|| self.connection.poll_outgoing())
            .map(|outgoing| match outgoing {
                Outgoing::Frame(frame) => frame,
                Outgoing::Data { stream, payload } => {
                    let Payload::Bytes(payload) = payload else {
                        panic!("the tests send from memory");
                    };
                    Frame::Data { stream, payload }
                }
            })
            .collect()
    }

    /// With one stream that was opened by the peer and accepted with this window.
    fn with_stream(kind: StreamKind, window: u32) -> Self {
        let mut this = Self::new();
        this.hear(open_frame(1, kind)).unwrap();
        assert_eq!(this.connection.accept().unwrap().id, StreamId(1));
        this.connection.grant(StreamId(1), window);
        this.says();
        this
    }
}

#[test]
fn a_one_way_stream_starts_without_credit_and_flows_when_it_is_accepted() {
    let mut dialler = Connection::new(Side::Dialler, Budget::new(1 << 30));
    let id = dialler.open(StreamKind::Uni, &purpose()).unwrap();
    dialler.send(id, bytes(10).into());
    assert!(matches!(
        dialler.poll_outgoing(),
        Some(Outgoing::Frame(Frame::Open { .. }))
    ));
    assert_eq!(dialler.poll_outgoing(), None);
    let credit = Frame::Credit {
        stream: id,
        delta: 4,
    };
    dialler.receive(credit, START).unwrap();
    assert!(
        matches!(dialler.poll_outgoing(), Some(Outgoing::Data { payload, .. }) if payload.len() == 4)
    );
    assert_eq!(dialler.poll_outgoing(), None);
}

#[test]
fn control_goes_first_and_streams_take_turns() {
    let mut dialler = Connection::new(Side::Dialler, Budget::new(1 << 30));
    let ids: Vec<StreamId> = (0..3)
        .map(|_| dialler.open(StreamKind::Uni, &purpose()).unwrap())
        .collect();
    while dialler.poll_outgoing().is_some() {}
    for &stream in &ids {
        let credit = Frame::Credit { stream, delta: 100 };
        dialler.receive(credit, START).unwrap();
        for _ in 0..2 {
            dialler.send(stream, bytes(1).into());
        }
    }
    dialler.receive(Frame::Ping(5), START).unwrap();
    assert_eq!(
        dialler.poll_outgoing(),
        Some(Outgoing::Frame(Frame::Pong(5)))
    );
    let order: Vec<StreamId> = std::iter::from_fn(|| dialler.poll_outgoing())
        .map(|outgoing| match outgoing {
            Outgoing::Data { stream, .. } => stream,
            Outgoing::Frame(frame) => panic!("{frame:?}"),
        })
        .collect();
    assert_eq!(order, [&ids[..], &ids[..]].concat());
}

#[test]
fn data_beyond_credit_stops_the_stream_and_insisting_ends_the_session() {
    let mut alone = Alone::with_stream(StreamKind::Uni, 100);
    alone.hear(data(1, 60)).unwrap();
    // The check is length against credit, not credit against zero.
    alone.hear(data(1, 41)).unwrap();
    assert!(matches!(
        &alone.says()[..],
        [Frame::Stop {
            code: code::FLOW_CONTROL,
            ..
        }]
    ));
    let broken = alone.connection.broken(StreamId(1));
    assert!(matches!(
        broken,
        Some(Ending::Reset {
            code: code::FLOW_CONTROL,
            ..
        })
    ));
    for _ in 0..16 {
        alone.hear(data(1, 1 << 20)).unwrap();
    }
    assert_eq!(
        alone.hear(data(1, 1)),
        Err(Violation::IgnoresCredit(StreamId(1)))
    );
}

#[test]
fn messages_are_counted_against_credit_too() {
    let mut alone = Alone::with_stream(StreamKind::Bidi, 0);
    let message = |length| Frame::Message {
        stream: StreamId(1),
        body: bytes(length),
    };
    alone.hear(message(1 << 20)).unwrap();
    alone.hear(message(1 << 20)).unwrap();
    assert!(alone.says().is_empty());
    alone.hear(message(1)).unwrap();
    assert!(matches!(
        &alone.says()[..],
        [Frame::Stop {
            code: code::FLOW_CONTROL,
            ..
        }]
    ));
}

#[test]
fn credit_overflow_resets_the_stream_and_nothing_else() {
    let mut alone = Alone::with_stream(StreamKind::Bidi, 0);
    let credit = Frame::Credit {
        stream: StreamId(1),
        delta: u32::MAX,
    };
    alone.hear(credit.clone()).unwrap();
    assert!(matches!(
        &alone.says()[..],
        [Frame::Reset {
            code: code::FLOW_CONTROL,
            ..
        }]
    ));
    alone.hear(credit).unwrap();
    assert!(alone.says().is_empty());
}

#[test]
fn a_finish_with_another_count_is_never_an_end() {
    for stopped in [false, true] {
        let mut alone = Alone::with_stream(StreamKind::Uni, 100);
        alone.hear(data(1, 60)).unwrap();
        if stopped {
            alone.connection.stop(StreamId(1), 9, "");
        }
        let finish = |bytes| Frame::Finish {
            stream: StreamId(1),
            bytes,
            digest: None,
        };
        let expected = Violation::Count {
            stream: StreamId(1),
            said: 59,
            arrived: 60,
        };
        assert_eq!(alone.hear(finish(59)), Err(expected));
        assert_eq!(alone.hear(finish(60)), Ok(()));
    }
}

#[test]
fn a_half_ends_once() {
    let finish = Frame::Finish {
        stream: StreamId(1),
        bytes: 0,
        digest: None,
    };
    let reset = Frame::Reset {
        stream: StreamId(1),
        code: 1,
        reason: String::new(),
    };
    let ends = [finish, reset];
    let after = |frame: &Frame| Violation::AfterEnd {
        frame: frame.frame_type(),
        stream: StreamId(1),
    };
    for first in &ends {
        for let_go in [false, true] {
            for second in ends.iter().chain([&data(1, 1)]) {
                let mut alone = Alone::with_stream(StreamKind::Uni, 100);
                alone.hear(first.clone()).unwrap();
                if let_go {
                    alone.connection.release_receive(StreamId(1), START);
                }
                assert_eq!(alone.hear(second.clone()), Err(after(second)));
            }
        }
    }
}

#[test]
fn credit_and_stop_may_cross_the_end() {
    let mut alone = Alone::with_stream(StreamKind::Bidi, 0);
    alone.connection.finish(StreamId(1), None);
    let late = [
        Frame::Credit {
            stream: StreamId(1),
            delta: 5,
        },
        Frame::Stop {
            stream: StreamId(1),
            code: 1,
            reason: String::new(),
        },
    ];
    assert!(matches!(
        &alone.says()[..],
        [Frame::Finish { bytes: 0, .. }]
    ));
    for frame in &late {
        alone.hear(frame.clone()).unwrap();
    }
    alone.connection.finish_written(StreamId(1), START);
    assert_eq!(
        alone.connection.send_ending(StreamId(1)),
        Some(Ending::Finished)
    );
    alone.connection.release_send(StreamId(1), START);
    alone.connection.release_receive(StreamId(1), START);
    let reset = Frame::Reset {
        stream: StreamId(1),
        code: code::STOPPED,
        reason: String::new(),
    };
    alone.hear(reset).unwrap();
    assert_eq!(
        alone.connection.idle_since(),
        Some(START),
        "the stream is forgotten"
    );
    for frame in late {
        alone.hear(frame).unwrap();
    }
    assert!(matches!(&alone.says()[..], [Frame::Stop { .. }]));
}

#[test]
fn frames_for_streams_that_never_were_end_the_session() {
    let frames = |stream| {
        [
            data(stream, 1),
            Frame::Message {
                stream: StreamId(stream),
                body: bytes(1),
            },
            Frame::Finish {
                stream: StreamId(stream),
                bytes: 0,
                digest: None,
            },
            Frame::Reset {
                stream: StreamId(stream),
                code: 1,
                reason: String::new(),
            },
            Frame::Stop {
                stream: StreamId(stream),
                code: 1,
                reason: String::new(),
            },
            Frame::Credit {
                stream: StreamId(stream),
                delta: 1,
            },
        ]
    };
    for stream in [2, 3, u32::MAX - 1, u32::MAX] {
        for frame in frames(stream) {
            let mut alone = Alone::with_stream(StreamKind::Uni, 100);
            let expected = Violation::UnknownStream {
                frame: frame.frame_type(),
                stream: StreamId(stream),
            };
            assert_eq!(alone.hear(frame), Err(expected));
        }
    }
}

#[test]
fn frames_of_the_wrong_side_or_kind_end_the_session() {
    let misplaced = |alone: &mut Alone, frame: Frame| {
        assert!(matches!(
            alone.hear(frame),
            Err(Violation::Misplaced { .. })
        ));
    };
    let message = Frame::Message {
        stream: StreamId(1),
        body: bytes(1),
    };
    let credit = Frame::Credit {
        stream: StreamId(1),
        delta: 1,
    };
    misplaced(&mut Alone::with_stream(StreamKind::Uni, 1), message);
    misplaced(&mut Alone::with_stream(StreamKind::Uni, 1), credit);
    misplaced(&mut Alone::with_stream(StreamKind::Bidi, 0), data(1, 1));
}

#[test]
fn numbers_of_streams_are_new_and_of_the_right_side() {
    let mut alone = Alone::new();
    alone.hear(open_frame(5, StreamKind::Uni)).unwrap();
    for id in [1, 3, 5, 2, 6, 1000] {
        let opened = alone.hear(open_frame(id, StreamKind::Uni));
        assert_eq!(opened, Err(Violation::BadId(StreamId(id))));
    }
    alone.hear(open_frame(u32::MAX, StreamKind::Uni)).unwrap();
}

#[test]
fn streams_beyond_the_limit_are_refused_one_by_one_and_then_end_the_session() {
    let mut alone = Alone::new();
    let mut now = START;
    let mut open = |alone: &mut Alone, number: usize| {
        now += CHURN_INTERVAL;
        let id = u32::try_from(2 * number + 1).unwrap();
        alone
            .connection
            .receive(open_frame(id, StreamKind::Bidi), now)
    };
    for number in 0..MAX_STREAMS {
        open(&mut alone, number).unwrap();
    }
    assert!(alone.says().is_empty());
    open(&mut alone, MAX_STREAMS).unwrap();
    let said = alone.says();
    assert!(matches!(
        &said[..],
        [
            Frame::Reset {
                code: code::BUSY,
                ..
            },
            Frame::Stop {
                code: code::BUSY,
                ..
            }
        ]
    ));
    for number in MAX_STREAMS + 1..MAX_STREAMS + MAX_REFUSED {
        open(&mut alone, number).unwrap();
    }
    let error = open(&mut alone, MAX_STREAMS + MAX_REFUSED).unwrap_err();
    assert_eq!(error, Violation::TooManyStreams(MAX_STREAMS + MAX_REFUSED));
    let accepted = std::iter::from_fn(|| alone.connection.accept()).count();
    assert_eq!(accepted, MAX_STREAMS);
}

#[test]
fn a_flood_of_opens_and_resets_ends_the_session_but_a_busy_peer_does_not() {
    let churn = |interval: Duration| {
        let mut alone = Alone::new();
        for number in 0..20_000_u32 {
            let (id, now) = (2 * number + 1, interval * 2 * number);
            alone
                .connection
                .receive(open_frame(id, StreamKind::Uni), now)?;
            let reset = Frame::Reset {
                stream: StreamId(id),
                code: 1,
                reason: String::new(),
            };
            alone.connection.receive(reset, now)?;
            alone.connection.accept();
            alone.connection.release_receive(StreamId(id), now);
        }
        Ok(())
    };
    assert_eq!(churn(CHURN_INTERVAL), Ok(()));
    assert!(matches!(
        churn(Duration::from_micros(5)),
        Err(Violation::Flood(_))
    ));
}

#[test]
fn the_pings_of_the_shortest_lease_are_no_flood() {
    let (mut alone, mut pinging) = (
        Alone::new(),
        Connection::new(Side::Dialler, Budget::new(1 << 30)),
    );
    pinging.set_lease(Some(Duration::from_millis(1)));
    let mut now = START;
    let mut pings = 0;
    while now < Duration::from_secs(60) {
        pinging.heard(now);
        pinging.tick(now).unwrap();
        while let Some(Outgoing::Frame(frame)) = pinging.poll_outgoing() {
            pings += u32::from(matches!(frame, Frame::Ping(_)));
            alone.connection.receive(frame, now).unwrap();
        }
        now += Duration::from_millis(1);
    }
    assert_eq!(pings, 300);
}

#[test]
fn a_flood_of_pings_ends_the_session_and_is_not_queued() {
    let mut alone = Alone::new();
    for number in 0..u64::from(PING_BURST) {
        alone.hear(Frame::Ping(number)).unwrap();
    }
    assert_eq!(alone.says(), [Frame::Pong(u64::from(PING_BURST) - 1)]);
    assert_eq!(
        alone.hear(Frame::Ping(0)),
        Err(Violation::Flood(FrameType::Ping))
    );
}

#[test]
fn credit_returns_when_half_a_window_has_left_and_not_before() {
    let mut alone = Alone::with_stream(StreamKind::Uni, 100);
    let stream = StreamId(1);
    alone.hear(data(1, 49)).unwrap();
    assert!(matches!(
        alone.connection.read(stream, None, START),
        Read::Payload(_)
    ));
    assert_eq!(alone.connection.read(stream, None, START), Read::Pending);
    assert!(alone.says().is_empty());
    alone.hear(data(1, 1)).unwrap();
    assert!(matches!(
        alone.connection.read(stream, None, START),
        Read::Payload(_)
    ));
    assert!(alone.says().is_empty(), "the last byte has not left yet");
    assert_eq!(alone.connection.read(stream, None, START), Read::Pending);
    assert_eq!(alone.says(), [Frame::Credit { stream, delta: 50 }]);
}

#[test]
fn a_window_grows_only_when_the_path_is_longer_than_it() {
    // A window of a megabyte that is used up every 150 ms.
    let grown_with = |round_trip: Duration| {
        let mut alone = Alone::with_stream(StreamKind::Uni, DEFAULT_WINDOW);
        alone.connection.tick(START).unwrap();
        alone
            .connection
            .receive(Frame::Pong(1), round_trip)
            .unwrap();
        let mut now = Duration::from_secs(1);
        let mut granted = i64::from(DEFAULT_WINDOW);
        for _ in 0..200 {
            let length = usize::try_from(granted.min(1 << 20)).unwrap();
            alone.connection.receive(data(1, length), now).unwrap();
            granted -= i64::try_from(length).unwrap();
            now += Duration::from_millis(150);
            while alone.connection.read(StreamId(1), None, now) != Read::Pending {}
            for frame in alone.says() {
                if let Frame::Credit { delta, .. } = frame {
                    granted += i64::from(delta);
                }
            }
        }
        granted
    };
    assert_eq!(
        grown_with(Duration::from_millis(1)),
        i64::from(DEFAULT_WINDOW)
    );
    // Doubled once it no longer limits what comes.
    assert_eq!(
        grown_with(Duration::from_millis(100)),
        2 * i64::from(DEFAULT_WINDOW)
    );
}

#[test]
fn one_stream_cannot_queue_without_end() {
    let mut dialler = Connection::new(Side::Dialler, Budget::new(1 << 30));
    let id = dialler.open(StreamKind::Uni, &purpose()).unwrap();
    let mut queued = 0;
    while dialler.has_room(id, 100_000) == Ok(true) {
        dialler.send(id, bytes(100_000).into());
        queued += 100_000;
    }
    assert!(queued <= SEND_QUEUE);
}

#[test]
fn after_a_go_away_streams_are_refused_here_and_not_opened_there() {
    let mut alone = Alone::with_stream(StreamKind::Uni, 100);
    alone.connection.go_away(code::AWAY_DRAINING, "restart");
    assert!(matches!(&alone.says()[..], [Frame::GoAway { .. }]));
    let error = alone.connection.open(StreamKind::Uni, &purpose());
    assert_eq!(error, Err(OpenError::GoingAway("restart".to_owned())));
    alone.hear(open_frame(3, StreamKind::Uni)).unwrap();
    assert!(matches!(
        &alone.says()[..],
        [Frame::Stop {
            code: code::GOING_AWAY,
            ..
        }]
    ));
    assert_eq!(alone.connection.accept(), None);
    // The stream that was there goes on.
    alone.hear(data(1, 10)).unwrap();
    assert!(matches!(
        alone.connection.read(StreamId(1), None, START),
        Read::Payload(_)
    ));
}

#[test]
fn a_lost_session_ends_what_had_not_ended_and_keeps_what_had() {
    let mut alone = Alone::with_stream(StreamKind::Uni, 100);
    alone.hear(open_frame(3, StreamKind::Uni)).unwrap();
    alone.connection.grant(StreamId(3), 100);
    alone.says();
    alone.hear(data(1, 10)).unwrap();
    alone.hear(data(3, 10)).unwrap();
    let finish = Frame::Finish {
        stream: StreamId(1),
        bytes: 10,
        digest: None,
    };
    alone.hear(finish).unwrap();
    alone.connection.lose();
    for (stream, ending) in [(StreamId(1), Ending::Finished), (StreamId(3), Ending::Lost)] {
        assert!(matches!(
            alone.connection.read(stream, None, START),
            Read::Payload(_)
        ));
        assert_eq!(
            alone.connection.read(stream, None, START),
            Read::Ended(ending)
        );
    }
    assert_eq!(alone.connection.poll_outgoing(), None);
}

mod model;
