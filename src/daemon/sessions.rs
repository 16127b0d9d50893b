use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::Mutex as AsyncMutex;
use tracing::debug;

use super::{access, node::Node, view};
use crate::{
    id::NodeId,
    transport::{self, Address, DialError, PeerAddress, Session, Timeouts},
    wire::message::{Role, Tried},
};

/// Open sessions to other nodes, kept warm: a pipe that starts dials nobody who was dialled before.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    by_node: Mutex<HashMap<NodeId, Arc<AsyncMutex<Option<Session>>>>>,
}

// === impl Sessions ===

impl Sessions {
    /// The open session to a node, if there is one. Never waits.
    pub(super) fn peek(&self, node: &NodeId) -> Option<Session> {
        let slot = self
            .by_node
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(node)
            .cloned()?;
        let session = slot.try_lock().ok()?.clone()?;
        (!session.is_closed()).then_some(session)
    }

    /// Keeps a session that a node opened, so that two nodes need one between them. Only if its name and address are those that the
    /// registry lists together: what a peer says of itself is no proof of who it is.
    pub(super) async fn adopt(&self, own: &Node, session: &Session) {
        let hello = &session.peer().hello;
        let (Role::Node, Some(node), Some(address)) = (hello.role, &hello.node, &hello.advertise)
        else {
            return;
        };
        let PeerAddress::Tcp(from) = session.peer().address else {
            return;
        };
        let is_its_own = address
            .parse::<SocketAddr>()
            .is_ok_and(|at| access::canonical(at.ip()) == access::canonical(from.ip()));
        if is_its_own && node != own.id() && view::is_listed(own, node, address).await {
            let slot = self.slot(node);
            if let Ok(mut slot) = slot.try_lock()
                && slot.as_ref().is_none_or(Session::is_closed)
            {
                *slot = Some(session.clone());
            }
        }
    }

    fn slot(&self, node: &NodeId) -> Arc<AsyncMutex<Option<Session>>> {
        let mut by_node = self.by_node.lock().unwrap_or_else(PoisonError::into_inner);
        by_node.entry(node.clone()).or_default().clone()
    }

    /// An open session to a node. Whoever comes while it is being dialled waits for the same dial.
    pub(super) async fn open(
        &self,
        own: &Arc<Node>,
        node: &NodeId,
        addresses: &[String],
    ) -> Result<Session, Vec<Tried>> {
        let slot = self.slot(node);
        let mut slot = slot.lock().await;
        if let Some(session) = slot.as_ref().filter(|session| !session.is_closed()) {
            return Ok(session.clone());
        }
        *slot = None;
        let session = if node == own.id() {
            own.connect_to_self().await
        } else {
            dial(own, node, addresses).await
        }?;
        own.serve_session(session.clone());
        *slot = Some(session.clone());
        Ok(session)
    }
}

/// Dials from the address that this node advertises, for that is the one by which the other side knows a member; from any other where
/// the advertised one is not an address of this machine.
async fn dial_as_listed(own: &Node, address: &Address) -> Result<Session, DialError> {
    let advertised = own
        .advertise()
        .and_then(|text| text.parse::<SocketAddr>().ok());
    let local = advertised.map(|at| at.ip()).filter(|ip| !ip.is_loopback());
    let dial =
        |local| transport::dial_from(address, local, own.hello(Role::Node), Timeouts::default());
    match dial(local).await {
        Err(DialError::Connect { tried, .. })
            if local.is_some()
                && tried
                    .iter()
                    .all(|(_, error)| error.kind() == io::ErrorKind::AddrNotAvailable) =>
        {
            dial(None).await
        }
        other => other,
    }
}

/// Tries every address of a node, and makes sure that it is that node which answers.
async fn dial(own: &Arc<Node>, node: &NodeId, addresses: &[String]) -> Result<Session, Vec<Tried>> {
    let mut tried = Vec::new();
    for text in addresses {
        let error = match text.parse::<Address>() {
            Err(error) => error.to_string(),
            Ok(address) => match dial_as_listed(own, &address).await {
                Err(error) => error.to_string(),
                Ok(session) => match session.peer().hello.node.clone() {
                    Some(name) if name == *node => return Ok(session),
                    name => {
                        session.close("not the node that was dialled");
                        let said =
                            name.map_or_else(|| "no node".to_owned(), |name| name.to_string());
                        format!("it says it is {said}; the registry says {node}")
                    }
                },
            },
        };
        debug!(%node, address = %text, %error, "dial failed");
        tried.push(Tried {
            node: node.clone(),
            address: text.clone(),
            error,
        });
    }
    if addresses.is_empty() {
        tried.push(Tried {
            node: node.clone(),
            address: String::new(),
            error: "no address is known".to_owned(),
        });
    }
    Err(tried)
}
