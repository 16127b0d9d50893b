//! What a peer sends for a compressed link.

use bytes::Bytes;
use dpipes::{
    coding::{CodingError, Decoder, Encoder, Way},
    media::Coding,
};

const WAY: Way = Way {
    coding: Coding::Zstd,
    digest: true,
};

/// What one step gives at most, as the decoder says.
const MOST_IN_A_STEP: usize = 384 << 10;

/// Where a stream that stands for very many bytes is left: what one step holds is what matters.
const ENOUGH: usize = 4 << 20;

/// The first byte of the input is the length of the pieces in which the rest comes. Whatever their length, the same comes of it, in bounded
/// steps; what is believed comes out of an encoder again.
pub fn link_decode(input: &[u8]) {
    let Some((&length, sent)) = input.split_first() else {
        return;
    };
    let (whole, believed) = decoded(sent, sent.len().max(1));
    let (pieces, also_believed) = decoded(sent, usize::from(length).max(1));
    assert!(whole.starts_with(&pieces) || pieces.starts_with(&whole));
    assert_eq!(believed.is_ok(), also_believed.is_ok());
    if believed.is_ok() && whole.len() < ENOUGH {
        assert_eq!(whole, pieces);
        let mut encoder = Encoder::new(WAY).expect("there is memory");
        let piece = encoder.push(Bytes::from(whole.clone()));
        let mut sent = piece.expect("there is memory").to_vec();
        let (last, _digest) = encoder.finish().expect("there is memory");
        sent.extend_from_slice(&last);
        let (again, believed) = decoded(&sent, sent.len());
        assert!(again == whole && believed.is_ok());
    }
}

/// What comes of a stream, and whether its end is one.
fn decoded(sent: &[u8], piece: usize) -> (Vec<u8>, Result<(), CodingError>) {
    let way = Way {
        digest: false,
        ..WAY
    };
    let mut decoder = Decoder::new(way).expect("there is memory");
    let mut came = Vec::new();
    for mut piece in sent.chunks(piece) {
        while !piece.is_empty() {
            let before = came.len();
            let pushed = decoder.push(&mut piece, &mut came);
            assert!(came.len() - before <= MOST_IN_A_STEP);
            if came.len() >= ENOUGH {
                came.truncate(ENOUGH);
                return (came, Ok(()));
            }
            if let Err(error) = pushed {
                return (came, Err(error));
            }
        }
    }
    (came, decoder.finish(None))
}
