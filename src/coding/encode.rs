use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::{CodingError, Digest, Way, squeeze::Squeezer};
use crate::media::Coding;

/// What is kept of the room for compressed data from piece to piece: as much as the largest pieces of a pipe come to.
const KEPT: usize = 512 << 10;

/// The writer's side of a link.
#[derive(Debug)]
pub struct Encoder {
    squeezer: Option<Squeezer>,
    digest: Option<Sha256>,
    room: Vec<u8>,
    sent: u64,
}

// === impl Encoder ===

impl Encoder {
    /// An encoder of one link.
    ///
    /// # Errors
    ///
    /// Returns that the way is not known, or that there is no memory for it.
    pub fn new(way: Way) -> Result<Self, CodingError> {
        let squeezer = match way.coding {
            Coding::Plain => None,
            Coding::Zstd => Some(Squeezer::new().map_err(|error| CodingError::compress(&error))?),
            Coding::Unknown => return Err(CodingError::Unknown),
        };
        Ok(Self {
            squeezer,
            digest: way.digest.then(Sha256::new),
            room: Vec::new(),
            sent: 0,
        })
    }

    /// Makes of a piece what is to be sent for it, which holds all of the piece.
    ///
    /// # Errors
    ///
    /// Returns that zstd has no memory; nothing more can be sent then.
    pub fn push(&mut self, piece: Bytes) -> Result<Bytes, CodingError> {
        if let Some(digest) = &mut self.digest {
            digest.update(&piece);
        }
        let piece = match &mut self.squeezer {
            None => piece,
            Some(squeezer) => {
                let pushed = squeezer.push(&piece, &mut self.room);
                pushed.map_err(|error| CodingError::compress(&error))?;
                self.take()
            }
        };
        self.sent += piece.len() as u64;
        Ok(piece)
    }

    /// Makes the last bytes to be sent, perhaps none, and the digest that goes into Finish.
    ///
    /// # Errors
    ///
    /// Returns that zstd has no memory; the stream must not be finished then.
    pub fn finish(&mut self) -> Result<(Bytes, Option<Digest>), CodingError> {
        let last = match &mut self.squeezer {
            None => Bytes::new(),
            Some(squeezer) => {
                let finished = squeezer.finish(&mut self.room);
                finished.map_err(|error| CodingError::compress(&error))?;
                self.take()
            }
        };
        self.sent += last.len() as u64;
        let digest = self.digest.take().map(|digest| digest.finalize().into());
        Ok((last, digest))
    }

    /// Bytes that were made so far, where they are compressed.
    #[must_use]
    pub fn compressed(&self) -> Option<u64> {
        self.squeezer.as_ref().map(|_| self.sent)
    }

    /// A copy of its own size: many small pieces may wait to be sent, and none may hold the room for a large one.
    fn take(&mut self) -> Bytes {
        let piece = Bytes::copy_from_slice(&self.room);
        self.room.clear();
        self.room.shrink_to(KEPT);
        piece
    }
}
