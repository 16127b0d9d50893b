//! Files that people write.

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
};

use dpipes::config::{self, ConfigError, Facts, Flags, Loaded, Surroundings};
use dpipes_discovery::{Names, NodeList, Registry, ServiceName, StaticNodes};
use futures_util::{FutureExt, StreamExt};
use rustix::fs::{MemfdFlags, memfd_create};

/// A configuration that is accepted shows itself as one that means the same; one that is refused can be drawn at the place.
pub fn config_load(input: &[u8]) {
    match load(input) {
        Ok(loaded) => {
            for origins in [false, true] {
                let shown = loaded.layers.show(origins);
                let again = load(shown.as_bytes())
                    .unwrap_or_else(|error| panic!("{}\n{shown}", error.render(false)));
                assert_eq!(again.settings, loaded.settings, "{shown}");
                assert_eq!(again.layers.show(false), loaded.layers.show(false));
            }
        }
        Err(error) => {
            assert!(!error.render(false).is_empty());
            assert!(!error.to_string().is_empty());
            if let ConfigError::InFile(at) = &error {
                assert!(at.text.get(at.span.clone()).is_some());
            }
        }
    }
}

/// Loads a configuration that lies in a file of its own.
fn load(text: &[u8]) -> Result<Loaded, ConfigError> {
    let (_file, path) = file(text);
    let surroundings = Surroundings {
        uid: 1000,
        cwd: PathBuf::from("/work"),
        environment: [("HOME".to_owned(), "/home/ann".to_owned())].into(),
        etc: PathBuf::from("/nonexistent"),
    };
    let flags = Flags {
        config: Some(path),
        ..Flags::default()
    };
    let facts = Facts {
        hostname: "machine".to_owned(),
        has_dpipes_user: false,
    };
    config::load(&surroundings, &flags, &facts)
}

/// A file in memory, which is gone with its descriptor.
fn file(contents: &[u8]) -> (fs::File, PathBuf) {
    let file: OwnedFd = memfd_create("input", MemfdFlags::CLOEXEC).expect("a file in memory");
    let mut file = fs::File::from(file);
    file.write_all(contents).expect("memory takes all");
    let path = Path::new("/proc/self/fd").join(file.as_raw_fd().to_string());
    (file, path)
}

/// A list of nodes that is accepted has one name for each node and instances that a registry can carry; one that is refused says where.
pub fn node_list(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else {
        return;
    };
    match text.parse::<NodeList>() {
        Ok(list) => {
            assert_eq!(NodeList::from_iter(list.entries().to_vec()), list);
            let nodes = list.entries().len();
            let primary = service("dpipesd");
            let registry = StaticNodes::inline(
                list,
                Names {
                    primary: primary.clone(),
                    app_prefix: "dp.".to_owned(),
                    port: 3747,
                },
            );
            let services = registry.services().now_or_never();
            let services = services
                .expect("a list is at hand")
                .expect("a list has no errors");
            assert_eq!(services.contains(&primary), nodes > 0);
            for service in services {
                let first = registry.watch(&service).next().now_or_never();
                let set = first.flatten().expect("a set comes at once");
                let set = set.expect("a list has no errors");
                let names: BTreeSet<_> = set.iter().map(|one| one.node.clone()).collect();
                assert_eq!(names.len(), set.len());
                assert!(service != primary || set.len() == nodes);
                assert!(set.iter().all(|one| one.port > 0 && !one.host.is_empty()));
            }
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            if let Some((line, column)) = error.location() {
                assert!(line > 0 && column > 0);
            }
        }
    }
}

fn service(name: &str) -> ServiceName {
    ServiceName::new(name).expect("it is a name")
}
