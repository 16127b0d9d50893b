//! From Start to the last record: streams are carried through the entry, events are collected, and a failure ends the pipe everywhere.

mod over;
mod streams;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};
use tracing::{debug, warn};

use super::{
    Cluster,
    chronicle::Page,
    prepare::{Links, Part, Prepared},
    relay::RelayEnd,
    request::{OnLoss, Request},
    run::Client,
    runs::Registered,
    verdict::{Evidence, verdict},
};
use crate::{
    id::{NodeId, StageNumber},
    media::Coding,
    transport::{RecvStream, SendStream},
    wire::message::{
        Exit, Failure, FromEntry, FromNode, LinkEndpoint, Outcome, Purpose, StageRecord, ToEntry,
        ToNode,
    },
};

/// How long past `kill-grace` the last records are waited for: SIGKILL, reaping and one message take milliseconds, on a machine that is
/// out of memory seconds.
const RECORD_MARGIN: Duration = Duration::from_secs(5);

/// How long a control message may wait for room. A node that has not read 4 MiB of them is no longer serving its pipes.
const CONTROL_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the last stage's link may take to open after Start, on top of what it takes the session to be found dead.
const LINK_TIMEOUT: Duration = Duration::from_secs(20);

/// Events that wait for the loop at most; the tasks that bring them wait in turn.
const EVENTS: usize = 256;

/// What happened.
enum Event {
    Node(NodeId, FromNode),
    NodeOver(NodeId, Option<String>),
    Relay(Route, RelayEnd),
}

/// What a relay carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Stdin,
    Stdout,
    Stderr(StageNumber),
}

/// How far the last stage's output is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stdout {
    /// Its link is not open yet.
    Awaited,
    Flowing,
    Over,
}

/// Whether the pipe is still meant to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// Every node was told to end it; what is not reported by then is unknown.
    Ending(Instant),
}

struct Watch<'a> {
    request: Request,
    attempt: crate::id::Attempt,
    digest: String,
    links: Links,
    entry: NodeId,
    client: &'a mut Client,
    page: Option<&'a Page>,
    nodes: BTreeMap<NodeId, Node>,
    records: Vec<Option<StageRecord>>,
    /// The node of each stage.
    places: Vec<NodeId>,
    started: usize,
    failures: Vec<Failure>,
    phase: Phase,
    stdout: Stdout,
    stdout_end: Option<RelayEnd>,
    /// The stream to the client's stdout and how it travels, until the last stage's link is there.
    stdout_to_client: Option<(SendStream, Coding)>,
    /// The stream to the first stage and how it travels, until the client's stdin is there.
    stdin_to_stage: Option<(SendStream, Coding)>,
    stdin_bytes: Arc<AtomicU64>,
    stdin_end: Option<RelayEnd>,
    delivered: Arc<AtomicU64>,
    /// stderr relays that were begun and have ended, by stage.
    stderr_over: BTreeMap<StageNumber, bool>,
    streams: u32,
    tasks: JoinSet<()>,
    events: mpsc::Sender<Event>,
}

struct Node {
    stages: Vec<StageNumber>,
    to_node: SendStream,
    /// Whether it was not lost.
    alive: bool,
}

/// Starts what was prepared and stays until it is over.
pub(super) async fn watch(
    request: Request,
    prepared: Prepared,
    client: &mut Client,
    registered: &mut Registered,
    page: Option<&Page>,
    cluster: Arc<dyn Cluster>,
) -> Outcome {
    let (events, mut incoming) = mpsc::channel(EVENTS);
    let deadline = request
        .run
        .options
        .timeout_ms
        .map(|limit| (limit, Instant::now() + Duration::from_millis(limit)));
    let ending = cluster.ending();
    let mut watch = Watch::new(
        request,
        &prepared,
        client,
        page,
        cluster.node().clone(),
        events,
    );
    watch.start(prepared).await;
    let link_deadline = Instant::now() + LINK_TIMEOUT;
    let mut ended_by_entry = false;

    while !watch.is_over() {
        let wake = watch.next_deadline(deadline, link_deadline);
        tokio::select! {
            Some(event) = incoming.recv() => watch.on_event(event).await,
            Some(arrival) = registered.arrivals.recv() => watch.on_arrival(arrival).await,
            said = watch.client.from_client.message::<ToEntry>(), if watch.phase == Phase::Running => match said {
                Ok(Some(message)) => watch.on_client(message).await,
                Ok(None) | Err(_) => watch.fail(Failure::Aborted { reason: "the client left".to_owned(), signal: None }).await,
            },
            Some(Err(error)) = watch.tasks.join_next() => {
                // A task that panicked is a bug, and what it would have told is missing: the run must neither hang nor be believed.
                watch.fail(Failure::Entry { detail: format!("internal error: {error}") }).await;
            }
            () = ending.cancelled(), if !ended_by_entry => {
                ended_by_entry = true;
                watch.fail(Failure::Entry { detail: format!("the entry {} is shutting down", watch.entry) }).await;
            }
            () = sleep_until(wake) => {
                if !watch.on_wake(deadline, link_deadline).await {
                    break;
                }
            }
        }
    }
    watch.finish()
}

