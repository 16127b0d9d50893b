use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use dpipes_discovery::{Instance, NodeId as RegistryNode, Snapshot};
use futures_util::{StreamExt as _, stream};
use tokio::{
    net::lookup_host,
    sync::watch,
    time::{Instant, sleep, timeout},
};

use super::{access, node::Node, view::primary_service};
use crate::id::NodeId;

/// How long resolved names stay in use: DNS names of nodes change when they are replaced, not while they run.
const FRESH: Duration = Duration::from_secs(60);

/// How long a name may take to resolve before a peer is judged without it.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(1);

/// Names that are resolved at one time: enough to get through a thousand in seconds, and no burden for a name server.
const RESOLVE_AT_ONCE: usize = 16;

/// How long a node that its registries no longer list is still let in. A registry that lost its data, or a node that was announced
/// anew under another address, must not lock out a cluster at once; whoever left for good is out after a minute.
const GRACE: Duration = Duration::from_secs(60);

/// How long the first answer of the registries is waited for before a peer is judged.
const FIRST_ANSWER: Duration = Duration::from_secs(2);

/// How long the registries may take to say whether they know a node that is not in memory yet.
const FIND_TIMEOUT: Duration = Duration::from_secs(1);

/// How often the registries are asked on behalf of one unknown source.
const FIND_EVERY: Duration = Duration::from_secs(1);

/// Unknown sources remembered for [`FIND_EVERY`]. In a flood from more of them than this nobody is asked about the others.
const MAX_SOURCES: usize = 256;

/// An address as it is compared: link-local ones count on their interface alone, for every link has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Host {
    ip: IpAddr,
    /// The interface; 0 but for link-local addresses.
    interface: u32,
}

/// The addresses of the nodes that the registries list, in any state of health.
#[derive(Debug)]
pub(super) struct Members {
    known: watch::Sender<Option<Arc<Known>>>,
    /// Found by asking, ahead of the next snapshot; until when that counts.
    found: Mutex<HashMap<Host, Instant>>,
    /// When registries were last asked about an unknown source, and why it was not let in.
    asked: Mutex<HashMap<Host, (Instant, String)>>,
}

#[derive(Clone, Debug, Default)]
struct Known {
    current: BTreeSet<Host>,
    /// No longer listed; until when they are let in.
    left: BTreeMap<Host, Instant>,
}

/// What names resolved to.
type Resolved = HashMap<String, Vec<Host>>;

// === impl Host ===

impl Host {
    /// Of a peer, or of a resolved name.
    pub(super) fn of(address: SocketAddr) -> Self {
        let ip = access::canonical(address.ip());
        let interface = match (address, ip) {
            (SocketAddr::V6(v6), IpAddr::V6(ip)) if ip.is_unicast_link_local() => v6.scope_id(),
            _ => 0,
        };
        Self { ip, interface }
    }

    pub(super) const fn ip(self) -> IpAddr {
        self.ip
    }

    /// Whether it can make a member: one of a link without its link is nobody's.
    fn can_be_member(self) -> bool {
        let is_link_local = matches!(self.ip, IpAddr::V6(v6) if v6.is_unicast_link_local());
        access::can_be_member(self.ip) && (!is_link_local || self.interface != 0)
    }
}

// === impl Members ===

impl Default for Members {
    fn default() -> Self {
        Self {
            known: watch::Sender::new(None),
            found: Mutex::default(),
            asked: Mutex::default(),
        }
    }
}

impl Members {
    /// Keeps the addresses as the registries say, until it is dropped.
    pub(super) async fn follow(node: Arc<Node>) {
        let mut registered = node.follow_registered();
        let mut resolved = Resolved::new();
        loop {
            let snapshot = registered.borrow_and_update().clone();
            if snapshot.is_complete() {
                let hosts = hosts(&snapshot);
                resolved = resolve_all(&hosts, resolved).await;
                let current = hosts.iter().filter_map(|host| resolved.get(host));
                node.members().replace(current.flatten().copied());
            }
            tokio::select! {
                changed = registered.changed() => if changed.is_err() {
                    return;
                },
                () = sleep(FRESH) => {}
            }
        }
    }

