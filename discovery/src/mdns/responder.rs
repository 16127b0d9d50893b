//! What the library's responder answers for one node: its instance, and its apps for foreign tools.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc, time::Duration};

use mdns_sd::{DaemonEvent, Error, Receiver, ServiceInfo};
use tokio::time::timeout;

use super::{
    Settings,
    interfaces::Interfaces,
    keeper::Wanted,
    link::{Link, unavailable},
    naming, txt,
};
use crate::{Registration, RegistryError};

/// Longest wait for the announcement. Asking whether the name is free takes 0.75 to 1 s, and as long again for each name that is
/// not: room for four.
const ANNOUNCE: Duration = Duration::from_secs(5);
/// Most apps that are announced for foreign tools. Each is an instance of its own: a hundred of them took 776 packets.
const MAX_SUBTYPES: usize = 16;

/// The records of one registration.
#[derive(Debug)]
pub(super) struct Responder {
    link: Arc<Link>,
    settings: Arc<Settings>,
    instance: String,
    host: String,
    /// Whether the names are known to be free; then a change goes out at once.
    owned: bool,
    /// The full names of the apps announced for foreign tools.
    apps: BTreeSet<String>,
}

/// The addresses that a node announces.
enum Addresses {
    All,
    One(IpAddr),
}

// === impl Responder ===

impl Responder {
    pub(super) fn new(link: &Arc<Link>, settings: &Arc<Settings>, what: &Registration) -> Self {
        let primary = settings.names.primary.as_str();
        Self {
            link: Arc::clone(link),
            settings: Arc::clone(settings),
            instance: naming::instance(&what.node),
            host: naming::host(primary, &[what.node.as_str(), what.boot()]),
            owned: false,
            apps: BTreeSet::new(),
        }
    }

    pub(super) const fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// Announces this, in place of what was announced before; returns once it went out.
    pub(super) async fn announce(&mut self, wanted: &Wanted) -> Result<(), RegistryError> {
        let interfaces = Interfaces::read(&self.settings.config)?;
        let addresses = Addresses::of(&wanted.what, &interfaces)?;
        let Wanted {
            what,
            health,
            generation,
        } = wanted;
        let prefix = &self.settings.names.app_prefix;
        let record = txt::encode(what, prefix, *generation, *health)?;
        let service_type = &self.settings.service_type;
        let mut info =
            addresses.info(service_type, &self.instance, &self.host, what.port, &record)?;
        info.set_requires_probe(!self.owned);
        let fullname = info.get_fullname().to_owned();
        let monitor = self.link.tell(|daemon| daemon.monitor()).await;
        let monitor = monitor.map_err(unavailable)?;
        let told = self.link.tell(|daemon| daemon.register(info.clone())).await;
        told.map_err(refused)?;
        // The announcement on the loopback interface says nothing about the others.
        let local = |on: &str| {
            let interface = on.rsplit(':').next().unwrap_or_default();
            matches!(addresses, Addresses::All)
                && interfaces.lead_away()
                && interfaces.is_loopback(interface)
        };
        let announced = timeout(ANNOUNCE, announced(&monitor, &fullname, local)).await;
        announced.map_err(|_| {
            RegistryError::unavailable(format!(
                "no announcement went out within {} s",
                ANNOUNCE.as_secs()
            ))
        })??;
        self.owned = true;
        self.announce_apps(what, &addresses).await
    }

