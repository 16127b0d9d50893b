//! How connections to an agent are made, TLS included.

use std::{fs::File, io::Read, path::Path, time::Duration};

use reqwest::{
    Certificate, ClientBuilder, Identity, Url,
    dns::{Addrs, Name, Resolve, Resolving},
};
use tracing::warn;

use super::{address::Address, fault::root};
use crate::{FileTrouble, RegistryError, Tls};

/// Longest wait for a connection: an agent is on the same host or in the same network.
const CONNECT: Duration = Duration::from_secs(3);
/// Connections kept for later. More requests than this at once are rare, and an agent counts open connections.
const IDLE_CONNECTIONS: usize = 8;
/// Largest file of certificates or keys: the bundle of a whole system has 250 kB.
const MAX_PEM: u64 = 4 << 20;

/// Resolves every name to one host: the agent's, which goes by another name in its certificate.
#[derive(Debug)]
struct Alias {
    host: String,
}

/// A client for an address, and what its requests have to begin with.
pub(super) fn connector(
    address: &Address,
    tls: &Tls,
) -> Result<(reqwest::Client, Url), RegistryError> {
    let mut base = address.base.clone();
    let mut builder = reqwest::Client::builder()
        .user_agent(env!("CARGO_PKG_NAME"))
        .connect_timeout(CONNECT)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        // The token goes to the agent and to nobody else.
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy();
    if let Some(path) = &address.unix {
        builder = builder.unix_socket(path.clone());
    }
    builder = if address.is_tls() {
        secured(builder, &mut base, tls)?
    } else {
        // Without TLS the system's authorities need not be there.
        builder.tls_certs_only([])
    };
    let client = builder
        .build()
        .map_err(|error| rejected(format!("no TLS for {address}: {}", root(&error))))?;
    Ok((client, base))
}

fn secured(
    mut builder: ClientBuilder,
    base: &mut Url,
    tls: &Tls,
) -> Result<ClientBuilder, RegistryError> {
    if let Some(path) = &tls.ca {
        let authorities = Certificate::from_pem_bundle(&pem(path)?);
        let authorities = authorities.map_err(|error| unusable(path, &root(&error)))?;
        if authorities.is_empty() {
            return Err(unusable(path, "it holds no certificate"));
        }
        builder = builder.tls_certs_only(authorities);
    }
    match (&tls.cert, &tls.key) {
        (None, None) => {}
        (Some(cert), Some(key)) => {
            let mut both = pem(cert)?;
            both.push(b'\n');
            both.extend(pem(key)?);
            let identity = Identity::from_pem(&both);
            let identity = identity.map_err(|error| unusable(cert, &root(&error)))?;
            builder = builder.identity(identity);
        }
        _ => {
            return Err(rejected(
                "a client's certificate and its key go together, and only one of them is named",
            ));
        }
    }
    if !tls.verify {
        warn!(address = %base, "the certificate of the agent is not looked at: anyone in between can read and change everything");
        builder = builder.tls_danger_accept_invalid_certs(true);
    }
    if let Some(name) = &tls.server_name {
        let host = base.host_str().unwrap_or_default();
        let host = host.trim_matches(['[', ']']).to_owned();
        let named = base.set_host(Some(name)).is_ok();
        if !named || !matches!(base.domain(), Some(domain) if domain.eq_ignore_ascii_case(name)) {
            return Err(rejected(format!("`{name}` is no DNS name of a server")));
        }
        builder = builder.dns_resolver(Alias { host });
    }
    Ok(builder)
}

fn pem(path: &Path) -> Result<Vec<u8>, RegistryError> {
    let mut bytes = Vec::new();
    let unreadable = |error| unusable(path, &FileTrouble::of(path, &error).to_string());
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_PEM)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    Ok(bytes)
}

fn unusable(path: &Path, why: &str) -> RegistryError {
    rejected(format!("{}: {why}", path.display()))
}

fn rejected(detail: impl Into<String>) -> RegistryError {
    RegistryError::Rejected {
        detail: detail.into(),
    }
}

// === impl Alias ===

impl Resolve for Alias {
    fn resolve(&self, _name: Name) -> Resolving {
        let host = self.host.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(Box::new(found.collect::<Vec<_>>().into_iter()) as Addrs)
        })
    }
}
