use std::{collections::BTreeMap, collections::BTreeSet, io};

use super::{Address, DialError, Session};
use crate::{
    id::PipeId,
    negotiate::{DIGEST, ZSTD},
    transport::{self, PeerAddress, Timeouts},
    wire::message::{Hello, Load, Role},
};

/// Reaches an entry.
///
/// # Errors
///
/// See [`DialError`]; it names every address that was tried.
pub async fn connect(entry: &Address) -> Result<Session, DialError> {
    transport::dial(entry, hello(), Timeouts::default()).await
}

/// Whether nobody listens at a unix socket, or nobody that this user may speak to: then another entry may be tried.
#[must_use]
pub fn is_nobody(error: &DialError) -> bool {
    let nobody = [
        io::ErrorKind::ConnectionRefused,
        io::ErrorKind::NotFound,
        io::ErrorKind::PermissionDenied,
    ];
    matches!(error, DialError::Unix { source, .. } if nobody.contains(&source.kind()))
}

/// Whether silence of this process may be taken for its death: so it is across a network. On one machine the socket tells.
#[must_use]
pub fn has_lease(entry: &Session) -> bool {
    matches!(entry.peer().address, PeerAddress::Tcp(_))
}

/// What a client says of itself.
fn hello() -> Hello {
    Hello {
        role: Role::Client,
        node: None,
        boot: PipeId::generate().to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        features: BTreeSet::from([DIGEST, ZSTD].map(str::to_owned)),
        nonce: String::new(),
        advertise: None,
        apps: None,
        labels: BTreeMap::new(),
        load: Load::default(),
    }
}