// === impl Watch ===

impl<'a> Watch<'a> {
    fn new(
        request: Request,
        prepared: &Prepared,
        client: &'a mut Client,
        page: Option<&'a Page>,
        entry: NodeId,
        events: mpsc::Sender<Event>,
    ) -> Self {
        let places: Vec<NodeId> = prepared
            .stages
            .iter()
            .map(|stage| stage.node.clone())
            .collect();
        Watch {
            request,
            attempt: prepared.attempt,
            digest: prepared.digest.clone(),
            links: prepared.links,
            entry,
            client,
            page,
            nodes: BTreeMap::new(),
            records: vec![None; places.len()],
            places,
            started: 0,
            failures: Vec::new(),
            phase: Phase::Running,
            stdout: Stdout::Awaited,
            stdout_end: None,
            stdout_to_client: None,
            stdin_to_stage: None,
            stdin_bytes: Arc::default(),
            stdin_end: None,
            delivered: page.map_or_else(Arc::default, Page::delivered),
            stderr_over: BTreeMap::new(),
            streams: 0,
            tasks: JoinSet::new(),
            events,
        }
    }

    fn last(&self) -> StageNumber {
        StageNumber::from_index(self.places.len() - 1)
    }

    /// Opens the client's stdout, tells every node to start, and opens the link that feeds the first stage.
    async fn start(&mut self, prepared: Prepared) {
        let pipe = self.request.run.pipe;
        let client = &self.client.session;
        let coding = client.coding(self.client.compress(&self.request)).await;
        match client.open_uni(&Purpose::Stdout { pipe, coding }).await {
            Ok(stream) => {
                self.stdout_to_client = Some((stream, coding));
                self.streams += 1;
            }
            Err(_) => {
                return self
                    .fail(Failure::Aborted {
                        reason: "the client left".to_owned(),
                        signal: None,
                    })
                    .await;
            }
        }
        let first_session = prepared
            .parts
            .iter()
            .find(|part| part.node == self.places[0])
            .map(|part| part.session.clone());
        let terms = ToNode::Start {
            terms: prepared.terms,
        };
        for Part {
            node,
            stages,
            mut to_node,
            from_node,
            ..
        } in prepared.parts
        {
            let said = timeout(CONTROL_TIMEOUT, to_node.message(&terms)).await;
            self.nodes.insert(
                node.clone(),
                Node {
                    stages,
                    to_node,
                    alive: true,
                },
            );
            self.tasks
                .spawn(listen(node.clone(), from_node, self.events.clone()));
            if !matches!(said, Ok(Ok(()))) {
                self.lost(&node, "it did not take the start".to_owned())
                    .await;
            }
        }
        if self.request.run.stdin
            && let Some(session) = first_session
        {
            let coding = session.coding(self.links.first).await;
            let purpose = Purpose::Link {
                pipe,
                attempt: self.attempt,
                from: LinkEndpoint::Client,
                to: LinkEndpoint::Stage(StageNumber::FIRST),
                digest: self.digest.clone(),
                coding,
            };
            match session.open_uni(&purpose).await {
                Ok(stream) => self.stdin_to_stage = Some((stream, coding)),
                Err(error) => {
                    debug!(%error, "the first stage's link could not be opened; its control stream tells why")
                }
            }
        }
    }

    async fn on_event(&mut self, event: Event) {
        match event {
            Event::Node(node, message) => self.on_node(node, message).await,
            Event::NodeOver(node, why) => self.on_node_over(&node, why).await,
            Event::Relay(route, end) => self.on_relay(route, end).await,
        }
    }

