use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    time::Duration,
};

use tokio::time::sleep;

use super::{Address, DialError, Session};
use crate::{
    id::PipeId,
    negotiate::{DIGEST, ZSTD},
    transport::{self, HandshakeError, PeerAddress, Timeouts},
    wire::message::{Hello, Load, Role},
};

/// The pauses, on average, after which an entry is dialled again that ended the connection before it has said who it is: one that is crowded
/// makes room like that. They spread a crowd of thousands over a second.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(150),
    Duration::from_millis(300),
    Duration::from_millis(600),
];

/// Reaches an entry. One that hangs up at once is dialled again, for nothing has been asked of it yet.
///
/// # Errors
///
/// See [`DialError`]; it names every address that was tried.
pub async fn connect(entry: &Address) -> Result<Session, DialError> {
    let dial = || transport::dial(entry, hello(), Timeouts::default());
    for pause in PAUSES {
        match dial().await {
            Err(error) if was_hung_up(&error) => sleep(varied(pause)).await,
            dialled => return dialled,
        }
    }
    dial().await
}

/// From half of a time to one and a half: who was turned away together is not to come back together.
fn varied(time: Duration) -> Duration {
    let chance = u32::try_from(PipeId::generate().seed() % 1_024).unwrap_or(0);
    time / 2 + time * chance / 1_024
}

/// Whether the peer ended the connection without a word, or the kernel had no room for one.
fn was_hung_up(error: &DialError) -> bool {
    match error {
        DialError::Handshake { source, .. } => matches!(source, HandshakeError::Closed),
        // The queue of a unix socket is full, see unix(7).
        DialError::Unix { source, .. } => source.kind() == io::ErrorKind::WouldBlock,
        _ => false,
    }
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
