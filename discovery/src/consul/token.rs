//! The ACL token and where it comes from.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use reqwest::header::HeaderValue;

use super::Token;
use crate::{FileTrouble, RegistryError};

/// Longest token file. A token is a UUID of 36 bytes; beyond this the path is wrong.
const MAX_TOKEN: u64 = 4096;

/// Hands out the token; reads its file at first use and when the token was refused.
#[derive(Debug)]
pub(super) enum Tokens {
    /// None is sent.
    None,
    /// Always this one.
    Fixed(HeaderValue),
    /// What the file says.
    File {
        path: PathBuf,
        last: Mutex<Option<HeaderValue>>,
    },
}

// === impl Tokens ===

impl Tokens {
    pub(super) fn new(token: &Token) -> Result<Self, RegistryError> {
        match token {
            Token::None => Ok(Self::None),
            Token::Value(secret) => {
                header(secret.reveal())
                    .map(Self::Fixed)
                    .ok_or_else(|| RegistryError::Rejected {
                        detail: "the token holds characters that no token has".to_owned(),
                    })
            }
            Token::File(path) => Ok(Self::File {
                path: path.clone(),
                last: Mutex::default(),
            }),
        }
    }

    /// The token to send.
    pub(super) fn get(&self) -> Result<Option<HeaderValue>, RegistryError> {
        match self {
            Self::None => Ok(None),
            Self::Fixed(value) => Ok(Some(value.clone())),
            Self::File { path, last } => {
                let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                if last.is_none() {
                    *last = Some(read(path)?);
                }
                Ok(last.clone())
            }
        }
    }

    /// Looks for another token than the one that was refused. Whether there is one.
    pub(super) fn refresh(&self, refused: Option<&HeaderValue>) -> bool {
        let Self::File { path, last } = self else {
            return false;
        };
        let read = read(path).ok();
        let other = read.is_some() && read.as_ref() != refused;
        *last.lock().unwrap_or_else(PoisonError::into_inner) = read;
        other
    }
}

fn read(path: &Path) -> Result<HeaderValue, RegistryError> {
    let denied = |why: &dyn std::fmt::Display| RegistryError::Denied {
        detail: format!("the token file {}: {why}", path.display()),
    };
    let mut text = String::new();
    let unreadable = |error| denied(&FileTrouble::of(path, &error));
    let file = File::open(path).map_err(unreadable)?;
    let mut file = file.take(MAX_TOKEN);
    file.read_to_string(&mut text).map_err(unreadable)?;
    header(text.trim()).ok_or_else(|| denied(&"it holds no token"))
}

fn header(token: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(token).ok()?;
    value.set_sensitive(true);
    (!token.is_empty()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Secret;

    #[test]
    fn a_file_is_read_again_only_when_its_token_was_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let tokens = Tokens::new(&Token::File(path.clone())).unwrap();
        let missing = tokens.get().unwrap_err();
        assert!(matches!(missing, RegistryError::Denied { .. }), "{missing}");
        std::fs::write(&path, "first\n").unwrap();
        let first = tokens.get().unwrap();
        assert_eq!(first.as_ref().unwrap(), "first");
        std::fs::write(&path, "second\n").unwrap();
        assert_eq!(tokens.get().unwrap(), first);
        assert!(tokens.refresh(first.as_ref()));
        let second = tokens.get().unwrap();
        assert_eq!(second.as_ref().unwrap(), "second");
        assert!(!tokens.refresh(second.as_ref()), "it is still the same");
    }

    #[test]
    fn a_token_is_not_shown() {
        let token = Token::Value(Secret::new("b1gs31cr3t"));
        assert!(!format!("{:?}", Tokens::new(&token)).contains("b1gs31cr3t"));
    }
}
