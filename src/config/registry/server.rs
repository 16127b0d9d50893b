//! Servers of registries as they are written: `HOST:PORT`, URLs, sockets; and the other words of short forms.

use crate::config::value::{Text, serde_as_text};

/// A Consul agent: `HOST:PORT`, `http://HOST[:PORT]`, `https://HOST[:PORT]` or `unix:///PATH`, as in `CONSUL_HTTP_ADDR`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsulAddress(String);

/// A member of an etcd cluster: `HOST:PORT`, `http://HOST:PORT` or `https://HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(String);

/// What every key in etcd begins with: `/tenant-a/`. A slash at its end is no difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix(String);

/// The name of a network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface(String);

/// The longest name of a network interface: IFNAMSIZ of Linux and the BSDs without the NUL.
const MAX_INTERFACE_NAME: usize = 15;

/// What is said to whoever writes a password where every user of the machine can read it.
const NO_CREDENTIALS: &str = "an address holds no user, password or token, for command lines and environments are visible to others: \
                              use `token-file` or `password-file` in the block form, as in `- consul: { token-file: FILE }`";

// === impl ConsulAddress ===

impl ConsulAddress {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it says how it is spoken to.
    pub(super) fn has_scheme(&self) -> bool {
        self.0.contains("://")
    }
}

impl Text for ConsulAddress {
    const EXPECTED: &'static str = "an address such as `127.0.0.1:8500`, `https://consul.example:8501` or `unix:///run/consul.sock`";

    fn from_text(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix://") {
            check_socket(path)?;
            return Ok(Self(text.to_owned()));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            check_server(text, 8500)?;
            return Ok(Self(text.to_owned()));
        };
        check_no_credentials(rest)?;
        if !["http", "https"].contains(&scheme) {
            return Err(format!(
                "`{scheme}://` is not how an agent is reached: write `HOST:PORT`, `http://`, `https://` or `unix:///PATH`"
            ));
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        // A URL without a port has the usual one of its scheme.
        if split_port(rest).1.is_none() {
            check_host(rest)?;
        } else {
            check_server(rest, 8500)?;
        }
        Ok(Self(format!("{scheme}://{rest}")))
    }

    fn to_text(&self) -> String {
        self.0.clone()
    }
}

// === impl Endpoint ===

impl Endpoint {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Text for Endpoint {
    const EXPECTED: &'static str = "a member such as `10.0.0.1:2379` or `https://etcd-1:2379`";

    fn from_text(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text
            .split_once("://")
            .map_or((None, text), |(scheme, rest)| (Some(scheme), rest));
        check_no_credentials(rest)?;
        if let Some(scheme) = scheme.filter(|scheme| !["http", "https"].contains(scheme)) {
            return Err(format!(
                "`{scheme}://` is not how a member is reached: write `HOST:PORT`, `http://HOST:PORT` or `https://HOST:PORT`"
            ));
        }
        let server = if scheme.is_some() {
            rest.strip_suffix('/').unwrap_or(rest)
        } else {
            rest
        };
        check_server(server, 2379)?;
        Ok(Self(match scheme {
            Some(scheme) => format!("{scheme}://{server}"),
            None => server.to_owned(),
        }))
    }

    fn to_text(&self) -> String {
        self.0.clone()
    }
}

// === impl Prefix ===

impl Prefix {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Text for Prefix {
    const EXPECTED: &'static str = "a prefix of keys such as `/tenant-a/dpipes/`";

    fn from_text(text: &str) -> Result<Self, String> {
        check_prefix(text)?;
        Ok(Self(text.to_owned()))
    }

    fn to_text(&self) -> String {
        self.0.clone()
    }
}

// === impl Interface ===

impl Interface {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Text for Interface {
    const EXPECTED: &'static str = "the name of a network interface such as `eth0`";

    fn from_text(text: &str) -> Result<Self, String> {
        let legal = |c: char| c.is_ascii_graphic() && !"/:,".contains(c);
        if text.is_empty() || text.len() > MAX_INTERFACE_NAME || !text.chars().all(legal) {
            return Err(format!(
                "`{text}` is no name of a network interface; those of this machine: ip -brief link"
            ));
        }
        Ok(Self(text.to_owned()))
    }

