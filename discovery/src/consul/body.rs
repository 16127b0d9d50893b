//! What is written to an agent: the bodies of registrations.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::Serialize;

use super::{Config, Layout};
use crate::{Health, Names, NodeId, Registration, RegistryError, ServiceDef};

/// The meta key that names the node.
pub(super) const NODE: &str = "node";
/// The meta key that names the start of the node; on every service, so that the newer of two entries is known.
pub(super) const BOOT: &str = "boot";
/// The meta key that says what `Weights` cannot, for an agent takes no weight of zero.
pub(super) const WEIGHT: &str = "weight";
/// Its only value.
pub(super) const MAINTAINED_WEIGHT: &str = "0";
/// Where a service says which of its tags are the operator's and no apps, with commas between them.
pub(super) const EXTRA_TAGS: &str = "tags";
/// How long an entry without a sign of life stays, critical, before its agent removes it: longer than a restart takes. The agent looks
/// every 30 s and takes no less than a minute.
const REAP: &str = "2m";
/// How often and how patiently the agent dials the node, if it does.
const DIAL: &str = "1s";
/// What an agent takes at most of meta: pairs, bytes of a key, bytes of a value.
const MAX_META: (usize, usize, usize) = (64, 128, 512);

/// The body of one registration. An agent refuses fields it does not know: nothing here is newer than Consul 1.8.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Body {
    #[serde(rename = "ID")]
    pub(super) id: String,
    pub(super) name: String,
    pub(super) address: String,
    pub(super) port: u16,
    pub(super) tags: BTreeSet<String>,
    pub(super) meta: BTreeMap<String, String>,
    pub(super) weights: Weights,
    enable_tag_override: bool,
    checks: Vec<Check>,
}

/// How much work an instance takes, while it is well and while it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Weights {
    pub(super) passing: u16,
    warning: u16,
}

/// What says how well a service is. Its id is its service's with a suffix, for an id used twice is taken from the first service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Check {
    #[serde(rename = "CheckID")]
    id: String,
    name: String,
    #[serde(rename = "TTL", skip_serializing_if = "Option::is_none")]
    ttl: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alias_service: Option<String>,
    #[serde(rename = "TCP", skip_serializing_if = "Option::is_none")]
    tcp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interval: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<&'static str>,
    status: &'static str,
    /// On each check: an alias whose target is gone keeps its last state for ever.
    deregister_critical_service_after: &'static str,
}

/// The bodies that announce a node: first its own, then its apps'.
pub(super) fn bodies(
    config: &Config,
    names: &Names,
    what: &Registration,
    health: Health,
) -> Vec<Body> {
    let primary_id = id(what.primary.name.as_str(), &what.node);
    let mut primary = body(config, what, &what.primary);
    if !config.tags.is_empty() {
        let extra: Vec<&str> = config.tags.iter().map(String::as_str).collect();
        primary.meta.insert(EXTRA_TAGS.to_owned(), extra.join(","));
    }
    if config.app_tags || config.layout == Layout::Node {
        let apps = what.services.iter();
        let apps = apps.filter_map(|def| def.name.as_str().strip_prefix(&names.app_prefix));
        primary.tags.extend(apps.map(str::to_owned));
    }
    primary.checks.push(Check {
        id: ttl_check(&primary_id),
        name: format!("{} heartbeat", what.primary.name),
        ttl: Some(duration(what.ttl)),
        status: status(health),
        deregister_critical_service_after: REAP,
        ..Check::default()
    });
    if config.tcp_check {
        let host = match what.host.contains(':') {
            true => format!("[{}]", what.host),
            false => what.host.clone(),
        };
        primary.checks.push(Check {
            id: tcp_check(&primary_id),
            name: format!("{} port", what.primary.name),
            tcp: Some(format!("{host}:{}", what.port)),
            interval: Some(DIAL),
            timeout: Some(DIAL),
            status: status(health),
            deregister_critical_service_after: REAP,
            ..Check::default()
        });
    }
    let mut all = vec![primary];
    if config.layout == Layout::Node {
        return all;
    }
    all.extend(what.services.iter().map(|def| {
        let mut app = body(config, what, def);
        app.checks.push(Check {
            id: format!("{}:alias", app.id),
            name: format!("{} alive", what.primary.name),
            alias_service: Some(primary_id.clone()),
            status: status(health),
            deregister_critical_service_after: REAP,
            ..Check::default()
        });
        app
    }));
    all
}

