//! Nodes from a file or from a list in the configuration.
//!
//! ```yaml
//! version: 1
//! nodes:
//!   - { name: n1, addr: "10.0.0.1:3747", apps: [sort, cat], weight: 10, labels: { zone: a } }
//! ```
//!
//! The bare list is accepted too. The file is looked at every two seconds: first its time, size and inode, then its contents. There is no
//! inotify, which misses NFS and bind mounts. On any error, a missing file included, the whole file is refused and its users keep
//! the old set: the watch ends with the error, as the contract says, and [`Directory`](crate::Directory) holds what it has.

mod addr;
mod parse;

use std::{
    fmt,
    io::Error,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use tokio::{sync::watch, time::Instant};

pub use self::parse::{FileError, NodeEntry, NodeList};
use crate::{
    Abilities, FileTrouble, Health, Instance, Lease, LeaseState, Names, Registration, Registry,
    RegistryError, ServiceDef, ServiceName, file,
};

/// How often the file is looked at: soon enough for whoever edits it by hand, and one `stat` in two seconds costs nothing.
const POLL: Duration = Duration::from_secs(2);
/// Largest file, as large as the largest answer of any registry: 4 MiB are some 30,000 nodes.
const MAX_FILE: u64 = 4 * 1024 * 1024;
/// A file changed less than this before it was read is read again though its time, size and inode stay the same, for two writes within
/// one tick of a coarse file system clock look alike. Two seconds are the coarsest such clock (FAT).
const SETTLED: Duration = Duration::from_secs(2);

/// The registry of nodes that somebody wrote down.
#[derive(Clone, Debug)]
pub struct StaticNodes {
    names: Arc<Names>,
    source: Source,
}

#[derive(Clone)]
enum Source {
    Inline(Arc<NodeList>),
    File(Arc<Path>),
}

/// A lease of a registry that nobody can register with: always live, so that its user has no special case.
#[derive(Debug)]
struct StaticLease(watch::Sender<LeaseState>);

/// By what a file is known as unchanged without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fingerprint {
    modified: Option<SystemTime>,
    size: u64,
    device: u64,
    inode: u64,
}

/// One watch of a file.
struct Poll {
    path: Arc<Path>,
    names: Arc<Names>,
    service: ServiceName,
    seen: Option<Seen>,
    over: bool,
}

struct Seen {
    fingerprint: Fingerprint,
    /// Whether the file was old enough when it was read for its fingerprint to mean anything.
    settled: bool,
    contents: String,
    set: Vec<Instance>,
}

// === impl StaticNodes ===

impl StaticNodes {
    /// Nodes of this file. It need not exist yet.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>, names: Names) -> Self {
        Self {
            names: Arc::new(names),
            source: Source::File(path.into().into()),
        }
    }

    /// These nodes, for ever.
    #[must_use]
    pub fn inline(nodes: NodeList, names: Names) -> Self {
        Self {
            names: Arc::new(names),
            source: Source::Inline(Arc::new(nodes)),
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inline(nodes) => write!(f, "{} nodes", nodes.entries().len()),
            Self::File(path) => path.fmt(f),
        }
    }
}

#[async_trait]
impl Registry for StaticNodes {
    fn name(&self) -> &'static str {
        "static"
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            registers: false,
            reports_health: false,
            lists_services: true,
        }
    }

    fn watch(
        &self,
        service: &ServiceName,
    ) -> BoxStream<'static, Result<Vec<Instance>, RegistryError>> {
        match &self.source {
            Source::Inline(nodes) => {
                let set = instances(nodes, &self.names, service);
                stream::iter([Ok(set)]).chain(stream::pending()).boxed()
            }
            Source::File(path) => {
                let poll = Poll {
                    path: Arc::clone(path),
                    names: Arc::clone(&self.names),
                    service: service.clone(),
                    seen: None,
                    over: false,
                };
                stream::unfold(poll, Poll::next).boxed()
            }
        }
    }

    async fn register(&self, _what: Registration) -> Result<Box<dyn Lease>, RegistryError> {
        Ok(Box::new(StaticLease(watch::Sender::new(LeaseState::Live))))
    }

    async fn services(&self) -> Result<std::collections::BTreeSet<ServiceName>, RegistryError> {
        let list = match &self.source {
            Source::Inline(nodes) => NodeList::clone(nodes),
            Source::File(path) => {
                let (contents, _) = read(path).await.map_err(|error| unreadable(path, &error))?;
                parsed(path, &contents)?
            }
        };
        let all = list.entries().iter().flat_map(|e| e.instances(&self.names));
        Ok(all.map(|instance| instance.service).collect())
    }
}

