//! The recipe: from a client's request to its outcome.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout};
use tracing::{debug, info, warn};

use super::{
    Cluster,
    chronicle::Page,
    place::{Trust, place},
    prepare::{PrepareError, Prepared, prepare},
    request::Request,
    runs::Registered,
    watch::watch,
};
use crate::{
    id::Attempt,
    media::{Coding, Compress},
    negotiate::ZSTD,
    transport::{PeerAddress, RecvStream, SendStream, Session, code},
    wire::message::{
        Ending, Failure, FromEntry, Outcome, Role, RunMode, RunRequest, ToEntry, milliseconds,
    },
};

/// How often a pipe is placed at most. Each try takes a node out for some stage, so three tries get past two bad nodes; more would
/// hide that the cluster is in trouble.
const MAX_ATTEMPTS: u32 = 3;

/// The same where nobody answered: a dial that is refused takes a millisecond and harms nobody, and half a rack may be gone before a
/// registry knows.
const MAX_UNREACHED: u32 = 16;

/// How long it may take until only [`MAX_ATTEMPTS`] count: one dial that is not answered takes as long.
const UNREACHED_FOR: Duration = Duration::from_secs(10);

/// How long a client may take from opening a run to saying what it wants: both are sent in one go.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The two ends of a client's run stream, and where its data streams are opened.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) session: Session,
    pub(super) to_client: SendStream,
    pub(super) from_client: RecvStream,
}

// === impl Client ===

impl Client {
    /// Whether its silence may be taken for its death. A session with a node is shared by many pipes and has that node's terms.
    pub(super) fn has_lease(&self) -> bool {
        let peer = self.session.peer();
        self.is_tcp() && peer.hello.role == Role::Client
    }

    fn is_tcp(&self) -> bool {
        matches!(self.session.peer().address, PeerAddress::Tcp(_))
    }

    fn has(&self, feature: &str) -> bool {
        self.session.peer().hello.features.contains(feature)
    }

    /// Whether it and this entry can do their part of what it asks for.
    fn check(&self, request: &Request) -> Result<(), Failure> {
        let unable = |who: &str, feature: &str, hint: &str| Failure::BadRequest {
            detail: format!("the {who} does not have the feature `{feature}`"),
            span: None,
            hint: Some(hint.to_owned()),
        };
        let mut needed = request.needed_of_client(self.is_tcp());
        if let Some(missing) = needed.find(|&needed| !self.has(needed)) {
            let hint = "upgrade dpipes on the client's machine";
            return Err(unable("client", missing, hint));
        }
        if request.compress == Compress::Zstd && !request.entry_compresses {
            let hint = "its owner says `streams: compress: false`; compress where both ends can: -o compress=auto";
            return Err(unable("entry", ZSTD, hint));
        }
        Ok(())
    }

    /// Whether what this entry sends to it is compressed. On a socket within a machine there is nothing to be won.
    pub(super) fn compress(&self, request: &Request) -> Compress {
        if self.is_tcp() && self.has(ZSTD) && request.entry_compresses {
            request.compress
        } else {
            Compress::Off
        }
    }

    /// Whether what it sends may travel like this. At its end of a tunnel there may be TCP where there is none here, or the other way round.
    pub(super) const fn may_send(request: &Request, coding: Coding) -> bool {
        match coding {
            Coding::Plain => true,
            Coding::Zstd => request.entry_compresses && !request.compress.is_off(),
            Coding::Unknown => false,
        }
    }
}

/// Serves one run of one client, to the end.
pub async fn serve(
    cluster: Arc<dyn Cluster>,
    session: Session,
    to_client: SendStream,
    from_client: RecvStream,
) {
    let mut client = Client {
        session,
        to_client,
        from_client,
    };
    let run = match timeout(REQUEST_TIMEOUT, client.from_client.message::<ToEntry>()).await {
        Ok(Ok(Some(ToEntry::Run(run)))) => *run,
        Ok(Ok(_)) => {
            return client
                .to_client
                .reset(code::FAILED, "the first message of a run is its request");
        }
        Ok(Err(error)) => return debug!(%error, "a client left before it said what to run"),
        Err(_) => return client.to_client.reset(code::FAILED, "no request came"),
    };
    let began = Instant::now();
    let pipe = run.pipe;
    let Some(mut registered) = cluster.runs().register(pipe) else {
        return client
            .to_client
            .reset(code::FAILED, "a pipe of this name is running already");
    };
    info!(%pipe, mode = ?run.mode, "run asked for");
    let owner = client.session.peer().address.clone();
    // What is only checked is no pipe.
    let page = (run.mode == RunMode::Run).then(|| {
        cluster.count_begun();
        cluster
            .runs()
            .chronicle()
            .begin(pipe, &run.expression, owner)
    });
    let mut outcome = drive(
        cluster.clone(),
        run,
        &mut client,
        &mut registered,
        page.as_ref(),
        began,
    )
    .await;
    outcome.elapsed_ms = milliseconds(began.elapsed());
    if let Some(page) = page {
        cluster.count_over(&outcome.ending);
        page.close(&outcome);
    }
    match &outcome.ending {
        Ending::Complete => info!(%pipe, elapsed_ms = outcome.elapsed_ms, "run complete"),
        Ending::Failed(failure) => warn!(%pipe, ?failure, "run failed"),
    }
    let said = client
        .to_client
        .message(&FromEntry::Outcome(Box::new(outcome)))
        .await;
    if said.is_ok() {
        // The client reads the outcome and leaves; whether it was there to see it makes no difference any more.
        let _ = client.to_client.finish().await;
    }
    // Only now is the run over for a daemon that waits for its runs before it leaves.
    drop(registered);
}