fn body(config: &Config, what: &Registration, def: &ServiceDef) -> Body {
    let mut meta = def.meta.clone();
    meta.insert(NODE.to_owned(), what.node.to_string());
    if !what.boot().is_empty() {
        meta.insert(BOOT.to_owned(), what.boot().to_owned());
    }
    if def.weight == 0 {
        meta.insert(WEIGHT.to_owned(), MAINTAINED_WEIGHT.to_owned());
    }
    Body {
        id: id(def.name.as_str(), &what.node),
        name: def.name.to_string(),
        address: what.host.clone(),
        port: what.port,
        tags: def.tags.union(&config.tags).cloned().collect(),
        meta,
        weights: Weights {
            passing: def.weight.max(1),
            warning: 1,
        },
        enable_tag_override: false,
        checks: Vec::new(),
    }
}

/// Refuses what an agent would, before half of the node is registered.
pub(super) fn validate(bodies: &[Body]) -> Result<(), RegistryError> {
    let (pairs, key_len, value_len) = MAX_META;
    for body in bodies {
        let refuse = |why: String| RegistryError::Rejected {
            detail: format!("`{}` cannot be registered: {why}", body.name),
        };
        if body.port == 0 {
            return Err(refuse("its port is 0".to_owned()));
        }
        if body.meta.len() > pairs {
            return Err(refuse(format!(
                "{} pairs of meta, {pairs} are possible",
                body.meta.len()
            )));
        }
        for (key, value) in &body.meta {
            let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
            if key.is_empty() || key.len() > key_len || !key.bytes().all(legal) {
                return Err(refuse(format!(
                    "the meta key `{key}` is not 1 to {key_len} letters, digits, `-` or `_`"
                )));
            }
            if value.len() > value_len {
                return Err(refuse(format!(
                    "the meta value of `{key}` has {} bytes, {value_len} are possible",
                    value.len()
                )));
            }
        }
    }
    Ok(())
}

/// What an agent knows an instance by: `service@node`. The catalog takes ids for the same that differ in case only, and the second
/// replaces the first; so each capital has a `!` before it, which no name holds.
pub(super) fn id(service: &str, node: &NodeId) -> String {
    let mut id = String::new();
    for letter in format!("{service}@{node}").chars() {
        if letter.is_ascii_uppercase() {
            id.push('!');
        }
        id.push(letter);
    }
    id
}

/// The check that a node's heartbeat goes to.
pub(super) fn ttl_check(primary_id: &str) -> String {
    format!("{primary_id}:ttl")
}

/// The check that dials the node.
pub(super) fn tcp_check(primary_id: &str) -> String {
    format!("{primary_id}:tcp")
}

/// A node that sends a heartbeat is alive, whatever else is not known about it.
pub(super) const fn status(health: Health) -> &'static str {
    match health {
        Health::Passing | Health::Unknown => "passing",
        Health::Warning => "warning",
        Health::Critical => "critical",
    }
}

/// A duration as an agent reads it.
pub(super) fn duration(time: Duration) -> String {
    format!("{}ms", time.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_in_more_than_case() {
        let node = |name| NodeId::new(name).unwrap();
        assert_eq!(id("dp.sort", &node("n1")), "dp.sort@n1");
        assert_eq!(id("dp.Rscript", &node("N1")), "dp.!Rscript@!N1");
    }

    #[test]
    fn a_body_is_what_consul_1_8_takes() {
        let mut what = Registration {
            node: NodeId::new("n1").unwrap(),
            host: "10.0.0.1".to_owned(),
            port: 3747,
            primary: ServiceDef::new(crate::ServiceName::new("noded").unwrap()),
            services: vec![ServiceDef::new(
                crate::ServiceName::new("app.sort").unwrap(),
            )],
            ttl: Duration::from_secs(15),
        };
        what.primary.meta.insert(BOOT.to_owned(), "01J".to_owned());
        let names = Names {
            primary: what.primary.name.clone(),
            app_prefix: "app.".to_owned(),
            port: 3747,
        };
        let bodies = bodies(&Config::new(""), &names, &what, Health::Passing);
        assert_eq!(
            serde_json::to_string(&bodies).unwrap(),
            concat!(
                r#"[{"ID":"noded@n1","Name":"noded","Address":"10.0.0.1","Port":3747,"Tags":["sort"],"Meta":{"boot":"01J","node":"n1"},"#,
                r#""Weights":{"Passing":10,"Warning":1},"EnableTagOverride":false,"Checks":[{"CheckID":"noded@n1:ttl","#,
                r#""Name":"noded heartbeat","TTL":"15000ms","Status":"passing","DeregisterCriticalServiceAfter":"2m"}]},"#,
                r#"{"ID":"app.sort@n1","Name":"app.sort","Address":"10.0.0.1","Port":3747,"Tags":[],"Meta":{"boot":"01J","node":"n1"},"#,
                r#""Weights":{"Passing":10,"Warning":1},"EnableTagOverride":false,"Checks":[{"CheckID":"app.sort@n1:alias","#,
                r#""Name":"noded alive","AliasService":"noded@n1","Status":"passing","DeregisterCriticalServiceAfter":"2m"}]}]"#,
            )
        );
    }
}
