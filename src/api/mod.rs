//! The REST API, the events, the metrics and the dashboard: HTTP for those who watch and steer.
//!
//! ```text
//! server  accepts, limits, and says who asks      (Caller)
//!   guard   host, origin and token                (problem documents)
//!     routes  one file for each group of paths    --> daemon::Observer, client::run
//! ```
//!
//! It is off unless the configuration gives it an address. On a unix socket the kernel says who asks, and they may do what they may do with
//! `dpipes`. Over TCP everybody of the machine looks the same, web pages in its browsers among them: reading shows no arguments there, and a
//! change takes a token.
//!
//! Nothing here is on the way of a pipe's data but those of a pipe that was started here.

mod guard;
mod problem;
mod routes;
mod server;
mod settings;
mod state;
mod token;
mod unstuck;
mod web;

use std::{io, sync::Arc};

use tokio_util::task::TaskTracker;
use tracing::{info, warn};

pub use self::{
    routes::openapi,
    settings::RestSettings,
    state::{Described, ReloadRequest, Reloads, reloads},
};
use self::{server::Server, state::State, token::Token};
use crate::daemon::{ListenError, Observer};

/// Addresses that are open for an API.
#[derive(Debug)]
pub struct Listening {
    servers: Vec<Server>,
    token: Option<Token>,
    settings: RestSettings,
}

/// An API that is served.
#[derive(Debug)]
pub struct Api {
    state: Arc<State>,
    tasks: TaskTracker,
}

/// Why an API is not served.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// It cannot listen.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// There is no token for those who may change something.
    #[error("cannot use {path} as the token of the REST API: {error}")]
    Token {
        /// The file.
        path: String,
        /// Why not.
        #[source]
        error: io::Error,
    },
}

// === impl Listening ===

impl Listening {
    /// Listens, without an answer to anybody yet.
    ///
    /// # Errors
    ///
    /// See [`ApiError`].
    pub async fn at(settings: &RestSettings) -> Result<Self, ApiError> {
        let mut servers = Vec::new();
        for listen in &settings.listen {
            servers.push(Server::bind(listen).await?);
        }
        let token = match settings.has_tcp() {
            true => Some(token::read_or_make(&settings.token_file).map_err(|error| {
                let path = settings.token_file.display().to_string();
                ApiError::Token { path, error }
            })?),
            false => None,
        };
        Ok(Self {
            servers,
            token,
            settings: settings.clone(),
        })
    }

    /// Serves until [`Api::close`].
    #[must_use]
    pub fn serve(self, observer: Observer, described: Described, reloads: Reloads) -> Api {
        let Self {
            servers,
            token,
            settings,
        } = self;
        let addresses: Vec<_> = servers.iter().map(Server::address).collect();
        info!(addresses = addresses.join(" "), "REST API");
        if settings.has_tcp() && !settings.require_token {
            warn!(
                "the REST API takes changes over TCP without its token: every user and every program of this machine can run pipes"
            );
        }
        let state = Arc::new(State::new(observer, settings, token, described, reloads));
        let tasks = TaskTracker::new();
        for server in servers {
            let router = routes::router(&state);
            tasks.spawn(server.serve(router, state.clone(), tasks.clone()));
        }
        Api { state, tasks }
    }
}

// === impl Api ===

impl Api {
    /// Ends it, with the answers that go on.
    pub async fn close(self) {
        self.state.closing().cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}
