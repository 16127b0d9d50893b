//! Offers to every node at once, and the answers. Nothing has been started anywhere when this is over, whatever came of it.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::join_all;
use tokio::time::timeout;

use super::{Cluster, request::Request};
use crate::{
    expr,
    id::{Attempt, NodeId, StageNumber},
    media::{AppFormat, Compress},
    negotiate::{self, Agreement, Asked, Disagreement},
    schedule::{self, Placed, Plan},
    transport::{RecvStream, SendStream, Session},
    wire::message::{
        Answer, Considered, Failure, FromNode, Load, Offer, Purpose, StageOffer, StagePlan,
        StderrMode, ToNode, Tried, Upstream, Wiring, milliseconds,
    },
};

/// How long a node may take to answer an offer. It looks up users, asks programs for their version and starts a process for each
/// stage; on a busy machine a thousand of them take seconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// How often nodes tell how far their stages are where somebody watches the run: often enough for an eye.
const SHOWN_INTERVAL: Duration = Duration::from_millis(200);

/// How often they do where it is only noted for those who may come to look: a message of a few hundred bytes a second for each node of a pipe.
const NOTED_INTERVAL: Duration = Duration::from_secs(1);

/// The largest offer to one node, as JSON. A control message may hold 1 MiB; the rest is for its envelope.
const MAX_OFFER: usize = 1_000 * 1_024;

/// One node's part of a pipe that everybody agreed to.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) node: NodeId,
    pub(super) stages: Vec<StageNumber>,
    pub(super) session: Session,
    pub(super) to_node: SendStream,
    pub(super) from_node: RecvStream,
}

/// What all nodes agreed to.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) attempt: Attempt,
    pub(super) parts: Vec<Part>,
    pub(super) stages: Vec<StagePlan>,
    /// What the user should know, one line each.
    pub(super) notes: Vec<String>,
    /// The terms as they are sent.
    pub(super) terms: String,
    pub(super) digest: String,
    /// Whether the links from and to the entry are compressed.
    pub(super) links: Links,
}

/// The links of a pipe that begin and end at its entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Links {
    /// That to the first stage.
    pub(super) first: Compress,
    /// That from the last one.
    pub(super) last: Compress,
}

/// Why a pipe was not agreed.
#[derive(Debug)]
pub(super) enum PrepareError {
    /// Other nodes might take these stages.
    Elsewhere {
        excluded: Vec<(StageNumber, NodeId)>,
        failure: Failure,
    },
    /// No node would.
    Final(Failure),
}

/// One node's answer, or what became of the attempt to get one.
struct Reached {
    asked: Asked,
    result: Result<(Part, Answer), Unanswered>,
}

enum Unanswered {
    Unreachable(Vec<Tried>),
    /// The session or stream broke, or nothing came in time.
    Silent(String),
    /// It answered something else.
    Confused(String),
}

/// Asks every node of the plan. On any error the streams are dropped, and with them all that the nodes prepared.
pub(super) async fn prepare(
    request: &Request,
    plan: &Plan,
    attempt: Attempt,
    cluster: &dyn Cluster,
) -> Result<Prepared, PrepareError> {
    let offers = offers(request, plan, attempt, cluster)?;
    let asked = join_all(offers.into_iter().map(|asked| ask(asked, cluster))).await;

    let mut accepted = Vec::new();
    let mut unanswered = Vec::new();
    for asked in asked {
        match asked.result {
            Ok((part, answer)) => accepted.push((asked.asked, part, answer)),
            Err(reason) => unanswered.push((asked.asked, reason)),
        }
    }
    if let Some((asked, reason)) = unanswered.into_iter().next() {
        return Err(no_answer(asked, reason));
    }
    let (asked, (parts, answers)): (Vec<_>, (Vec<_>, Vec<_>)) = accepted
        .into_iter()
        .map(|(asked, part, answer)| (asked, (part, answer)))
        .unzip();
    let agreement =
        negotiate::check_answers(&asked, &answers, request.ends()).map_err(disagreed)?;
    let terms = &agreement.terms;
    let last = terms.stages.last();
    Ok(Prepared {
        attempt,
        links: Links {
            first: terms.compress,
            last: last.map_or(Compress::Off, |last| last.compress),
        },
        stages: plan
            .stages
            .iter()
            .map(|placed| stage_plan(placed, &agreement))
            .collect(),
        digest: agreement.digest,
        terms: agreement.text,
        notes: agreement.notes,
        parts,
    })
}