    fn to_text(&self) -> String {
        self.0.clone()
    }
}

serde_as_text!(ConsulAddress, Endpoint, Prefix, Interface);

// === checks ===

/// Refuses `user:password@host` and `host?token=…`, without repeating them.
pub(super) fn check_no_credentials(text: &str) -> Result<(), String> {
    if text.contains(['@', '?']) {
        return Err(NO_CREDENTIALS.to_owned());
    }
    Ok(())
}

/// Checks `HOST:PORT`. `usual` is the port of the example in errors.
pub(super) fn check_server(text: &str, usual: u16) -> Result<(), String> {
    check_no_credentials(text)?;
    if let Some((server, _)) = text.split_once('/') {
        return Err(format!(
            "`{text}` goes on after the port: `{server}` is all that is needed"
        ));
    }
    let (host, port) = split_port(text);
    let Some(port) = port else {
        check_host(host)?;
        return Err(format!("`{text}` lacks the port: write `{host}:{usual}`"));
    };
    // `::1:8500` could as well be an address without a port.
    if host.contains(':') && !host.starts_with('[') {
        return Err(format!(
            "`{text}` is ambiguous: an IPv6 address stands in brackets, as in `[::1]:{usual}`"
        ));
    }
    check_host(host)?;
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(1..) if digits => Ok(()),
        _ => Err(format!(
            "`{port}` is no port: 1 to 65535 are, as in `{host}:{usual}`"
        )),
    }
}

/// Splits off what follows the last colon outside brackets.
fn split_port(text: &str) -> (&str, Option<&str>) {
    let end_of_host = text.rfind(']').unwrap_or(0);
    match text[end_of_host..].rfind(':') {
        Some(at) => {
            let at = end_of_host + at;
            (&text[..at], Some(&text[at + 1..]))
        }
        None => (text, None),
    }
}

/// Checks a host name, an IPv4 address, or an IPv6 address in brackets.
fn check_host(host: &str) -> Result<(), String> {
    if host.is_empty() {
        return Err("the host is missing: write `HOST:PORT`".to_owned());
    }
    if let Some(address) = host.strip_prefix('[') {
        let inside = address.strip_suffix(']').unwrap_or_default();
        return match inside.parse::<std::net::Ipv6Addr>() {
            Ok(_) => Ok(()),
            Err(_) => Err(format!(
                "`{host}` is no IPv6 address in brackets, as in `[::1]`"
            )),
        };
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    match host.chars().find(|c| !legal(*c)) {
        Some(':') => Err(format!(
            "`{host}` is ambiguous: an IPv6 address stands in brackets, as in `[::1]`"
        )),
        Some(odd) => Err(format!(
            "`{host}` is no host name: it holds `{}`",
            odd.escape_debug()
        )),
        None => Ok(()),
    }
}

/// Checks the path of `unix://PATH`.
pub(super) fn check_socket(path: &str) -> Result<(), String> {
    if path.starts_with('/') && path.len() > 1 && !path.contains('\0') {
        return Ok(());
    }
    Err("`unix://` needs the absolute path of the agent's socket, with three slashes in all: `unix:///run/consul.sock`".to_owned())
}

fn check_prefix(prefix: &str) -> Result<(), String> {
    let wrong = |why: &str| {
        Err(format!(
            "`{prefix}` is no prefix of keys: {why}, as in `/tenant-a/dpipes/`"
        ))
    };
    if !prefix.starts_with('/') {
        return wrong("it begins with a slash");
    }
    if prefix.trim_end_matches('/').is_empty() {
        return wrong("it has a name after the slash");
    }
    if prefix.contains("//") {
        return wrong("it has a name between any two slashes");
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if !prefix.chars().all(legal) {
        return wrong("it is made of letters, digits, `.`, `_`, `-` and slashes");
    }
    Ok(())
}
