//! Where an agent is reached.

use std::{fmt, path::PathBuf};

use reqwest::Url;

use crate::RegistryError;

/// An agent's port, where an address is a host alone. A URL without a port has the one of its scheme, as everywhere.
const HTTP_PORT: u16 = 8500;

/// An agent's address, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// What requests begin with.
    pub(super) base: Url,
    /// The socket that carries them, if it is no TCP port.
    pub(super) unix: Option<PathBuf>,
}

// === impl Address ===

impl Address {
    /// Reads `host:port`, `http://…`, `https://…` or `unix:///path`.
    pub(super) fn parse(text: &str) -> Result<Self, RegistryError> {
        let wrong = |why: &str| RegistryError::Rejected {
            detail: format!(
                "`{text}` is no address of an agent ({why}): HOST:PORT, http://HOST:PORT, https://HOST:PORT and unix:///PATH are"
            ),
        };
        if let Some(path) = text.strip_prefix("unix://") {
            if !path.starts_with('/') {
                return Err(wrong("the path is not absolute"));
            }
            return Ok(Self {
                base: Url::parse("http://localhost").map_err(|e| wrong(&e.to_string()))?,
                unix: Some(path.into()),
            });
        }
        if text.contains('@') {
            // Not shown: what stands before it may be a password.
            return Err(RegistryError::Rejected {
                detail: "user and password do not belong into the address of an agent".to_owned(),
            });
        }
        let url = match text.split_once("://") {
            Some(("http" | "https", _)) => text.to_owned(),
            Some(_) => return Err(wrong("unknown scheme")),
            None => format!("http://{text}"),
        };
        let mut base = Url::parse(&url).map_err(|e| wrong(&e.to_string()))?;
        if base.query().is_some() || base.fragment().is_some() {
            return Err(wrong("it has a query"));
        }
        // A port of 80 that is written out is left out by the parser.
        let written = text
            .rsplit_once(':')
            .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        if !text.contains("://") && !written {
            base.set_port(Some(HTTP_PORT))
                .map_err(|()| wrong("it has no host"))?;
        }
        Ok(Self { base, unix: None })
    }

    /// Whether TLS is spoken there.
    pub(super) fn is_tls(&self) -> bool {
        self.base.scheme() == "https"
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.unix {
            Some(path) => write!(f, "unix://{}", path.display()),
            None => f.write_str(self.base.as_str().trim_end_matches('/')),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_for_consuls_own_client() {
        for (text, shown) in [
            ("127.0.0.1:8500", "http://127.0.0.1:8500"),
            ("localhost", "http://localhost:8500"),
            ("[::1]:18500", "http://[::1]:18500"),
            ("http://consul:80", "http://consul"),
            ("http://proxy:8080/consul/", "http://proxy:8080/consul"),
            ("consul:80", "http://consul"),
            ("https://consul", "https://consul"),
            ("https://consul:8501", "https://consul:8501"),
            ("unix:///run/consul.sock", "unix:///run/consul.sock"),
        ] {
            assert_eq!(Address::parse(text).unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_those_that_are() {
        for text in ["", "etcd://a", "unix://run", "host:99999", "http://", "a b"] {
            let error = Address::parse(text).unwrap_err().to_string();
            assert!(error.contains("https://HOST:PORT"), "{text}: {error}");
        }
    }

    #[test]
    fn a_password_in_an_address_is_refused_and_not_shown() {
        let error = Address::parse("http://me:hunter2@consul").unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
    }
}
