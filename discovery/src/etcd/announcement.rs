//! What a node wants to be known of it, what the cluster knows, and the transactions between the two.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use etcd_client::{
    Client, Compare, CompareOp, GetOptions, LeaseGrantOptions, LeaseTimeToLiveOptions, PutOptions,
    Txn, TxnOp,
};
use tracing::{debug, warn};

use super::{cluster::Cluster, failure::Failure, own_address, value};
use crate::{Health, NodeId, Registration, RegistryError};

/// Most writes in a transaction: servers take 128 operations by default.
const MAX_WRITES: usize = 100;
/// Most bytes of values in a transaction: servers take 1.5 MiB a request by default.
const MAX_BYTES: usize = 1 << 20;
/// How often the keys of a node are claimed before giving up: each failure means that somebody else wrote in between.
const MAX_CLAIMS: u32 = 5;

/// A node's keys, all on one lease.
///
/// The lease has a number chosen here, the same one however often it has to be made anew: granting it twice is harmless, and a key that
/// hangs on it is known to be this registration's own.
#[derive(Debug)]
pub(super) struct Announcement {
    pub(super) cluster: Arc<Cluster>,
    pub(super) wanted: Registration,
    pub(super) health: Health,
    pub(super) lease: i64,
    /// Whether `wanted` names no host, so that the one in it was found here.
    finds_host: bool,
    written: BTreeMap<String, Written>,
    claim: Claim,
    /// The lease of this node's earlier start, to be ended once its keys are taken over.
    predecessor: Option<i64>,
}

/// What a key on the lease holds.
#[derive(Debug, PartialEq, Eq)]
enum Written {
    Value(String),
    /// Written with unknown outcome.
    Uncertain,
}

/// Whose the node's primary key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claim {
    /// Never held.
    New,
    /// Ours.
    Held,
    /// Was ours; the lease may have ended.
    Lost,
}

/// What must hold for a transaction to write.
#[derive(Clone, Copy, Debug)]
enum Guard {
    /// The primary key hangs on our lease.
    Own,
    /// It was last written at this revision; 0: it does not exist.
    Seen(i64),
}

#[derive(Debug)]
enum Change {
    Put(String, String),
    Delete(String),
}

// === impl Announcement ===

impl Announcement {
    /// Of a node that is well. Nothing is written yet.
    pub(super) fn new(cluster: Arc<Cluster>, wanted: Registration) -> Self {
        Self {
            cluster,
            finds_host: wanted.host.is_empty(),
            wanted,
            health: Health::Passing,
            lease: random_lease(),
            written: BTreeMap::new(),
            claim: Claim::New,
            predecessor: None,
        }
    }

    /// Finds the host to announce, if none is named. Each time that the lease is made: a machine may have got another address.
    pub(super) async fn find_host(&mut self) -> Result<(), RegistryError> {
        if self.finds_host {
            let own = own_address::find(&self.cluster.connection.endpoints).await?;
            self.wanted.host = own.to_string();
        }
        Ok(())
    }

    /// Grants the lease. Returns how long it really lasts: servers have a minimum.
    pub(super) async fn grant(&mut self) -> Result<Duration, Failure> {
        let asked = seconds(self.wanted.ttl);
        let options = LeaseGrantOptions::new().with_id(self.lease);
        let grant = |mut client: Client| {
            let options = options.clone();
            async move { client.lease_grant(asked, Some(options)).await }
        };
        match self.cluster.connection.call(grant).await {
            Ok(granted) => Ok(duration(granted.ttl())),
            Err(Failure::LeaseExists) => Ok(duration(asked)),
            Err(failure) => Err(failure),
        }
    }

    /// Takes note that the lease has ended, and all keys with it.
    pub(super) fn lost(&mut self) {
        self.written.clear();
        if self.claim == Claim::Held {
            self.claim = Claim::Lost;
        }
    }

    /// Writes whatever differs. Writes nothing when nothing does.
    pub(super) async fn publish(&mut self) -> Result<(), Failure> {
        for _ in 0..MAX_CLAIMS {
            let guard = match self.claim {
                Claim::Held => Guard::Own,
                Claim::New | Claim::Lost => self.claimable().await?,
            };
            if self.write(guard).await? {
                self.end_predecessor().await;
                return Ok(());
            }
            self.claim = match self.claim {
                Claim::New => Claim::New,
                Claim::Held | Claim::Lost => Claim::Lost,
            };
        }
        let detail = "somebody else keeps writing this node's keys";
        Err(RegistryError::unavailable(detail).into())
    }

