//! What flows.

use bytes::Bytes;

/// A piece of a stream's data, wherever it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Payload {
    /// In memory.
    Bytes(Bytes),
    /// So many bytes at the front of the pipe that the stream is written from. They are there already, and nobody else reads that pipe:
    /// only the driver knows which pipe it is, and moves them to the socket without a copy.
    Piped(usize),
}

// === impl Payload ===

impl Payload {
    /// Its length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Piped(length) => *length,
        }
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Cuts off the first `at` bytes and returns them, without a copy.
    ///
    /// # Panics
    ///
    /// If it is shorter than that.
    #[must_use]
    pub fn split_to(&mut self, at: usize) -> Self {
        match self {
            Self::Bytes(bytes) => Self::Bytes(bytes.split_to(at)),
            Self::Piped(length) => {
                assert!(at <= *length, "{at} of {length} bytes");
                *length -= at;
                Self::Piped(at)
            }
        }
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}
