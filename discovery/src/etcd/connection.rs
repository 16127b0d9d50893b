//! One client for all that is asked: connected when first needed, and again with fresh credentials after a refusal.

use std::{
    fmt,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use etcd_client::{Client, ConnectOptions, Error};
use tokio::{
    sync::Mutex,
    time::{sleep, timeout},
};
use tracing::{debug, warn};

use super::{
    Config, Password,
    endpoints::Endpoints,
    failure::{self, Failure},
    tls,
};
use crate::{FileTrouble, RegistryError, file};

/// Longest wait for an answer. A member on a LAN answers in milliseconds, and within two seconds when it has to elect first; a second
/// more separates slow from dead.
pub(super) const CALL: Duration = Duration::from_secs(3);
/// Idle time after which a connection is probed. Members throw off who probes more often than every five seconds.
const PROBE_AFTER: Duration = Duration::from_secs(10);
/// Longest wait for the answer to a probe; then everything on the connection fails. With [`PROBE_AFTER`] a frozen member is noticed
/// within 13 s.
const PROBE_ANSWER: Duration = Duration::from_secs(3);
/// How often a call that reached no server is made: with three members of which one is dead, each try meets a live one with 2/3.
const TRIES: u32 = 3;
/// The wait before the second try; the third waits twice as long. A dead member refuses at once.
const RETRY: Duration = Duration::from_millis(30);

/// Largest password file; beyond this the path is wrong.
const MAX_PASSWORD: u64 = 4096;

/// The way to a cluster, shared by everything that uses it.
pub(super) struct Connection {
    config: Arc<Config>,
    pub(super) endpoints: Endpoints,
    slot: Mutex<Slot>,
    /// Whether a server ever answered: addresses and TLS are right then, and messages need not doubt them.
    answered: AtomicBool,
}

/// The present client.
#[derive(Default)]
struct Slot {
    /// Counts clients, so that who was refused replaces only the one that was.
    generation: u64,
    client: Option<Client>,
}

// === impl Connection ===

impl Connection {
    pub(super) fn new(config: Arc<Config>) -> Result<Self, RegistryError> {
        let endpoints = Endpoints::new(&config.endpoints, &config.tls)?;
        if config.user.is_none() && config.password != Password::None {
            let detail = "there is a password, but no user".to_owned();
            return Err(RegistryError::Rejected { detail });
        }
        Ok(Self {
            config,
            endpoints,
            slot: Mutex::default(),
            answered: AtomicBool::new(false),
        })
    }

    /// Makes a call, with a deadline, and again at once when it reached no server. A call that is made twice must do no harm.
    pub(super) async fn call<T, F, Answer>(&self, call: F) -> Result<T, Failure>
    where
        F: Fn(Client) -> Answer + Send + Sync,
        Answer: Future<Output = Result<T, Error>> + Send,
        T: Send,
    {
        let mut tries = 1;
        loop {
            let (error, generation) = match self.try_once(&call).await? {
                Ok(answer) => {
                    self.answered.store(true, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(refusal) => refusal,
            };
            let failure = if self.answered.load(Ordering::Relaxed) {
                Failure::new(&error, &self.endpoints)
            } else {
                Failure::first(&error, &self.endpoints)
            };
            if failure::is_about_credentials(&error, &failure, self.endpoints.secure) {
                self.replace(generation).await;
            }
            if failure::is_transport(&error) && tries < TRIES {
                sleep(RETRY * tries).await;
                tries += 1;
                continue;
            }
            return Err(failure);
        }
    }

    /// One try. The outer error is final.
    async fn try_once<T, F, Answer>(&self, call: &F) -> Result<Result<T, (Error, u64)>, Failure>
    where
        F: Fn(Client) -> Answer + Send + Sync,
        Answer: Future<Output = Result<T, Error>> + Send,
    {
        let silence = |_| Failure::silence(&self.endpoints);
        let (generation, client) = match timeout(CALL, self.client()).await.map_err(silence)?? {
            Ok(client) => client,
            Err(error) => return Ok(Err((error, 0))),
        };
        let answer = timeout(CALL, call(client)).await.map_err(silence)?;
        Ok(answer.map_err(|error| (error, generation)))
    }

    /// The present client, or a new one.
    async fn client(&self) -> Result<Result<(u64, Client), Error>, Failure> {
        let mut slot = self.slot.lock().await;
        let client = match &slot.client {
            Some(client) => client.clone(),
            None => match self.connect().await? {
                Ok(client) => {
                    slot.generation += 1;
                    slot.client.insert(client).clone()
                }
                Err(error) => return Ok(Err(error)),
            },
        };
        Ok(Ok((slot.generation, client)))
    }

    /// Makes the next call connect anew, with what the files say then.
    async fn replace(&self, generation: u64) {
        let mut slot = self.slot.lock().await;
        if slot.generation == generation {
            slot.client = None;
        }
    }

    /// A client. With a user this asks the cluster for a token, otherwise it sends nothing.
    async fn connect(&self) -> Result<Result<Client, Error>, Failure> {
        debug!(endpoints = %self.endpoints.shown, "connecting");
        let mut options = ConnectOptions::new()
            .with_connect_timeout(CALL)
            .with_keep_alive(PROBE_AFTER, PROBE_ANSWER)
            .with_keep_alive_while_idle(true)
            .with_require_leader(true)
            .with_auto_token_refresh(true);
        if self.endpoints.secure {
            options = options.with_tls(tls::options(&self.config.tls).await?);
        }
        let urls = &self.endpoints.urls;
        let Some(user) = &self.config.user else {
            return Ok(Client::connect(urls, Some(options)).await);
        };
        let password = password(&self.config.password).await?;
        let known = options.clone().with_user(user, password);
        match Client::connect(urls, Some(known)).await {
            Err(error) if failure::is_auth_disabled(&error) => {
                warn!(endpoints = %self.endpoints.shown, %user, "authentication is not enabled there; going on without the user");
                Ok(Client::connect(urls, Some(options)).await)
            }
            result => Ok(result),
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("endpoints", &self.endpoints.shown)
            .finish_non_exhaustive()
    }
}

async fn password(password: &Password) -> Result<String, Failure> {
    match password {
        Password::None => Ok(String::new()),
        Password::Value(secret) => Ok(secret.reveal().to_owned()),
        Password::File(path) => match file::read(path, MAX_PASSWORD).await {
            Ok((text, _)) => Ok(text.trim_end_matches(['\r', '\n']).to_owned()),
            Err(error) => {
                let trouble = FileTrouble::of(path, &error);
                let path = path.display();
                let detail = format!("the password file {path} cannot be read: {trouble}");
                Err(RegistryError::Denied { detail }.into())
            }
        },
    }
}