    async fn on_node(&mut self, node: NodeId, message: FromNode) {
        match message {
            FromNode::Started { .. } => {
                self.started += 1;
                if self.started == self.places.len() {
                    self.page.inspect(|page| page.started());
                    self.tell_client(&FromEntry::Started).await;
                }
            }
            FromNode::ExecFailed { stage, step, errno } => {
                let app = self.app(stage);
                self.fail(Failure::ExecFailed {
                    stage,
                    app,
                    node,
                    step,
                    errno,
                })
                .await;
            }
            FromNode::LimitReached { stage, limit } => {
                let app = self.app(stage);
                self.fail(Failure::LimitReached {
                    stage,
                    app,
                    node,
                    limit,
                })
                .await;
            }
            FromNode::BadObject {
                from,
                to,
                format,
                number,
                offset,
                problem,
            } => {
                let writer = match from {
                    LinkEndpoint::Client => None,
                    LinkEndpoint::Stage(stage) => Some(stage),
                };
                let place = |stage: StageNumber| self.places.get(stage.index()).cloned();
                self.fail(Failure::BadObject {
                    from,
                    app: writer.map_or_else(String::new, |stage| self.app(stage)),
                    node: writer.and_then(place),
                    to: LinkEndpoint::Stage(to),
                    format,
                    number,
                    offset,
                    problem,
                })
                .await;
            }
            FromNode::LinkLost {
                from,
                to,
                peer,
                bytes,
                detail,
            } => {
                let delivered = self.delivered.load(Ordering::Relaxed);
                self.fail(Failure::LostLink {
                    from,
                    to,
                    node,
                    peer,
                    bytes,
                    detail,
                    delivered,
                })
                .await;
            }
            FromNode::Progress { stages } => {
                self.page.inspect(|page| page.progress(&stages));
                if !self.request.run.options.progress {
                    return;
                }
                // Of the moment: a client without room for it, as one that is suspended, goes without.
                let message = FromEntry::Progress { stages };
                let _ = timeout(Duration::ZERO, self.client.to_client.message(&message)).await;
            }
            FromNode::Lingering {
                stage,
                exit,
                holder,
            } => {
                let ended = match exit {
                    Exit::Code(code) => format!("exited {code}"),
                    Exit::Signal(signal) => format!("was killed by signal {signal}"),
                    Exit::NotStarted | Exit::Unknown => "ended".to_owned(),
                };
                let text = format!(
                    "stage {stage} `{}` on {node} {ended}, but its output is still held by {holder}",
                    self.app(stage)
                );
                self.tell_client(&FromEntry::Note { text }).await;
            }
            FromNode::Ended(record) => {
                let index = record.stage.index();
                // A node speaks for its own stages only, and once for each.
                let own = self.places.get(index) == Some(&node);
                match self.records.get_mut(index) {
                    Some(slot @ None) if own => {
                        self.page.inspect(|page| page.ended(&record));
                        *slot = Some(*record);
                    }
                    _ => {
                        warn!(%node, stage = %record.stage, "a record that was not due was ignored")
                    }
                }
            }
            FromNode::Answer(_) | FromNode::Unknown => {}
        }
    }

    async fn on_node_over(&mut self, node: &NodeId, why: Option<String>) {
        let Some(part) = self.nodes.get(node) else {
            return;
        };
        // A node that reported all its stages may still have output on its way.
        let unreported = part
            .stages
            .iter()
            .any(|stage| self.records[stage.index()].is_none());
        if unreported {
            self.lost(
                node,
                why.unwrap_or_else(|| {
                    "it ended its part without a word about its stages".to_owned()
                }),
            )
            .await;
        }
    }

    async fn on_client(&mut self, message: ToEntry) {
        match message {
            ToEntry::Signal { signal } => {
                self.tell_nodes(&ToNode::Signal {
                    signal,
                    stage: None,
                })
                .await
            }
            ToEntry::Suspend => {
                if self.client.has_lease() {
                    self.client.session.set_lease(None);
                }
                self.tell_client(&FromEntry::Frozen).await;
            }
            ToEntry::Resume if self.client.has_lease() => {
                self.client.session.set_lease(Some(self.request.lease));
            }
            ToEntry::Abort { reason } => {
                self.fail(Failure::Aborted {
                    reason,
                    signal: None,
                })
                .await
            }
            ToEntry::Resume | ToEntry::Run(_) | ToEntry::Unknown => {}
        }
    }

