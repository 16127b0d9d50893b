//! What an app is told of its pipe: as `DP_*` variables, or as metadata in each object it reads.

use std::ffi::OsString;

use serde_json::Value;

use super::node::Node;
use crate::{
    exec::RunAs,
    object::Entry,
    transport::{PeerAddress, Session},
    wire::message::{Offer, StageOffer},
};

/// What every app is told, whatever the client asked for.
pub(super) fn told(
    node: &Node,
    entry: &Session,
    offer: &Offer,
    stage: &StageOffer,
    user: &RunAs,
) -> Vec<Entry> {
    let service = |app: &str| Value::from(format!("{}{app}", super::view::APP_PREFIX));
    let mut all: Vec<Entry> = Vec::new();
    if let Some((address, port)) = node.advertise().as_deref().and_then(host_and_port) {
        all.push(("addr", address.into()));
        all.push(("port", port));
    }
    all.push(("service", service(&stage.app)));
    all.push(("node", node.id().as_str().into()));
    all.push(("pipe", offer.pipe.to_string().into()));
    all.push(("stage", stage.stage.number().into()));
    all.push(("stages", offer.stages_total.into()));
    all.push(("user", user.name.clone().into()));
    all.push(("hops", offer.hops.saturating_add(1).into()));
    all.push(("transport", transport(entry).into()));
    if let Some(upstream) = &stage.upstream {
        all.push(("remote.app", upstream.app.clone().into()));
        all.push(("remote.service", service(&upstream.app)));
        all.push(("remote.node", upstream.node.as_str().into()));
        if let Some((address, port)) = host_and_port(&upstream.address) {
            all.push(("remote.addr", address.into()));
            all.push(("remote.port", port));
        }
    }
    // Arguments and environment are known later and told in objects alone: in byte mode an app has both.
    if let Some(credential) = offer
        .credential
        .as_ref()
        .filter(|_| is_asked(offer, "credential"))
    {
        all.push(("credential", credential.clone().into()));
    }
    all
}

/// Whether the client asked, with `-o metadata=`, for something that is not told unasked, for it is long or secret.
pub(super) fn is_asked(offer: &Offer, name: &str) -> bool {
    let asked = offer.options.get("metadata");
    asked.is_some_and(|asked| asked.split(',').any(|one| one.trim() == name))
}

/// The same as variables: `remote.addr` is `DP_REMOTE_ADDR`.
pub(super) fn variables(told: &[Entry]) -> Vec<(OsString, OsString)> {
    let variable = |(name, value): &Entry| {
        let name = format!("DP_{}", name.to_ascii_uppercase().replace('.', "_"));
        let value = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        (name.into(), value.into())
    };
    told.iter().map(variable).collect()
}

/// How the entry reaches this node.
fn transport(entry: &Session) -> &'static str {
    match entry.peer().address {
        PeerAddress::Tcp(_) => "tcp",
        PeerAddress::Unix { .. } => "unix",
        PeerAddress::InProcess => "local",
    }
}

/// An IPv6 address goes without the brackets that set its port apart.
fn host_and_port(address: &str) -> Option<(String, Value)> {
    let (host, port) = address.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = port
        .parse::<u16>()
        .map_or_else(|_| Value::from(port), Value::from);
    Some((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_the_same_in_capitals() {
        let told: Vec<Entry> = vec![("remote.addr", "10.0.0.1".into()), ("stage", 2.into())];
        let variables = variables(&told);
        let expected = [("DP_REMOTE_ADDR", "10.0.0.1"), ("DP_STAGE", "2")];
        assert_eq!(variables, expected.map(|(n, v)| (n.into(), v.into())));
    }

    #[test]
    fn an_address_goes_without_brackets_and_its_port_is_a_number() {
        assert_eq!(
            host_and_port("[fd00::1]:3747"),
            Some(("fd00::1".to_owned(), 3747.into()))
        );
        assert_eq!(host_and_port("nothing"), None);
    }
}
