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

/// Times that an entry is dialled that ends the connection before it has said who it is: one that is crowded makes room like that.
const TRIES: u32 = 4;

/// The pause before the second try, on average. Each further one is twice as long, so that a crowd of thousands is spread over a second.
const PAUSE: Duration = Duration::from_millis(150);

/// Reaches an entry. One that hangs up at once is dialled again, for nothing has been asked of it yet.
///
/// # Errors
///
/// See [`DialError`]; it names every address that was tried.
pub async fn connect(entry: &Address) -> Result<Session, DialError> {
    let mut tried = 1;
    loop {
        let dialled = transport::dial(entry, hello(), Timeouts::default()).await;
        match dialled {
            Err(error) if tried < TRIES && was_hung_up(&error) => {}
            dialled => return dialled,
        }
        let pause = PAUSE * (1 << (tried - 1));
        // From half of it to one and a half: who was turned away together does not come back together.
        let chance = PipeId::generate().seed() % 1_024;
        sleep(pause / 2 + pause * u32::try_from(chance).unwrap_or(0) / 1_024).await;
        tried += 1;
    }
}

/// Whether the peer ended the connection without a word, or the kernel had no room for one.
fn was_hung_up(error: &DialError) -> bool {
    let source = match error {
        DialError::Handshake { source, .. } => source,
        // The queue of a unix socket is full, see unix(7).
        DialError::Unix { source, .. } => return source.kind() == io::ErrorKind::WouldBlock,
        _ => return false,
    };
    match source {
        HandshakeError::Closed => true,
        HandshakeError::Io(error) => matches!(
            error.kind(),
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
        ),
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
