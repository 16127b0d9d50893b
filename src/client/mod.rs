//! The client's side of a run: sends it to an entry, moves standard input, output and error, and brings back the outcome.
//!
//! The client is handed a connected entry, be it a daemon's or one inside this process, and never sees a daemon.

mod connect;
mod objects;
mod output;
mod run;
mod stdio;
mod ways;

use std::time::Duration;

use tokio::time::timeout;

pub use self::{
    connect::{connect, has_lease, is_nobody},
    objects::MetadataShown,
    run::{Data, Event, RunError, RunIo, RunReport, Signals, run},
};
pub use crate::transport::{Address, DialError, Session};
use crate::{
    transport::{MessageError, OpenError, WriteError},
    wire::message::{Purpose, Query, Reply},
};

/// How long an entry may take to answer a query. It may ask every node it knows, which takes two seconds at most.
const QUERY_TIMEOUT: Duration = Duration::from_secs(10);

/// Why an entry did not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The query could not be sent.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The query could not be sent.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The answer could not be read.
    #[error(transparent)]
    Read(#[from] MessageError),
    /// Nothing came.
    #[error("the entry did not answer within {QUERY_TIMEOUT:?}")]
    Silent,
}

/// Asks an entry.
///
/// # Errors
///
/// See [`QueryError`].
pub async fn query(entry: &Session, query: Query) -> Result<Reply, QueryError> {
    let (mut send, mut recv) = entry.open_bidi(&Purpose::Query).await?;
    send.message(&query).await?;
    let reply = timeout(QUERY_TIMEOUT, recv.message::<Reply>())
        .await
        .map_err(|_| QueryError::Silent)??;
    reply.ok_or(QueryError::Silent)
}
