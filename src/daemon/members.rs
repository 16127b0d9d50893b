use std::{
    collections::BTreeSet,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use dpipes_discovery::{Address, Directory};
use tokio::{net::lookup_host, time::timeout};

use super::{access, view::primary_service};

/// How long resolved addresses stay in use: DNS names of nodes change when they are replaced, not while they run.
const FRESH: Duration = Duration::from_secs(60);

/// How long a name may take to resolve before a peer is judged without it.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(1);

/// The addresses of the nodes that the registry lists, in any state of health.
#[derive(Debug, Default)]
pub(super) struct Members {
    resolved: Mutex<Option<Resolved>>,
}

#[derive(Clone, Debug)]
struct Resolved {
    of: Vec<Address>,
    at: Instant,
    addresses: Arc<BTreeSet<IpAddr>>,
}

// === impl Members ===

impl Members {
    /// The addresses, resolved anew when the registry's answer changed or a minute passed.
    pub(super) async fn addresses(&self, directory: &Directory) -> Arc<BTreeSet<IpAddr>> {
        let snapshot = directory.snapshot(&primary_service()).await;
        let of: Vec<Address> = snapshot
            .candidates
            .iter()
            .flat_map(|candidate| candidate.addrs.iter().cloned())
            .collect();
        let known = self
            .resolved
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(known) = known.filter(|known| known.of == of && known.at.elapsed() < FRESH) {
            return known.addresses;
        }
        let mut addresses = BTreeSet::new();
        for address in &of {
            addresses.extend(
                resolve(address)
                    .await
                    .into_iter()
                    .map(access::canonical)
                    .filter(|ip| access::can_be_member(*ip)),
            );
        }
        let addresses = Arc::new(addresses);
        let resolved = Resolved {
            of,
            at: Instant::now(),
            addresses: addresses.clone(),
        };
        *self.resolved.lock().unwrap_or_else(PoisonError::into_inner) = Some(resolved);
        addresses
    }
}

async fn resolve(address: &Address) -> Vec<IpAddr> {
    if let Ok(ip) = address.host.parse() {
        return vec![ip];
    }
    match timeout(
        RESOLVE_TIMEOUT,
        lookup_host((address.host.as_str(), address.port)),
    )
    .await
    {
        Ok(Ok(found)) => found.map(|socket| socket.ip()).collect(),
        Ok(Err(_)) | Err(_) => Vec::new(),
    }
}