async fn drive(
    cluster: Arc<dyn Cluster>,
    run: RunRequest,
    client: &mut Client,
    registered: &mut Registered,
    page: Option<&Page>,
    began: Instant,
) -> Outcome {
    let mode = run.mode;
    let request = match Request::new(run, &cluster.defaults()) {
        Ok(request) => request,
        Err(failure) => return failed(failure),
    };
    if let Err(failure) = client.check(&request) {
        return failed(failure);
    }
    // A client that leaves or gives up while nodes are being asked need not wait for them: nothing was started.
    let prepared = tokio::select! {
        prepared = agree(&request, cluster.as_ref()) => prepared,
        failure = gave_up(&mut client.from_client) => Err(failure),
    };
    let prepared = match prepared {
        Ok(prepared) => prepared,
        Err(failure) => return failed(failure),
    };
    if let Some(page) = page {
        page.agreed(&prepared.stages);
    }
    let lease = client.has_lease().then_some(request.lease);
    let agreed = FromEntry::Agreed {
        stages: prepared.stages.clone(),
        elapsed_ms: milliseconds(began.elapsed()),
        lease_ms: lease.map(milliseconds),
    };
    if client.to_client.message(&agreed).await.is_err() {
        return failed(Failure::Aborted {
            reason: "the client left".to_owned(),
            signal: None,
        });
    }
    if lease.is_some() {
        client.session.set_lease(lease);
    }
    for text in &prepared.notes {
        // A client that is gone is noticed where it is listened to.
        let _ = client
            .to_client
            .message(&FromEntry::Note { text: text.clone() })
            .await;
    }
    match mode {
        // Dropping the parts resets their streams, and the nodes let go of what they prepared.
        RunMode::Check => Outcome {
            ending: Ending::Complete,
            stages: Vec::new(),
            streams: 0,
            elapsed_ms: 0,
        },
        RunMode::Run => watch(request, prepared, client, registered, page, cluster).await,
    }
}

/// Places and asks until everybody agrees or nobody will.
async fn agree(request: &Request, cluster: &dyn Cluster) -> Result<Prepared, Failure> {
    let apps = request.apps().collect();
    let began = Instant::now();
    let mut excluded = Vec::new();
    let mut trust = Trust::Registries;
    let mut attempt = Attempt::FIRST;
    let mut last: Option<Failure> = None;
    loop {
        let view = cluster.view(&apps).await;
        let sources = cluster.sources();
        let plan = match place(request, &view, &sources, &excluded, trust, cluster).await {
            Ok(plan) => plan,
            // What the nodes said tells the user more than that no other node is left.
            Err(failure) => return Err(last.unwrap_or(failure)),
        };
        match prepare(request, &plan, attempt, cluster).await {
            Ok(prepared) => return Ok(prepared),
            Err(PrepareError::Final(failure)) => return Err(failure),
            Err(PrepareError::Elsewhere {
                excluded: more,
                failure,
            }) => {
                debug!(%attempt, ?failure, "placed anew");
                excluded.extend(more);
                let failure = with_earlier(last.take(), failure);
                let is_unreached = matches!(failure, Failure::Unreachable { .. });
                let limit = if is_unreached && began.elapsed() < UNREACHED_FOR {
                    MAX_UNREACHED
                } else {
                    MAX_ATTEMPTS
                };
                if attempt.0 >= limit {
                    return Err(failure);
                }
                if is_unreached {
                    trust = Trust::OwnEars;
                }
                last = Some(failure);
                attempt = attempt.next();
            }
        }
    }
}

/// Keeps every address that was tried in the message of the last failure.
fn with_earlier(earlier: Option<Failure>, later: Failure) -> Failure {
    match (earlier, later) {
        (
            Some(Failure::Unreachable { tried: mut all, .. }),
            Failure::Unreachable { stage, app, tried },
        ) => {
            all.extend(tried);
            Failure::Unreachable {
                stage,
                app,
                tried: all,
            }
        }
        (_, later) => later,
    }
}

async fn gave_up(from_client: &mut RecvStream) -> Failure {
    loop {
        match from_client.message::<ToEntry>().await {
            Ok(Some(ToEntry::Signal { signal })) => {
                return Failure::Aborted {
                    reason: format!("signal {signal}"),
                    signal: Some(signal),
                };
            }
            Ok(Some(ToEntry::Abort { reason })) => {
                return Failure::Aborted {
                    reason,
                    signal: None,
                };
            }
            Ok(Some(ToEntry::Run(_) | ToEntry::Suspend | ToEntry::Resume | ToEntry::Unknown)) => {}
            Ok(None) | Err(_) => {
                return Failure::Aborted {
                    reason: "the client left".to_owned(),
                    signal: None,
                };
            }
        }
    }
}

fn failed(failure: Failure) -> Outcome {
    Outcome {
        ending: Ending::Failed(failure),
        stages: Vec::new(),
        streams: 0,
        elapsed_ms: 0,
    }
}
