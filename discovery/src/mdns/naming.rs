//! What a node's records are called on the link.

use mdns_sd::SERVICE_NAME_LEN_MAX_DEFAULT;

use crate::{NodeId, RegistryError, ServiceName};

/// Longest DNS label in bytes.
const MAX_LABEL: usize = 63;

/// The service type that stands for a primary service: `_dpipesd._tcp.local.`
///
/// # Errors
///
/// `Rejected` when the name is none that DNS-SD allows as a service type.
pub(super) fn service_type(primary: &ServiceName) -> Result<String, RegistryError> {
    let name = primary.as_str();
    match type_label(name) {
        Some(label) => Ok(format!("{label}._tcp.local.")),
        None => Err(RegistryError::Rejected {
            detail: format!(
                "`{name}` is no service type: at most {SERVICE_NAME_LEN_MAX_DEFAULT} small letters, digits and single `-` between them, one letter at least"
            ),
        }),
    }
}

/// The type below which apps are announced for foreign tools: `_dp._tcp.local.` for `dp.`; `None` where the prefix allows none.
pub(super) fn app_type(prefix: &str) -> Option<String> {
    let label = type_label(prefix.trim_end_matches('.'))?;
    Some(format!("{label}._tcp.local."))
}

/// A service name as RFC 6763 wants it (section 7), with its underscore.
fn type_label(name: &str) -> Option<String> {
    // Names of other case are other services here, and the same in DNS.
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let good = (1..=usize::from(SERVICE_NAME_LEN_MAX_DEFAULT)).contains(&name.len())
        && name.bytes().all(legal)
        && name.bytes().any(|b| b.is_ascii_lowercase())
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.contains("--");
    good.then(|| format!("_{name}"))
}

/// What a node's instance is called, for people who look at the link; who a node is, its TXT record says.
///
/// Small letters, for the library looks announcements up by a lower-case name, and no dots: a name changed after a conflict would
/// be cut at the first one. A name that had others gets a hash, so that it stays another one than `a-b`.
pub(super) fn instance(node: &NodeId) -> String {
    let name = node.as_str();
    let plain = name.to_ascii_lowercase().replace('.', "-");
    if plain == name {
        return plain;
    }
    let hash = fnv1a(&[name]) >> 32;
    let kept = &plain[..plain.len().min(MAX_LABEL - 9)];
    format!("{kept}-{hash:08x}")
}

/// What an app is called for foreign tools: `dp.sort@n1`, shortened to what a label holds.
pub(super) fn app_instance(service: &str, node: &NodeId) -> String {
    let mut name = format!("{service}@{}", instance(node)).to_ascii_lowercase();
    name.truncate(MAX_LABEL);
    name
}

/// The host name that holds the addresses of one start of a node: `dpipesd-1f0c….local.`
///
/// It is never the machine's own, which another responder on it may defend, and no two instances share one: the goodbye of either
/// takes the addresses along.
pub(super) fn host(label: &str, distinct: &[&str]) -> String {
    format!("{label}-{:016x}.local.", fnv1a(distinct))
}

/// FNV-1a: the same on every build and machine, and nobody gains by a collision, which only renames a host.
fn fnv1a(parts: &[&str]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(name: &str) -> Result<String, RegistryError> {
        service_type(&ServiceName::new(name).unwrap())
    }

    #[test]
    fn a_service_type_is_what_dns_sd_allows() {
        assert_eq!(typed("dpipesd").unwrap(), "_dpipesd._tcp.local.");
        assert_eq!(
            typed("a-b-c-d-e-f-g-h").unwrap(),
            "_a-b-c-d-e-f-g-h._tcp.local."
        );
        for bad in ["sixteen-bytes-xx", "Noded", "a.b", "g++", "--a", "12", "a-"] {
            let error = typed(bad).unwrap_err().to_string();
            assert!(error.contains(bad) && error.contains("15"), "{error}");
        }
        assert_eq!(app_type("dp.").unwrap(), "_dp._tcp.local.");
        assert_eq!(app_type(""), None);
    }

    #[test]
    fn instances_have_neither_dots_nor_capitals() {
        let node = NodeId::new("N1.example[2").unwrap();
        let name = instance(&node);
        assert!(name.starts_with("n1-example[2-"), "{name}");
        let plain = NodeId::new("n1-example[2").unwrap();
        assert_eq!(instance(&plain), "n1-example[2");
        let dots = NodeId::new("x.".repeat(31)).unwrap();
        assert_eq!(instance(&dots).len(), 63);
        let long = NodeId::new("x".repeat(63)).unwrap();
        assert_eq!(app_instance("dp.sort", &long).len(), 63);
    }

    #[test]
    fn hosts_of_different_starts_differ() {
        assert_ne!(host("d", &["n1", "a"]), host("d", &["n1", "b"]));
        assert_ne!(host("d", &["n1", "a"]), host("d", &["n", "1a"]));
        assert_eq!(host("d", &["n1"]).len(), "d-.local.".len() + 16);
    }
}
