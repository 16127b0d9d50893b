//! The data streams of a run: what flows from and to the client passes through here.

use std::sync::{Arc, atomic::AtomicU64};

use tracing::debug;

use super::{Event, Route, Stdout, Watch};
use crate::{
    coordinator::{
        Arrival,
        relay::{RelayEnd, relay},
    },
    id::StageNumber,
    transport::{RecvStream, SendStream, code},
    wire::message::{Failure, LinkEndpoint, Purpose},
};

impl Watch<'_> {
    pub(super) async fn on_arrival(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Link {
                attempt,
                from,
                digest,
                peer,
                stream,
            } => {
                let expected = LinkEndpoint::Stage(self.last());
                let known = attempt == self.attempt
                    && from == expected
                    && peer.as_ref() == self.places.last()
                    && digest == self.digest;
                match self.stdout_to_client.take() {
                    Some(to) if known => self.begin_stdout(stream, to),
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
            Arrival::Stdin { mut stream } => match self.stdin_to_stage.take() {
                Some(to) => {
                    stream.grant(self.request.window);
                    self.relay(Route::Stdin, stream, to, self.stdin_bytes.clone());
                }
                None => stream.stop(code::READER_GONE, "the first stage reads nothing"),
            },
        }
    }

    fn begin_stdout(&mut self, mut stream: RecvStream, to: SendStream) {
        self.stdout = Stdout::Flowing;
        stream.grant(self.request.window);
        self.relay(Route::Stdout, stream, to, self.delivered.clone());
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
                self.relay(Route::Stderr(stage), stream, to, Arc::default());
            }
            Err(error) => {
                self.stderr_over.insert(stage, true);
                stream.stop(code::CANCELLED, &error.to_string());
            }
        }
    }

    fn relay(&mut self, route: Route, from: RecvStream, to: SendStream, bytes: Arc<AtomicU64>) {
        let events = self.events.clone();
        self.tasks.spawn(async move {
            let end = relay(from, to, bytes).await;
            // The loop is gone only when the run is over, and then nobody asks any more.
            let _ = events.send(Event::Relay(route, end)).await;
        });
    }

    pub(super) async fn on_relay(&mut self, route: Route, end: RelayEnd) {
        debug!(?route, ?end, "relay over");
        match route {
            Route::Stdout => {
                self.stdout = Stdout::Over;
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
                self.stdin_end = Some(end);
            }
            Route::Stderr(stage) => {
                self.stderr_over.insert(stage, true);
            }
        }
    }
}
