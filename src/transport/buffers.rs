//! Memory that data passes through, used again and again.
//!
//! A fresh buffer costs a page fault for every four kilobytes, as much as copying into it. A buffer is free again when the last slice of
//! it is dropped, which the slices themselves keep count of.

use std::collections::VecDeque;

use bytes::BytesMut;

/// A buffer that is being filled, and those before it whose slices may still be on their way.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    /// Being filled.
    pub(super) current: BytesMut,
    /// Without content; what they were filled with has been split off.
    earlier: VecDeque<BytesMut>,
}

/// Buffers that are kept beside the current one. Two are queued on a stream, two are being written to its socket; with fewer kept, buffers
/// are made anew while both are full.
const EARLIER: usize = 4;

// === impl Buffers ===

impl Buffers {
    /// Sees to it that the current buffer has room for `least` more bytes; if not, another of `size` takes its place. What was in the
    /// current one and not split off stays.
    pub(super) fn make_room(&mut self, least: usize, size: usize) {
        if self.current.capacity() - self.current.len() >= least {
            return;
        }
        let wanted = size.max(self.current.len() + least);
        // The current one, when it is free but for what is left in it, costs a copy of that alone.
        if self.current.try_reclaim(wanted - self.current.len()) {
            return;
        }
        let free = self
            .earlier
            .iter_mut()
            .position(|buffer| buffer.try_reclaim(wanted));
        let mut next = match free.and_then(|index| self.earlier.remove(index)) {
            Some(buffer) => buffer,
            None => BytesMut::with_capacity(wanted),
        };
        next.extend_from_slice(&self.current);
        let mut full = std::mem::replace(&mut self.current, next);
        full.clear();
        self.earlier.push_back(full);
        if self.earlier.len() > EARLIER {
            self.earlier.pop_front();
        }
    }

    /// Forgets the earlier buffers: nothing has flowed for a while.
    pub(super) fn rest(&mut self) {
        self.earlier.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 1 << 10;

    /// Fills a buffer and returns where it is and what was split off.
    fn fill(buffers: &mut Buffers) -> (*const u8, bytes::Bytes) {
        buffers.make_room(SIZE / 4, SIZE);
        let room = buffers.current.capacity();
        buffers.current.resize(room, 7);
        let filled = buffers.current.split().freeze();
        (filled.as_ptr(), filled)
    }

    #[test]
    fn a_buffer_is_used_again_when_its_slices_are_gone() {
        let mut buffers = Buffers::default();
        let (first, slice) = fill(&mut buffers);
        let (second, _other) = fill(&mut buffers);
        assert_ne!(first, second);
        drop(slice);
        assert_eq!(fill(&mut buffers).0, first);
    }

    #[test]
    fn a_buffer_whose_slices_are_held_is_never_written_again() {
        let mut buffers = Buffers::default();
        let held: Vec<_> = (0..3 * EARLIER).map(|_| fill(&mut buffers)).collect();
        let mut places: Vec<_> = held.iter().map(|(place, _)| *place).collect();
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), held.len());
        assert_eq!(buffers.earlier.len(), EARLIER);
    }

    #[test]
    fn what_is_not_complete_moves_to_the_next_buffer() {
        let mut buffers = Buffers::default();
        buffers.make_room(SIZE, SIZE);
        buffers.current.resize(SIZE, 7);
        let _held = buffers.current.split_to(SIZE - 3).freeze();
        buffers.make_room(SIZE / 2, SIZE);
        assert_eq!(buffers.current.as_ref(), [7; 3]);
        assert!(buffers.current.capacity() >= SIZE / 2 + 3);
    }

    #[test]
    fn a_message_longer_than_a_buffer_gets_a_longer_one() {
        let mut buffers = Buffers::default();
        buffers.make_room(SIZE, SIZE);
        buffers.current.resize(SIZE, 7);
        buffers.make_room(SIZE / 2, SIZE);
        assert_eq!(buffers.current.len(), SIZE);
        assert!(buffers.current.capacity() >= SIZE + SIZE / 2);
    }
}
