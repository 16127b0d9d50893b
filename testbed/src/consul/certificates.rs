//! An authority and what it certifies, made with `openssl`.

use std::{fs, net::Ipv4Addr, path::Path, process::Command};

/// Writes into a directory: `ca.pem`, an authority; `server.pem` and `server.key`, certified for the address and the name
/// `server.dc1.consul`; `client.pem` and `client.key`; and `other.pem`, an authority that has certified nobody.
///
/// # Panics
///
/// Panics when `openssl` is missing or fails.
pub fn generate(dir: &Path, address: Ipv4Addr) {
    let openssl = |arguments: &str| {
        let output = Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(dir)
            .output()
            .unwrap_or_else(|error| panic!("openssl, which makes certificates for tests: {error}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {arguments}: {said}");
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
    for authority in ["ca", "other"] {
        openssl(&format!(
            "req -x509 {key} -subj /CN={authority} -keyout {authority}.key -out {authority}.pem"
        ));
    }
    let names = [
        ("server", format!("IP:{address},DNS:server.dc1.consul")),
        ("client", "DNS:client.dc1.consul".to_owned()),
    ];
    for (who, names) in names {
        fs::write(
            dir.join("extensions"),
            format!("subjectAltName={names}\nbasicConstraints=CA:FALSE\n"),
        )
        .unwrap();
        openssl(&format!(
            "req {key} -subj /CN={who} -keyout {who}.key -out {who}.csr"
        ));
        openssl(&format!(
            "x509 -req -in {who}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out {who}.pem"
        ));
    }
}
