//! How bytes travel between this client and its entry.

use super::run::RunError;
use crate::{
    coding::{CodingError, Decoder, Way},
    media::Coding,
    negotiate::DIGEST,
    wire::message::{Hello, RunOptions},
};

/// What was asked for, of an entry that is able to do it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ways {
    digest: bool,
}

// === impl Ways ===

impl Ways {
    /// Reads the options of a run. An entry that does not know one would pass it on and do nothing.
    pub(super) fn new(options: &RunOptions, entry: &Hello) -> Result<Self, RunError> {
        let digest = options
            .options
            .get("digest")
            .is_some_and(|value| value != "false");
        if digest && !entry.features.contains(DIGEST) {
            return Err(RunError::Unable(DIGEST));
        }
        Ok(Self { digest })
    }

    pub(super) const fn way(self) -> Way {
        Way {
            coding: Coding::Plain,
            digest: self.digest,
        }
    }

    /// What is done to the output; `None` if nothing is.
    pub(super) fn decoder(self) -> Result<Option<Decoder>, CodingError> {
        let way = self.way();
        let is_plain = way.is_plain();
        (!is_plain).then(|| Decoder::new(way)).transpose()
    }
}