/// One offer for each node of the plan, with all its stages.
fn offers(
    request: &Request,
    plan: &Plan,
    attempt: Attempt,
    cluster: &dyn Cluster,
) -> Result<Vec<Asked>, PrepareError> {
    let mut by_node: BTreeMap<&NodeId, (&Placed, Vec<StageOffer>)> = BTreeMap::new();
    let apps: Vec<String> = request.apps().collect();
    let formats = request.run.options.formats.of_stages(&apps);
    for (index, placed) in plan.stages.iter().enumerate() {
        let before = index.checked_sub(1).map(|index| &plan.stages[index]);
        let after = plan.stages.get(index + 1);
        let offer = stage_offer(request, index, placed, (before, after), formats[index]);
        by_node
            .entry(&placed.node)
            .or_insert_with(|| (placed, Vec::new()))
            .1
            .push(offer);
    }
    let defaults = cluster.defaults();
    let offer = |stages| Offer {
        pipe: request.run.pipe,
        attempt,
        entry: cluster.node().clone(),
        stages_total: u16::try_from(plan.stages.len()).unwrap_or(u16::MAX),
        stages,
        features: request.features(),
        options: request.node_options.clone(),
        // An embedded entry's stages inherit the process's environment as it is; it need not travel.
        ambient: if defaults.embedded {
            Vec::new()
        } else {
            request.run.options.ambient.clone()
        },
        deadline_ms: request.run.options.timeout_ms,
        lease_ms: milliseconds(request.lease),
        kill_grace_ms: milliseconds(request.kill_grace),
        window: request.window,
        credential: request.run.options.credential.clone(),
        drop_stderr: request.run.options.stderr == StderrMode::None,
        progress: true,
        progress_ms: Some(milliseconds(if request.run.options.progress {
            SHOWN_INTERVAL
        } else {
            NOTED_INTERVAL
        })),
        hops: request.run.options.hops,
    };
    let asked = |(placed, stages): (&Placed, _)| Asked {
        node: placed.node.clone(),
        addresses: placed.addresses.clone(),
        offer: offer(stages),
    };
    let offers: Vec<Asked> = by_node.into_values().map(asked).collect();
    for asked in &offers {
        let length = serde_json::to_vec(&asked.offer).map_or(usize::MAX, |json| json.len());
        if length > MAX_OFFER {
            return Err(PrepareError::Final(Failure::BadRequest {
                detail: format!(
                    "the commands and environment for {} take {length} bytes; {MAX_OFFER} are the limit",
                    asked.node
                ),
                span: None,
                hint: Some(
                    "spread the stages over more nodes, or pass data by a file or a stream"
                        .to_owned(),
                ),
            }));
        }
    }
    Ok(offers)
}

fn stage_offer(
    request: &Request,
    index: usize,
    placed: &Placed,
    (before, after): (Option<&Placed>, Option<&Placed>),
    format: AppFormat,
) -> StageOffer {
    let stage: &expr::Stage = &request.pipeline.stages[index];
    let options = &request.run.options;
    let neighbour = |other: &Placed| {
        // Objects are looked at on their way, so they take a link within a node too.
        if other.node == placed.node && !request.carries_objects() {
            Wiring::Joined
        } else {
            Wiring::Link
        }
    };
    StageOffer {
        stage: placed.stage,
        app: placed.app.clone(),
        args: stage.args.iter().map(|arg| arg.word.clone()).collect(),
        env: request.env[index].clone(),
        require: request.require[index].clone(),
        user: options.user.clone(),
        cwd: options.cwd.clone(),
        input: format.reads,
        output: format.writes,
        stderr_joined: stage.stderr_joined,
        upstream: before.map(|before| Upstream {
            app: before.app.clone(),
            node: before.node.clone(),
            address: before.addresses.first().cloned().unwrap_or_default(),
        }),
        stdin: before.map_or(
            if request.run.stdin {
                Wiring::Link
            } else {
                Wiring::Null
            },
            neighbour,
        ),
        stdout: after.map_or(Wiring::Link, neighbour),
    }
}

async fn ask(asked: Asked, cluster: &dyn Cluster) -> Reached {
    let result = match cluster.session(&asked.node, &asked.addresses).await {
        Ok(session) => exchange(session, &asked.node, &asked.offer).await,
        Err(tried) => Err(Unanswered::Unreachable(tried)),
    };
    Reached { asked, result }
}

