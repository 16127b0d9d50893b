//! The members of a cluster, as a configuration names them.

use crate::{RegistryError, Tls};

/// The port of an endpoint that names none.
const PORT: u16 = 2379;

/// Members that are all reached in the same way.
#[derive(Clone, Debug)]
pub(super) struct Endpoints {
    /// With scheme.
    pub(super) urls: Vec<String>,
    /// For messages.
    pub(super) shown: String,
    /// Whether TLS is spoken.
    pub(super) secure: bool,
}

impl Endpoints {
    /// Their hosts and ports.
    pub(super) fn places(&self) -> impl Iterator<Item = &str> {
        let schemeless = |url: &str| url.find("://").map_or(0, |at| at + 3);
        self.urls.iter().map(move |url| &url[schemeless(url)..])
    }

    /// Reads them. Without a scheme they are `https` when anything is said about TLS.
    pub(super) fn new(texts: &[String], tls: &Tls) -> Result<Self, RegistryError> {
        check(tls)?;
        let about_tls = tls != &Tls::default();
        let mut schemes = Vec::new();
        let mut hosts = Vec::new();
        for text in texts {
            let text = text.trim();
            let (secure, host) = match text.split_once("://") {
                None => (about_tls, text),
                Some(("http", host)) => (false, host),
                Some(("https", host)) => (true, host),
                Some((scheme, _)) => {
                    return rejected(format!("`{scheme}://` is neither http:// nor https://"));
                }
            };
            let host = host.trim_end_matches('/');
            if host.contains('@') {
                // Not shown: what stands before the `@` may be a password.
                return rejected("an endpoint has no user; the user is said apart");
            }
            if host.is_empty() || host.contains(['/', ' ', '?', '#']) {
                return rejected(format!("`{text}` is no endpoint; `host:port` is"));
            }
            schemes.push(secure);
            hosts.push(with_port(host));
        }
        let Some(&secure) = schemes.first() else {
            return rejected("no endpoint is named");
        };
        if schemes.contains(&!secure) {
            return rejected("some endpoints are https:// and others are not");
        }
        if about_tls && !secure {
            return rejected("TLS is configured, but the endpoints are http://; write https://");
        }
        let scheme = if secure { "https" } else { "http" };
        Ok(Self {
            urls: hosts.iter().map(|h| format!("{scheme}://{h}")).collect(),
            shown: hosts.join(", "),
            secure,
        })
    }
}

fn check(tls: &Tls) -> Result<(), RegistryError> {
    if !tls.verify {
        return rejected(
            "TLS without verification is not offered here; name the authority of the servers' certificates instead",
        );
    }
    if tls.cert.is_some() != tls.key.is_some() {
        return rejected("a TLS certificate needs its key, and a key its certificate");
    }
    Ok(())
}

fn with_port(host: &str) -> String {
    // A colon inside brackets belongs to an IPv6 address.
    let after_address = host.rsplit(']').next().unwrap_or(host);
    if after_address.contains(':') {
        host.to_owned()
    } else {
        format!("{host}:{PORT}")
    }
}

fn rejected<T>(detail: impl Into<String>) -> Result<T, RegistryError> {
    Err(RegistryError::Rejected {
        detail: detail.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(texts: &[&str], tls: &Tls) -> Result<Vec<String>, String> {
        let texts: Vec<_> = texts.iter().map(|&text| text.to_owned()).collect();
        let endpoints = Endpoints::new(&texts, tls).map_err(|error| error.to_string())?;
        Ok(endpoints.urls)
    }

    #[test]
    fn schemes_and_ports_are_filled_in() {
        let plain = Tls::default();
        let urls = read(&["a:1", "http://b", "[::1]", "[::1]:5/"], &plain);
        let expected = [
            "http://a:1",
            "http://b:2379",
            "http://[::1]:2379",
            "http://[::1]:5",
        ];
        assert_eq!(urls.unwrap(), expected);
        assert_eq!(read(&["https://a"], &plain).unwrap(), ["https://a:2379"]);
        let tls = Tls {
            ca: Some("ca.pem".into()),
            ..Tls::default()
        };
        assert_eq!(read(&["a"], &tls).unwrap(), ["https://a:2379"]);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_a_sentence() {
        let plain = Tls::default();
        for (texts, word) in [
            (&[][..], "no endpoint"),
            (&["http://a", "https://b"], "others are not"),
            (&["ftp://a"], "ftp"),
            (&["http://a/path"], "no endpoint"),
            (&["http://"], "no endpoint"),
        ] {
            let error = read(texts, &plain).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
        let error = read(&["http://root:secret@a"], &plain).unwrap_err();
        assert!(!error.contains("secret"), "{error}");
        for tls in [
            Tls {
                verify: false,
                ..Tls::default()
            },
            Tls {
                key: Some("k".into()),
                ..Tls::default()
            },
        ] {
            assert!(read(&["a"], &tls).is_err());
        }
        let tls = Tls {
            server_name: Some("s".into()),
            ..Tls::default()
        };
        assert!(read(&["http://a"], &tls).unwrap_err().contains("https://"));
    }
}
