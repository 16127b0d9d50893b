//! What flows into and out of one stage: links and stderr, pumped between descriptors and streams.

use std::{io, os::fd::OwnedFd, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use tokio::{net::unix::pipe::Receiver, sync::oneshot, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{objects::Objects, stage::Context};
use crate::{
    coding::{Decoder, Encoder, Way},
    id::StageNumber,
    media::{Coding, Compress, Counts, Format},
    object::BadObject,
    transport::{
        RecvStream, SendStream, code,
        pump::{self, Filter, Meter, ReceiveEnd, SendEnd, Transfer},
    },
    wire::message::{FromNode, LinkEnd, LinkEndpoint, Purpose},
};

/// How long a stage waits for its upstream neighbour to open their link after Start: as long as it takes to find the neighbour's
/// session dead, and to dial it anew.
const LINK_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a stage that is over may still be read for: its readers are gone, so its input stops as soon as that is seen.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// How a stage's input ended.
#[derive(Debug)]
pub(super) enum Input {
    /// Its writer finished, and every byte was handed over.
    Finished { bytes: u64 },
    /// The stage reads no more.
    Stopped { bytes: u64 },
    /// Writer or session gave up. The stage must not take it for an end of file.
    Lost { bytes: u64, end: LinkEnd },
    /// What came was no object. The stage must not take it for an end of file.
    Spoilt { bytes: u64 },
    /// The stage is being ended.
    Aborted { bytes: u64 },
    /// No link: a kernel pipe or `/dev/null`.
    Uncounted,
}

/// How a stage's output ended.
#[derive(Debug)]
pub(super) enum Output {
    Finished {
        bytes: u64,
    },
    Stopped {
        bytes: u64,
    },
    Lost {
        bytes: u64,
    },
    Reset {
        bytes: u64,
    },
    /// No link: a kernel pipe.
    Uncounted,
}

/// How a stage was fed.
#[derive(Debug)]
pub(super) struct Fed {
    pub(super) input: Input,
    /// What was counted, where it reads objects.
    pub(super) objects: Option<Counts>,
    /// Bytes of the link, where it was compressed.
    pub(super) compressed: Option<u64>,
}

/// What became of a stage's output.
#[derive(Debug)]
pub(super) struct Drained {
    pub(super) output: Output,
    /// Bytes of the link, where it was compressed.
    pub(super) compressed: Option<u64>,
}

/// Feeds a stage from its link, through `objects` where it reads any. `over` is cancelled when the stage is over.
pub(super) async fn feed(
    context: Arc<Context>,
    stage: StageNumber,
    take_input: oneshot::Receiver<(RecvStream, Coding)>,
    pipe: Option<(OwnedFd, Arc<Meter>)>,
    mut objects: Option<Objects>,
    aborting: CancellationToken,
    over: CancellationToken,
) -> Fed {
    let mut decoder = None;
    let input = match pipe {
        Some(pipe) => {
            let between = (&mut decoder, objects.as_mut());
            fill(&context, stage, take_input, pipe, between, aborting, over).await
        }
        None => Input::Uncounted,
    };
    Fed {
        input,
        compressed: decoder.as_ref().and_then(Decoder::compressed),
        objects: objects.map(|objects| objects.counts()),
    }
}

async fn fill(
    context: &Context,
    stage: StageNumber,
    take_input: oneshot::Receiver<(RecvStream, Coding)>,
    (writer, meter): (OwnedFd, Arc<Meter>),
    (decoder, mut objects): (&mut Option<Decoder>, Option<&mut Objects>),
    aborting: CancellationToken,
    over: CancellationToken,
) -> Input {
    // The link is waited for even when the stage needs no input any more: its writer must hear "stopped", not "no such pipe".
    let arrived = tokio::select! {
        arrived = timeout(LINK_TIMEOUT, take_input) => arrived,
        () = aborting.cancelled() => return Input::Aborted { bytes: 0 },
    };
    let Ok(Ok((mut stream, coding))) = arrived else {
        lost_input(
            context,
            stage,
            0,
            format!("the link did not open within {LINK_TIMEOUT:?}"),
        )
        .await;
        return Input::Lost {
            bytes: 0,
            end: LinkEnd::Lost,
        };
    };
    let way = context.way(coding);
    if !way.is_plain() {
        match Decoder::new(way) {
            Ok(needed) => *decoder = Some(needed),
            Err(error) => {
                stream.stop(code::FAILED, &error.to_string());
                lost_input(context, stage, 0, error.to_string()).await;
                return Input::Lost {
                    bytes: 0,
                    end: LinkEnd::Reset,
                };
            }
        }
    }
    stream.grant(context.window);
    let end = {
        let counted = meter.clone();
        let filter = objects
            .as_deref_mut()
            .map(|objects| objects as &mut dyn Filter);
        let pumping = match (decoder, filter) {
            (None, None) => {
                pump::receive_pipe(stream, writer, counted, aborting, context.transfer).boxed()
            }
            (None, Some(filter)) => {
                pump::receive_through(filter, stream, writer, counted, aborting).boxed()
            }
            (Some(decoder), filter) => {
                pump::receive_coded(decoder, filter, stream, writer, counted, aborting).boxed()
            }
        };
        tokio::pin!(pumping);
        tokio::select! {
            end = &mut pumping => Some(end),
            // Something that is not the stage may hold its input open; it is not waited for.
            () = over.cancelled() => timeout(CLOSE_TIMEOUT, &mut pumping).await.ok(),
        }
    };
    match end {
        Some(ReceiveEnd::Finished { bytes, pipe }) => {
            drop(pipe);
            Input::Finished { bytes }
        }
        Some(ReceiveEnd::ReaderGone { bytes }) => Input::Stopped { bytes },
        None => Input::Stopped {
            bytes: meter.bytes(),
        },
        Some(ReceiveEnd::Aborted { bytes, pipe }) => {
            // The pipe closes here; the stage's guard is still open.
            drop(pipe);
            Input::Aborted { bytes }
        }
        Some(ReceiveEnd::Spoilt { bytes, pipe }) => {
            let bad = objects.and_then(|objects| objects.bad());
            if let Some((format, bad)) = bad {
                bad_object(context, stage, format, bad).await;
            }
            drop(pipe);
            Input::Spoilt { bytes }
        }
        Some(ReceiveEnd::Damaged { bytes, error, pipe }) => {
            lost_input(context, stage, bytes, error.to_string()).await;
            drop(pipe);
            Input::Lost {
                bytes,
                end: LinkEnd::Reset,
            }
        }
        Some(ReceiveEnd::WriteFailed { bytes, error }) => {
            lost_input(
                context,
                stage,
                bytes,
                format!("writing to the stage failed: {error}"),
            )
            .await;
            Input::Lost {
                bytes,
                end: LinkEnd::Lost,
            }
        }
        Some(ReceiveEnd::Reset {
            bytes,
            reason,
            pipe,
            ..
        }) => {
            lost_input(context, stage, bytes, reason).await;
            drop(pipe);
            Input::Lost {
                bytes,
                end: LinkEnd::Reset,
            }
        }
        Some(ReceiveEnd::Lost { bytes, why, pipe }) => {
            lost_input(context, stage, bytes, why.to_string()).await;
            drop(pipe);
            Input::Lost {
                bytes,
                end: LinkEnd::Lost,
            }
        }
    }
}

/// Carries a stage's output to its downstream neighbour or the entry.
pub(super) async fn drain(
    context: Arc<Context>,
    stage: StageNumber,
    reader: Option<OwnedFd>,
    meter: Option<Arc<Meter>>,
    aborting: CancellationToken,
) -> Drained {
    let mut encoder = None;
    let output = match reader.zip(meter) {
        Some(pipe) => empty(&context, stage, pipe, &mut encoder, aborting).await,
        None => Output::Uncounted,
    };
    Drained {
        output,
        compressed: encoder.as_ref().and_then(Encoder::compressed),
    }
}

async fn empty(
    context: &Context,
    stage: StageNumber,
    (reader, meter): (OwnedFd, Arc<Meter>),
    encoder: &mut Option<Encoder>,
    aborting: CancellationToken,
) -> Output {
    let opened = tokio::select! {
        opened = open_link(context, stage) => opened,
        () = aborting.cancelled() => return Output::Reset { bytes: 0 },
    };
    let (bytes, why) = match opened {
        Err(why) => (0, why),
        Ok((stream, way)) => match send(
            context.transfer,
            (reader, meter),
            (stream, way),
            encoder,
            aborting,
        )
        .await
        {
            SendEnd::Finished { bytes } => return Output::Finished { bytes },
            SendEnd::Stopped {
                bytes,
                code,
                reason,
            } if is_refusal(code) => (bytes, format!("the reader would not take it: {reason}")),
            SendEnd::Stopped { bytes, .. } => return Output::Stopped { bytes },
            SendEnd::Aborted { bytes } => return Output::Reset { bytes },
            SendEnd::Lost { bytes, why } => (bytes, why.to_string()),
            SendEnd::ReadFailed { bytes, error } => {
                (bytes, format!("reading the stage's output failed: {error}"))
            }
        },
    };
    lost_output(context, stage, bytes, why).await;
    Output::Lost { bytes }
}

async fn send(
    transfer: Transfer,
    (reader, meter): (OwnedFd, Arc<Meter>),
    (stream, way): (SendStream, Way),
    encoder: &mut Option<Encoder>,
    aborting: CancellationToken,
) -> SendEnd {
    if way.is_plain() {
        return pump::send_pipe(reader, stream, meter, aborting, transfer).await;
    }
    match Encoder::new(way) {
        Ok(needed) => {
            let encoder = encoder.insert(needed);
            pump::send_coded(encoder, reader, stream, meter, aborting).await
        }
        Err(error) => {
            stream.reset(code::FAILED, &error.to_string());
            SendEnd::ReadFailed {
                bytes: 0,
                error: io::Error::other(error),
            }
        }
    }
}

/// Carries what a stage writes to stderr to the entry; the stream is opened when there is something to say. Returns the bytes.
pub(super) async fn drain_stderr(
    context: Arc<Context>,
    stage: StageNumber,
    reader: Option<OwnedFd>,
    aborting: CancellationToken,
) -> Option<u64> {
    let Some(reader) = wait_for_data(reader?).await else {
        return Some(0);
    };
    let purpose = Purpose::Stderr {
        pipe: context.pipe,
        attempt: context.attempt,
        stage,
    };
    let stream = match context.entry.open_uni(&purpose).await {
        Ok(stream) => stream,
        Err(error) => {
            debug!(%error, "stderr has nowhere to go");
            return None;
        }
    };
    // What a stage says while it is being ended is still worth reading, so this end is never marked as aborted; it ends with the stage.
    let never = CancellationToken::new();
    let end = tokio::select! {
        end = pump::send_pipe(reader, stream, Arc::default(), never, Transfer::Copy) => end,
        () = late(&aborting) => return None,
    };
    match end {
        SendEnd::Finished { bytes } | SendEnd::Stopped { bytes, .. } => Some(bytes),
        SendEnd::Aborted { .. } | SendEnd::Lost { .. } | SendEnd::ReadFailed { .. } => None,
    }
}

/// Whether a reader stopped because it would not take this stream at all, rather than because it had enough.
fn is_refusal(code: u32) -> bool {
    matches!(
        code,
        code::DIGEST
            | code::UNKNOWN_PIPE
            | code::UNKNOWN_PURPOSE
            | code::BUSY
            | code::FLOW_CONTROL
            | code::GOING_AWAY
            | code::FAILED
    )
}

/// Some time after an abort: nobody may be reading stderr any more, and the stage must end all the same.
async fn late(aborting: &CancellationToken) {
    /// Longer than any last words take to travel.
    const LAST_WORDS: Duration = Duration::from_secs(2);
    aborting.cancelled().await;
    tokio::time::sleep(LAST_WORDS).await;
}

/// Waits until a pipe holds data, and gives it back; `None` when it came to its end without any.
async fn wait_for_data(reader: OwnedFd) -> Option<OwnedFd> {
    let waiting = Receiver::from_owned_fd(reader).ok()?;
    waiting.readable().await.ok()?;
    let reader = waiting.into_nonblocking_fd().ok()?;
    // Readable with nothing in it means that every writer is gone.
    rustix::io::ioctl_fionread(&reader)
        .is_ok_and(|waiting| waiting > 0)
        .then_some(reader)
}

/// Opens the link that a stage writes to, and says how its bytes travel.
async fn open_link(context: &Context, stage: StageNumber) -> Result<(SendStream, Way), String> {
    let next = context.terms.stages.get(stage.next().index());
    let to = next.map_or(LinkEndpoint::Client, |place| {
        LinkEndpoint::Stage(place.stage)
    });
    let session = match next {
        None => context.entry.clone(),
        Some(place) => context
            .node
            .sessions()
            .open(&context.node, &place.node, &place.addresses)
            .await
            .map_err(|tried| {
                let each = tried
                    .into_iter()
                    .map(|tried| format!("{}: {}", tried.address, tried.error));
                format!(
                    "{} cannot be reached: {}",
                    place.node,
                    each.collect::<Vec<_>>().join("; ")
                )
            })?,
    };
    let own = context.terms.stages.get(stage.index());
    let allowed = own.map_or(Compress::Off, |place| place.compress);
    let coding = session.coding(allowed).await;
    let purpose = Purpose::Link {
        pipe: context.pipe,
        attempt: context.attempt,
        from: LinkEndpoint::Stage(stage),
        to,
        digest: context.digest.clone(),
        coding,
    };
    let opened = session.open_uni(&purpose).await;
    let stream = opened.map_err(|error| error.to_string())?;
    Ok((stream, context.way(coding)))
}

async fn bad_object(context: &Context, stage: StageNumber, format: Format, bad: &BadObject) {
    let from = stage
        .previous()
        .map_or(LinkEndpoint::Client, LinkEndpoint::Stage);
    let message = FromNode::BadObject {
        from,
        to: stage,
        format,
        number: bad.number,
        offset: bad.offset,
        problem: bad.problem.to_string(),
    };
    // Whatever becomes of lost links, this is none: what was sent is wrong.
    let ends = Some(format!("what came to stage {stage} was no {format}"));
    context.report(message, ends).await;
}

async fn lost_input(context: &Context, stage: StageNumber, bytes: u64, detail: String) {
    let (from, peer) = match stage.previous() {
        None => (LinkEndpoint::Client, context.terms.entry.clone()),
        Some(previous) => (
            LinkEndpoint::Stage(previous),
            context.terms.stages[previous.index()].node.clone(),
        ),
    };
    let ends = (!context.eof_on_loss).then(|| format!("the input of stage {stage} was lost"));
    context
        .report(
            FromNode::LinkLost {
                from,
                to: LinkEndpoint::Stage(stage),
                peer,
                bytes,
                detail,
            },
            ends,
        )
        .await;
}

async fn lost_output(context: &Context, stage: StageNumber, bytes: u64, detail: String) {
    let next = context.terms.stages.get(stage.next().index());
    let (to, peer) = match next {
        None => (LinkEndpoint::Client, context.terms.entry.clone()),
        Some(place) => (LinkEndpoint::Stage(place.stage), place.node.clone()),
    };
    let ends = (!context.eof_on_loss).then(|| format!("the output of stage {stage} was lost"));
    context
        .report(
            FromNode::LinkLost {
                from: LinkEndpoint::Stage(stage),
                to,
                peer,
                bytes,
                detail,
            },
            ends,
        )
        .await;
}

// === impl Input ===

impl Input {
    /// As the stage's record tells it.
    pub(super) fn seen(&self) -> (LinkEnd, Option<u64>) {
        match self {
            Self::Finished { bytes } => (LinkEnd::Finished, Some(*bytes)),
            Self::Stopped { bytes } | Self::Spoilt { bytes } => (LinkEnd::Stopped, Some(*bytes)),
            Self::Lost { bytes, end } => (*end, Some(*bytes)),
            Self::Aborted { bytes } => (LinkEnd::Unknown, Some(*bytes)),
            Self::Uncounted => (LinkEnd::Joined, None),
        }
    }
}

// === impl Output ===

impl Output {
    /// As the stage's record tells it.
    pub(super) fn seen(&self) -> (LinkEnd, Option<u64>) {
        match self {
            Self::Finished { bytes } => (LinkEnd::Finished, Some(*bytes)),
            Self::Stopped { bytes } => (LinkEnd::Stopped, Some(*bytes)),
            Self::Lost { bytes } => (LinkEnd::Lost, Some(*bytes)),
            Self::Reset { bytes } => (LinkEnd::Reset, Some(*bytes)),
            Self::Uncounted => (LinkEnd::Joined, None),
        }
    }
}
