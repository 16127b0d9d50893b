//! What has arrived and was not read yet.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// From this length on a piece is kept as the slice that it is, though it may keep alive twice its size: half the buffer into which
/// drivers receive.
const KEEP: usize = 128 << 10;

/// From this length on a piece is kept as a slice while few such pieces wait, for then its reader is quick. Shorter ones are copied, which
/// costs less than what they would keep alive.
const KEEP_FEW: usize = 16 << 10;

/// How many pieces shorter than [`KEEP`] are kept as slices at a time: the one that is being written and the one after it. Each keeps a
/// buffer of a driver alive, so a stalled stream holds half a megabyte more than its window says.
const FEW: usize = 2;

/// Copied pieces are gathered up to this length.
const GATHER: usize = 256 << 10;

/// A queue whose memory is at most about twice what is in it, however small the pieces were that came.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    pieces: VecDeque<Piece>,
    gathered: BytesMut,
    /// Pieces that keep alive more than twice their length.
    sparse: usize,
    length: usize,
}

/// What waits, and what it costs.
#[derive(Debug)]
struct Piece {
    bytes: Bytes,
    sparse: bool,
}

// === impl Inbox ===

impl Inbox {
    /// Adds bytes whose boundaries mean nothing.
    pub(super) fn push_data(&mut self, bytes: Bytes) {
        self.length += bytes.len();
        let sparse = bytes.len() < KEEP;
        if !sparse || (bytes.len() >= KEEP_FEW && self.sparse < FEW) {
            self.close_gathered();
            self.sparse += usize::from(sparse);
            self.pieces.push_back(Piece { bytes, sparse });
        } else {
            if self.gathered.len() + bytes.len() > GATHER {
                self.close_gathered();
            }
            self.gathered.extend_from_slice(&bytes);
        }
    }

    /// Adds a message, which stays whole.
    pub(super) fn push_message(&mut self, body: Bytes) {
        let body = if body.len() >= KEEP {
            body
        } else {
            Bytes::copy_from_slice(&body)
        };
        self.length += body.len();
        self.push_dense(body);
    }

    /// Bytes that wait.
    pub(super) const fn len(&self) -> usize {
        self.length
    }

    /// Takes the next piece.
    pub(super) fn pop(&mut self) -> Option<Bytes> {
        if self.pieces.is_empty() {
            self.close_gathered();
        }
        let piece = self.pieces.pop_front()?;
        self.sparse -= usize::from(piece.sparse);
        self.length -= piece.bytes.len();
        Some(piece.bytes)
    }

    /// Throws everything away.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Makes a piece of what has been gathered.
    fn close_gathered(&mut self) {
        if !self.gathered.is_empty() {
            let gathered = std::mem::take(&mut self.gathered);
            self.push_dense(gathered.freeze());
        }
    }

    fn push_dense(&mut self, bytes: Bytes) {
        self.pieces.push_back(Piece {
            bytes,
            sparse: false,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pieces_are_gathered_and_order_is_kept() {
        let mut inbox = Inbox::default();
        let mut expected = Vec::new();
        for (value, length) in [(1, 10), (2, KEEP), (3, 20_000), (4, 1), (5, GATHER), (6, 7)] {
            expected.extend(std::iter::repeat_n(value, length));
            inbox.push_data(Bytes::from(vec![value; length]));
        }
        assert_eq!(inbox.len(), expected.len());
        let pieces: Vec<Bytes> = std::iter::from_fn(|| inbox.pop()).collect();
        assert_eq!(pieces.len(), 6);
        assert_eq!(pieces.concat(), expected);
        assert_eq!(inbox.len(), 0);
    }

    #[test]
    fn few_short_slices_wait_at_a_time() {
        let mut inbox = Inbox::default();
        let buffer = Bytes::from(vec![1; 2 * KEEP]);
        for _ in 0..4 {
            inbox.push_data(buffer.slice(..KEEP_FEW));
        }
        let is_slice = |bytes: &Bytes| bytes.as_ptr() == buffer.as_ptr();
        let waiting: Vec<Bytes> = std::iter::from_fn(|| inbox.pop()).collect();
        assert_eq!(waiting.len(), FEW + 1);
        assert_eq!(waiting.iter().filter(|piece| is_slice(piece)).count(), FEW);
        // They were read, so others may be kept.
        inbox.push_data(buffer.slice(..KEEP_FEW));
        assert!(inbox.pop().is_some_and(|piece| is_slice(&piece)));
    }

    #[test]
    fn a_flood_of_single_bytes_becomes_few_pieces() {
        let mut inbox = Inbox::default();
        for _ in 0..(1 << 20) {
            inbox.push_data(Bytes::from_static(b"x"));
        }
        assert_eq!(std::iter::from_fn(|| inbox.pop()).count(), 4);
    }

    #[test]
    fn messages_stay_whole_and_let_go_of_the_buffer_they_came_in() {
        let mut inbox = Inbox::default();
        let buffer = Bytes::from(vec![1; 1000]);
        inbox.push_message(buffer.slice(..1));
        inbox.push_message(buffer.slice(1..3));
        assert!(buffer.is_unique());
        assert_eq!(inbox.pop().map(|piece| piece.len()), Some(1));
        assert_eq!(inbox.pop().map(|piece| piece.len()), Some(2));
        assert_eq!(inbox.pop(), None);
    }
}
