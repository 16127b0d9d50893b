//! The data streams of a run: what flows from and to the client passes through here.

use std::sync::atomic::Ordering;

use rustix::process::Signal;
use tracing::debug;

use super::{Event, Route, Stdout, Watch};
use crate::{
    coding::Way,
    coordinator::{
        Arrival, Order,
        relay::{Recoding, RelayEnd, Seen, relay},
        run::Client,
    },
    id::StageNumber,
    media::Coding,
    transport::{RecvStream, SendStream, code},
    wire::message::{Failure, LinkEndpoint, Purpose, ToNode},
};

impl Watch<'_> {
    pub(super) async fn on_arrival(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Link {
                attempt,
                from,
                digest,
                coding,
                peer,
                stream,
            } => {
                let expected = LinkEndpoint::Stage(self.last());
                let known = attempt == self.attempt
                    && from == expected
                    && peer.as_ref() == self.places.last()
                    && digest == self.digest
                    && self.links.last.allows(coding);
                match self.stdout_to_client.take() {
                    Some(to) if known => self.begin_stdout((stream, coding), to),
                    unused => {
                        self.stdout_to_client = unused;
                        stream.stop(code::DIGEST, "this is not what was agreed");
                    }
                }
            }
            Arrival::Stderr {
                attempt,
                stage,
                stream,
            } => {
                if attempt != self.attempt
                    || self.stderr_over.contains_key(&stage)
                    || stage > self.last()
                {
                    return stream.stop(code::UNKNOWN_PIPE, "this is not what was agreed");
                }
                self.begin_stderr(stage, stream).await;
            }
            Arrival::Stdin { coding, mut stream } => {
                if !Client::may_send(&self.request, coding) {
                    stream.stop(code::DIGEST, "this is not what was agreed");
                    let detail = format!("the client sends its input as {coding}");
                    return self.fail(Failure::Entry { detail }).await;
                }
                match self.stdin_to_stage.take() {
                    Some((to, to_coding)) => {
                        stream.grant(self.request.window);
                        let ways = (self.way(coding), self.way(to_coding));
                        let seen = Seen::Count(self.stdin_bytes.clone());
                        self.relay(Route::Stdin, stream, to, ways, seen);
                    }
                    None => stream.stop(code::READER_GONE, "the first stage reads nothing"),
                }
            }
            Arrival::Order(Order::Signal { signal, stage }) => {
                self.tell_nodes(&ToNode::Signal { signal, stage }).await;
            }
            Arrival::Order(Order::End { reason }) => {
                // For whoever waits for the client it has ended by that.
                let signal = Some(Signal::TERM.as_raw());
                self.fail(Failure::Aborted { reason, signal }).await;
            }
        }
    }

    fn begin_stdout(
        &mut self,
        (mut stream, coding): (RecvStream, Coding),
        (to, to_coding): (SendStream, Coding),
    ) {
        self.stdout = Stdout::Flowing;
        stream.grant(self.request.window);
        let ways = (self.way(coding), self.way(to_coding));
        let seen = Seen::Count(self.delivered.clone());
        self.relay(Route::Stdout, stream, to, ways, seen);
    }

    async fn begin_stderr(&mut self, stage: StageNumber, mut stream: RecvStream) {
        let purpose = Purpose::Stderr {
            pipe: self.request.run.pipe,
            attempt: self.attempt,
            stage,
        };
        match self.client.session.open_uni(&purpose).await {
            Ok(to) => {
                self.streams += 1;
                self.stderr_over.insert(stage, false);
                stream.grant(self.request.window);
                let ways = Default::default();
                let tail = self.page.map(|page| page.tail(stage));
                let seen = tail.map_or(Seen::Nothing, Seen::Tail);
                self.relay(Route::Stderr(stage), stream, to, ways, seen);
            }
            Err(error) => {
                self.stderr_over.insert(stage, true);
                stream.stop(code::CANCELLED, &error.to_string());
            }
        }
    }

    /// What is done to the bytes of a stream that travels like this.
    const fn way(&self, coding: Coding) -> Way {
        Way {
            coding,
            digest: self.request.digest,
        }
    }

    fn relay(
        &mut self,
        route: Route,
        from: RecvStream,
        to: SendStream,
        (from_way, to_way): (Way, Way),
        seen: Seen,
    ) {
        let events = self.events.clone();
        self.tasks.spawn(async move {
            let end = match Recoding::new(from_way, to_way) {
                Ok(recoding) => relay(from, to, recoding, seen).await,
                // Both are dropped: the writer is stopped, the reader told that no end will come.
                Err(error) => RelayEnd::Damaged(error.to_string()),
            };
            // The loop is gone only when the run is over, and then nobody asks any more.
            let _ = events.send(Event::Relay(route, end)).await;
        });
    }

    pub(super) async fn on_relay(&mut self, route: Route, end: RelayEnd) {
        debug!(?route, ?end, "relay over");
        match route {
            Route::Stdout => {
                self.stdout = Stdout::Over;
                if let RelayEnd::Damaged(why) = &end {
                    let delivered = self.delivered.load(Ordering::Relaxed);
                    self.fail(Failure::LostLink {
                        from: LinkEndpoint::Stage(self.last()),
                        to: LinkEndpoint::Client,
                        node: self.entry.clone(),
                        peer: self.places[self.last().index()].clone(),
                        bytes: delivered,
                        detail: why.clone(),
                        delivered,
                    })
                    .await;
                }
                self.stdout_end = Some(end);
            }
            Route::Stdin => {
                if let RelayEnd::Reset(reason) = &end {
                    self.fail(Failure::Aborted {
                        reason: format!("standard input could not be read: {reason}"),
                        signal: None,
                    })
                    .await;
                }
                if let RelayEnd::Damaged(why) = &end {
                    self.fail(Failure::Entry {
                        detail: format!(
                            "standard input was damaged on its way to the entry {}: {why}",
                            self.entry
                        ),
                    })
                    .await;
                }
                self.stdin_end = Some(end);
            }
            Route::Stderr(stage) => {
                self.stderr_over.insert(stage, true);
            }
        }
    }
}
