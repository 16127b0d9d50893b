//! What may stand between a stream and the pipe that it fills.

/// Changes what goes by: what a stream brings goes in, what a process is to read comes out.
pub trait Filter: Send {
    /// Takes from the front of `input` and appends to `output`, which it may grow to a bounded length only; called again with the rest.
    ///
    /// # Errors
    ///
    /// Returns [`Spoilt`] when nothing more will come out, and must not be called again then. What it appended before still goes by.
    fn push(&mut self, input: &mut &[u8], output: &mut Vec<u8>) -> Result<(), Spoilt>;

    /// Appends what was held back, now that the stream has finished. Called once.
    ///
    /// # Errors
    ///
    /// Returns [`Spoilt`] when what came is no whole.
    fn finish(&mut self, output: &mut Vec<u8>) -> Result<(), Spoilt>;
}

/// What came cannot go by. The filter knows why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spoilt;