    fn replace(&self, current: impl Iterator<Item = Host>) {
        let current: BTreeSet<Host> = current.filter(|host| host.can_be_member()).collect();
        let now = Instant::now();
        let before = self.known.borrow().clone().unwrap_or_default();
        let mut left = before.left.clone();
        left.extend(before.current.iter().map(|host| (*host, now + GRACE)));
        left.retain(|host, until| *until > now && !current.contains(host));
        self.known
            .send_replace(Some(Arc::new(Known { current, left })));
    }

    /// Whether a peer's address is that of a node, and how many are known. Reads memory but for the very first answer.
    pub(super) async fn check(&self, peer: Host) -> (bool, usize) {
        let mut known = self.known.subscribe();
        let _ = timeout(FIRST_ANSWER, known.wait_for(Option::is_some)).await;
        let known = known.borrow().clone().unwrap_or_default();
        let now = Instant::now();
        let was = |until: Option<&Instant>| until.is_some_and(|until| *until > now);
        let found = lock(&self.found).get(&peer).copied();
        let is_member =
            known.current.contains(&peer) || was(known.left.get(&peer)) || was(found.as_ref());
        (is_member, known.current.len())
    }

    /// Asks the registries about a peer that says it is a node they may have learned of just now. What the peer says is only where to
    /// look: it is let in if the registry lists its address for that node.
    pub(super) async fn find(&self, own: &Node, peer: Host, node: &NodeId) -> Result<(), String> {
        self.may_ask(peer)?;
        let looking = timeout(FIND_TIMEOUT, self.look_up(own, peer, node));
        let late = |_| Err("the registries did not answer in time".to_owned());
        let answer = looking.await.unwrap_or_else(late);
        if let (Err(why), Some(asked)) = (&answer, lock(&self.asked).get_mut(&peer)) {
            asked.1.clone_from(why);
        }
        answer
    }

    async fn look_up(&self, own: &Node, peer: Host, node: &NodeId) -> Result<(), String> {
        let Ok(name) = RegistryNode::new(node.as_str()) else {
            return Err(format!("no registry can list {node}"));
        };
        let service = primary_service();
        let found = own.directory().find(&service, &name, FIND_TIMEOUT).await;
        if found.is_empty() {
            return Err(format!("the registries do not list {node}"));
        }
        for host in found.iter().flat_map(addresses) {
            let addresses = resolve(&host).await.unwrap_or_default();
            if peer.can_be_member() && addresses.contains(&peer) {
                let now = Instant::now();
                let mut found = lock(&self.found);
                found.retain(|_, until| *until > now);
                found.insert(peer, now + GRACE);
                return Ok(());
            }
        }
        Err(format!("the registries list {node} at another address"))
    }

    /// Whether enough time has passed since somebody was asked about this source, which begins anew then; if not, what came of that.
    fn may_ask(&self, peer: Host) -> Result<(), String> {
        let now = Instant::now();
        let mut asked = lock(&self.asked);
        asked.retain(|_, (at, _)| now - *at < FIND_EVERY);
        if let Some((_, why)) = asked.get(&peer) {
            return Err(why.clone());
        }
        if asked.len() >= MAX_SOURCES {
            return Err("too many unknown peers come at once".to_owned());
        }
        asked.insert(
            peer,
            (now, "the registries are being asked just now".to_owned()),
        );
        Ok(())
    }
}

/// Every host at which a node is listed: names, and addresses as text.
fn hosts(snapshot: &Snapshot) -> BTreeSet<String> {
    let mut hosts = BTreeSet::new();
    for candidate in snapshot.candidates.iter() {
        hosts.extend(candidate.addrs.iter().map(|address| address.host.clone()));
        hosts.extend(addresses(&candidate.instance));
    }
    hosts
}

/// Where one entry says that its node is: `host`, and `addrs` for a node with further addresses.
fn addresses(instance: &Instance) -> Vec<String> {
    let further = instance.meta.get("addrs").map_or("", String::as_str);
    let further = further.split(',').map(str::trim).filter(|a| !a.is_empty());
    let hosts = further.map(|address| host_of(address).to_owned());
    std::iter::once(instance.host.clone())
        .chain(hosts)
        .collect()
}

/// The host of `host`, `host:port`, `v6` and `[v6]:port`.
fn host_of(address: &str) -> &str {
    if let Some(bracketed) = address.strip_prefix('[') {
        return bracketed.split(']').next().unwrap_or(bracketed);
    }
    match address.split_once(':') {
        Some((host, port)) if !port.contains(':') => host,
        _ => address,
    }
}

