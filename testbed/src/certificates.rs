//! Certificates for servers and clients, made by the `openssl` program: one authority for each test.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

/// An authority that nobody knows but who is handed its certificate. Its files go with it.
#[derive(Debug)]
pub struct Authority {
    dir: TempDir,
}

/// A certificate and its key, both PEM.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The certificate.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Authority {
    /// A new authority.
    ///
    /// # Panics
    ///
    /// Panics when there is no `openssl` program.
    #[must_use]
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        openssl(
            dir.path(),
            "authority",
            &[
                "basicConstraints=critical,CA:TRUE",
                "keyUsage=critical,keyCertSign",
            ],
            &[],
        );
        Self { dir }
    }

    /// Its own certificate.
    #[must_use]
    pub fn cert(&self) -> PathBuf {
        self.dir.path().join("authority.pem")
    }

    /// A certificate for servers and clients alike, of these addresses and DNS names. `name` is its file's and its subject's.
    #[must_use]
    pub fn issue(&self, name: &str, addresses: &[IpAddr], dns: &[&str]) -> Certificate {
        let addresses = addresses.iter().map(|address| format!("IP:{address}"));
        let dns = dns.iter().map(|name| format!("DNS:{name}"));
        let names: Vec<_> = addresses.chain(dns).collect();
        let names = format!("subjectAltName={}", names.join(","));
        openssl(
            self.dir.path(),
            name,
            &[
                &names,
                "basicConstraints=critical,CA:FALSE",
                "extendedKeyUsage=serverAuth,clientAuth",
            ],
            &["-CA", "authority.pem", "-CAkey", "authority.key"],
        );
        Certificate {
            cert: self.dir.path().join(format!("{name}.pem")),
            key: self.dir.path().join(format!("{name}.key")),
        }
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

/// Makes `<name>.pem` and `<name>.key`, valid for two days: longer than any test, too short to be used for anything else.
fn openssl(dir: &Path, name: &str, extensions: &[&str], signer: &[&str]) {
    let mut command = Command::new("openssl");
    command
        .current_dir(dir)
        .stdin(Stdio::null())
        .args(["req", "-x509", "-nodes", "-days", "2", "-newkey", "ec"])
        .args(["-pkeyopt", "ec_paramgen_curve:P-256"])
        .args(["-subj", &format!("/CN={name}")])
        .args(["-keyout", &format!("{name}.key")])
        .args(["-out", &format!("{name}.pem")])
        .args(signer);
    for extension in extensions {
        command.args(["-addext", extension]);
    }
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("certificates are made by `openssl`: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}
