//! What peers open on a session, and who takes it.

use std::sync::Arc;

use tracing::{Instrument as _, debug, info, info_span};

use super::{node::Node, part, pipes::ArrivedLink, query};
use crate::{
    coordinator::{self, Arrival},
    transport::{Incoming, RecvStream, SendStream, Session, code},
    wire::message::{LinkEndpoint, Purpose, Role},
};

/// Serves a session until it is over.
pub(super) async fn serve(node: Arc<Node>, session: Session) {
    let peer = session.peer().clone();
    debug!(peer = ?peer.hello.node, address = ?peer.address, "session open");
    while let Some(incoming) = session.accept().await {
        match incoming {
            Incoming::Uni { purpose, stream } => take_data(&node, &session, purpose, stream),
            Incoming::Bidi {
                purpose,
                send,
                recv,
            } => take_messages(&node, &session, purpose, send, recv),
        }
    }
    let reason = session.closed().await;
    debug!(peer = ?peer.hello.node, %reason, "session over");
}

fn take_data(node: &Arc<Node>, session: &Session, purpose: Purpose, stream: RecvStream) {
    let peer = session.peer().hello.node.clone();
    match purpose {
        Purpose::Link {
            pipe,
            attempt,
            from,
            to: LinkEndpoint::Client,
            digest,
            coding,
        } => {
            node.runs().deliver(
                pipe,
                Arrival::Link {
                    attempt,
                    from,
                    digest,
                    coding,
                    peer,
                    stream,
                },
            );
        }
        Purpose::Link {
            pipe,
            attempt,
            from,
            to,
            digest,
            coding,
        } => {
            node.pipes().deliver(
                pipe,
                attempt,
                ArrivedLink {
                    from,
                    to,
                    digest,
                    coding,
                    peer,
                    stream,
                },
            );
        }
        Purpose::Stderr {
            pipe,
            attempt,
            stage,
        } => node.runs().deliver(
            pipe,
            Arrival::Stderr {
                attempt,
                stage,
                stream,
            },
        ),
        Purpose::Stdin { pipe, coding } => {
            node.runs().deliver(pipe, Arrival::Stdin { coding, stream });
        }
        Purpose::Stdout { .. }
        | Purpose::Run
        | Purpose::Query
        | Purpose::Control { .. }
        | Purpose::Unknown => {
            stream.stop(code::UNKNOWN_PURPOSE, "a daemon takes no such stream");
        }
    }
}

fn take_messages(
    node: &Arc<Node>,
    session: &Session,
    purpose: Purpose,
    send: SendStream,
    recv: RecvStream,
) {
    match purpose {
        Purpose::Run if node.is_leaving() => {
            send.reset(code::GOING_AWAY, "this node is leaving");
            recv.stop(code::GOING_AWAY, "this node is leaving");
        }
        // A session may live for hours; who may connect can change meanwhile. So everything that begins anew is looked at.
        Purpose::Run => {
            let (asked, session) = (node.clone(), session.clone());
            node.tasks().spawn(async move {
                match asked.admit(&session.peer().address).await {
                    Ok(()) => coordinator::serve(Arc::new(asked), session, send, recv).await,
                    Err(refusal) => refuse(&refusal.to_string(), send, recv),
                }
            });
        }
        Purpose::Query => {
            let (asked, session) = (node.clone(), session.clone());
            node.tasks().spawn(async move {
                let asker = &session.peer().address;
                match asked.admit(asker).await {
                    Ok(()) => query::answer(&asked, asker, send, recv).await,
                    Err(refusal) => refuse(&refusal.to_string(), send, recv),
                }
            });
        }
        // A client conducts nothing: only an entry, which is a node, may offer stages.
        Purpose::Control { pipe, attempt } if session.peer().hello.role == Role::Node => {
            let (part_node, session) = (node.clone(), session.clone());
            let span = info_span!("part", %pipe, %attempt);
            let part = async move {
                match part_node.admit(&session.peer().address).await {
                    Ok(()) => part::serve(part_node, session, (pipe, attempt), send, recv).await,
                    Err(refusal) => refuse(&refusal.to_string(), send, recv),
                }
            };
            node.tasks().spawn(part.instrument(span));
        }
        Purpose::Control { .. }
        | Purpose::Link { .. }
        | Purpose::Stderr { .. }
        | Purpose::Stdin { .. }
        | Purpose::Stdout { .. }
        | Purpose::Unknown => {
            send.reset(code::UNKNOWN_PURPOSE, "a daemon takes no such stream");
            recv.stop(code::UNKNOWN_PURPOSE, "a daemon takes no such stream");
        }
    }
}

fn refuse(why: &str, send: SendStream, recv: RecvStream) {
    info!(why, "refused on an open session");
    send.reset(code::FAILED, why);
    recv.stop(code::FAILED, why);
}
