use std::{
    collections::{BTreeMap, HashMap},
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use tokio::sync::Mutex as AsyncMutex;
use tracing::debug;

use super::{access, node::Node, own_addresses, view};
use crate::{
    id::NodeId,
    transport::{self, Address, DialError, PeerAddress, Session, Timeouts},
    wire::message::{AppsOffered, Role, Tried},
};

/// What nodes said of themselves when they were last met. It outlives their sessions.
pub(super) type Greetings = HashMap<NodeId, Arc<Greeting>>;

/// What a node said of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Greeting {
    pub(super) apps: Option<AppsOffered>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) version: String,
}

/// Open sessions to other nodes, kept warm: a pipe that starts dials nobody who was dialled before.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    by_node: Mutex<HashMap<NodeId, Slot>>,
    /// Replaced as a whole when somebody says something new, so that whoever built on it sees that.
    said: Mutex<Arc<Greetings>>,
}

type Slot = Arc<AsyncMutex<Kept>>;

/// What is kept of a node.
#[derive(Debug, Default)]
struct Kept {
    session: Option<Session>,
    failed: Option<FailedDial>,
}

/// A dial that came to nothing: the answer for everybody who waited for it, and for nobody who comes later.
#[derive(Debug)]
struct FailedDial {
    at: Instant,
    addresses: Vec<String>,
    tried: Vec<Tried>,
}

// === impl Kept ===

impl Kept {
    fn open(&self) -> Option<&Session> {
        self.session.as_ref().filter(|session| !session.is_closed())
    }
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
        slot.try_lock().ok()?.open().cloned()
    }

    /// Keeps a session that a node opened, so that two nodes need one between them. Only if its name and address are those that the
    /// registry lists together: what a peer says of itself is no proof of who it is.
    pub(super) fn adopt(&self, own: &Node, session: &Session) {
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
        if is_its_own && node != own.id() && view::is_listed(own, node, address) {
            let slot = self.slot(node);
            if let Ok(mut slot) = slot.try_lock()
                && slot.open().is_none()
            {
                self.note(node, session);
                slot.session = Some(session.clone());
            }
        }
    }

    /// What nodes said of themselves. The same pointer as long as it is the same.
    pub(super) fn said(&self) -> Arc<Greetings> {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&said)
    }

    fn note(&self, node: &NodeId, session: &Session) {
        let hello = &session.peer().hello;
        let greeting = Greeting {
            apps: hello.apps.clone(),
            labels: hello.labels.clone(),
            version: hello.version.clone(),
        };
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.get(node).is_none_or(|known| **known != greeting) {
            Arc::make_mut(&mut said).insert(node.clone(), Arc::new(greeting));
        }
    }

    /// Forgets the nodes that are not known any more and have no open session.
    pub(super) fn forget(&self, known: impl Fn(&NodeId) -> bool) {
        let mut by_node = self.by_node.lock().unwrap_or_else(PoisonError::into_inner);
        by_node.retain(|node, slot| {
            // Somebody dials it just now, or a session is open.
            let is_used = slot.try_lock().map_or(true, |kept| kept.open().is_some());
            known(node) || is_used || Arc::strong_count(slot) > 1
        });
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.keys().any(|node| !by_node.contains_key(node)) {
            Arc::make_mut(&mut said).retain(|node, _| by_node.contains_key(node));
        }
    }

    fn slot(&self, node: &NodeId) -> Slot {
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
        let asked = Instant::now();
        let slot = self.slot(node);
        let mut slot = slot.lock().await;
        if let Some(session) = slot.open() {
            return Ok(session.clone());
        }
        slot.session = None;
        if let Some(failed) = &slot.failed
            && failed.at >= asked
            && failed.addresses == addresses
        {
            return Err(failed.tried.clone());
        }
        let session = if node == own.id() {
            own.connect_to_self().await
        } else {
            dial(own, node, addresses).await
        };
        let session = session.inspect_err(|tried| {
            slot.failed = Some(FailedDial {
                at: Instant::now(),
                addresses: addresses.to_vec(),
                tried: tried.clone(),
            });
        })?;
        own.serve_session(session.clone());
        if node != own.id() {
            self.note(node, &session);
        }
        slot.session = Some(session.clone());
        Ok(session)
    }
}

/// Dials from the address that this node advertises, for that is the one by which the other side knows a member. Where the machine has
/// another way there, from another of its addresses, that is tried as well: it is the only one if the advertised address is none of this
/// machine, or if its network is down.
async fn dial_as_listed(own: &Node, address: &Address) -> Result<Session, DialError> {
    let advertised = own
        .advertise()
        .and_then(|text| text.parse::<SocketAddr>().ok());
    let local = advertised.map(|at| at.ip()).filter(|ip| !ip.is_loopback());
    let dial =
        |local| transport::dial_from(address, local, own.hello(Role::Node), Timeouts::default());
    match (dial(local).await, local) {
        (Err(DialError::Connect { tried, .. }), Some(local))
            if tried.iter().any(|(to, error)| match error.kind() {
                io::ErrorKind::ConnectionRefused => false,
                io::ErrorKind::AddrNotAvailable => true,
                _ => own_addresses::towards(*to).is_some_and(|from| from != local),
            }) =>
        {
            dial(None).await
        }
        (other, _) => other,
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
