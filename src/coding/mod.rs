//! What becomes of a link's bytes between its writer and its reader: compressed on the way, and compared at its end.
//!
//! ```text
//! app -> Encoder: hash, then compress ---- stream ---- Decoder: decompress, then hash -> app
//!           finish: end of the frame, digest in Finish ->  finish: the frame is whole, the digests are equal
//! ```
//!
//! Every piece is flushed: what an app wrote goes out with the piece it came in, whether more follows or not. The digest is over the
//! bytes of the apps, so it says the same whether they were compressed or not. Pure: bytes in, bytes out.

mod decode;
mod encode;
mod error;
mod squeeze;
#[cfg(test)]
mod tests;

pub use self::{decode::Decoder, encode::Encoder, error::CodingError};
use crate::media::Coding;

/// A SHA-256 digest, as the Finish frame carries it.
pub type Digest = [u8; 32];

/// What is done to the bytes of one link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// How they travel.
    pub coding: Coding,
    /// Whether their digest goes along.
    pub digest: bool,
}

// === impl Way ===

impl Way {
    /// Whether nothing is done to them.
    #[must_use]
    pub const fn is_plain(&self) -> bool {
        self.coding.is_plain() && !self.digest
    }
}
