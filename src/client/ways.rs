//! How bytes travel between this client and its entry.

use super::run::RunError;
use crate::{
    coding::{CodingError, Decoder, Way},
    media::{Coding, Compress},
    negotiate::{DIGEST, ZSTD},
    transport::{PeerAddress, Session},
    wire::message::RunOptions,
};

/// What was asked for, of an entry that is able to do it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ways {
    digest: bool,
    /// Whether what flows between client and entry is compressed.
    compress: Compress,
}

// === impl Ways ===

impl Ways {
    /// Reads the options of a run. An entry that does not know one would pass it on and do nothing.
    pub(super) fn new(options: &RunOptions, entry: &Session) -> Result<Self, RunError> {
        let said = |key: &str| options.options.get(key).map(String::as_str);
        let digest = said("digest").is_some_and(|value| value != "false");
        // What cannot be read is refused by the entry.
        let wanted = Compress::wanted(said("compress")).unwrap_or_default();
        let features = &entry.peer().hello.features;
        let needed = [(digest, DIGEST), (wanted == Compress::Zstd, ZSTD)];
        for (is_needed, feature) in needed {
            if is_needed && !features.contains(feature) {
                return Err(RunError::Unable(feature));
            }
        }
        // Within a machine there is nothing to be won.
        let is_tcp = matches!(entry.peer().address, PeerAddress::Tcp(_));
        let compress = if is_tcp && features.contains(ZSTD) {
            wanted
        } else {
            Compress::Off
        };
        Ok(Self { digest, compress })
    }

    /// How standard input is to travel.
    pub(super) async fn of_stdin(self, entry: &Session) -> Coding {
        entry.coding(self.compress).await
    }

    /// What is done to the bytes of a stream that travels like this.
    pub(super) const fn way(self, coding: Coding) -> Way {
        Way {
            coding,
            digest: self.digest,
        }
    }

    /// What is done to the output, which the entry says travels like this; `None` if nothing is.
    pub(super) fn decoder(self, coding: Coding) -> Result<Option<Decoder>, CodingError> {
        let way = self.way(coding);
        let is_plain = way.is_plain();
        (!is_plain).then(|| Decoder::new(way)).transpose()
    }
}
