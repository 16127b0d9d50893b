//! Registries as one word.
//!
//! ```text
//! static:FILE
//! consul:                       the agent on this machine, or what CONSUL_HTTP_ADDR says
//! consul://HOST:PORT            consul+https://HOST:PORT       consul+unix:///PATH
//! etcd:                         the member on this machine
//! etcd://HOST:PORT,...[/PREFIX] etcd+https://HOST:PORT,...[/PREFIX]
//! mdns:[INTERFACE,...]
//! ```

use std::path::PathBuf;

use super::{
    ConsulAddress, ConsulSection, EtcdSection, Kind, MdnsSection, RegistryEntry,
    server::{Endpoint, Interface, Prefix, check_no_credentials, check_server, check_socket},
};
use crate::config::value::Text;

impl Text for RegistryEntry {
    const EXPECTED: &'static str =
        "a registry such as `static: { file: nodes.yaml }`, `consul://127.0.0.1:8500` or `mdns:`";

    fn from_text(text: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = text.split_once(':') else {
            if Kind::named(text).is_ok() {
                return Err(format!("`{text}` lacks its colon: `{text}:`"));
            }
            // What has no colon has no port either; only a slip in front of credentials would bring them here.
            check_no_credentials(text)?;
            return Err(format!(
                "`{text}` is no registry: write it as `static:nodes.yaml`, `consul:`, `etcd:` or `mdns:`"
            ));
        };
        let (name, transport) = scheme
            .split_once('+')
            .map_or((scheme, None), |(name, transport)| (name, Some(transport)));
        let kind = Kind::named(name).map_err(|problem| hint(scheme, rest).unwrap_or(problem))?;
        let entry = match kind {
            Kind::Static => static_file(transport, rest),
            Kind::Consul => consul(transport, rest),
            Kind::Etcd => etcd(transport, rest),
            Kind::Mdns => mdns(transport, rest),
        };
        entry.map_err(|problem| second_registry(rest).unwrap_or(problem))
    }

    /// The short form. What only a block can say is left out.
    fn to_text(&self) -> String {
        match self {
            Self::File(path) => format!("static:{}", path.display()),
            Self::Nodes(nodes) => format!("static ({} nodes)", nodes.len()),
            Self::Consul(section) => match &section.address {
                None => "consul:".to_owned(),
                Some(address) => {
                    let text = address.as_str();
                    let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
                    match scheme {
                        "http" => format!("consul://{rest}"),
                        other => format!("consul+{other}://{rest}"),
                    }
                }
            },
            Self::Etcd(section) => etcd_text(section),
            Self::Mdns(section) => {
                let names = section.interfaces.iter().flatten().map(Interface::as_str);
                format!("mdns:{}", names.collect::<Vec<_>>().join(","))
            }
        }
    }
}

fn etcd_text(section: &EtcdSection) -> String {
    let Some(endpoints) = &section.endpoints else {
        return "etcd:".to_owned();
    };
    let split = |endpoint: &Endpoint| {
        let text = endpoint.as_str();
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        (scheme.to_owned(), rest.to_owned())
    };
    let parts: Vec<_> = endpoints.iter().map(split).collect();
    let scheme = if parts.iter().any(|(scheme, _)| scheme == "https") {
        "etcd+https"
    } else {
        "etcd"
    };
    let hosts: Vec<_> = parts.into_iter().map(|(_, rest)| rest).collect();
    format!(
        "{scheme}://{}{}",
        hosts.join(","),
        section.prefix.as_ref().map_or("", Prefix::as_str)
    )
}

fn static_file(transport: Option<&str>, rest: &str) -> Result<RegistryEntry, String> {
    no_transport(Kind::Static, transport)?;
    if rest.is_empty() {
        return Err("`static:` lacks the file with the list of nodes".to_owned());
    }
    // A file may well have a comma in its name, but hardly the beginning of another registry.
    if let Some(problem) = second_registry(rest) {
        return Err(problem);
    }
    Ok(RegistryEntry::File(PathBuf::from(rest)))
}

fn consul(transport: Option<&str>, rest: &str) -> Result<RegistryEntry, String> {
    let entry = |address| {
        RegistryEntry::Consul(Box::new(ConsulSection {
            address,
            ..ConsulSection::default()
        }))
    };
    if rest.is_empty() && transport.is_none() {
        return Ok(entry(None));
    }
    check_no_credentials(rest)?;
    let scheme = match transport {
        None => "http",
        Some(known @ ("http" | "https" | "unix")) => known,
        Some(other) => {
            return Err(format!(
                "`consul+{other}` is unknown: `consul`, `consul+https` and `consul+unix` are there"
            ));
        }
    };
    let server = after_slashes("consul", scheme, rest)?;
    if scheme != "unix" && server.contains(',') {
        return Err(
            "Consul is asked through one agent, which knows all others: name one `HOST:PORT`"
                .to_owned(),
        );
    }
    if scheme == "unix" {
        check_socket(server)?;
    } else {
        check_server(server, if scheme == "https" { 8501 } else { 8500 })?;
    }
    ConsulAddress::from_text(&format!("{scheme}://{server}")).map(|address| entry(Some(address)))
}

