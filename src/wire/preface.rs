//! The first bytes of a session: magic, version and nonce.

use std::fmt;

use thiserror::Error;

use super::limits;

/// What every session begins with. The version that follows is no printable character, so a text protocol that is talked to by
/// mistake answers with an error at once instead of waiting for a line.
pub const MAGIC: &[u8; 6] = b"dpipes";

/// What a peer that does not want the session sends instead of a preface, followed by the reason and a newline.
pub const REFUSAL: &str = "refused: ";

/// Bytes of a preface.
pub const LENGTH: usize = MAGIC.len() + 2 + 16;

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version {
    /// Differs when old and new cannot talk.
    pub major: u8,
    /// Grows with every addition; the lower one of both sides is spoken.
    pub minor: u8,
}

/// What each side sends at once, without waiting for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preface {
    /// The highest version the sender speaks.
    pub version: Version,
    /// Random bytes that the other's Hello must repeat.
    pub nonce: [u8; 16],
}

/// Why the first bytes of a peer are no preface.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PrefaceError {
    /// The peer speaks something else.
    #[error("not a dpipesd (it said '{said}')")]
    NotDpipes {
        /// Its first line, printable.
        said: String,
    },
    /// The peer does not want this session and says why.
    #[error("refused: {0}")]
    Refused(String),
    /// The peer speaks another major version.
    #[error(
        "protocol {theirs} there, {ours} here: upgrade {}",
        if theirs < ours { "the other side" } else { "this side" }
    )]
    Version {
        /// Ours.
        ours: Version,
        /// Theirs.
        theirs: Version,
    },
}

// === impl Version ===

impl Version {
    /// The version described by PROTOCOL.md.
    pub const CURRENT: Self = Self { major: 1, minor: 0 };

    /// The minor version both sides speak.
    ///
    /// # Errors
    ///
    /// Returns [`PrefaceError::Version`] when the major versions differ.
    pub fn agree(self, theirs: Self) -> Result<Self, PrefaceError> {
        if self.major == theirs.major {
            Ok(self.min(theirs))
        } else {
            Err(PrefaceError::Version { ours: self, theirs })
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

// === impl Preface ===

impl Preface {
    /// The preface as sent.
    #[must_use]
    pub fn encode(&self) -> [u8; LENGTH] {
        let mut out = [0; LENGTH];
        let (magic, rest) = out.split_at_mut(MAGIC.len());
        magic.copy_from_slice(MAGIC);
        let (version, nonce) = rest.split_at_mut(2);
        version.copy_from_slice(&[self.version.major, self.version.minor]);
        nonce.copy_from_slice(&self.nonce);
        out
    }

    /// Reads a preface from the first bytes of a peer.
    ///
    /// `Ok(None)` wants more bytes, and never more than [`limits::MAX_FIRST_LINE`]. A peer that speaks something else is heard until
    /// its line is complete, so that the error can show it.
    ///
    /// # Errors
    ///
    /// Returns [`PrefaceError::NotDpipes`] or [`PrefaceError::Refused`]. The version is not compared here.
    pub fn decode(bytes: &[u8]) -> Result<Option<Self>, PrefaceError> {
        let common = bytes.len().min(MAGIC.len());
        if bytes[..common] == MAGIC[..common] {
            let Some(preface) = bytes.first_chunk::<LENGTH>() else {
                return Ok(None);
            };
            let [_, _, _, _, _, _, major, minor, nonce @ ..] = *preface;
            let version = Version { major, minor };
            return Ok(Some(Self { version, nonce }));
        }
        let complete = bytes.len() >= limits::MAX_FIRST_LINE || bytes.contains(&b'\n');
        if complete {
            Err(Self::foreign(bytes))
        } else {
            Ok(None)
        }
    }

    /// The error for a peer that said this and then nothing more.
    #[must_use]
    pub fn foreign(bytes: &[u8]) -> PrefaceError {
        let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or(bytes);
        match line.strip_prefix(REFUSAL.as_bytes()) {
            Some(reason) => PrefaceError::Refused(printable(reason, limits::MAX_FIRST_LINE)),
            None => PrefaceError::NotDpipes {
                said: printable(line, SHOWN),
            },
        }
    }

    /// The nonce as the other side's Hello repeats it.
    #[must_use]
    pub fn nonce_text(&self) -> String {
        self.nonce
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

/// Characters of a foreign first line that are shown: one line of a terminal beside the rest of the message.
const SHOWN: usize = 60;

/// The text with everything that a terminal could obey escaped, and cut.
fn printable(bytes: &[u8], most: usize) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_end();
    let mut out = String::new();
    for (count, character) in text.chars().enumerate() {
        if count == most {
            out.push('…');
            break;
        }
        if character.is_control() {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preface_survives_the_wire_in_any_number_of_pieces() {
        let preface = Preface {
            version: Version { major: 1, minor: 7 },
            nonce: *b"0123456789abcdef",
        };
        let bytes = preface.encode();
        for cut in 0..bytes.len() {
            assert_eq!(Preface::decode(&bytes[..cut]), Ok(None));
        }
        assert_eq!(Preface::decode(&bytes), Ok(Some(preface)));
        assert_eq!(&bytes[..8], b"dpipes\x01\x07");
    }

    #[test]
    fn a_web_server_is_named_by_what_it_said() {
        let error = Preface::decode(b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "not a dpipesd (it said 'HTTP/1.1 400 Bad Request')"
        );
    }

    #[test]
    fn an_incomplete_foreign_line_is_waited_for_up_to_a_limit() {
        assert_eq!(Preface::decode(b"SSH-2.0-Open"), Ok(None));
        let long = vec![b'x'; limits::MAX_FIRST_LINE];
        let error = Preface::decode(&long).unwrap_err();
        assert!(
            matches!(error, PrefaceError::NotDpipes { said } if said.chars().count() == SHOWN + 1)
        );
    }

    #[test]
    fn a_refusal_is_read_as_one_and_cannot_command_the_terminal() {
        let error = Preface::decode(b"refused: 10.0.0.9 is no \x1b[31mmember\n").unwrap_err();
        assert_eq!(
            error,
            PrefaceError::Refused("10.0.0.9 is no \\u{1b}[31mmember".to_owned())
        );
    }

    #[test]
    fn other_major_versions_name_the_side_to_upgrade_and_lower_minors_are_spoken() {
        let ours = Version { major: 2, minor: 3 };
        let old = Version { major: 1, minor: 9 };
        assert_eq!(
            ours.agree(old).unwrap_err().to_string(),
            "protocol 1.9 there, 2.3 here: upgrade the other side"
        );
        assert!(
            old.agree(ours)
                .unwrap_err()
                .to_string()
                .ends_with("upgrade this side")
        );
        assert_eq!(
            ours.agree(Version { major: 2, minor: 1 }),
            Ok(Version { major: 2, minor: 1 })
        );
    }
}