    /// Looks who holds the primary key, and whether it may be taken.
    async fn claimable(&mut self) -> Result<Guard, Failure> {
        let key = self.primary_key();
        let answer = self.cluster.get(&key, GetOptions::new()).await?;
        // Whatever it holds is not what this one wrote last.
        self.written.insert(key, Written::Uncertain);
        let Some(kv) = answer.kvs().first() else {
            return Ok(Guard::Seen(0));
        };
        let own = kv.lease() == self.lease;
        if let Some(holder) = value::holder(&self.wanted.node, kv.value())
            && !own
        {
            let boot = self.wanted.boot();
            // Who starts replaces an entry of its own start: it cannot be told from a leftover. Who held the key already has been
            // replaced by it.
            let stronger = match self.claim {
                Claim::New => holder.boot.as_str() > boot,
                Claim::Held | Claim::Lost => holder.boot.as_str() >= boot,
            };
            if stronger {
                return Err(self.conflict(holder.address).into());
            }
            self.predecessor = (kv.lease() != 0).then_some(kv.lease());
        }
        Ok(Guard::Seen(kv.mod_revision()))
    }

    /// Writes what differs in transactions, the first one under this guard. `false`: the primary key is not what the guard says.
    async fn write(&mut self, mut guard: Guard) -> Result<bool, Failure> {
        for changes in in_transactions(self.changes()) {
            if !self.transact(changes, guard).await? {
                return Ok(false);
            }
            self.claim = Claim::Held;
            guard = Guard::Own;
        }
        Ok(true)
    }

    async fn transact(&mut self, changes: Vec<Change>, guard: Guard) -> Result<bool, Failure> {
        let primary = self.primary_key();
        let compare = match guard {
            Guard::Own => Compare::lease(primary, CompareOp::Equal, self.lease),
            Guard::Seen(revision) => Compare::mod_revision(primary, CompareOp::Equal, revision),
        };
        let options = PutOptions::new().with_lease(self.lease);
        let mut writes = Vec::new();
        for change in &changes {
            let (key, write) = match change {
                Change::Put(key, value) => {
                    let put = TxnOp::put(key.clone(), value.clone(), Some(options.clone()));
                    (key, put)
                }
                Change::Delete(key) => (key, TxnOp::delete(key.clone(), None)),
            };
            writes.push(write);
            self.written.insert(key.clone(), Written::Uncertain);
        }
        let txn = Txn::new().when([compare]).and_then(writes);
        let commit = |mut client: Client| {
            let txn = txn.clone();
            async move { client.txn(txn).await }
        };
        if !self.cluster.connection.call(commit).await?.succeeded() {
            return Ok(false);
        }
        for change in changes {
            match change {
                Change::Put(key, value) => self.written.insert(key, Written::Value(value)),
                Change::Delete(key) => self.written.remove(&key),
            };
        }
        Ok(true)
    }

    /// What differs, the primary key first.
    fn changes(&self) -> Vec<Change> {
        let primary = self.primary_key();
        let mut wanted = BTreeMap::new();
        let instances: Vec<_> = self.wanted.instances(self.health).collect();
        // The primary comes first; should another service have its name, it wins.
        for instance in instances.into_iter().rev() {
            let key = self
                .cluster
                .keys
                .instance(&instance.service, &instance.node);
            wanted.insert(key, value::encode(instance, self.wanted.boot()));
        }
        let gone = self.written.keys().filter(|key| !wanted.contains_key(*key));
        let gone: Vec<_> = gone.cloned().map(Change::Delete).collect();
        let written = |key: &str, value: &str| match self.written.get(key) {
            Some(Written::Value(written)) => written == value,
            Some(Written::Uncertain) | None => false,
        };
        let first = wanted.remove_entry(&primary).into_iter();
        let puts = first.chain(wanted).filter(|(k, v)| !written(k, v));
        puts.map(|(k, v)| Change::Put(k, v)).chain(gone).collect()
    }

