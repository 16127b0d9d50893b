use sha2::{Digest as _, Sha256};

use super::{
    CodingError, Digest, Way,
    squeeze::{Expanded, Expander},
};
use crate::media::Coding;

/// Bytes that one step gives at least, if there are as many: enough for a write. What a few bytes may be made of without end is never held
/// as a whole.
const ENOUGH: usize = 128 << 10;

/// The reader's side of a link.
#[derive(Debug)]
pub struct Decoder {
    expander: Option<Expander>,
    digest: Option<Sha256>,
    came: u64,
}

// === impl Decoder ===

impl Decoder {
    /// A decoder of one link.
    ///
    /// # Errors
    ///
    /// Returns that the way is not known, or that there is no memory for it.
    pub fn new(way: Way) -> Result<Self, CodingError> {
        let expander = match way.coding {
            Coding::Plain => None,
            Coding::Zstd => Some(Expander::new().map_err(|error| CodingError::decompress(&error))?),
            Coding::Unknown => return Err(CodingError::Unknown),
        };
        Ok(Self {
            expander,
            digest: way.digest.then(Sha256::new),
            came: 0,
        })
    }

    /// Takes from the front of `input` and appends what the app wrote: at most 384 KiB, so it is called again as long as something is
    /// left. When nothing is left, everything that can be known of what came has been given.
    ///
    /// # Errors
    ///
    /// Returns what is wrong with what came. What was appended before is good; nothing more may be pushed.
    pub fn push(&mut self, input: &mut &[u8], output: &mut Vec<u8>) -> Result<(), CodingError> {
        let (before, left) = (output.len(), input.len());
        let pushed = match &mut self.expander {
            None => {
                let (taken, rest) = input.split_at(input.len().min(ENOUGH));
                output.extend_from_slice(taken);
                *input = rest;
                Ok(())
            }
            Some(expander) => match expander.push(input, output, ENOUGH) {
                Ok(Expanded::All | Expanded::More) => Ok(()),
                Ok(Expanded::Trailing) => Err(CodingError::Trailing),
                Err(error) => Err(CodingError::decompress(&error)),
            },
        };
        self.came += (left - input.len()) as u64;
        if let Some(digest) = &mut self.digest {
            digest.update(&output[before..]);
        }
        pushed
    }

    /// Says whether what came is all that was sent. `said` is the digest that came with Finish. Only after this the end may be believed.
    ///
    /// # Errors
    ///
    /// Returns what is missing or differs.
    pub fn finish(&mut self, said: Option<Digest>) -> Result<(), CodingError> {
        if self
            .expander
            .as_ref()
            .is_some_and(|expander| !expander.has_ended())
        {
            return Err(CodingError::CutOff);
        }
        let Some(digest) = self.digest.take() else {
            return Ok(());
        };
        let here: Digest = digest.finalize().into();
        match said {
            None => Err(CodingError::NoDigest),
            Some(said) if said != here => Err(CodingError::Digest { said, here }),
            Some(_) => Ok(()),
        }
    }

    /// Bytes that came so far, where they are compressed.
    #[must_use]
    pub fn compressed(&self) -> Option<u64> {
        self.expander.as_ref().map(|_| self.came)
    }
}
