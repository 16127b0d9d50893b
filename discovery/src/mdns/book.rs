//! What is known of the link: one entry for each instance that was resolved, and the sets that follow from them.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    time::Duration,
};

use mdns_sd::ResolvedService;
use tokio::time::Instant;

use super::{
    address::believed,
    interfaces::Interfaces,
    txt::{ADDRS, Announcement, Apps, Malformed},
};
use crate::{Instance, NodeId, ServiceName};

/// How long addresses are collected before a new node is shown: the link-local one comes 10 to 25 ms before the others, and whoever
/// dials it dials another one a moment later.
const COLLECT: Duration = Duration::from_millis(200);
/// How long a change waits for others that came with it: TXT and addresses arrive as separate records of one packet.
const SETTLE: Duration = Duration::from_millis(20);
/// Most instances on one link: far more than multicast carries, so that a flood of names fills no memory.
const MAX_ENTRIES: usize = 4_096;
/// Most complaints that are remembered so as not to be logged again; beyond them nothing more is logged.
const MAX_COMPLAINTS: usize = 256;

/// The instances by their full names.
#[derive(Debug, Default)]
pub(super) struct Book {
    entries: BTreeMap<String, Entry>,
    complaints: HashSet<(String, Complaint)>,
    round: u64,
    publish: Option<Instant>,
}

#[derive(Debug)]
struct Entry {
    announcement: Announcement,
    port: u16,
    addresses: Vec<String>,
    /// Shown from then on.
    ready: Instant,
    /// The last round in which it was heard of.
    round: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Complaint {
    Malformed(Malformed),
    OffLink,
    TooMany,
}

/// The sets at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sets {
    pub(super) nodes: BTreeMap<NodeId, Holder>,
    pub(super) services: BTreeMap<ServiceName, Vec<Instance>>,
}

/// Who announces a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    /// The name of the instance that counts.
    pub(super) fullname: String,
    pub(super) boot: String,
    pub(super) at: String,
}

// === impl Book ===

impl Book {
    /// An instance was resolved, again perhaps.
    pub(super) fn resolved(
        &mut self,
        service: &ResolvedService,
        interfaces: &Interfaces,
        now: Instant,
    ) {
        let name = service.get_fullname();
        let read = match service.get_port() {
            0 => Err(Malformed::Port),
            port => Announcement::decode(&service.txt_properties).map(|read| (read, port)),
        };
        let (announcement, port) = match read {
            Ok(read) => read,
            Err(malformed) => {
                self.complain(name, Complaint::Malformed(malformed));
                return self.removed(name, now);
            }
        };
        let (addresses, others) = believed(&service.addresses, interfaces);
        if others > 0 {
            self.complain(name, Complaint::OffLink);
        }
        if addresses.is_empty() {
            return self.removed(name, now);
        }
        let round = self.round;
        if let Some(entry) = self.entries.get_mut(name) {
            entry.round = round;
            let same = entry.announcement == announcement
                && entry.port == port
                && entry.addresses == addresses;
            if !same {
                (entry.announcement, entry.port, entry.addresses) = (announcement, port, addresses);
                let shown = entry.ready.max(now + SETTLE);
                self.publish_by(shown);
            }
        } else if self.entries.len() >= MAX_ENTRIES {
            self.complain("", Complaint::TooMany);
        } else {
            let entry = Entry {
                announcement,
                port,
                addresses,
                ready: now + COLLECT,
                round,
            };
            self.publish_by(entry.ready);
            self.entries.insert(name.to_owned(), entry);
        }
    }

    /// An instance is gone.
    pub(super) fn removed(&mut self, name: &str, now: Instant) {
        if self.entries.remove(name).is_some() {
            self.publish_by(now + SETTLE);
        }
    }

    /// Everything that is known is about to be told again.
    pub(super) fn begin_round(&mut self) {
        self.round += 1;
    }

    /// Everything was told: what was not heard of since the round began is gone.
    pub(super) fn end_round(&mut self, now: Instant) {
        let (before, round) = (self.entries.len(), self.round);
        self.entries.retain(|_, entry| entry.round == round);
        if self.entries.len() < before {
            self.publish_by(now + SETTLE);
        }
    }

    /// When the sets are to be shown next.
    pub(super) const fn publish_at(&self) -> Option<Instant> {
        self.publish
    }

    /// The sets of what is ready to be shown.
    pub(super) fn sets(&mut self, primary: &ServiceName, now: Instant) -> Sets {
        let waiting = self.entries.values().map(|entry| entry.ready);
        self.publish = waiting.filter(|ready| *ready > now).min();
        let mut nodes: BTreeMap<&NodeId, (&String, &Entry)> = BTreeMap::new();
        for (name, entry) in self.entries.iter().filter(|(_, entry)| entry.ready <= now) {
            let node = &entry.announcement.node;
            let newer = |(_, other): &(_, &Entry)| {
                (entry.announcement.boot(), entry.announcement.generation)
                    > (other.announcement.boot(), other.announcement.generation)
            };
            if nodes.get(node).is_none_or(newer) {
                nodes.insert(node, (name, entry));
            }
        }
        let mut sets = Sets::default();
        for (node, (name, entry)) in nodes {
            let holder = Holder {
                fullname: name.clone(),
                boot: entry.announcement.boot().to_owned(),
                at: format!("{}:{}", entry.addresses[0], entry.port),
            };
            sets.nodes.insert(node.clone(), holder);
            for instance in entry.instances(primary) {
                let set = sets.services.entry(instance.service.clone());
                set.or_default().push(instance);
            }
        }
        sets
    }

