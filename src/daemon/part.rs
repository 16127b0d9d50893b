//! One pipe's part on this node: from the offer to the last record.
//!
//! ```text
//! offer -> prepare -> answer -> (all accepted) -> barrier --Start--> running --all stages over--> sweep -> records
//!             |                                     |                  |
//!             +- refused: over                      +- abort, loss:    +- abort, loss: last stage first, none sees an EOF
//!                                                      shims leave
//! ```
//!
//! The part needs no coordinator to end: when its control stream is lost, it ends its stages by itself.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};
use tracing::{Instrument as _, debug, info, warn};

use super::{
    abort,
    node::{Node, Slots},
    pace::Pace,
    pipes::Entered,
    prepare::{self, Ready},
    running::Entered as StagesEntered,
    stage::{self, Context, Report, StageHandle},
    watched::Watched,
};
use crate::{
    id::{Attempt, PipeId, StageNumber},
    negotiate,
    transport::{RecvStream, SendStream, Session, code},
    wire::message::{
        Accept, Answer, Exit, FromNode, LinkEndpoint, Offer, Refusal, RefusalKind, StageAnswer,
        StageRecord, Terms, ToNode,
    },
};

/// How long an entry may take from opening a part to its offer: both are sent in one go.
const OFFER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long prepared stages wait for the others' answers: a little longer than an entry waits for the slowest of them.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a report to the entry may wait for room. An entry that has not read 4 MiB of them serves this pipe no more.
const REPORT_TIMEOUT: Duration = Duration::from_secs(10);

/// Reports of stages that wait for the part's loop at most; the stages wait in turn.
const REPORTS: usize = 64;

/// Serves one control stream to its end.
pub(super) async fn serve(
    node: Arc<Node>,
    entry: Session,
    name: (PipeId, Attempt),
    mut to_entry: SendStream,
    mut from_entry: RecvStream,
) {
    let offer = match timeout(OFFER_TIMEOUT, from_entry.message::<ToNode>()).await {
        Ok(Ok(Some(ToNode::Offer(offer)))) if (offer.pipe, offer.attempt) == name => *offer,
        Ok(Ok(_)) => {
            return to_entry.reset(code::FAILED, "the first message of a part is its offer");
        }
        Ok(Err(error)) => return debug!(%error, "an entry left before its offer"),
        Err(_) => return to_entry.reset(code::FAILED, "no offer came"),
    };
    let (answer, accepted) = consider(&node, &entry, name, &offer).await;
    for stage in &answer.stages {
        if let StageAnswer::Refuse(refusal) = stage {
            node.metrics().stage_refused(&refusal.parameter);
        }
    }
    if timeout(
        REPORT_TIMEOUT,
        to_entry.message(&FromNode::Answer(Box::new(answer.clone()))),
    )
    .await
    .is_err()
    {
        return;
    }
    let Some(accepted) = accepted else {
        // The entry has its answer; whether it sees the stream's end makes no difference.
        let _ = to_entry.finish().await;
        return;
    };
    let terms = match timeout(START_TIMEOUT, from_entry.message::<ToNode>()).await {
        Ok(Ok(Some(ToNode::Start { terms }))) => terms,
        Ok(Ok(_) | Err(_)) => return debug!("not started: the entry let go"),
        Err(_) => return warn!("not started: no start came in time"),
    };
    let parsed = match negotiate::check_terms(
        &terms,
        node.id(),
        &offer,
        &accepts(&answer),
        &answer.features,
    ) {
        Ok(parsed) => parsed,
        Err(refusal) => {
            warn!(?refusal, "not started: the terms are not what was answered");
            return to_entry.reset(
                code::DIGEST,
                &format!(
                    "the terms are {}, but this node answered {}",
                    refusal.wanted, refusal.got
                ),
            );
        }
    };
    info!(stages = offer.stages.len(), entry = %offer.entry, "part started");
    let part = Part::new(
        node,
        entry,
        offer,
        parsed,
        negotiate::digest(&terms),
        accepted,
    );
    part.run(to_entry, from_entry).await;
}

/// What a node holds for a part that it accepted.
struct Accepted {
    ready: Vec<Ready>,
    entered: Entered,
    slots: Slots,
}

