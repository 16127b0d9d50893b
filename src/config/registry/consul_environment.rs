//! Consul's own environment: what it adds to an entry that leaves something open. It never makes an entry, for a machine with
//! `CONSUL_HTTP_ADDR` in its profile has not asked dpipes to announce itself there.

use dpipes_discovery::Secret;

use super::{
    BasicAuth, ConsulAddress, ConsulSection, Hidden, RegistryEntry, TlsSection,
    build::check_tls_has_a_use,
};
use crate::config::{error::ConfigError, layers::Origin, paths::Surroundings, value::Text};

/// Where an agent listens when nobody says so.
const USUAL_ADDRESS: &str = "127.0.0.1:8500";

/// The words that Consul's own programs take for true and false.
const TRUE: [&str; 6] = ["1", "t", "T", "true", "TRUE", "True"];
const FALSE: [&str; 6] = ["0", "f", "F", "false", "FALSE", "False"];

/// Completes the entries of Consul. Returns the keys that were filled, as `registry.0.consul.token`, each with the variable it came from.
///
/// # Errors
///
/// Returns the first variable that says something that cannot be, or that this program does not follow.
pub(crate) fn fill(
    entries: &mut [RegistryEntry],
    surroundings: &Surroundings,
) -> Result<Vec<(String, Origin)>, ConfigError> {
    let mut filled = Vec::new();
    for (index, entry) in entries.iter_mut().enumerate() {
        if let RegistryEntry::Consul(section) = entry {
            let mut filling = Filling {
                surroundings,
                prefix: format!("registry.{index}.consul"),
                filled: &mut filled,
            };
            // Only of what the configuration says: the environment may hold an authority and mean another program.
            if let (Some(_), Some(address)) = (&section.tls, &section.address) {
                check_tls_has_a_use([address.as_str()], &format!("registry[{index}].consul"))?;
            }
            filling.address(section)?;
            filling.credentials(section);
            filling.tls(section)?;
            filling.refuse(section)?;
        }
    }
    Ok(filled)
}

struct Filling<'a> {
    surroundings: &'a Surroundings,
    prefix: String,
    filled: &'a mut Vec<(String, Origin)>,
}

// === impl Filling ===

impl<'a> Filling<'a> {
    fn note(&mut self, key: &str, variable: &str) {
        self.filled.push((
            format!("{}.{key}", self.prefix),
            Origin::Environment(variable.to_owned()),
        ));
    }