fn instances(nodes: &NodeList, names: &Names, service: &ServiceName) -> Vec<Instance> {
    let all = nodes.entries().iter().flat_map(|e| e.instances(names));
    all.filter(|instance| &instance.service == service)
        .map(|instance| Instance {
            health: Health::Unknown,
            ..instance
        })
        .collect()
}

// === impl Poll ===

impl Poll {
    /// The next item: the first set at once, later ones when they differ, an error as the last.
    async fn next(mut self) -> Option<(Result<Vec<Instance>, RegistryError>, Self)> {
        if self.over {
            return None;
        }
        loop {
            let item = match self.look().await {
                Ok(None) => {
                    tokio::time::sleep_until(Instant::now() + POLL).await;
                    continue;
                }
                Ok(Some(set)) => Ok(set),
                Err(error) => {
                    self.over = true;
                    Err(error)
                }
            };
            return Some((item, self));
        }
    }

    /// Looks once; the set if it is another one.
    async fn look(&mut self) -> Result<Option<Vec<Instance>>, RegistryError> {
        let path = Arc::clone(&self.path);
        let path = &*path;
        let failed = |error: Error| unreadable(path, &error);
        if let Some(seen) = self.seen.as_mut().filter(|seen| seen.settled) {
            let metadata = tokio::fs::metadata(path).await.map_err(failed)?;
            if Fingerprint::of(&metadata) == seen.fingerprint {
                return Ok(None);
            }
        }
        let (contents, fingerprint) = read(path).await.map_err(failed)?;
        let age = fingerprint.modified.and_then(|time| time.elapsed().ok());
        let settled = age.is_some_and(|age| age > SETTLED);
        if let Some(seen) = &mut self.seen
            && seen.contents == contents
        {
            (seen.fingerprint, seen.settled) = (fingerprint, settled);
            return Ok(None);
        }
        let set = instances(&parsed(path, &contents)?, &self.names, &self.service);
        let same = self.seen.as_ref().is_some_and(|seen| seen.set == set);
        self.seen = Some(Seen {
            fingerprint,
            settled,
            contents,
            set: set.clone(),
        });
        Ok(if same { None } else { Some(set) })
    }
}

async fn read(path: &Path) -> Result<(String, Fingerprint), Error> {
    let (contents, metadata) = file::read(path, MAX_FILE).await?;
    Ok((contents, Fingerprint::of(&metadata)))
}

/// A file in trouble is tried again soon, whatever the trouble: looking costs nothing, and editors leave files half written.
fn unreadable(path: &Path, error: &Error) -> RegistryError {
    let trouble = FileTrouble::of(path, error);
    RegistryError::unavailable(format!("{}: {trouble}", path.display()))
}

fn parsed(path: &Path, contents: &str) -> Result<NodeList, RegistryError> {
    contents.parse().map_err(|error: FileError| {
        let detail = format!("{}: {error}", path.display());
        RegistryError::Unavailable {
            detail,
            cause: Some(Arc::new(error)),
        }
    })
}

impl Fingerprint {
    fn of(metadata: &std::fs::Metadata) -> Self {
        Self {
            modified: metadata.modified().ok(),
            size: metadata.size(),
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

// === impl StaticLease ===

#[async_trait]
impl Lease for StaticLease {
    fn state(&self) -> watch::Receiver<LeaseState> {
        self.0.subscribe()
    }

    async fn set_health(&self, _health: Health, _note: &str) -> Result<(), RegistryError> {
        Ok(())
    }

    async fn update(&self, _services: Vec<ServiceDef>) -> Result<(), RegistryError> {
        Ok(())
    }

    async fn deregister(self: Box<Self>) -> Result<(), RegistryError> {
        Ok(())
    }
}