async fn consider(
    node: &Arc<Node>,
    entry: &Session,
    (pipe, attempt): (PipeId, Attempt),
    offer: &Offer,
) -> (Answer, Option<Accepted>) {
    let refuse_all =
        |parameter: &str, wanted: String, got: String, kind: RefusalKind, hint: &str| {
            let refusal = |stage| Refusal {
                stage: Some(stage),
                parameter: parameter.to_owned(),
                wanted: wanted.clone(),
                got: got.clone(),
                kind,
                word: None,
                hint: Some(hint.to_owned()),
            };
            let stages = offer
                .stages
                .iter()
                .map(|stage| StageAnswer::Refuse(refusal(stage.stage)))
                .collect();
            (
                Answer {
                    node: node.id().clone(),
                    stages,
                    ignored: Vec::new(),
                    features: node.features(),
                },
                None,
            )
        };
    let count = u32::try_from(offer.stages.len()).unwrap_or(u32::MAX);
    let slots = match node.take_slots(count) {
        Ok(slots) => slots,
        Err(taken) => {
            let load = node.load();
            let got = format!("{taken} of {} are taken", load.capacity);
            return refuse_all(
                "room",
                format!("{count} more stages"),
                got,
                RefusalKind::Busy,
                "run again later, or raise run.max-processes",
            );
        }
    };
    let Some(entered) = node.pipes().enter(pipe, attempt) else {
        let got = "a part of this name is or was here";
        return refuse_all(
            "stages",
            format!("{pipe}, attempt {attempt}"),
            got.to_owned(),
            RefusalKind::Forbidden,
            "run again",
        );
    };
    let (answer, ready) = prepare::prepare(node, entry, offer).await;
    let accepted = ready.map(|ready| Accepted {
        ready,
        entered,
        slots,
    });
    (answer, accepted)
}

/// What was accepted, in the order of the offer.
fn accepts(answer: &Answer) -> Vec<Accept> {
    let accepted = |stage: &StageAnswer| match stage {
        StageAnswer::Accept(accept) => Some(accept.clone()),
        StageAnswer::Refuse(_) => None,
    };
    answer.stages.iter().filter_map(accepted).collect()
}

/// Whether the part is meant to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    Ending,
}

/// A part that was started.
struct Part {
    node: Arc<Node>,
    offer: Offer,
    terms: Terms,
    digest: String,
    entered: Entered,
    _slots: Slots,
    stages: Vec<StageHandle>,
    /// The same for those who ask what runs here.
    _listed: StagesEntered,
    watched: Watched,
    pace: Pace,
    running: JoinSet<(StageRecord, Option<crate::exec::Process>)>,
    reports: mpsc::Receiver<Report>,
    phase: Phase,
    ends: tokio_util::task::TaskTracker,
}

// === impl Part ===

impl Part {
    fn new(
        node: Arc<Node>,
        entry: Session,
        offer: Offer,
        terms: Terms,
        digest: String,
        accepted: Accepted,
    ) -> Self {
        let (send, reports) = mpsc::channel(REPORTS);
        let telling = Duration::from_millis(offer.progress_ms.unwrap_or_default());
        let telling = offer.progress.then_some(telling);
        let mut running = JoinSet::new();
        let mut stages = Vec::new();
        let context = Arc::new(Context {
            node: node.clone(),
            entry,
            pipe: offer.pipe,
            attempt: offer.attempt,
            terms: terms.clone(),
            digest: digest.clone(),
            window: offer.window,
            transfer: node.transfer(),
            eof_on_loss: offer
                .options
                .get("on-loss")
                .is_some_and(|value| value == "eof"),
            reports: send,
        });
        for ready in accepted.ready {
            let (handle, task) = stage::run(context.clone(), ready);
            stages.push(handle);
            running.spawn(task.in_current_span());
        }
        Self {
            _listed: node.running().enter(offer.pipe, &offer.entry, &stages),
            watched: Watched::new(stages.len()),
            pace: Pace::new(telling),
            node,
            offer,
            terms,
            digest,
            entered: accepted.entered,
            _slots: accepted.slots,
            stages,
            running,
            reports,
            phase: Phase::Running,
            ends: tokio_util::task::TaskTracker::new(),
        }
    }

