//! What a key holds: an instance as JSON.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{DEFAULT_WEIGHT, Health, Instance, NodeId, ServiceName};

/// The only version of the format. Fields may come without a new one: unknown ones are ignored.
const VERSION: u32 = 1;

/// One value. The service stands in the key alone; the node in both, so that a value copied to a wrong key is noticed.
#[derive(Serialize, Deserialize)]
struct Value {
    v: u32,
    node: NodeId,
    #[serde(default)]
    boot: String,
    host: String,
    port: u16,
    #[serde(default = "default_weight")]
    weight: u16,
    #[serde(default)]
    health: String,
    #[serde(default)]
    tags: BTreeSet<String>,
    #[serde(default)]
    meta: BTreeMap<String, String>,
}

/// Who stands behind a key.
#[derive(Debug)]
pub(super) struct Holder {
    /// The start of the node.
    pub(super) boot: String,
    /// Where it is dialled.
    pub(super) address: String,
}

const fn default_weight() -> u16 {
    DEFAULT_WEIGHT
}

/// An instance of a node that started as `boot`.
pub(super) fn encode(instance: Instance, boot: &str) -> String {
    let health = match instance.health {
        Health::Passing => "passing",
        Health::Unknown => "unknown",
        Health::Warning => "warning",
        Health::Critical => "critical",
    };
    let value = Value {
        v: VERSION,
        node: instance.node,
        boot: boot.to_owned(),
        host: instance.host,
        port: instance.port,
        weight: instance.weight,
        health: health.to_owned(),
        tags: instance.tags,
        meta: instance.meta,
    };
    serde_json::to_string(&value).expect("maps of strings are JSON")
}

/// The instance in a value, or what is wrong with it.
pub(super) fn decode(service: ServiceName, node: NodeId, value: &[u8]) -> Result<Instance, String> {
    let value = read(&node, value)?;
    let health = match value.health.as_str() {
        "passing" => Health::Passing,
        "warning" => Health::Warning,
        "critical" => Health::Critical,
        // A word of a later version says nothing to this one.
        _ => Health::Unknown,
    };
    Ok(Instance {
        service,
        node,
        host: value.host,
        port: value.port,
        weight: value.weight,
        health,
        tags: value.tags,
        meta: value.meta,
    })
}

/// Who wrote a value for this node; `None` if nobody did who knows the format.
pub(super) fn holder(node: &NodeId, value: &[u8]) -> Option<Holder> {
    let value = read(node, value).ok()?;
    Some(Holder {
        address: format!("{}:{}", value.host, value.port),
        boot: value.boot,
    })
}

fn read(node: &NodeId, value: &[u8]) -> Result<Value, String> {
    let value: Value = serde_json::from_slice(value).map_err(|error| error.to_string())?;
    if value.v != VERSION {
        return Err(format!("version {} is not known here", value.v));
    }
    if &value.node != node {
        return Err(format!("it speaks of the node `{}`", value.node));
    }
    if value.host.is_empty() {
        return Err("it has no host".to_owned());
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(value: &str) -> Result<Instance, String> {
        let service = ServiceName::new("app.sort").unwrap();
        decode(service, NodeId::new("n1").unwrap(), value.as_bytes())
    }

    #[test]
    fn the_format_is_what_the_documentation_shows() {
        let text = r#"{"v":1,"node":"n1","boot":"01J","host":"10.0.0.1","port":3747,"weight":10,"health":"passing","tags":["a"],"meta":{"k":"v"}}"#;
        assert_eq!(encode(decoded(text).unwrap(), "01J"), text);
    }

    #[test]
    fn unknown_fields_are_ignored_and_missing_ones_have_defaults() {
        let text = r#"{"v":1,"node":"n1","host":"h","port":1,"new":[1]}"#;
        let instance = decoded(text).unwrap();
        assert_eq!(instance.weight, DEFAULT_WEIGHT);
        assert_eq!(instance.health, Health::Unknown);
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        for bad in [
            "",
            "[]",
            r#"{"v":2,"node":"n1","host":"h","port":1}"#,
            r#"{"v":1,"node":"n2","host":"h","port":1}"#,
            r#"{"v":1,"node":"n1","host":"","port":1}"#,
            r#"{"v":1,"node":"n1","host":"h","port":70000}"#,
            r#"{"v":1,"node":"n1","host":"h"}"#,
        ] {
            assert!(decoded(bad).is_err(), "{bad}");
        }
    }
}
