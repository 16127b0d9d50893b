use std::io;

use thiserror::Error;

use super::Digest;

/// Why what came is not what was sent, or why nothing can be sent.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CodingError {
    /// A way to travel that this side does not know.
    #[error("the bytes are coded in an unknown way")]
    Unknown,
    /// The compressor cannot work, for one because there is no memory.
    #[error("compression failed: {0}")]
    Compress(String),
    /// What came is no compressed data, or needs more memory than agreed.
    #[error("what came cannot be decompressed: {0}")]
    Decompress(String),
    /// The writer says that it is done, but the compressed data are not at their end.
    #[error("what came ends in the middle of its compressed data")]
    CutOff,
    /// Something follows the end of the compressed data.
    #[error("what came goes on after the end of its compressed data")]
    Trailing,
    /// The writer did not send the digest that was agreed.
    #[error("the digest that was agreed did not come")]
    NoDigest,
    /// What came is not what was sent.
    #[error(
        "what came is not what was sent: SHA-256 {} here, {} at the writer",
        short(here),
        short(said)
    )]
    Digest {
        /// The writer's.
        said: Digest,
        /// That of what came.
        here: Digest,
    },
}

/// Enough of a digest to tell two apart by eye.
fn short(digest: &Digest) -> String {
    const SHOWN: usize = 8;
    let hex = digest.iter().take(SHOWN).map(|byte| format!("{byte:02x}"));
    hex.collect::<String>() + "…"
}

// === impl CodingError ===

impl CodingError {
    pub(super) fn compress(error: &io::Error) -> Self {
        Self::Compress(error.to_string())
    }

    pub(super) fn decompress(error: &io::Error) -> Self {
        Self::Decompress(error.to_string())
    }
}