    async fn run(mut self, mut to_entry: SendStream, mut from_entry: RecvStream) {
        let ending = self.node.ending_token().clone();
        let deadline = self
            .offer
            .deadline_ms
            .map(|limit| Instant::now() + Duration::from_millis(limit) + START_TIMEOUT);
        let mut processes = Vec::new();
        let mut first_exit = None;
        let mut entry_left = false;

        while !self.running.is_empty() {
            tokio::select! {
                Some(over) = self.running.join_next() => {
                    let (record, process) = match over {
                        Ok(over) => over,
                        Err(error) => {
                            // A stage's task that panicked is a bug; its pipe must not be believed.
                            warn!(%error, "a stage's task failed");
                            self.abort(&format!("internal error: {error}"));
                            continue;
                        }
                    };
                    // What the stage said before its end comes before it.
                    while let Ok(report) = self.reports.try_recv() {
                        self.on_report(report, &mut to_entry).await;
                    }
                    processes.extend(process);
                    first_exit.get_or_insert(record.exit);
                    self.node.metrics().stage_ended(&record);
                    say(&mut to_entry, &FromNode::Ended(Box::new(record))).await;
                }
                Some(report) = self.reports.recv() => self.on_report(report, &mut to_entry).await,
                Some(link) = self.entered.links.recv() => self.on_link(link),
                message = from_entry.message::<ToNode>(), if !entry_left => match message {
                    Ok(Some(message)) => self.on_message(message),
                    Ok(None) => {
                        entry_left = true;
                        self.abort("the entry let go");
                    }
                    Err(error) => {
                        entry_left = true;
                        self.abort(&format!("the entry was lost: {error}"));
                    }
                },
                () = sleep_until(self.pace.next_look()) => {
                    let passed = self.pace.look();
                    self.pace.note(self.watched.look(passed, &self.stages, self.node.metrics()));
                    if self.phase == Phase::Running && self.pace.tells() {
                        let stages = self.stages.iter().filter_map(StageHandle::progress).collect();
                        // Of the moment: where there is no room at once, it is dropped.
                        let _ = timeout(Duration::ZERO, to_entry.message(&FromNode::Progress { stages })).await;
                    }
                }
                () = ending.cancelled(), if self.phase == Phase::Running => self.abort("the node is leaving"),
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() && self.phase == Phase::Running => {
                    self.abort("the time limit passed and the entry did nothing");
                }
            }
        }
        self.watched.count(&self.stages, self.node.metrics());
        // What stages left behind in the background ends with the pipe.
        for mut process in processes {
            process.sweep().await;
        }
        self.ends.close();
        self.ends.wait().await;
        // Reports that were sent before the last record.
        while let Ok(report) = self.reports.try_recv() {
            self.on_report(report, &mut to_entry).await;
        }
        let _ = timeout(REPORT_TIMEOUT, to_entry.finish()).await;
        if self.node.settings().exit_after_one {
            let status = match first_exit {
                Some(Exit::Code(code)) => code,
                Some(Exit::Signal(signal)) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
                Some(Exit::NotStarted | Exit::Unknown) | None => 126,
            };
            self.node.first_exit().send_if_modified(|first| {
                first.is_none() && {
                    *first = Some(status);
                    true
                }
            });
        }
        info!("part over");
    }

    async fn on_report(&mut self, report: Report, to_entry: &mut SendStream) {
        say(to_entry, &report.message).await;
        if let Some(why) = report.ends_the_part {
            self.abort(&why);
        }
    }

    fn on_message(&mut self, message: ToNode) {
        match message {
            ToNode::Signal { signal, stage } => {
                // As a terminal does, all at once; and as that is not to be had, the last one first: the death of a stage is an end of
                // input for the next one, which must not end well before its own signal comes.
                for handle in self
                    .stages
                    .iter()
                    .rev()
                    .filter(|handle| stage.is_none_or(|stage| handle.stage() == stage))
                {
                    handle.signal(signal);
                }
            }
            ToNode::Abort { reason } => self.abort(&reason),
            ToNode::Offer(_) | ToNode::Start { .. } | ToNode::Unknown => {}
        }
    }

    /// Ends every stage, last first. Said twice, the first reason stands.
    fn abort(&mut self, reason: &str) {
        if self.phase == Phase::Ending {
            return;
        }
        self.phase = Phase::Ending;
        debug!(reason, "part aborted");
        let grace = Duration::from_millis(self.offer.kill_grace_ms);
        self.ends.spawn(
            abort::end_stages(self.stages.clone(), reason.to_owned(), grace).in_current_span(),
        );
    }

    fn on_link(&mut self, link: super::pipes::ArrivedLink) {
        let LinkEndpoint::Stage(to) = link.to else {
            return link
                .stream
                .stop(code::UNKNOWN_PIPE, "no stage reads this here");
        };
        let writer = match link.from {
            LinkEndpoint::Client => (to == StageNumber::FIRST).then_some(&self.terms.entry),
            LinkEndpoint::Stage(from) => (from.next() == to)
                .then(|| self.terms.stages.get(from.index()).map(|place| &place.node))
                .flatten(),
        };
        // The name is what the peer says; the digest is known to those alone who took part in the agreement.
        let is_agreed = link.digest == self.digest
            && writer.is_some()
            && (link.peer.is_none() || link.peer.as_ref() == writer);
        if !is_agreed {
            warn!(theirs = %link.digest, ours = %self.digest, peer = ?link.peer, "a link that was not agreed");
            return link.stream.stop(
                code::DIGEST,
                &format!(
                    "not what was agreed: your digest {}, mine {}",
                    link.digest, self.digest
                ),
            );
        }
        let allowed = self.terms.compress_to(to);
        if !allowed.allows(link.coding) {
            return link.stream.stop(
                code::DIGEST,
                &format!(
                    "not what was agreed: compress is {allowed}, and the link is {}",
                    link.coding
                ),
            );
        }
        match self.stages.iter().find(|handle| handle.stage() == to) {
            Some(handle) => handle.take_input(link.stream, link.coding),
            None => link.stream.stop(code::UNKNOWN_PIPE, "no such stage here"),
        }
    }
}

/// Reports to the entry. One that is gone is noticed where it is listened to.
async fn say(to_entry: &mut SendStream, message: &FromNode) {
    let _ = timeout(REPORT_TIMEOUT, to_entry.message(message)).await;
}