    /// Announces the apps for foreign tools, if they are to be.
    async fn announce_apps(
        &mut self,
        what: &Registration,
        addresses: &Addresses,
    ) -> Result<(), RegistryError> {
        let Some(app_type) = &self.settings.app_type else {
            return Ok(());
        };
        let mut wanted = BTreeSet::new();
        for def in &what.services {
            let service = def.name.as_str();
            let app = service.strip_prefix(&*self.settings.names.app_prefix);
            let Some(app) = app.filter(|app| is_subtype(app)) else {
                continue;
            };
            if wanted.len() == MAX_SUBTYPES {
                break;
            }
            let primary = self.settings.names.primary.as_str();
            let record = [
                ("v".to_owned(), "1".to_owned()),
                ("id".to_owned(), what.node.to_string()),
            ];
            let info = addresses.info(
                &format!("_{app}._sub.{app_type}"),
                &naming::app_instance(service, &what.node).replace('.', "-"),
                &naming::host(primary, &[what.node.as_str(), what.boot(), service]),
                what.port,
                &record,
            )?;
            let fullname = info.get_fullname().to_owned();
            if !self.apps.contains(&fullname) {
                let told = self.link.tell(|daemon| daemon.register(info.clone())).await;
                told.map_err(refused)?;
            }
            wanted.insert(fullname);
        }
        for gone in self.apps.difference(&wanted) {
            let told = self.link.tell(|daemon| daemon.unregister(gone)).await;
            told.map_err(unavailable)?;
        }
        self.apps = wanted;
        Ok(())
    }

    /// Says goodbye; returns once it went out.
    pub(super) async fn withdraw(&self) {
        let own = format!("{}.{}", self.instance, self.settings.service_type);
        for fullname in self.apps.iter().chain([&own]) {
            let told = self.link.tell(|daemon| daemon.unregister(fullname)).await;
            if let Ok(done) = told {
                // An error means that the thread is gone, and it says goodbye when it goes.
                let _done = done.recv_async().await;
            }
        }
    }
}

/// Waits until an instance is announced on an interface that counts, under another name perhaps.
async fn announced(
    monitor: &Receiver<DaemonEvent>,
    fullname: &str,
    skipped: impl Fn(&str) -> bool,
) -> Result<(), RegistryError> {
    let mut names = vec![fullname.to_owned()];
    while let Ok(event) = monitor.recv_async().await {
        match event {
            DaemonEvent::Announce(name, on) if names.contains(&name) && !skipped(&on) => {
                return Ok(());
            }
            DaemonEvent::NameChange(change) if names.contains(&change.original) => {
                tracing::info!(
                    from = change.original,
                    to = change.new_name,
                    "renamed on the link"
                );
                names.push(change.new_name);
            }
            DaemonEvent::Error(error) => return Err(refused(error)),
            _ => {}
        }
    }
    Err(unavailable(Error::DaemonShutdown))
}

/// What an error of the library means after something of ours was handed in.
fn refused(error: Error) -> RegistryError {
    match error {
        Error::Again | Error::DaemonShutdown => unavailable(error),
        other => RegistryError::Rejected {
            detail: other.to_string(),
        },
    }
}

/// Whether an app's name can be a label below `_sub`.
fn is_subtype(app: &str) -> bool {
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !app.is_empty() && app.bytes().all(legal)
}

// === impl Addresses ===

impl Addresses {
    /// What a registration's host means: one address, or all of the interfaces where it names none.
    fn of(what: &Registration, interfaces: &Interfaces) -> Result<Self, RegistryError> {
        let host = match &*what.host {
            "" => return Ok(Self::All),
            host => host.split('%').next().unwrap_or_default(),
        };
        let address: IpAddr = host.parse().map_err(|_| RegistryError::Rejected {
            detail: format!("`{host}` is no address, and only addresses are announced here"),
        })?;
        if address.is_unspecified() {
            return Ok(Self::All);
        }
        if !interfaces.hold(address) {
            return Err(RegistryError::unavailable(format!(
                "{address} is in no subnet of an interface that is used"
            )));
        }
        Ok(Self::One(address))
    }

    fn info(
        &self,
        service_type: &str,
        instance: &str,
        host: &str,
        port: u16,
        record: &[(String, String)],
    ) -> Result<ServiceInfo, RegistryError> {
        let info = match self {
            Self::All => ServiceInfo::new(service_type, instance, host, (), port, record)
                .map(ServiceInfo::enable_addr_auto),
            Self::One(address) => {
                ServiceInfo::new(service_type, instance, host, *address, port, record)
            }
        };
        info.map_err(refused)
    }
}