    /// Notes a failure; the first one ends the pipe everywhere, unless losses are to pass as ends of file.
    async fn fail(&mut self, failure: Failure) {
        let is_loss = matches!(failure, Failure::LostNode { .. } | Failure::LostLink { .. });
        self.failures.push(failure);
        if self.phase != Phase::Running || (is_loss && self.request.on_loss == OnLoss::Eof) {
            return;
        }
        self.phase = Phase::Ending(Instant::now() + self.request.kill_grace + RECORD_MARGIN);
        let reason = self.failures.first().map_or_else(String::new, describe);
        self.tell_nodes(&ToNode::Abort { reason }).await;
    }

    async fn lost(&mut self, node: &NodeId, detail: String) {
        let Some(part) = self.nodes.get_mut(node) else {
            return;
        };
        part.alive = false;
        let stages = part.stages.clone();
        let failure = Failure::LostNode {
            node: node.clone(),
            apps: stages.iter().map(|stage| self.app(*stage)).collect(),
            stages,
            detail,
            delivered: self.delivered.load(Ordering::Relaxed),
        };
        self.fail(failure).await;
    }

    async fn tell_nodes(&mut self, message: &ToNode) {
        // The last node first: the downstream end knows that it ends before it could see what the upstream end left behind.
        let order: Vec<NodeId> = self.places.iter().rev().cloned().collect();
        let mut told = std::collections::BTreeSet::new();
        for node in order {
            if !told.insert(node.clone()) {
                continue;
            }
            if let Some(part) = self.nodes.get_mut(&node).filter(|part| part.alive)
                && !matches!(
                    timeout(CONTROL_TIMEOUT, part.to_node.message(message)).await,
                    Ok(Ok(()))
                )
            {
                debug!(%node, "a control message was not taken; the node's own stream tells why");
            }
        }
    }

    async fn tell_client(&mut self, message: &FromEntry) {
        // A client that is gone is noticed where it is listened to.
        let _ = timeout(CONTROL_TIMEOUT, self.client.to_client.message(message)).await;
    }

    fn app(&self, stage: StageNumber) -> String {
        self.request
            .pipeline
            .stages
            .get(stage.index())
            .map(|stage| stage.app.word.to_string())
            .unwrap_or_default()
    }

    fn finish(self) -> Outcome {
        let evidence = Evidence {
            records: &self.records,
            places: &self.places,
            failures: &self.failures,
            stdin_sent: self
                .stdin_end
                .is_some()
                .then(|| self.stdin_bytes.load(Ordering::Relaxed)),
            stdout_end: self.stdout_end.as_ref(),
            delivered: self.delivered.load(Ordering::Relaxed),
        };
        let ending = verdict(&evidence);
        let apps: Vec<String> = self.request.apps().collect();
        let stages = self
            .records
            .into_iter()
            .zip(self.places)
            .zip(apps)
            .enumerate();
        Outcome {
            ending,
            stages: stages
                .map(|(index, ((record, node), app))| {
                    let stage = StageNumber::from_index(index);
                    record.unwrap_or_else(|| StageRecord::unknown(stage, app, node))
                })
                .collect(),
            streams: self.streams,
            elapsed_ms: 0,
        }
    }
}

/// Brings a node's messages to the loop until its stream ends.
async fn listen(node: NodeId, mut from_node: RecvStream, events: mpsc::Sender<Event>) {
    loop {
        let event = match from_node.message::<FromNode>().await {
            Ok(Some(message)) => Event::Node(node.clone(), message),
            Ok(None) => Event::NodeOver(node.clone(), None),
            Err(error) => Event::NodeOver(node.clone(), Some(error.to_string())),
        };
        let over = matches!(event, Event::NodeOver(..));
        if events.send(event).await.is_err() || over {
            return;
        }
    }
}

fn describe(failure: &Failure) -> String {
    match failure {
        Failure::LostNode { node, .. } => format!("{node} was lost"),
        Failure::LostLink { peer, .. } => format!("the link with {peer} broke"),
        Failure::TimedOut { .. } => "the time limit was reached".to_owned(),
        Failure::ExecFailed { stage, app, .. } => {
            format!("stage {stage} `{app}` could not be executed")
        }
        Failure::LimitReached {
            stage, app, limit, ..
        } => format!("stage {stage} `{app}` reached its limit, {limit}"),
        Failure::BadObject { format, .. } => format!("what was written was no {format}"),
        Failure::Aborted { reason, .. } => reason.clone(),
        Failure::Entry { detail } => detail.clone(),
        _ => "the run failed".to_owned(),
    }
}
