//! The daemon's process: from settings to the last signal.

use std::{convert::Infallible, io, sync::Arc};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, watch},
};
use tracing::{error, info, warn};

use super::{
    engine::{self, Running, StartError},
    exit,
    notify::{Manager, Teller},
    process::PidFile,
};
use crate::{
    api::{self, Described, Listening, ReloadRequest},
    config::{self, Facts, Flags, Loaded, Surroundings},
    daemon::settings::Settings,
};

/// What is needed to read the configuration again.
#[derive(Clone, Debug)]
pub(crate) struct Reloader {
    /// The surroundings at the start; the process may have changed its directory since.
    pub surroundings: Arc<Surroundings>,
    /// The flags.
    pub flags: Flags,
}

/// What is asked of a daemon from outside.
#[derive(Debug)]
enum Event {
    /// Leave; the second time at once, with this status.
    Leave(u8),
    /// Read the configuration again, and tell who asked what is wrong with it.
    Reload(Option<ReloadRequest>),
}

/// Where events come from.
trait Events {
    /// The next one. Cancel safe: an event that nobody was told is told next time.
    fn next(&mut self) -> impl Future<Output = Event> + Send;
}

/// Signals as events, and what is asked over HTTP.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    reloads: mpsc::Receiver<ReloadRequest>,
}

// === impl Signals ===

