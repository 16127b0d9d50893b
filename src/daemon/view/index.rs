//! From a registry's snapshot and the nodes' greetings to the index that pipes share.

use std::collections::{BTreeMap, BTreeSet};

use dpipes_discovery::{Candidate, Instance, Snapshot};

use super::{own_id, tier};
use crate::{
    daemon::{
        node::{Kind, Node},
        sessions::{Greeting, Greetings},
    },
    plan::{Index, NodeCandidate, Offered, Tier},
    wire::message::AppsOffered,
};

/// Indexes what is known of every node.
pub(super) fn build(node: &Node, registered: &Snapshot, said: &Greetings) -> Index {
    let candidates = registered.candidates.iter();
    let mut nodes: Vec<NodeCandidate> = candidates
        .filter_map(|candidate| registered_node(node, candidate, said))
        .collect();
    let here = nodes.iter().any(|candidate| candidate.here);
    if !here && runs_stages(node, registered) {
        nodes.push(this_node(node));
    }
    Index::new(nodes)
}

/// An embedded entry with a registry only conducts; without one it runs the stages itself.
fn runs_stages(node: &Node, registered: &Snapshot) -> bool {
    match node.kind() {
        Kind::Daemon => true,
        Kind::Embedded { .. } => registered.sources.is_empty(),
    }
}

fn this_node(node: &Node) -> NodeCandidate {
    let settings = node.settings();
    NodeCandidate {
        node: node.id().clone(),
        addresses: node.advertise().into_iter().collect(),
        apps: offered(node.offered()),
        labels: settings.labels,
        health: if node.is_leaving() {
            Tier::Warning
        } else {
            Tier::Passing
        },
        ejected: false,
        weight: settings.weight,
        // Never old: the view of each pipe adds it.
        load: None,
        source: "here".to_owned(),
        here: true,
    }
}

fn registered_node(node: &Node, candidate: &Candidate, said: &Greetings) -> Option<NodeCandidate> {
    let instance = &candidate.instance;
    let id = own_id(&instance.node)?;
    let source = candidate
        .from
        .first()
        .map(ToString::to_string)
        .unwrap_or_default();
    if id == *node.id() {
        let this = this_node(node);
        return Some(NodeCandidate {
            // Taken out by its own settings, which the registry may not have heard of yet, or by an operator.
            weight: if this.weight == 0 { 0 } else { instance.weight },
            source,
            ..this
        });
    }
    let said = said.get(&id).map(AsRef::as_ref);
    Some(NodeCandidate {
        addresses: candidate.addrs.iter().map(ToString::to_string).collect(),
        apps: apps(&instance.meta, &instance.tags, said),
        labels: labels(&instance.meta, said),
        health: tier(candidate),
        ejected: candidate.ejected,
        weight: instance.weight,
        load: None,
        source,
        here: false,
        node: id,
    })
}

/// What a node runs. A registry that lists apps is newer than the greeting; one that lists only some of them, or none, leaves it to the
/// node to say.
fn apps(
    meta: &BTreeMap<String, String>,
    tags: &BTreeSet<String>,
    said: Option<&Greeting>,
) -> Offered {
    let said = said.and_then(|said| said.apps.clone());
    match (meta.get("apps").map(String::as_str), said) {
        (Some("listed"), Some(AppsOffered::Listed(mut said))) if meta.contains_key("more") => {
            said.extend(tags.iter().cloned());
            Offered::Listed(said)
        }
        (Some("listed"), _) => Offered::Listed(tags.clone()),
        (_, Some(said)) => offered(said),
        (Some("any"), None) => Offered::Any,
        (_, None) => Offered::Unknown,
    }
}

/// Whether a node's own entry is silent about its apps, though it says that others list them: some registries name the apps in entries
/// of their own alone. That is enough to find an app, and too little to show what a node runs.
pub(super) fn lists_nothing(instance: &Instance) -> bool {
    instance.tags.is_empty()
        && instance
            .meta
            .get("apps")
            .is_some_and(|apps| apps == "listed")
}

/// Whether only the node itself can say what it runs.
pub(super) fn must_be_asked(meta: &BTreeMap<String, String>) -> bool {
    match meta.get("apps").map(String::as_str) {
        Some("listed") => meta.contains_key("more"),
        Some("any") => false,
        _ => true,
    }
}

fn labels(meta: &BTreeMap<String, String>, said: Option<&Greeting>) -> BTreeMap<String, String> {
    let mut labels = said.map(|said| said.labels.clone()).unwrap_or_default();
    labels.extend(
        meta.iter().filter_map(|(key, value)| {
            Some((key.strip_prefix("label_")?.to_owned(), value.clone()))
        }),
    );
    labels
}

fn offered(apps: AppsOffered) -> Offered {
    match apps {
        AppsOffered::Any => Offered::Any,
        AppsOffered::Listed(apps) => Offered::Listed(apps),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let pairs = pairs.iter();
        pairs
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn greeting(apps: AppsOffered) -> Greeting {
        Greeting {
            apps: Some(apps),
            labels: meta(&[("zone", "said"), ("gpu", "yes")]),
            version: "1.0.0".to_owned(),
        }
    }

    #[test]
    fn a_registry_that_lists_apps_knows_better_than_an_old_greeting() {
        let said = greeting(AppsOffered::Listed(names(&["sort", "gone"])));
        let tags = names(&["sort", "cat"]);
        let listed = meta(&[("apps", "listed")]);
        assert_eq!(
            apps(&listed, &tags, Some(&said)),
            Offered::Listed(tags.clone())
        );
        assert_eq!(apps(&listed, &tags, None), Offered::Listed(tags.clone()));
        // A list that did not fit into the announcement is as long as the node says.
        let more = meta(&[("apps", "listed"), ("more", "1")]);
        let all = Offered::Listed(names(&["sort", "cat", "gone"]));
        assert_eq!(apps(&more, &tags, Some(&said)), all);
        assert!(must_be_asked(&more) && !must_be_asked(&listed));
    }

    #[test]
    fn a_registry_that_lists_none_leaves_it_to_the_node() {
        let none = BTreeSet::new();
        let said = greeting(AppsOffered::Listed(names(&["sort"])));
        for (meta, asked, unsaid) in [
            (meta(&[("apps", "ask")]), true, Offered::Unknown),
            (meta(&[]), true, Offered::Unknown),
            (meta(&[("apps", "any")]), false, Offered::Any),
        ] {
            assert_eq!(must_be_asked(&meta), asked);
            assert_eq!(apps(&meta, &none, None), unsaid);
            assert_eq!(
                apps(&meta, &none, Some(&said)),
                Offered::Listed(names(&["sort"]))
            );
        }
    }

    #[test]
    fn labels_of_the_registry_win_over_those_of_the_greeting() {
        let said = greeting(AppsOffered::Any);
        let meta_of = meta(&[("label_zone", "listed"), ("boot", "x")]);
        let expected = meta(&[("zone", "listed"), ("gpu", "yes")]);
        assert_eq!(labels(&meta_of, Some(&said)), expected);
    }
}