    fn variable(&self, name: &str) -> Option<&'a str> {
        self.surroundings.variable(name)
    }

    /// A variable that is true or false.
    fn flag(&self, name: &str) -> Result<Option<bool>, ConfigError> {
        match self.variable(name) {
            None => Ok(None),
            Some(text) if TRUE.contains(&text) => Ok(Some(true)),
            Some(text) if FALSE.contains(&text) => Ok(Some(false)),
            Some(text) => Err(wrong(
                name,
                format!("`{text}` is neither `true` nor `false`"),
            )),
        }
    }

    /// The address, and whether it is spoken to by TLS: what stands in front of it says so, else a `tls` in the configuration, else
    /// `CONSUL_HTTP_SSL`, which also wins over the `http://` of `CONSUL_HTTP_ADDR`, as it does for Consul's own programs.
    fn address(&mut self, section: &mut ConsulSection) -> Result<(), ConfigError> {
        const ADDR: &str = "CONSUL_HTTP_ADDR";
        const SSL: &str = "CONSUL_HTTP_SSL";
        let mut plain_is_said = false;
        if let Some(address) = &section.address {
            plain_is_said = address.has_scheme();
        } else if let Some(text) = self.variable(ADDR) {
            let address = ConsulAddress::from_text(text).map_err(|problem| wrong(ADDR, problem))?;
            section.address = Some(address);
            self.note("address", ADDR);
        }
        let text = section
            .address
            .as_ref()
            .map_or(USUAL_ADDRESS, ConsulAddress::as_str);
        let (scheme, server) = text
            .split_once("://")
            .map_or((None, text), |(scheme, server)| (Some(scheme), server));
        let says_tls = section.tls.is_some() && scheme.is_none();
        let wants_tls = self.flag(SSL)? == Some(true)
            && !plain_is_said
            && scheme.is_none_or(|scheme| scheme == "http");
        if says_tls || wants_tls {
            let address = ConsulAddress::from_text(&format!("https://{server}"));
            section.address = Some(address.map_err(|problem| wrong(ADDR, problem))?);
            if !says_tls {
                self.note("address", SSL);
            }
        }
        Ok(())
    }

    fn credentials(&mut self, section: &mut ConsulSection) {
        if section.token.is_none() && section.token_file.is_none() {
            if let Some(path) = self.variable("CONSUL_HTTP_TOKEN_FILE") {
                section.token_file = Some(self.surroundings.cwd.join(path));
                self.note("token-file", "CONSUL_HTTP_TOKEN_FILE");
            } else if let Some(token) = self.variable("CONSUL_HTTP_TOKEN") {
                section.token = Some(Hidden(Secret::new(token)));
                self.note("token", "CONSUL_HTTP_TOKEN");
            }
        }
        if section.auth.is_none()
            && let Some(text) = self.variable("CONSUL_HTTP_AUTH")
        {
            let (user, password) = text
                .split_once(':')
                .map_or((text, None), |(user, password)| (user, Some(password)));
            section.auth = Some(BasicAuth {
                user: user.to_owned(),
                password_file: None,
                password: password.map(|password| Hidden(Secret::new(password))),
            });
            self.note("auth.user", "CONSUL_HTTP_AUTH");
            self.note("auth.password", "CONSUL_HTTP_AUTH");
        }
    }

    fn tls(&mut self, section: &mut ConsulSection) -> Result<(), ConfigError> {
        let mut tls = section.tls.take().unwrap_or_default();
        let files = [
            ("tls.ca", "CONSUL_CACERT", &mut tls.ca),
            ("tls.cert", "CONSUL_CLIENT_CERT", &mut tls.cert),
            ("tls.key", "CONSUL_CLIENT_KEY", &mut tls.key),
        ];
        for (key, name, slot) in files {
            if let (None, Some(path)) = (&slot, self.variable(name)) {
                *slot = Some(self.surroundings.cwd.join(path));
                self.note(key, name);
            }
        }
        if let (None, Some(name)) = (&tls.server_name, self.variable("CONSUL_TLS_SERVER_NAME")) {
            tls.server_name = Some(name.to_owned());
            self.note("tls.server-name", "CONSUL_TLS_SERVER_NAME");
        }
        if let (None, Some(verify)) = (tls.verify, self.flag("CONSUL_HTTP_SSL_VERIFY")?) {
            tls.verify = Some(verify);
            self.note("tls.verify", "CONSUL_HTTP_SSL_VERIFY");
        }
        section.tls = (tls != TlsSection::default()).then_some(tls);
        Ok(())
    }

    /// What Consul's own programs would follow and this one does not, unless the configuration settles the matter itself.
    fn refuse(&self, section: &ConsulSection) -> Result<(), ConfigError> {
        let has_ca = section.tls.as_ref().is_some_and(|tls| tls.ca.is_some());
        if self.variable("CONSUL_CAPATH").is_some() && !has_ca {
            return Err(wrong(
                "CONSUL_CAPATH",
                "a directory of authorities is not read: name one file of them with CONSUL_CACERT or `tls: { ca: FILE }`"
                    .to_owned(),
            ));
        }
        if self.variable("CONSUL_NAMESPACE").is_some() && section.namespace.is_none() {
            return Err(wrong(
                "CONSUL_NAMESPACE",
                "nodes in another namespace would not see this one, so it is not taken from the environment: say it in the file, as in \
                 `- consul: { namespace: NAME }`"
                    .to_owned(),
            ));
        }
        Ok(())
    }
}

fn wrong(variable: &str, problem: String) -> ConfigError {
    ConfigError::Value {
        origin: format!("${variable}"),
        problem,
    }
}
