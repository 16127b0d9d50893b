//! Where a node is dialled, as somebody wrote it down.

use serde::Deserialize;

/// `host:port`, `[v6]:port`, or either without a port.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Addr {
    pub(super) host: String,
    pub(super) port: Option<u16>,
}

// === impl Addr ===

impl TryFrom<String> for Addr {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no address: HOST:PORT and [V6]:PORT are");
        let port = |port: &str| match port.parse() {
            Ok(port) if port > 0 => Ok(Some(port)),
            _ => Err(wrong()),
        };
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (host, rest) = rest.split_once(']').ok_or_else(wrong)?;
            let v6 = host.split('%').next().unwrap_or_default();
            v6.parse::<std::net::Ipv6Addr>().map_err(|_| wrong())?;
            match rest.strip_prefix(':') {
                Some(number) => (host, port(number)?),
                None if rest.is_empty() => (host, None),
                None => return Err(wrong()),
            }
        } else if text.parse::<std::net::Ipv6Addr>().is_ok() {
            (text.as_str(), None)
        } else {
            match text.split_once(':') {
                Some((host, number)) => (host, port(number)?),
                None => (text.as_str(), None),
            }
        };
        let blank = |c: char| c.is_whitespace() || c.is_control() || c == '/';
        if host.is_empty() || host.contains(blank) {
            return Err(wrong());
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}
