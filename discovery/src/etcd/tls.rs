//! TLS, as the client wants it.

use std::path::Path;

use etcd_client::{Certificate, Identity, TlsOptions};

use crate::{FileTrouble, RegistryError, Tls, file};

/// Largest file of certificates or keys: the bundle of a whole system has 250 kB.
const MAX_PEM: u64 = 4 << 20;

/// Reads the files. Done at each connect, so that a renewed certificate is used.
pub(super) async fn options(tls: &Tls) -> Result<TlsOptions, RegistryError> {
    let mut options = TlsOptions::new();
    options = match &tls.ca {
        Some(path) => options.ca_certificate(Certificate::from_pem(read(path).await?)),
        None => options.with_native_roots(),
    };
    if let (Some(cert), Some(key)) = (&tls.cert, &tls.key) {
        options = options.identity(Identity::from_pem(read(cert).await?, read(key).await?));
    }
    if let Some(name) = &tls.server_name {
        options = options.domain_name(name);
    }
    Ok(options)
}

async fn read(path: &Path) -> Result<String, RegistryError> {
    let unusable = |trouble: FileTrouble| RegistryError::Rejected {
        detail: format!("{} cannot be used: {trouble}", path.display()),
    };
    match file::read(path, MAX_PEM).await {
        // A client without a word of PEM would believe no server, and say no more than that.
        Ok((text, _)) if text.trim().is_empty() => Err(unusable(FileTrouble::empty(path))),
        Ok((text, _)) => Ok(text),
        Err(error) => Err(unusable(FileTrouble::of(path, &error))),
    }
}
