//! What an agent says about an instance of a service.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use serde::Deserialize;
use serde_json::Value;
use tracing::warn;

use super::body::{EXTRA_TAGS, MAINTAINED_WEIGHT, NODE, WEIGHT};
use crate::{Health, Instance, NodeId, ServiceName};

/// Malformed entries that are remembered as told. Beyond this, further ones are skipped in silence.
const MAX_TOLD: usize = 1000;
/// What the name of a check begins with that an operator makes to take a node or a service out.
const MAINTENANCE: [&str; 2] = ["_node_maintenance", "_service_maintenance:"];
/// What an alias check says while its target is taken out.
const ALIASED_MAINTENANCE: &str = "Aliased check \"Service Maintenance Mode\"";
/// What it says while the target's node is. That is no news, for the node's own check is in the same answer; and the alias goes on saying so
/// for up to a minute after that check is gone.
const ALIASED_NODE_MAINTENANCE: &str = "Aliased check \"Node Maintenance Mode\"";

/// One entry of `/v1/health/service/NAME`. What is not named here is of no use.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    node: Node,
    service: Service,
    #[serde(default, deserialize_with = "null")]
    checks: Vec<Check>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Node {
    node: String,
    #[serde(default)]
    address: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Service {
    #[serde(rename = "ID")]
    id: String,
    service: String,
    #[serde(default)]
    address: String,
    /// An agent takes any number here.
    #[serde(default)]
    port: i64,
    #[serde(default, deserialize_with = "null")]
    tags: BTreeSet<String>,
    #[serde(default, deserialize_with = "null")]
    meta: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "null")]
    weights: Weights,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Weights {
    passing: i64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Check {
    #[serde(rename = "CheckID")]
    id: String,
    status: String,
    #[serde(default)]
    output: String,
    #[serde(default, rename = "ServiceID")]
    service: String,
}

/// Remembers which malformed entries were told about.
#[derive(Debug, Default)]
pub(super) struct Told(Mutex<BTreeSet<String>>);

/// The instances of exactly this service in an answer; `None` if it is no list. Malformed entries are left out, and told once.
pub(super) fn instances(body: &[u8], service: &ServiceName, told: &Told) -> Option<Vec<Instance>> {
    let entries: Vec<Value> = serde_json::from_slice(body).ok()?;
    let mut nodes: BTreeMap<NodeId, Instance> = BTreeMap::new();
    for entry in &entries {
        let instance = match Entry::deserialize(entry) {
            // An agent ignores case when it looks a service up.
            Ok(entry) if entry.service.service != service.as_str() => continue,
            Ok(entry) => entry.instance(service),
            Err(error) => Err(error.to_string()),
        };
        match instance {
            Ok(instance) => keep_newest(&mut nodes, instance),
            Err(why) => told.tell(service, entry, &why),
        }
    }
    Some(nodes.into_values().collect())
}

/// A node that moved to another agent is there twice until the old entry is reaped.
fn keep_newest(nodes: &mut BTreeMap<NodeId, Instance>, instance: Instance) {
    match nodes.get(&instance.node) {
        Some(other) if other.boot() > instance.boot() => {}
        Some(other) if other.boot() == instance.boot() && other.health <= instance.health => {}
        _ => {
            nodes.insert(instance.node.clone(), instance);
        }
    }
}

fn null<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

// === impl Entry ===

impl Entry {
    fn instance(self, service: &ServiceName) -> Result<Instance, String> {
        let port = u16::try_from(self.service.port)
            .ok()
            .filter(|&port| port > 0);
        let port = port.ok_or_else(|| format!("port {}", self.service.port))?;
        let node = NodeId::new(self.node_id()).map_err(|error| error.to_string())?;
        let health = self.health();
        let weight = self.weight();
        let host = match self.service.address {
            address if address.is_empty() => self.node.address,
            address => address,
        };
        if host.is_empty() {
            return Err("it has no address".to_owned());
        }
        let mut meta = self.service.meta;
        meta.remove(NODE);
        meta.remove(WEIGHT);
        let mut tags = self.service.tags;
        for extra in meta
            .remove(EXTRA_TAGS)
            .iter()
            .flat_map(|extra| extra.split(','))
        {
            tags.remove(extra);
        }
        Ok(Instance {
            service: service.clone(),
            node,
            host,
            port,
            weight,
            health,
            tags,
            meta,
        })
    }

    /// Entries of somebody else's making need not say on which node they are: then it is the one that Consul knows.
    fn node_id(&self) -> &str {
        let Service {
            id, service, meta, ..
        } = &self.service;
        let from_id = || id.strip_prefix(service)?.strip_prefix('@');
        let told = meta.get(NODE).map(String::as_str);
        told.or_else(from_id).unwrap_or(&self.node.node)
    }

    fn weight(&self) -> u16 {
        let drained = self
            .service
            .meta
            .get(WEIGHT)
            .is_some_and(|w| w == MAINTAINED_WEIGHT);
        if drained || self.checks.iter().any(Check::is_maintenance) {
            return 0;
        }
        // An agent takes 1 to 65535.
        u16::try_from(self.service.weights.passing).unwrap_or(u16::MAX)
    }

    /// The worst of all checks. If nothing looks at the service itself, that it is well is not known.
    fn health(&self) -> Health {
        let checks = || self.checks.iter().filter(|check| check.is_about_health());
        let worst = checks().map(Check::health).max();
        match worst {
            None | Some(Health::Passing) if checks().all(|check| check.service.is_empty()) => {
                Health::Unknown
            }
            None => Health::Unknown,
            Some(worst) => worst,
        }
    }
}

// === impl Check ===

impl Check {
    /// Whether it says that an operator took the service out.
    fn is_maintenance(&self) -> bool {
        MAINTENANCE.iter().any(|name| self.id.starts_with(name))
            || self.output.starts_with(ALIASED_MAINTENANCE)
    }

    /// Whether it says anything of how well the service is.
    fn is_about_health(&self) -> bool {
        !self.is_maintenance() && !self.output.starts_with(ALIASED_NODE_MAINTENANCE)
    }

    fn health(&self) -> Health {
        match self.status.as_str() {
            "passing" => Health::Passing,
            "warning" => Health::Warning,
            _ => Health::Critical,
        }
    }
}

// === impl Weights ===

impl Default for Weights {
    /// What an agent gives to a service that names none.
    fn default() -> Self {
        Self { passing: 1 }
    }
}

// === impl Told ===

impl Told {
    fn tell(&self, service: &ServiceName, entry: &Value, why: &str) {
        let text = |path: [&str; 2]| entry[path[0]][path[1]].as_str().unwrap_or("?").to_owned();
        let (id, node) = (text(["Service", "ID"]), text(["Node", "Node"]));
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() < MAX_TOLD && told.insert(format!("{id} {node} {why}")) {
            // Whoever registered it chose these texts: a line break in them must not look like a line of the log.
            let (id, node, why) = (id.escape_debug(), node.escape_debug(), why.escape_debug());
            warn!(%service, %id, %node, %why, "an entry of the registry is malformed and left out");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(entries: Value) -> Vec<Instance> {
        let service = ServiceName::new("app.sort").unwrap();
        let body = serde_json::to_vec(&entries).unwrap();
        instances(&body, &service, &Told::default()).unwrap()
    }

    fn entry(node: &str, boot: &str, checks: Value) -> Value {
        json!({
            "Node": { "Node": "host", "Address": "10.0.0.9" },
            "Service": {
                "ID": format!("app.sort@{node}"), "Service": "app.sort", "Address": "10.0.0.1", "Port": 3747, "Tags": null,
                "Meta": { "node": node, "boot": boot, "label_zone": "a" }, "Weights": { "Passing": 7, "Warning": 1 },
            },
            "Checks": checks,
        })
    }

    fn check(id: &str, status: &str, service: &str) -> Value {
        json!({ "CheckID": id, "Status": status, "ServiceID": service, "Output": "" })
    }

    fn health(checks: Value) -> (Health, u16) {
        let set = read(json!([entry("n1", "1", checks)]));
        (set[0].health, set[0].weight)
    }

    #[test]
    fn the_worst_of_all_checks_counts_the_hosts_own_too() {
        let own = |status| check("app.sort@n1:alias", status, "app.sort@n1");
        let host = |status| check("serfHealth", status, "");
        assert_eq!(
            health(json!([host("passing"), own("passing")])),
            (Health::Passing, 7)
        );
        assert_eq!(
            health(json!([host("passing"), own("warning")])).0,
            Health::Warning
        );
        assert_eq!(
            health(json!([host("critical"), own("warning")])).0,
            Health::Critical
        );
    }

    #[test]
    fn without_a_check_of_its_own_nothing_good_is_known() {
        assert_eq!(health(json!(null)).0, Health::Unknown);
        assert_eq!(
            health(json!([check("serfHealth", "passing", "")])).0,
            Health::Unknown
        );
        assert_eq!(
            health(json!([check("serfHealth", "critical", "")])).0,
            Health::Critical
        );
    }

    #[test]
    fn maintenance_takes_the_weight_and_not_the_health() {
        let own = check("app.sort@n1:alias", "passing", "app.sort@n1");
        for id in ["_node_maintenance", "_service_maintenance:app.sort@n1"] {
            let checks = json!([own, check(id, "critical", "")]);
            assert_eq!(health(checks), (Health::Passing, 0), "{id}");
        }
        let mut alias = check("app.sort@n1:alias", "critical", "app.sort@n1");
        alias["Output"] = "Aliased check \"Service Maintenance Mode\" failing: ".into();
        assert_eq!(health(json!([alias.clone()])).1, 0);
        // What it says of the whole node outlives that by up to a minute.
        alias["Output"] = "Aliased check \"Node Maintenance Mode\" failing: ".into();
        assert_eq!(health(json!([alias])), (Health::Unknown, 7));
    }

    #[test]
    fn tags_of_the_operator_are_no_apps() {
        let mut tagged = entry("n1", "1", json!([]));
        tagged["Service"]["Tags"] = json!(["production", "rack-7", "sort"]);
        tagged["Service"]["Meta"]["tags"] = "production,rack-7".into();
        let set = read(json!([tagged]));
        assert_eq!(set[0].tags.iter().collect::<Vec<_>>(), ["sort"]);
        assert!(!set[0].meta.contains_key("tags"));
    }

    #[test]
    fn malformed_entries_hide_no_others() {
        let good = entry("n1", "1", json!([]));
        let mut far = entry("n2", "1", json!([]));
        far["Service"]["Port"] = 70000.into();
        let mut numbers = entry("n3", "1", json!([]));
        numbers["Service"]["Meta"]["node"] = 3.into();
        let spaced = entry("a b", "1", json!([]));
        let set = read(json!([far, null, {}, numbers, spaced, "text", good]));
        assert_eq!(set.len(), 1);
        assert_eq!(set[0].node.as_str(), "n1");
        assert_eq!(
            set[0].meta.keys().collect::<Vec<_>>(),
            ["boot", "label_zone"]
        );
    }

    #[test]
    fn of_two_entries_with_one_node_the_newer_start_counts() {
        let mut new = entry("n1", "2", json!([]));
        new["Service"]["Port"] = 4000.into();
        let old = entry("n1", "1", json!([]));
        for set in [json!([new, old]), json!([old, new])] {
            let set = read(set);
            assert_eq!((set.len(), set[0].port), (1, 4000));
        }
    }

    #[test]
    fn entries_of_others_are_read_as_far_as_they_go() {
        let set = read(json!([{
            "Node": { "Node": "db1", "Address": "10.0.0.9" },
            "Service": { "ID": "x", "Service": "app.sort", "Port": 1 },
        }, {
            "Node": { "Node": "db1", "Address": "10.0.0.9" },
            "Service": { "ID": "app.sort@n2", "Service": "app.sort", "Port": 2, "Meta": null },
        }]));
        let brief: Vec<_> = set
            .iter()
            .map(|i| (i.node.as_str(), &*i.host, i.port, i.weight))
            .collect();
        assert_eq!(brief, [("db1", "10.0.0.9", 1, 1), ("n2", "10.0.0.9", 2, 1)]);
    }

    #[test]
    fn names_compare_exactly() {
        let mut other = entry("n1", "1", json!([]));
        other["Service"]["Service"] = "app.Sort".into();
        assert_eq!(read(json!([other])), []);
    }
}