fn etcd(transport: Option<&str>, rest: &str) -> Result<RegistryEntry, String> {
    if rest.is_empty() && transport.is_none() {
        return Ok(RegistryEntry::Etcd(Box::default()));
    }
    check_no_credentials(rest)?;
    let scheme = match transport {
        None => "http",
        Some(known @ ("http" | "https")) => known,
        Some(other) => {
            return Err(format!(
                "`etcd+{other}` is unknown: `etcd` and `etcd+https` are there"
            ));
        }
    };
    let rest = after_slashes("etcd", scheme, rest)?;
    let (servers, prefix) = match rest.find('/') {
        Some(at) => (&rest[..at], &rest[at..]),
        None => (rest, ""),
    };
    let endpoint = |server: &str| {
        check_server(server, 2379)?;
        // Without TLS a member is written as people write it.
        Endpoint::from_text(&match scheme {
            "http" => server.to_owned(),
            scheme => format!("{scheme}://{server}"),
        })
    };
    let endpoints = servers.split(',').map(endpoint).collect::<Result<_, _>>()?;
    // A URL may end with a slash and mean nothing by it.
    let prefix = match prefix {
        "" | "/" => None,
        prefix => Some(Prefix::from_text(prefix)?),
    };
    Ok(RegistryEntry::Etcd(Box::new(EtcdSection {
        endpoints: Some(endpoints),
        prefix,
        ..EtcdSection::default()
    })))
}

fn mdns(transport: Option<&str>, rest: &str) -> Result<RegistryEntry, String> {
    no_transport(Kind::Mdns, transport)?;
    if rest.starts_with('/') {
        return Err("`mdns:` takes names of network interfaces and no address, as in `mdns:` or `mdns:eth0,eth1`".to_owned());
    }
    let interfaces = match rest {
        "" => None,
        names => Some(
            names
                .split(',')
                .map(Interface::from_text)
                .collect::<Result<_, _>>()?,
        ),
    };
    Ok(RegistryEntry::Mdns(MdnsSection {
        interfaces,
        subtypes: None,
    }))
}

fn no_transport(kind: Kind, transport: Option<&str>) -> Result<(), String> {
    let name = kind.as_str();
    transport.map_or(Ok(()), |transport| {
        Err(format!(
            "`{name}+{transport}` is unknown: `{name}` is there"
        ))
    })
}

/// What follows `//`.
fn after_slashes<'a>(name: &str, scheme: &str, rest: &'a str) -> Result<&'a str, String> {
    rest.strip_prefix("//").ok_or_else(|| {
        let plus = if scheme == "http" { String::new() } else { format!("+{scheme}") };
        if scheme == "unix" {
            return format!("`{name}{plus}:` goes on with the path of the socket: `{name}{plus}:///run/consul.sock`");
        }
        format!("`{name}{plus}:` goes on with two slashes: `{name}{plus}://HOST:PORT`")
    })
}

/// What to say to whoever wrote two registries as one.
fn second_registry(rest: &str) -> Option<String> {
    let begins = |word: &str| {
        let (name, rest) = word.trim_start().split_once(':')?;
        let name = name.split('+').next()?;
        // A member of an etcd cluster may be called `etcd`, and has a port.
        let is_port = rest.starts_with(|c: char| c.is_ascii_digit());
        (Kind::named(name).is_ok() && !is_port).then_some(())
    };
    rest.split([',', ' ']).skip(1).find_map(begins).map(|()| {
        "two registries stand in one word: say `--registry` once for each, put spaces between them in DPIPES_REGISTRY, and make each an \
         entry of the list in a file"
            .to_owned()
    })
}

/// What to say to whoever wrote a URL of the server itself, or the rest of a list.
fn hint(scheme: &str, rest: &str) -> Option<String> {
    if ["http", "https", "unix"].contains(&scheme) {
        let plus = if scheme == "http" {
            String::new()
        } else {
            format!("+{scheme}")
        };
        let etcd = if scheme == "unix" {
            String::new()
        } else {
            format!(" or `etcd{plus}://HOST:PORT`")
        };
        return Some(format!(
            "`{scheme}:` does not say which registry is there: write `consul{plus}://{}`{etcd}",
            if scheme == "unix" {
                "/PATH"
            } else {
                "HOST:PORT"
            },
        ));
    }
    let server = rest.split('/').next().unwrap_or_default();
    (!server.is_empty() && server.bytes().all(|byte| byte.is_ascii_digit())).then(|| {
        format!(
            "`{scheme}:{server}` names a server and no registry: write `consul://{scheme}:{server}`, or all members of an etcd cluster in \
             one word in quotes, as in \"etcd://a:2379,b:2379\""
        )
    })
}