impl Signals {
    fn listen(reloads: mpsc::Receiver<ReloadRequest>) -> io::Result<Self> {
        Ok(Self {
            reloads,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

impl Events for Signals {
    async fn next(&mut self) -> Event {
        let leave = |kind: SignalKind| Event::Leave(exit::of_signal(kind.as_raw_value()));
        tokio::select! {
            _ = self.terminate.recv() => leave(SignalKind::terminate()),
            _ = self.interrupt.recv() => leave(SignalKind::interrupt()),
            _ = self.hangup.recv() => Event::Reload(None),
            Some(asked) = self.reloads.recv() => Event::Reload(Some(asked)),
        }
    }
}

/// Runs a daemon until it is told to leave. `ready` is called once, when every address is open and, where that is required, every
/// registry has answered; never if it is told to leave before.
///
/// # Errors
///
/// Returns why it did not start.
pub(crate) async fn serve(
    loaded: Loaded,
    reloader: Reloader,
    manager: Option<Manager>,
    ready: impl FnOnce(&[String]) -> io::Result<()>,
) -> Result<u8, StartError> {
    let failed = |what: &str, error: &io::Error| StartError {
        message: format!("{what}: {error}"),
        status: exit::FAILED,
    };
    // Before anything else, so that a signal during the start is not lost.
    let (reloads, asked) = api::reloads();
    let signals =
        Signals::listen(asked).map_err(|error| failed("cannot listen for signals", &error))?;
    let pid_file = take_pid_file(&loaded)?;
    for note in &loaded.notes {
        warn!("{note}");
    }
    let (settings, watched) = watch::channel(loaded.settings);
    // Before the daemon, which others would hear of.
    let listening = match &loaded.rest {
        Some(rest) => Some(Listening::at(rest).await?),
        None => None,
    };
    let daemon = engine::start(watched).await?;
    let described = Described::default();
    let observer = daemon.observer();
    let api = listening.map(|api| {
        described.set(loaded.layers.described());
        api.serve(observer.clone(), described.clone(), reloads)
    });
    let is_described = api.is_some();
    let addresses = daemon.addresses().to_vec();
    info!(
        addresses = addresses.join(" "),
        pid = std::process::id(),
        "listening"
    );
    let teller = Teller::new(manager, &addresses);
    let kept = teller.keep(daemon.health());
    let status = attend(
        daemon,
        signals,
        &settings,
        || {
            let loaded = reloader.load();
            match &loaded {
                // A long configuration takes a while to lay out, and nobody else sees it.
                Ok(loaded) if is_described => described.set(loaded.layers.described()),
                Ok(_) => {}
                Err(_) => observer.note_reload_failed(),
            }
            loaded.map(|loaded| loaded.settings)
        },
        || ready(&addresses),
        (&teller, kept),
    )
    .await;
    if let Some(api) = api {
        api.close().await;
    }
    drop(pid_file);
    status.map_err(|error| failed("cannot tell that the daemon listens", &error))
}

/// Serves until it is told to leave or the one app has run: the first request drains, a second one ends at once. All the while the
/// service manager is kept informed.
async fn attend<D: Running>(
    daemon: D,
    mut events: impl Events,
    settings: &watch::Sender<Settings>,
    mut load: impl FnMut() -> Result<Settings, String>,
    tell_ready: impl FnOnce() -> io::Result<()>,
    (teller, kept): (&Teller, impl Future<Output = Infallible>),
) -> io::Result<u8> {
    tokio::pin!(kept);
    let mut tell_ready = Some(tell_ready);
    let ended = loop {
        tokio::select! {
            () = daemon.ready(), if tell_ready.is_some() => {
                let told = tell_ready.take().map_or(Ok(()), |tell| tell());
                match told {
                    Ok(()) => teller.ready(),
                    Err(error) => break Some(Err(error)),
                }
            }
            event = events.next() => match event {
                Event::Leave(_) => break None,
                Event::Reload(asked) => {
                    teller.reloading();
                    let loaded = load().map(|fresh| settings.send_replace(fresh));
                    match &loaded {
                        Ok(_) => info!("configuration read again"),
                        Err(wrong) => error!("the configuration is wrong and the old one stays in force\n{wrong}"),
                    }
                    teller.reloaded(loaded.is_ok());
                    // Who asked may be gone.
                    let _told = asked.map(|asked| asked.send(loaded.map(|_| ())));
                }
            },
            status = daemon.finished() => {
                info!(status, "the one app has run");
                break Some(Ok(status));
            }
            never = &mut kept => match never {},
        }
    };
    teller.stopping();
    let drained = daemon.drain();
    tokio::pin!(drained);
    if let Some(ended) = ended {
        tokio::select! {
            () = &mut drained => return ended,
            never = &mut kept => match never {},
        }
    }
    info!("leaving: running pipes may end, no new ones are taken");
    loop {
        tokio::select! {
            // A drain begins before it can be cut short, and one that is over needs no cutting.
            biased;
            () = &mut drained => return Ok(exit::OK),
            event = events.next() => match event {
                Event::Leave(status) => {
                    warn!("told twice to leave: ending at once");
                    return Ok(status);
                }
                Event::Reload(_) => warn!("the configuration is not read again while leaving"),
            },
            never = &mut kept => match never {},
        }
    }
}

fn take_pid_file(loaded: &Loaded) -> Result<Option<PidFile>, StartError> {
    let path = &loaded.process.pid_file;
    let required = loaded.process.pid_file_required;
    let unwritable = |error: io::Error| StartError {
        message: format!("cannot write the pid file {}: {error}", path.display()),
        status: exit::NO_PERMISSION,
    };
    if let Some(directory) = path.parent().filter(|_| !required)
        && let Err(error) =
            config::ensure_private_dir(directory, rustix::process::geteuid().as_raw())
    {
        let beside = match directory.is_dir() {
            true => format!(", such as {}", directory.join("own").display()),
            false => String::new(),
        };
        warn!(
            "no pid file: {error}; dpipesd stop and dpipesd status find no daemon. Set DPIPES_RUNTIME_DIR, for them and for the daemon, to a \
             directory that this user has alone or may make{beside}"
        );
        return Ok(None);
    }
    match PidFile::take(path) {
        Ok(Some(held)) => Ok(Some(held)),
        Ok(None) if required => Err(StartError {
            message: format!("another process holds the pid file {}", path.display()),
            status: exit::UNAVAILABLE,
        }),
        Ok(None) => {
            warn!(
                "another dpipesd holds {}; this one runs without a pid file",
                path.display()
            );
            Ok(None)
        }
        Err(error) if required => Err(unwritable(error)),
        Err(error) => {
            warn!("no pid file: {}", unwritable(error));
            Ok(None)
        }
    }
}

// === impl Reloader ===

impl Reloader {
    /// Reads the configuration again. What is wrong with it is told with its place.
    fn load(&self) -> Result<Loaded, String> {
        let loaded = config::load(&self.surroundings, &self.flags, &Facts::of_this_machine());
        loaded.map_err(|wrong| wrong.render(false))
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use tokio::sync::{mpsc, oneshot};

    use super::*;

    /// A daemon that tells when it is drained.
    struct Fake {
        ready: bool,
        status: Option<u8>,
        drained: mpsc::Sender<()>,
        stuck: bool,
    }

    impl Running for Fake {
        async fn ready(&self) {
            if !self.ready {
                std::future::pending::<()>().await;
            }
        }

        async fn finished(&self) -> u8 {
            match self.status {
                Some(status) => status,
                None => std::future::pending().await,
            }
        }

        async fn drain(self) {
            self.drained.send(()).await.unwrap();
            if self.stuck {
                std::future::pending::<()>().await;
            }
        }
    }

    impl Events for mpsc::Receiver<Event> {
        async fn next(&mut self) -> Event {
            match self.recv().await {
                Some(event) => event,
                None => std::future::pending().await,
            }
        }
    }

    fn settings() -> Settings {
        let base = tempfile::tempdir().unwrap();
        let surroundings = Surroundings {
            uid: 1000,
            cwd: base.path().into(),
            environment: BTreeMap::new(),
            etc: base.path().into(),
        };
        let facts = Facts {
            hostname: "h".to_owned(),
            has_dpipes_user: false,
        };
        config::load(&surroundings, &Flags::default(), &facts)
            .unwrap()
            .settings
    }

    /// Runs a daemon through these events; returns its status, whether it was drained, and how often the configuration changed.
    async fn attended(
        events: Vec<Event>,
        status: Option<u8>,
        stuck: bool,
        mut files: Vec<Result<Settings, String>>,
    ) -> (u8, bool, usize) {
        let (sender, receiver) = mpsc::channel(8);
        for event in events {
            sender.send(event).await.unwrap();
        }
        let (drained, mut told) = mpsc::channel(1);
        let (settings, watched) = watch::channel(settings());
        let mut changes = 0;
        let load = || {
            let fresh = files.remove(0);
            changes += usize::from(fresh.is_ok());
            fresh
        };
        let teller = Teller::default();
        let attending = attend(
            Fake {
                ready: true,
                status,
                drained,
                stuck,
            },
            receiver,
            &settings,
            load,
            || Ok(()),
            (&teller, std::future::pending()),
        );
        let status = tokio::time::timeout(Duration::from_secs(30), attending)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(watched.has_changed().unwrap(), changes > 0);
        (status, told.try_recv().is_ok(), changes)
    }

    #[tokio::test]
    async fn the_first_request_drains() {
        assert_eq!(
            attended(vec![Event::Leave(143)], None, false, vec![]).await,
            (0, true, 0)
        );
    }

    #[tokio::test]
    async fn the_second_request_ends_a_drain_that_takes_too_long() {
        let events = vec![Event::Leave(143), Event::Reload(None), Event::Leave(130)];
        assert_eq!(attended(events, None, true, vec![]).await, (130, true, 0));
    }

    #[tokio::test]
    async fn a_wrong_file_keeps_the_old_configuration_and_a_right_one_replaces_it() {
        let wrong = || Err("it is wrong".to_owned());
        let (tell, told) = oneshot::channel();
        let events = vec![
            Event::Reload(Some(tell)),
            Event::Reload(None),
            Event::Leave(143),
        ];
        assert_eq!(
            attended(events, None, false, vec![wrong(), Ok(settings())]).await,
            (0, true, 1)
        );
        assert_eq!(told.await.unwrap(), Err("it is wrong".to_owned()));
        let events = vec![Event::Reload(None), Event::Leave(143)];
        assert_eq!(
            attended(events, None, false, vec![wrong()]).await,
            (0, true, 0)
        );
    }

    #[tokio::test]
    async fn the_end_of_the_one_app_is_the_end_of_the_daemon() {
        assert_eq!(attended(vec![], Some(7), false, vec![]).await, (7, true, 0));
    }

    #[tokio::test]
    async fn a_daemon_that_waits_to_be_ready_can_be_told_to_leave() {
        let (sender, receiver) = mpsc::channel(8);
        sender.send(Event::Leave(143)).await.unwrap();
        let (drained, mut told) = mpsc::channel(1);
        let fake = Fake {
            ready: false,
            status: None,
            drained,
            stuck: false,
        };
        let (settings, _watched) = watch::channel(settings());
        let teller = Teller::default();
        let never = || -> io::Result<()> { panic!("it is not ready") };
        let attending = attend(
            fake,
            receiver,
            &settings,
            || Err(String::new()),
            never,
            (&teller, std::future::pending()),
        );
        let status = tokio::time::timeout(Duration::from_secs(30), attending).await;
        assert_eq!(status.unwrap().unwrap(), exit::OK);
        assert!(told.try_recv().is_ok(), "it leaves in order");
    }

    #[tokio::test]
    async fn a_daemon_whose_starter_is_gone_leaves_in_order() {
        let (_sender, receiver) = mpsc::channel(8);
        let (drained, mut told) = mpsc::channel(1);
        let fake = Fake {
            ready: true,
            status: None,
            drained,
            stuck: false,
        };
        let (settings, _watched) = watch::channel(settings());
        let teller = Teller::default();
        let gone = || Err(io::ErrorKind::BrokenPipe.into());
        let attending = attend(
            fake,
            receiver,
            &settings,
            || Err(String::new()),
            gone,
            (&teller, std::future::pending()),
        );
        let ended = tokio::time::timeout(Duration::from_secs(30), attending).await;
        assert!(ended.unwrap().is_err());
        assert!(told.try_recv().is_ok());
    }
}