    fn publish_by(&mut self, when: Instant) {
        self.publish = Some(self.publish.map_or(when, |before| before.min(when)));
    }

    fn complain(&mut self, name: &str, complaint: Complaint) {
        let key = (name.to_owned(), complaint);
        if self.complaints.len() >= MAX_COMPLAINTS || !self.complaints.insert(key) {
            return;
        }
        match complaint {
            Complaint::Malformed(malformed) => {
                tracing::warn!(
                    instance = name,
                    "an instance on the link is skipped: {malformed}"
                );
            }
            Complaint::OffLink => tracing::warn!(
                instance = name,
                "addresses of an instance are not believed: they are in no subnet of the interface they came by"
            ),
            Complaint::TooMany => tracing::warn!(
                "more than {MAX_ENTRIES} instances on the link: further ones are skipped"
            ),
        }
    }
}

impl Entry {
    /// The instances of all its services. Those beside the primary share its weight; the record has no room for more.
    fn instances(&self, primary: &ServiceName) -> Vec<Instance> {
        let said = &self.announcement;
        let boot = said.meta.get_key_value("boot");
        let boot: BTreeMap<_, _> = boot
            .map(|(k, v)| (k.clone(), v.clone()))
            .into_iter()
            .collect();
        let instance = |service: &ServiceName, tags, meta| Instance {
            service: service.clone(),
            node: said.node.clone(),
            host: self.addresses[0].clone(),
            port: self.port,
            weight: said.weight,
            health: said.health,
            tags,
            meta,
        };
        let mut meta = said.meta.clone();
        if self.addresses.len() > 1 {
            meta.insert(ADDRS.to_owned(), self.addresses[1..].join(","));
        }
        let mut all = vec![instance(primary, said.tags.clone(), meta)];
        if let Apps::Listed { services, .. } = &said.apps {
            let others = services.iter().filter(|service| *service != primary);
            all.extend(others.map(|service| instance(service, BTreeSet::new(), boot.clone())));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use mdns_sd::ServiceInfo;

    use super::*;

    fn primary() -> ServiceName {
        ServiceName::new("noded").unwrap()
    }

    fn heard(instance: &str, txt: &[(&str, &str)]) -> ResolvedService {
        let txt = [&[("v", "1")], txt].concat();
        let info = ServiceInfo::new(
            "_noded._tcp.local.",
            instance,
            "h.local.",
            (),
            4000,
            &txt[..],
        );
        let mut service = info.unwrap().as_resolved_service();
        let id = mdns_sd::InterfaceId {
            name: "eth0".to_owned(),
            index: 2,
        };
        let address = mdns_sd::ScopedIpV4::new([10, 77, 0, 2].into(), id);
        service.addresses.insert(mdns_sd::ScopedIp::V4(address));
        service
    }

    fn interfaces() -> Interfaces {
        Interfaces::of(&[("eth0", "10.77.0.1", "255.255.255.0")])
    }

    fn told(book: &mut Book, services: &[ResolvedService]) -> Sets {
        let now = Instant::now();
        for service in services {
            book.resolved(service, &interfaces(), now);
        }
        book.sets(&primary(), now + COLLECT)
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_is_shown_once_its_addresses_had_time_to_come() {
        let mut book = Book::default();
        let now = Instant::now();
        book.resolved(&heard("n1", &[("id", "n1")]), &interfaces(), now);
        assert_eq!(book.publish_at(), Some(now + COLLECT));
        assert_eq!(book.sets(&primary(), now), Sets::default());
        assert_eq!(book.publish_at(), Some(now + COLLECT));
        assert_eq!(book.sets(&primary(), now + COLLECT).nodes.len(), 1);
        assert_eq!(book.publish_at(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn of_two_instances_with_one_id_the_newer_start_counts() {
        let mut book = Book::default();
        let old = heard("n1", &[("id", "n1"), ("boot", "1"), ("gen", "9")]);
        let new = heard("n1 (2)", &[("id", "n1"), ("boot", "2")]);
        let sets = told(&mut book, &[new, old]);
        let node = NodeId::new("n1").unwrap();
        assert_eq!(sets.nodes[&node].boot, "2");
        assert_eq!(sets.services[&primary()].len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn malformed_instances_hide_no_others_and_take_back_what_they_said() {
        let mut book = Book::default();
        let mut portless = heard("n2", &[("id", "n2")]);
        portless.port = 0;
        let good = heard("n1", &[("id", "n1"), ("p", "dp."), ("a0", "sort")]);
        let sets = told(&mut book, &[portless, heard("n3", &[]), good]);
        assert_eq!(sets.nodes.len(), 1);
        assert!(
            sets.services
                .contains_key(&ServiceName::new("dp.sort").unwrap())
        );
        let sets = told(&mut book, &[heard("n1", &[("id", "")])]);
        assert_eq!(sets, Sets::default());
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_round_does_not_mention_is_gone() {
        let mut book = Book::default();
        let (one, two) = (heard("n1", &[("id", "n1")]), heard("n2", &[("id", "n2")]));
        told(&mut book, &[one.clone(), two]);
        book.begin_round();
        assert_eq!(told(&mut book, &[one]).nodes.len(), 2);
        book.end_round(Instant::now());
        let sets = book.sets(&primary(), Instant::now() + COLLECT);
        assert_eq!(sets.nodes.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_names_is_bounded() {
        let mut book = Book::default();
        let all: Vec<_> = (0..MAX_ENTRIES + 10)
            .map(|n| heard(&format!("n{n}"), &[("id", &format!("n{n}"))]))
            .collect();
        assert_eq!(told(&mut book, &all).nodes.len(), MAX_ENTRIES);
    }
}
