//! zstd, as a link uses it: one frame, a bounded window, every piece flushed.

use std::{fmt, io};

use zstd::stream::raw::{
    CParameter, DParameter, Decoder, Encoder, InBuffer, Operation as _, OutBuffer,
};

/// Window of the compressed data, as a power of two: 1 MiB, as much as a link may have under way on a usual path. With zstd's tables and
/// blocks a writer's end takes about 3 MB, a reader's about 2. A reader refuses data that ask for more.
const WINDOW_LOG: u32 = 20;

/// How hard zstd tries; this is its own default. One core compresses 270 MB of words in a second to 29 %, 660 MB of a web server's log to 11 %;
/// at level 1 it is 300 MB to 32 % and 810 MB to 11 %. So a link of one gigabit carries more with it than without.
const LEVEL: i32 = 3;

/// Room for output that is made at once: a block of zstd.
const BLOCK: usize = 128 << 10;

/// Where zstd writes to. Made once: it is as large as many pieces, and would have to be cleared for each.
struct Room(Box<[u8]>);

/// Compresses.
pub(super) struct Squeezer {
    encoder: Encoder<'static>,
    room: Room,
}

/// Decompresses.
pub(super) struct Expander {
    decoder: Decoder<'static>,
    room: Room,
    /// Whether the frame is over.
    ended: bool,
}

/// How far a step of an [`Expander`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expanded {
    /// It took all, and gave all that comes of it.
    All,
    /// There is more to take.
    More,
    /// Something follows the end of the frame.
    Trailing,
}

// === impl Squeezer ===

impl Squeezer {
    pub(super) fn new() -> io::Result<Self> {
        let mut encoder = Encoder::new(LEVEL)?;
        encoder.set_parameter(CParameter::WindowLog(WINDOW_LOG))?;
        // Four bytes at the end, checked by the reader's zstd.
        encoder.set_parameter(CParameter::ChecksumFlag(true))?;
        Ok(Self {
            encoder,
            room: Room::new(),
        })
    }

    /// Appends what comes of `data`, all of it: the reader can make all of `data` of it.
    pub(super) fn push(&mut self, data: &[u8], output: &mut Vec<u8>) -> io::Result<()> {
        let mut input = InBuffer::around(data);
        while input.pos() < data.len() {
            self.room
                .step(output, |room| self.encoder.run(&mut input, room))?;
        }
        while self.room.step(output, |room| self.encoder.flush(room))?.0 > 0 {}
        Ok(())
    }

    /// Appends the end of the frame.
    pub(super) fn finish(&mut self, output: &mut Vec<u8>) -> io::Result<()> {
        while self
            .room
            .step(output, |room| self.encoder.finish(room, true))?
            .0
            > 0
        {}
        Ok(())
    }
}

impl fmt::Debug for Squeezer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Squeezer").finish_non_exhaustive()
    }
}

// === impl Expander ===

impl Expander {
    pub(super) fn new() -> io::Result<Self> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG))?;
        Ok(Self {
            decoder,
            room: Room::new(),
            ended: false,
        })
    }

    /// Takes from the front of `input` and appends what comes of it: until everything was taken, or until `enough` bytes came, to which
    /// as much as two blocks are added.
    pub(super) fn push(
        &mut self,
        input: &mut &[u8],
        output: &mut Vec<u8>,
        enough: usize,
    ) -> io::Result<Expanded> {
        let begin = output.len();
        loop {
            if self.ended {
                return Ok(if input.is_empty() {
                    Expanded::All
                } else {
                    Expanded::Trailing
                });
            }
            let mut taken = InBuffer::around(input);
            let (hint, has_room) = self
                .room
                .step(output, |room| self.decoder.run(&mut taken, room))?;
            *input = &input[taken.pos()..];
            self.ended = hint == 0;
            // With room left over, zstd has given all that it could make of what it took.
            if input.is_empty() && has_room {
                return Ok(Expanded::All);
            }
            if !input.is_empty() && output.len() - begin >= enough {
                return Ok(Expanded::More);
            }
        }
    }

    pub(super) const fn has_ended(&self) -> bool {
        self.ended
    }
}

impl fmt::Debug for Expander {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expander")
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

// === impl Room ===

impl Room {
    fn new() -> Self {
        Self(vec![0; BLOCK].into())
    }

    /// Lets zstd append one block at most. Says what zstd does, and whether it left room.
    fn step(
        &mut self,
        output: &mut Vec<u8>,
        step: impl FnOnce(&mut OutBuffer<'_, [u8]>) -> io::Result<usize>,
    ) -> io::Result<(usize, bool)> {
        let mut room = OutBuffer::around(&mut self.0[..]);
        let hint = step(&mut room)?;
        let filled = room.pos();
        output.extend_from_slice(&self.0[..filled]);
        Ok((hint, filled < BLOCK))
    }
}
