use bytes::Bytes;
use proptest::prelude::*;

use super::*;

const ZSTD: Way = Way {
    coding: Coding::Zstd,
    digest: true,
};

const WAYS: [Way; 4] = [
    Way {
        coding: Coding::Plain,
        digest: false,
    },
    Way {
        coding: Coding::Plain,
        digest: true,
    },
    Way {
        coding: Coding::Zstd,
        digest: false,
    },
    ZSTD,
];

/// What is sent for these pieces, the end among them, and the digest.
fn encoded(way: Way, pieces: &[&[u8]]) -> (Vec<u8>, Option<Digest>) {
    let mut encoder = Encoder::new(way).unwrap();
    let mut sent = Vec::new();
    for piece in pieces {
        sent.extend_from_slice(&encoder.push(Bytes::copy_from_slice(piece)).unwrap());
    }
    let (last, digest) = encoder.finish().unwrap();
    sent.extend_from_slice(&last);
    (sent, digest)
}

/// What comes of these pieces, and whether it is believed.
fn decoded<'a>(
    way: Way,
    pieces: impl IntoIterator<Item = &'a [u8]>,
    digest: Option<Digest>,
) -> (Vec<u8>, Result<(), CodingError>) {
    let mut decoder = Decoder::new(way).unwrap();
    let mut came = Vec::new();
    for mut piece in pieces {
        while !piece.is_empty() {
            if let Err(error) = decoder.push(&mut piece, &mut came) {
                return (came, Err(error));
            }
        }
    }
    let finished = decoder.finish(digest);
    (came, finished)
}

/// Bytes that no compressor makes smaller, the same each time.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&next());
    }
    bytes.truncate(length);
    bytes
}

#[test]
fn whatever_the_way_what_goes_in_comes_out_at_every_cut() {
    let text = b"one two three two one\n".repeat(40);
    for way in WAYS {
        let (sent, digest) = encoded(way, &[&text[..7], &text[7..]]);
        assert_eq!(digest.is_some(), way.digest);
        for cut in 0..=sent.len() {
            let (came, believed) = decoded(way, [&sent[..cut], &sent[cut..]], digest);
            assert_eq!((came, believed), (text.clone(), Ok(())), "{way:?} {cut}");
        }
        let (came, believed) = decoded(way, sent.chunks(1), digest);
        assert_eq!((came, believed), (text.clone(), Ok(())), "{way:?}");
    }
}

#[test]
fn an_empty_stream_is_whole_and_no_stream_at_all_is_not() {
    for way in WAYS {
        let (sent, digest) = encoded(way, &[]);
        assert_eq!(decoded(way, [&sent[..]], digest), (Vec::new(), Ok(())));
    }
    assert_eq!(decoded(ZSTD, [], None).1, Err(CodingError::CutOff));
}

#[test]
fn each_piece_is_whole_at_the_reader_before_the_next_is_written() {
    let mut encoder = Encoder::new(ZSTD).unwrap();
    let mut decoder = Decoder::new(ZSTD).unwrap();
    for piece in [&b"a line\n"[..], b"x", &noise(300_000), b"another\n"] {
        let sent = encoder.push(Bytes::copy_from_slice(piece)).unwrap();
        let (mut rest, mut came) = (&sent[..], Vec::new());
        while !rest.is_empty() {
            decoder.push(&mut rest, &mut came).unwrap();
        }
        assert!(came == piece, "{} bytes of {}", came.len(), piece.len());
    }
    let (last, digest) = encoder.finish().unwrap();
    let mut came = Vec::new();
    decoder.push(&mut &last[..], &mut came).unwrap();
    assert!(came.is_empty());
    assert_eq!(decoder.finish(digest), Ok(()));
}

#[test]
fn a_stream_that_ends_anywhere_before_its_end_is_not_believed() {
    let (sent, digest) = encoded(ZSTD, &[b"some text, some more text", b"and the end"]);
    for end in 0..sent.len() {
        let (_, believed) = decoded(ZSTD, [&sent[..end]], digest);
        assert_eq!(believed, Err(CodingError::CutOff), "{end}");
    }
}

#[test]
fn no_flipped_bit_is_believed() {
    let text = b"some text, some more text and some other text\n".repeat(3);
    for way in WAYS.into_iter().filter(|way| !way.is_plain()) {
        let (sent, digest) = encoded(way, &[&text]);
        for bit in 0..sent.len() * 8 {
            let mut damaged = sent.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let (came, believed) = decoded(way, [&damaged[..]], digest);
            // A bit of the frame's head may mean nothing to what comes of it.
            assert!(believed.is_err() || came == text, "{way:?} {bit}");
        }
    }
}

