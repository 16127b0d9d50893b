//! Where things lie: `<prefix>services/<service>/<node>`.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};

use crate::{NodeId, ServiceName};

/// What is encoded in names: everything that is not plain in a path, in a shell and in a range of keys.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'_').remove(b'-');

/// The keys of one prefix.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    /// What all of them begin with; ends with `/`.
    all: String,
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        let separator = if prefix.ends_with('/') { "" } else { "/" };
        Self {
            all: format!("{prefix}{separator}services/"),
        }
    }

    /// What the keys of every service begin with.
    pub(super) fn all(&self) -> &str {
        &self.all
    }

    /// What the keys of one service begin with, and of no other: it ends with `/`.
    pub(super) fn service(&self, service: &ServiceName) -> String {
        let service = utf8_percent_encode(service.as_str(), ENCODED);
        format!("{}{service}/", self.all)
    }

    /// The key of a node's instance.
    pub(super) fn instance(&self, service: &ServiceName, node: &NodeId) -> String {
        let node = utf8_percent_encode(node.as_str(), ENCODED);
        format!("{}{node}", self.service(service))
    }

    /// What a key speaks of; `None` if it is none of ours.
    pub(super) fn parse(&self, key: &[u8]) -> Option<(ServiceName, NodeId)> {
        let key = key.strip_prefix(self.all.as_bytes())?;
        let slash = key.iter().position(|byte| *byte == b'/')?;
        let (service, node) = (&key[..slash], &key[slash + 1..]);
        let decode = |name| percent_decode(name).decode_utf8().ok();
        let service = ServiceName::new(decode(service)?).ok()?;
        let node = NodeId::new(decode(node)?).ok()?;
        // Two keys must not speak of one instance.
        (self.instance(&service, &node).as_bytes()[self.all.len()..] == *key)
            .then_some((service, node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_back_and_foreign_ones_are_not() {
        let keys = Keys::new("/tenant");
        let service = ServiceName::new("app.g++[").unwrap();
        let node = NodeId::new("n_1.a").unwrap();
        let key = keys.instance(&service, &node);
        assert_eq!(key, "/tenant/services/app.g%2B%2B%5B/n_1.a");
        assert_eq!(keys.parse(key.as_bytes()), Some((service, node)));
        for foreign in [
            "/tenant/services/app",
            "/tenant/services/app/",
            "/tenant/services//n1",
            "/tenant/services/app/n1/more",
            "/tenant/services/app/n%31",
            "/tenant/services/app/%ff",
            "/tenant2/services/app/n1",
        ] {
            assert_eq!(keys.parse(foreign.as_bytes()), None, "{foreign}");
        }
    }

    #[test]
    fn a_prefix_ends_with_a_separator_whether_said_or_not() {
        assert_eq!(Keys::new("/a").all(), Keys::new("/a/").all());
        let log = ServiceName::new("app.log").unwrap();
        assert!(!"/a/services/app.logger/n1".starts_with(&Keys::new("/a").service(&log)));
    }
}
