//! Names of services and nodes, as every registry can carry them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest name in bytes: one DNS label, the least that any registry can carry.
pub(crate) const MAX_LEN: usize = 63;

/// The name of a service.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServiceName(String);

/// The name of a node. It survives restarts of the node.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeId(String);

/// What the services are called, for this crate does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// The service that stands for a node itself.
    pub primary: ServiceName,
    /// What an app's name gets in front to be its service's.
    pub app_prefix: String,
    /// The port of addresses that name none.
    pub port: u16,
}

/// Why a text is no name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is no name: 1 to 63 letters, digits, `.`, `_`, `+`, `-` or `[` are")]
pub struct InvalidName(pub String);

fn check(name: String) -> Result<String, InvalidName> {
    if (1..=MAX_LEN).contains(&name.len()) && name.bytes().all(is_legal) {
        Ok(name)
    } else {
        Err(InvalidName(name))
    }
}

/// Whether a name may hold this byte.
pub(crate) fn is_legal(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._+-[".contains(&byte)
}

macro_rules! name {
    ($name:ident) => {
        impl $name {
            /// Checks a name.
            ///
            /// # Errors
            ///
            /// Returns [`InvalidName`] when it is empty, too long, or holds another character.
            pub fn new(name: impl Into<String>) -> Result<Self, InvalidName> {
                check(name.into()).map(Self)
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}

name!(ServiceName);
name!(NodeId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_every_registry_can_carry() {
        for good in ["dp.g++", "dp.[", "dp.python3.11", &"x".repeat(63)] {
            assert_eq!(
                ServiceName::new(good).map(String::from),
                Ok(good.to_owned())
            );
        }
        for bad in ["", "dp.a b", "dp.a/b", "dp.ä", &"x".repeat(64)] {
            assert_eq!(NodeId::new(bad), Err(InvalidName(bad.to_owned())));
        }
    }
}
