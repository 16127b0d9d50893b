//! The `DP_*` variables: what an app in byte mode is told of its pipe.

use std::ffi::OsString;

use super::node::Node;
use crate::{
    exec::RunAs,
    transport::{PeerAddress, Session},
    wire::message::{Offer, StageOffer},
};

/// What every app finds in its environment, whatever the client asked for.
pub(super) fn own_variables(
    node: &Node,
    entry: &Session,
    offer: &Offer,
    stage: &StageOffer,
    user: &RunAs,
) -> Vec<(OsString, OsString)> {
    let service = |app: &str| format!("{}{app}", super::view::APP_PREFIX);
    let mut all: Vec<(&str, String)> = vec![
        ("DP_PIPE", offer.pipe.to_string()),
        ("DP_STAGE", stage.stage.to_string()),
        ("DP_STAGES", offer.stages_total.to_string()),
        ("DP_NODE", node.id().to_string()),
        ("DP_SERVICE", service(&stage.app)),
        ("DP_USER", user.name.clone()),
        ("DP_HOPS", offer.hops.saturating_add(1).to_string()),
        ("DP_TRANSPORT", transport(entry).to_owned()),
    ];
    if let Some((address, port)) = node
        .advertise()
        .as_deref()
        .and_then(|address| address.rsplit_once(':'))
    {
        all.push(("DP_ADDR", bare(address)));
        all.push(("DP_PORT", port.to_owned()));
    }
    if let Some(upstream) = &stage.upstream {
        all.push(("DP_REMOTE_APP", upstream.app.clone()));
        all.push(("DP_REMOTE_SERVICE", service(&upstream.app)));
        if let Some((address, port)) = upstream.address.rsplit_once(':') {
            all.push(("DP_REMOTE_ADDR", bare(address)));
            all.push(("DP_REMOTE_PORT", port.to_owned()));
        }
    }
    all.into_iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

/// How the entry reaches this node.
fn transport(entry: &Session) -> &'static str {
    match entry.peer().address {
        PeerAddress::Tcp(_) => "tcp",
        PeerAddress::Unix { .. } => "unix",
        PeerAddress::InProcess => "local",
    }
}

/// An IPv6 address without the brackets that set its port apart.
fn bare(address: &str) -> String {
    address
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned()
}
