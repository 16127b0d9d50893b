use proptest::prelude::*;

use super::*;
use crate::wire::message::Purpose;

fn encoded(frame: &Frame) -> BytesMut {
    let mut out = BytesMut::new();
    encode(frame, &mut out);
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> BytesMut {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

/// One frame of every type, with its bytes. They are part of the protocol: a change here needs another version.
fn pinned() -> Vec<(Frame, &'static str)> {
    let stream = StreamId(0x0102);
    vec![
        (
            Frame::Message {
                stream: StreamId::SESSION,
                body: Bytes::from_static(b"{}"),
            },
            "02000001000000007b7d",
        ),
        (
            Frame::Open {
                stream,
                kind: StreamKind::Bidi,
                purpose: Purpose::Run,
            },
            "1200000202010000017b22707572706f7365223a2272756e227d",
        ),
        (
            Frame::Data {
                stream,
                payload: Bytes::from_static(b"abc"),
            },
            "0300000302010000616263",
        ),
        (
            Frame::Finish {
                stream,
                bytes: 3,
                digest: None,
            },
            "08000004020100000300000000000000",
        ),
        (
            Frame::Finish {
                stream,
                bytes: 3,
                digest: Some([0xaa; 32]),
            },
            "2a0000040201000003000000000000000120aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ),
        (
            Frame::Reset {
                stream,
                code: 1,
                reason: "no".to_owned(),
            },
            "0600000502010000010000006e6f",
        ),
        (
            Frame::Stop {
                stream,
                code: 2,
                reason: String::new(),
            },
            "040000060201000002000000",
        ),
        (
            Frame::Credit {
                stream,
                delta: 0x10_0000,
            },
            "040000070201000000001000",
        ),
        (Frame::Ping(7), "08000008000000000700000000000000"),
        (Frame::Pong(7), "08000009000000000700000000000000"),
        (
            Frame::GoAway {
                code: 3,
                reason: "bye".to_owned(),
            },
            "0700000a0000000003000000627965",
        ),
    ]
}

#[test]
fn every_frame_type_has_its_pinned_bytes() {
    for (frame, bytes) in pinned() {
        assert_eq!(hex(&encoded(&frame)), bytes, "{frame:?}");
        let mut buffer = unhex(bytes);
        assert_eq!(Decoder::new().decode(&mut buffer), Ok(Some(frame)));
        assert!(buffer.is_empty());
    }
}

#[test]
fn numbers_of_frame_types_name_them_and_no_others_exist() {
    let known: Vec<u8> = (0..=255)
        .filter(|&number| {
            FrameType::from_number(number).is_some_and(|found| found.number() == number)
        })
        .collect();
    assert_eq!(known, (1..=10).collect::<Vec<u8>>());
}

#[test]
fn huge_lengths_are_refused_from_the_header_alone() {
    for number in 0..=255_u8 {
        let mut buffer = BytesMut::from(&[0xff, 0xff, 0xff, number, 1, 0, 0, 0][..]);
        let error = Decoder::new().decode(&mut buffer).unwrap_err();
        assert!(
            matches!(
                error,
                DecodeError::TooLong {
                    length: 0xff_ffff,
                    ..
                }
            ),
            "{error}"
        );
    }
}

#[test]
fn frames_that_are_too_short_or_on_the_wrong_stream_are_refused() {
    let cases = [
        ("0000000301000000", "Data frame of 0 bytes is too short"),
        ("0000000101000000", "Message frame of 0 bytes is too short"),
        (
            "030000070100000000000000",
            "Credit frame of 3 bytes is too short",
        ),
        ("010000030000000061", "Data frame on stream 0"),
        ("08000008010000000000000000000000", "Ping frame on stream 1"),
        (
            "05000006010000000000000080",
            "malformed Stop frame: reason is not UTF-8",
        ),
        (
            "0200000201000000027b",
            "malformed Open frame: stream kind 2",
        ),
        (
            "0a000004010000000000000000000000ff01",
            "malformed Finish frame: item is cut",
        ),
    ];
    for (bytes, message) in cases {
        let error = Decoder::new().decode(&mut unhex(bytes)).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn unknown_frames_are_skipped_without_being_buffered() {
    let mut decoder = Decoder::new();
    let mut buffer = BytesMut::from(&[0, 0, 1, 99, 0, 0, 0, 0][..]);
    for _ in 0..64 {
        buffer.extend_from_slice(&[0; 1024]);
        assert_eq!(decoder.decode(&mut buffer), Ok(None));
        assert!(buffer.is_empty());
    }
    assert!(decoder.at_boundary(&buffer));
    encode(&Frame::Ping(1), &mut buffer);
    assert_eq!(decoder.decode(&mut buffer), Ok(Some(Frame::Ping(1))));
}

#[test]
fn unknown_items_of_a_finish_are_skipped() {
    let mut buffer = unhex("0c0000040100000005000000000000000902aabb");
    let frame = Frame::Finish {
        stream: StreamId(1),
        bytes: 5,
        digest: None,
    };
    assert_eq!(Decoder::new().decode(&mut buffer), Ok(Some(frame)));
}

#[test]
fn data_is_delivered_before_its_frame_is_complete() {
    let mut decoder = Decoder::new();
    let mut buffer = encoded(&Frame::Data {
        stream: StreamId(1),
        payload: Bytes::from(vec![7; 100]),
    });
    let mut rest = buffer.split_off(limits::HEADER + 40);
    let first = decoder.decode(&mut buffer).unwrap().unwrap();
    assert!(matches!(first, Frame::Data { payload, .. } if payload.len() == 40));
    assert!(!decoder.at_boundary(&buffer));
    let second = decoder.decode(&mut rest).unwrap().unwrap();
    assert!(matches!(second, Frame::Data { payload, .. } if payload.len() == 60));
    assert!(decoder.at_boundary(&rest));
}

#[test]
fn reasons_are_cut_between_characters() {
    let frame = Frame::GoAway {
        code: 0,
        reason: "ä".repeat(limits::MAX_REASON) + "x",
    };
    let decoded = Decoder::new()
        .decode(&mut encoded(&frame))
        .unwrap()
        .unwrap();
    assert!(matches!(decoded, Frame::GoAway { reason, .. } if reason == "ä".repeat(512)));
}

// === properties ===

fn any_frame() -> impl Strategy<Value = Frame> {
    let stream = (1..u32::MAX).prop_map(StreamId);
    let text = "[a-zä]{0,20}";
    let body = prop::collection::vec(any::<u8>(), 1..300).prop_map(Bytes::from);
    prop_oneof![
        (stream.clone(), body.clone()).prop_map(|(stream, body)| Frame::Message { stream, body }),
        (stream.clone(), body).prop_map(|(stream, payload)| Frame::Data { stream, payload }),
        (stream.clone(), any::<bool>()).prop_map(|(stream, uni)| Frame::Open {
            stream,
            kind: if uni {
                StreamKind::Uni
            } else {
                StreamKind::Bidi
            },
            purpose: Purpose::Query,
        }),
        (stream.clone(), any::<u64>(), any::<Option<[u8; 32]>>()).prop_map(
            |(stream, bytes, digest)| Frame::Finish {
                stream,
                bytes,
                digest
            }
        ),
        (stream.clone(), any::<u32>(), text).prop_map(|(stream, code, reason)| Frame::Reset {
            stream,
            code,
            reason
        }),
        (stream.clone(), any::<u32>(), text).prop_map(|(stream, code, reason)| Frame::Stop {
            stream,
            code,
            reason
        }),
        (stream, any::<u32>()).prop_map(|(stream, delta)| Frame::Credit { stream, delta }),
        any::<u64>().prop_map(Frame::Ping),
        any::<u64>().prop_map(Frame::Pong),
        (any::<u32>(), text).prop_map(|(code, reason)| Frame::GoAway { code, reason }),
    ]
}

/// Joins neighbouring Data frames of one stream, because the decoder may cut them anywhere.
fn joined(frames: impl IntoIterator<Item = Frame>) -> Vec<Frame> {
    let mut out: Vec<Frame> = Vec::new();
    for frame in frames {
        if let (
            Some(Frame::Data { stream, payload }),
            Frame::Data {
                stream: next,
                payload: more,
            },
        ) = (out.last_mut(), &frame)
            && stream == next
        {
            *payload = [&payload[..], &more[..]].concat().into();
            continue;
        }
        out.push(frame);
    }
    out
}

proptest! {
    #[test]
    fn frames_survive_any_slicing(frames in prop::collection::vec(any_frame(), 0..12), cuts in prop::collection::vec(1..40_usize, 1..50)) {
        let mut wire = BytesMut::new();
        for frame in &frames {
            encode(frame, &mut wire);
        }
        let (mut decoder, mut buffer, mut decoded) = (Decoder::new(), BytesMut::new(), Vec::new());
        let mut cuts = cuts.into_iter().cycle();
        while !wire.is_empty() {
            let piece = cuts.next().unwrap_or(1).min(wire.len());
            buffer.extend_from_slice(&wire.split_to(piece));
            while let Some(frame) = decoder.decode(&mut buffer).unwrap() {
                decoded.push(frame);
            }
        }
        prop_assert!(decoder.at_boundary(&buffer));
        prop_assert_eq!(joined(decoded), joined(frames));
    }

    #[test]
    fn random_bytes_never_panic_and_never_grow(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut buffer = BytesMut::from(&bytes[..]);
        let mut decoder = Decoder::new();
        while let Ok(Some(_)) = decoder.decode(&mut buffer) {}
        prop_assert!(buffer.len() <= bytes.len());
    }
}