/// Resolves anew; of a name that cannot be resolved just now the last answer counts.
async fn resolve_all(hosts: &BTreeSet<String>, mut last: Resolved) -> Resolved {
    let answers = stream::iter(hosts.clone())
        .map(|host| async move {
            let answer = resolve(&host).await;
            (host, answer)
        })
        .buffer_unordered(RESOLVE_AT_ONCE)
        .collect::<Vec<_>>()
        .await;
    let kept = answers.into_iter().map(|(host, answer)| {
        let known = answer.unwrap_or_else(|| last.remove(&host).unwrap_or_default());
        (host, known)
    });
    kept.collect()
}

/// `None` when no name server says anything.
async fn resolve(host: &str) -> Option<Vec<Host>> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Some(vec![Host::of(SocketAddr::new(ip, 0))]);
    }
    match timeout(RESOLVE_TIMEOUT, lookup_host((host, 0))).await {
        Ok(Ok(found)) => Some(found.map(Host::of).collect()),
        Ok(Err(_)) | Err(_) => None,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddrV6;

    use super::*;

    fn host(text: &str) -> Host {
        Host::of(SocketAddr::new(text.parse().unwrap(), 3747))
    }

    fn on_link(text: &str, interface: u32) -> Host {
        let address = SocketAddrV6::new(text.parse().unwrap(), 3747, 0, interface);
        Host::of(address.into())
    }

    async fn is_member(members: &Members, peer: Host) -> bool {
        members.check(peer).await.0
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_no_longer_listed_is_let_in_for_another_minute() {
        let members = Members::default();
        members.replace([host("10.0.0.1"), host("10.0.0.2")].into_iter());
        members.replace([host("10.0.0.2")].into_iter());
        assert_eq!(members.check(host("10.0.0.1")).await, (true, 1));
        sleep(GRACE / 2).await;
        // Another change does not begin the minute anew.
        members.replace([host("10.0.0.3")].into_iter());
        sleep(GRACE / 2).await;
        assert!(!is_member(&members, host("10.0.0.1")).await);
        assert!(is_member(&members, host("10.0.0.2")).await);
        members.replace([host("10.0.0.1")].into_iter());
        sleep(GRACE * 10).await;
        assert!(is_member(&members, host("10.0.0.1")).await);
        assert!(!is_member(&members, host("10.0.0.2")).await);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_a_member_before_the_first_answer() {
        let members = Members::default();
        assert_eq!(members.check(host("10.0.0.1")).await, (false, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn link_local_addresses_count_on_their_interface_alone() {
        let members = Members::default();
        let listed = [
            on_link("fe80::1", 2),
            on_link("fe80::3", 0),
            host("127.0.0.1"),
        ];
        members.replace(listed.into_iter());
        assert!(is_member(&members, on_link("fe80::1", 2)).await);
        assert!(!is_member(&members, on_link("fe80::1", 3)).await);
        assert!(!is_member(&members, on_link("fe80::3", 0)).await);
        assert!(!is_member(&members, host("127.0.0.1")).await);
        assert_eq!(on_link("2001:db8::1", 2), host("2001:db8::1"));
    }

    #[tokio::test(start_paused = true)]
    async fn one_source_is_asked_about_once_a_second() {
        let members = Members::default();
        assert!(members.may_ask(host("10.0.0.1")).is_ok());
        assert!(members.may_ask(host("10.0.0.1")).is_err());
        assert!(members.may_ask(host("10.0.0.2")).is_ok());
        sleep(FIND_EVERY).await;
        assert!(members.may_ask(host("10.0.0.1")).is_ok());
        let many = (0..MAX_SOURCES * 2).map(|number| host(&format!("2001:db8::{number:x}")));
        let let_through = many.filter(|peer| members.may_ask(*peer).is_ok());
        assert_eq!(let_through.count(), MAX_SOURCES - 1);
        assert!(lock(&members.asked).len() <= MAX_SOURCES);
    }

    #[test]
    fn further_addresses_come_with_and_without_ports() {
        for (text, expected) in [
            ("10.0.0.1", "10.0.0.1"),
            ("10.0.0.1:3747", "10.0.0.1"),
            ("[2001:db8::1]:3747", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("node-a.example:1", "node-a.example"),
            ("fe80::1%eth0", "fe80::1%eth0"),
        ] {
            assert_eq!(host_of(text), expected);
        }
    }
}
