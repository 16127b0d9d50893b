//! Nodes found by multicast DNS: a LAN without any server, and without any guard.
//!
//! Each node announces one instance, `<node>._<primary>._tcp.local.`, whose TXT record lists its apps; `<prefix><app>` is read out of
//! the one browse for the nodes. A node says goodbye when it leaves, and one that is killed stays for two minutes: then
//! [`suspect`](Registry::suspect) asks for it, and it is gone after three seconds.
//!
//! **First item**: half a second after the second question, 1.5 s after the browse began, empty or not; from then on at once. One
//! browse serves all watches, look-ups and leases of an [`Mdns`] and its clones, and ends with the last of them.
//!
//! **Health**: nobody here knows the health of another node, so it is `Unknown`; what a node says of itself against its own interest
//! is believed: `Warning` and `Critical`.
//!
//! **A dropped lease** stops answering, which cannot be done without saying so: the node is gone after a second rather than after
//! its TTL. The TTLs are those of the protocol, [`Registration::ttl`] counts for nothing.
//!
//! **Services beside the primary** share the node's weight, and keep no tags and no meta of their own but `boot`.

mod address;
mod book;
mod config;
mod interfaces;
mod keeper;
mod lease;
mod link;
mod naming;
mod responder;
mod txt;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::sync::watch;

pub use self::config::Config;
use self::link::{Link, View};
use crate::{
    Abilities, Instance, Lease, Names, NodeId, Registration, Registry, RegistryError, ServiceName,
};

/// How long a suspected node has to answer: two questions go out, a second apart, and the protocol wants some time for lost ones.
const VERIFY: Duration = Duration::from_secs(3);

/// Nodes found by multicast DNS. Clones share one thread and its sockets, which exist while a watch or a lease does.
#[derive(Clone, Debug)]
pub struct Mdns {
    settings: Arc<Settings>,
    link: Arc<Mutex<Weak<Link>>>,
}

/// What does not change.
#[derive(Debug)]
struct Settings {
    config: Config,
    names: Names,
    /// `_dpipesd._tcp.local.`
    service_type: String,
    /// Where apps are announced for foreign tools; `None` if they are not.
    app_type: Option<String>,
}

/// One watch.
enum Watching {
    Begins(Mdns),
    Goes {
        link: Arc<Link>,
        view: watch::Receiver<View>,
        browse: u64,
        last: Option<Vec<Instance>>,
    },
    Over,
}

// === impl Mdns ===

impl Mdns {
    /// A registry of this configuration. Nothing is sent or opened yet.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Rejected`] when the primary's name is no DNS-SD service type, or apps are to be announced as subtypes and
    /// their prefix is none.
    pub fn new(config: Config, names: Names) -> Result<Self, RegistryError> {
        let service_type = naming::service_type(&names.primary)?;
        let app_type = match config.subtypes {
            true => Some(naming::app_type(&names.app_prefix).ok_or_else(|| {
                let detail = format!("`{}` is no service type: no subtypes", names.app_prefix);
                RegistryError::Rejected { detail }
            })?),
            false => None,
        };
        Ok(Self {
            settings: Arc::new(Settings {
                config,
                names,
                service_type,
                app_type,
            }),
            link: Arc::default(),
        })
    }

    /// The link that is in use, or a new one.
    fn link(&self) -> Result<Arc<Link>, RegistryError> {
        let mut slot = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(link) = slot.upgrade().filter(|link| !link.is_dead()) {
            return Ok(link);
        }
        let link = Link::start(&self.settings)?;
        *slot = Arc::downgrade(&link);
        Ok(link)
    }

    /// The link that is in use, if one is.
    fn used_link(&self) -> Option<Arc<Link>> {
        let slot = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        slot.upgrade()
    }
}

#[async_trait]
impl Registry for Mdns {
    fn name(&self) -> &'static str {
        "mdns"
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            registers: true,
            reports_health: false,
            lists_services: true,
        }
    }

    fn watch(
        &self,
        service: &ServiceName,
    ) -> BoxStream<'static, Result<Vec<Instance>, RegistryError>> {
        let service = service.clone();
        let start = Watching::Begins(self.clone());
        stream::unfold(start, move |watching| watching.next(service.clone())).boxed()
    }

    async fn register(&self, what: Registration) -> Result<Box<dyn Lease>, RegistryError> {
        lease::register(self.clone(), what).await
    }

    async fn services(&self) -> Result<BTreeSet<ServiceName>, RegistryError> {
        let link = self.link()?;
        let mut view = link.view();
        let browse = view.borrow().browse;
        loop {
            if let Some(seen) = seen(&view.borrow_and_update(), browse)? {
                return Ok(seen.sets.services.keys().cloned().collect());
            }
            view.changed()
                .await
                .map_err(|_| RegistryError::stream_ended())?;
        }
    }

    async fn suspect(&self, node: &NodeId) {
        let Some(link) = self.used_link() else {
            return;
        };
        let holder = link.view().borrow().sets.nodes.get(node).cloned();
        if let Some(holder) = holder {
            let asked = link.tell(|daemon| daemon.verify(holder.fullname.clone(), VERIFY));
            if let Err(error) = asked.await {
                tracing::debug!(%node, %error, "a suspected node could not be asked for");
            }
        }
    }
}

/// The view, once it is full; an error when its browse is over.
fn seen(view: &View, browse: u64) -> Result<Option<View>, RegistryError> {
    if let Some(error) = &view.dead {
        return Err(error.clone());
    }
    if view.browse != browse {
        let ended = view.ended.clone();
        return Err(ended.unwrap_or_else(RegistryError::stream_ended));
    }
    Ok(view.full.then(|| view.clone()))
}

// === impl Watching ===

impl Watching {
    /// The next item: the full set when it is another one, an error as the last.
    async fn next(
        mut self,
        service: ServiceName,
    ) -> Option<(Result<Vec<Instance>, RegistryError>, Self)> {
        loop {
            self = match self {
                Self::Over => return None,
                Self::Begins(mdns) => match mdns.link() {
                    Err(error) => return Some((Err(error), Self::Over)),
                    Ok(link) => {
                        let view = link.view();
                        let browse = view.borrow().browse;
                        Self::Goes {
                            link,
                            view,
                            browse,
                            last: None,
                        }
                    }
                },
                Self::Goes {
                    link,
                    mut view,
                    browse,
                    last,
                } => {
                    let seen = seen(&view.borrow_and_update(), browse);
                    let set = match seen {
                        Err(error) => return Some((Err(error), Self::Over)),
                        Ok(None) => None,
                        Ok(Some(view)) => Some(
                            view.sets
                                .services
                                .get(&service)
                                .cloned()
                                .unwrap_or_default(),
                        ),
                    };
                    if set.is_some() && set != last {
                        let item = set.clone().unwrap_or_default();
                        let watching = Self::Goes {
                            link,
                            view,
                            browse,
                            last: set,
                        };
                        return Some((Ok(item), watching));
                    }
                    if view.changed().await.is_err() {
                        return Some((Err(RegistryError::stream_ended()), Self::Over));
                    }
                    Self::Goes {
                        link,
                        view,
                        browse,
                        last,
                    }
                }
            };
        }
    }
}