async fn exchange(
    session: Session,
    node: &NodeId,
    offer: &Offer,
) -> Result<(Part, Answer), Unanswered> {
    let purpose = Purpose::Control {
        pipe: offer.pipe,
        attempt: offer.attempt,
    };
    let silent = |error: &dyn std::fmt::Display| Unanswered::Silent(error.to_string());
    let (mut to_node, mut from_node) = session
        .open_bidi(&purpose)
        .await
        .map_err(|error| silent(&error))?;
    to_node
        .message(&ToNode::Offer(Box::new(offer.clone())))
        .await
        .map_err(|error| silent(&error))?;
    let answer = loop {
        match timeout(ANSWER_TIMEOUT, from_node.message::<FromNode>()).await {
            Err(_) => {
                return Err(Unanswered::Silent(format!(
                    "no answer to the offer within {ANSWER_TIMEOUT:?}"
                )));
            }
            Ok(Ok(Some(FromNode::Answer(answer)))) => break *answer,
            Ok(Ok(Some(FromNode::Unknown))) => {}
            Ok(Ok(Some(other))) => {
                return Err(Unanswered::Confused(format!(
                    "it answered the offer with {other:?}"
                )));
            }
            Ok(Ok(None)) => {
                return Err(Unanswered::Confused(
                    "it ended the offer's stream without an answer".to_owned(),
                ));
            }
            Ok(Err(error)) => return Err(silent(&error)),
        }
    };
    let stages = offer.stages.iter().map(|stage| stage.stage).collect();
    Ok((
        Part {
            node: node.clone(),
            stages,
            session,
            to_node,
            from_node,
        },
        answer,
    ))
}

fn no_answer(asked: Asked, reason: Unanswered) -> PrepareError {
    let Asked {
        node,
        addresses,
        offer,
    } = asked;
    let first = offer.stages.first().expect("every offer has a stage");
    let tried = |error| {
        vec![Tried {
            node: node.clone(),
            address: addresses.first().cloned().unwrap_or_default(),
            error,
        }]
    };
    let unreachable = |tried| Failure::Unreachable {
        stage: first.stage,
        app: first.app.clone(),
        tried,
    };
    let tried = match reason {
        Unanswered::Unreachable(tried) => tried,
        Unanswered::Silent(error) => tried(error),
        Unanswered::Confused(error) => return PrepareError::Final(unreachable(tried(error))),
    };
    let excluded = offer
        .stages
        .iter()
        .map(|stage| (stage.stage, node.clone()))
        .collect();
    PrepareError::Elsewhere {
        excluded,
        failure: unreachable(tried),
    }
}

/// What a disagreement means: placed anew when all that is wrong may be right elsewhere.
fn disagreed(disagreement: Disagreement) -> PrepareError {
    let first = disagreement
        .refused
        .first()
        .expect("a disagreement has a refusal");
    let failure = Failure::Refused {
        node: Some(first.node.clone()),
        address: first.address.clone(),
        refusal: first.refusal.clone(),
    };
    if disagreement.is_passing() {
        PrepareError::Elsewhere {
            excluded: disagreement.excluded().collect(),
            failure,
        }
    } else {
        PrepareError::Final(failure)
    }
}

fn stage_plan(placed: &Placed, agreement: &Agreement) -> StagePlan {
    let accept = agreement
        .accepts
        .get(placed.stage.index())
        .map(|(_, accept)| accept.clone());
    let ignored = agreement
        .ignored
        .iter()
        .find(|(node, _)| *node == placed.node);
    StagePlan {
        stage: placed.stage,
        app: placed.app.clone(),
        node: placed.node.clone(),
        address: placed.address().to_owned(),
        via: placed.source.clone(),
        candidates: placed.candidates,
        why: placed.why.clone(),
        accept,
        ignored: ignored
            .map(|(_, ignored)| ignored.clone())
            .unwrap_or_default(),
        considered: placed.considered.iter().map(considered).collect(),
    }
}

fn considered(considered: &schedule::Considered) -> Considered {
    let load = |(stages, capacity)| Load { stages, capacity };
    Considered {
        node: considered.node.clone(),
        health: considered.health.to_string(),
        weight: considered.weight,
        load: considered.load.map(load),
        source: considered.source.clone(),
        verdict: considered.verdict.clone(),
    }
}