    /// Compares the keys on the lease with what was written: somebody may have deleted some. Returns whether all are there; if not, the
    /// next `publish` puts them back.
    pub(super) async fn audit(&mut self) -> Result<bool, Failure> {
        let lease = self.lease;
        let look = |mut client: Client| async move {
            let options = LeaseTimeToLiveOptions::new().with_keys();
            client.lease_time_to_live(lease, Some(options)).await
        };
        let answer = self.cluster.connection.call(look).await?;
        if answer.ttl() <= 0 {
            return Err(Failure::LeaseGone);
        }
        let held: BTreeSet<&[u8]> = answer.keys().iter().map(Vec::as_slice).collect();
        let before = self.written.len();
        self.written.retain(|key, _| held.contains(key.as_bytes()));
        if !held.contains(self.primary_key().as_bytes()) {
            self.claim = Claim::Lost;
        }
        Ok(self.written.len() == before)
    }

    /// Removes everything.
    pub(super) async fn revoke(cluster: &Cluster, lease: i64) -> Result<(), Failure> {
        let revoke = |mut client: Client| async move { client.lease_revoke(lease).await };
        match cluster.connection.call(revoke).await {
            Ok(_) | Err(Failure::LeaseGone) => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    /// Ends the lease of this node's earlier start: what it offered and this one does not goes with it, and if it still runs, it learns
    /// at its next renewal that it was replaced. Without this both happen later by themselves.
    async fn end_predecessor(&mut self) {
        let Some(lease) = self.predecessor.take() else {
            return;
        };
        debug!(node = %self.wanted.node, "took over the keys of an earlier start");
        if let Err(failure) = Self::revoke(&self.cluster, lease).await {
            let error = failure.error();
            warn!(node = %self.wanted.node, %error, "the lease of an earlier start could not be ended");
        }
    }

    fn primary_key(&self) -> String {
        let (service, node): (_, &NodeId) = (&self.wanted.primary.name, &self.wanted.node);
        self.cluster.keys.instance(service, node)
    }

    fn conflict(&self, holder: String) -> RegistryError {
        RegistryError::Conflict {
            node: self.wanted.node.clone(),
            holder,
        }
    }
}

/// A number for a lease that nobody else has: positive, 62 random bits.
fn random_lease() -> i64 {
    let random = RandomState::new().hash_one(0) >> 2;
    i64::try_from(random).map_or(1, |id| id.max(1))
}

/// Splits changes into what one transaction takes.
fn in_transactions(changes: Vec<Change>) -> Vec<Vec<Change>> {
    let mut transactions: Vec<Vec<Change>> = Vec::new();
    let mut bytes = 0;
    for change in changes {
        let size = match &change {
            Change::Put(key, value) => key.len() + value.len(),
            Change::Delete(key) => key.len(),
        };
        bytes += size;
        match transactions.last_mut() {
            Some(last) if last.len() < MAX_WRITES && bytes <= MAX_BYTES => last.push(change),
            _ => {
                bytes = size;
                transactions.push(vec![change]);
            }
        }
    }
    transactions
}

/// Whole seconds, as leases count; rounded up, at least one.
fn seconds(ttl: Duration) -> i64 {
    let up = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
    i64::try_from(up.max(1)).unwrap_or(i64::MAX)
}

fn duration(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(1).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn puts(sizes: &[usize]) -> Vec<Change> {
        let put = |size: &usize| Change::Put(String::new(), "x".repeat(*size));
        sizes.iter().map(put).collect()
    }

    #[test]
    fn a_transaction_is_bounded_in_writes_and_in_bytes() {
        let split = |sizes: &[usize]| -> Vec<usize> {
            let transactions = in_transactions(puts(sizes));
            transactions.iter().map(Vec::len).collect()
        };
        assert!(split(&[]).is_empty());
        assert_eq!(split(&[1; 250]), [100, 100, 50]);
        assert_eq!(split(&[MAX_BYTES / 2, MAX_BYTES / 2, 1]), [2, 1]);
        // What is too large by itself goes alone, to be refused by the server in its own words.
        assert_eq!(split(&[1, 2 * MAX_BYTES, 1, 1]), [1, 1, 2]);
    }

    #[test]
    fn leases_count_whole_seconds_rounded_up() {
        assert_eq!(seconds(Duration::ZERO), 1);
        assert_eq!(seconds(Duration::from_millis(2500)), 3);
        assert_eq!(seconds(Duration::from_secs(15)), 15);
    }
}
