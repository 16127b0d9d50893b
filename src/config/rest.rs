//! `rest:`: the HTTP interface for those who watch and steer. Without an address there is none.

use std::{net::IpAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{error::ConfigError, paths::Surroundings, resolve, value::Address};
use crate::api::RestSettings;

/// `rest:`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Rest {
    /// Where to listen.
    pub listen: Option<Vec<Address>>,
    /// Whether the dashboard is served.
    pub ui: Option<bool>,
    /// Whether metrics are served.
    pub metrics: Option<bool>,
    /// The file with the token of those who may change something over TCP.
    pub token_file: Option<PathBuf>,
    /// Whether changes over TCP take the token.
    pub require_token: Option<bool>,
    /// Names under which it may be asked, besides those of this machine.
    pub hosts: Option<Vec<String>>,
    /// Whether it may listen to a network, where everything is read along.
    pub allow_plain: Option<bool>,
}

/// What is served, and to whom; `None` without an address.
pub(super) fn settings(
    rest: Rest,
    surroundings: &Surroundings,
) -> Result<Option<RestSettings>, ConfigError> {
    let listen = rest.listen.unwrap_or_default();
    if listen.is_empty() {
        return Ok(None);
    }
    let require_token = rest.require_token.unwrap_or(true);
    let exposed = listen.iter().find_map(|address| match address {
        Address::Tcp(address) => (!is_loopback(address)).then_some(address),
        Address::Unix(_) => None,
    });
    if let Some(address) = exposed {
        if !rest.allow_plain.unwrap_or(false) {
            return Err(ConfigError::Contradiction {
                problem: format!("`rest.listen` has {address}, and what is said there is read along by the network"),
                help: "listen on 127.0.0.1 and come through a tunnel (ssh -L) or a proxy with TLS, or insist with `rest: { allow-plain: true }`"
                    .to_owned(),
            });
        }
        if !require_token {
            return Err(ConfigError::Contradiction {
                problem: format!(
                    "`rest.listen` has {address}, and `rest.require-token: false` lets everybody there run programs"
                ),
                help: "take one of the two away".to_owned(),
            });
        }
    }
    let in_runtime_dir = || surroundings.default_socket().with_file_name("rest-token");
    Ok(Some(RestSettings {
        listen: listen.into_iter().map(resolve::asked).collect(),
        ui: rest.ui.unwrap_or(true),
        metrics: rest.metrics.unwrap_or(true),
        token_file: rest.token_file.unwrap_or_else(in_runtime_dir),
        require_token,
        hosts: rest.hosts.unwrap_or_default(),
    }))
}

/// Whether an address, as `HOST:PORT`, is only reached from this machine.
fn is_loopback(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let ip = host.parse::<IpAddr>();
    host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_machine_are_told_from_those_of_a_network() {
        for own in ["127.0.0.1:3748", "127.9.9.9:1", "localhost:0", "[::1]:3748"] {
            assert!(is_loopback(own), "{own}");
        }
        for exposed in [
            "0.0.0.0:3748",
            "[::]:3748",
            "10.0.0.1:1",
            "localhost.example:1",
            "node-a:3748",
        ] {
            assert!(!is_loopback(exposed), "{exposed}");
        }
    }
}