#[test]
fn nothing_may_follow_the_end() {
    let (mut sent, digest) = encoded(ZSTD, &[b"text"]);
    sent.push(0);
    assert_eq!(
        decoded(ZSTD, [&sent[..]], digest).1,
        Err(CodingError::Trailing)
    );
    assert_eq!(
        decoded(ZSTD, sent.chunks(1), digest).1,
        Err(CodingError::Trailing)
    );
}

#[test]
fn a_digest_that_was_agreed_must_come_and_must_be_right() {
    for way in WAYS.into_iter().filter(|way| way.digest) {
        let (sent, digest) = encoded(way, &[b"text"]);
        assert_eq!(
            decoded(way, [&sent[..]], None).1,
            Err(CodingError::NoDigest)
        );
        let mut other = digest.unwrap();
        other[31] ^= 1;
        let (_, believed) = decoded(way, [&sent[..]], Some(other));
        let Err(CodingError::Digest { said, here }) = believed else {
            panic!("{believed:?}");
        };
        assert_eq!((said, here), (other, digest.unwrap()));
        assert_ne!(said, here);
    }
}

#[test]
fn the_digest_is_that_of_the_apps_bytes() {
    let plain = Way {
        coding: Coding::Plain,
        digest: true,
    };
    let expected: Digest = {
        use sha2::Digest as _;
        sha2::Sha256::digest(b"one\ntwo\n").into()
    };
    for way in [plain, ZSTD] {
        assert_eq!(encoded(way, &[b"one\n", b"two\n"]).1, Some(expected));
    }
}

#[test]
fn a_few_bytes_that_stand_for_very_many_are_never_held_as_a_whole() {
    /// Twice the enough of a step and a block, as the decoder says.
    const MOST: usize = 384 << 10;
    let many = vec![b'x'; 64 << 20];
    let (sent, digest) = encoded(ZSTD, &[&many]);
    assert!(sent.len() < 64 << 10, "{} bytes", sent.len());
    let mut decoder = Decoder::new(ZSTD).unwrap();
    let (mut rest, mut came, mut step) = (&sent[..], 0, Vec::new());
    while !rest.is_empty() {
        decoder.push(&mut rest, &mut step).unwrap();
        assert!(step.len() <= MOST, "{} bytes in one step", step.len());
        came += step.len();
        step.clear();
    }
    assert_eq!(came, many.len());
    assert_eq!(decoder.finish(digest), Ok(()));
}

#[test]
fn a_frame_that_wants_a_larger_window_is_refused() {
    let mut encoder = zstd::stream::raw::Encoder::new(19).unwrap();
    encoder
        .set_parameter(zstd::stream::raw::CParameter::WindowLog(27))
        .unwrap();
    let mut frame = vec![0; 1 << 10];
    let mut room = zstd::stream::raw::OutBuffer::around(&mut frame[..]);
    use zstd::stream::raw::Operation as _;
    let mut text = zstd::stream::raw::InBuffer::around(b"text");
    encoder.run(&mut text, &mut room).unwrap();
    encoder.flush(&mut room).unwrap();
    let length = room.pos();
    let (came, believed) = decoded(ZSTD, [&frame[..length]], None);
    assert!(came.is_empty());
    assert!(
        matches!(believed, Err(CodingError::Decompress(_))),
        "{believed:?}"
    );
}

#[test]
fn noise_grows_by_next_to_nothing() {
    let noise = noise(1 << 20);
    let pieces: Vec<_> = noise.chunks(64 << 10).collect();
    let (sent, digest) = encoded(ZSTD, &pieces);
    assert!(sent.len() < noise.len() + noise.len() / 1_000);
    let (came, believed) = decoded(ZSTD, [&sent[..]], digest);
    assert!(came == noise && believed.is_ok());
}

#[test]
fn a_way_of_a_newer_peer_is_no_way() {
    let way = Way {
        coding: Coding::Unknown,
        digest: false,
    };
    assert_eq!(Encoder::new(way).unwrap_err(), CodingError::Unknown);
    assert_eq!(Decoder::new(way).unwrap_err(), CodingError::Unknown);
}

proptest! {
    #[test]
    fn any_pieces_come_out_whole_whatever_their_cuts(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20),
        cut in 1_usize..200,
        way in 0_usize..WAYS.len(),
    ) {
        let way = WAYS[way];
        let slices: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let (sent, digest) = encoded(way, &slices);
        let (came, believed) = decoded(way, sent.chunks(cut), digest);
        prop_assert_eq!(came, pieces.concat());
        prop_assert_eq!(believed, Ok(()));
    }

    #[test]
    fn no_bytes_of_a_peer_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        let (_, _believed) = decoded(ZSTD, [&bytes[..]], None);
    }
}
