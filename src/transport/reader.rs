//! The task that reads a session's socket.

use std::{sync::Arc, time::Duration};

use bytes::Buf as _;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::{Instant, sleep, sleep_until},
};

use super::{
    buffers::Buffers,
    error::Lost,
    shared::Shared,
    socket::OfSocket,
    splice::{LEAST, Outlet, Passed},
    turn::Turn,
};
use crate::{
    mux::{Violation, code},
    wire::{
        Decoder, Frame, StreamId,
        codec::{Awaited, Header},
        limits,
    },
};

/// Buffer into which is received: with less the system calls cost more than the copying, with more the cache is missed.
const BUFFER: usize = 256 << 10;

/// Room below which a new buffer is taken. What is left of the old one is a quarter at most.
const LEAST_ROOM: usize = 64 << 10;

/// How long a full pipe may hold up the session while nothing else flows on it: a consumer that reads 100 MB/s in pieces of 128 KiB has
/// room again after 1.3 ms. What does not fit until then is taken into memory.
const PATIENCE: Duration = Duration::from_millis(2);

/// For how long nothing else must have flowed on the session for that.
const ALONE: Duration = Duration::from_millis(20);

/// Reads until the session is over.
pub(super) async fn read<R: AsyncRead + OfSocket + Unpin>(shared: Arc<Shared>, reader: R) -> R {
    let deadline = shared.with(|connection, now| {
        // The first ping is due at once.
        let _alive = connection.tick(now);
        connection.deadline()
    });
    let mut reading = Reading {
        shared,
        reader,
        buffers: Buffers::default(),
        decoder: Decoder::new(),
        deadline,
        way: Way::Buffered,
        traffic: Traffic {
            current: StreamId::SESSION,
            since: Instant::now(),
        },
        turn: Turn::default(),
    };
    while reading.step().await {}
    reading.reader
}

/// A socket that is being read.
struct Reading<R> {
    shared: Arc<Shared>,
    reader: R,
    buffers: Buffers,
    decoder: Decoder,
    /// When the clock must be looked at.
    deadline: Duration,
    way: Way,
    traffic: Traffic,
    turn: Turn,
}

/// Whether more than one stream flows.
struct Traffic {
    /// The stream of the last payload, and since when nothing else came.
    current: StreamId,
    since: Instant,
}

/// How what comes next is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// As much as there is.
    Buffered,
    /// Frame by frame and no byte further: the last payload was long, so the next one may have to be spliced too.
    Exact,
    /// A long payload is being spliced.
    Passing,
    /// The rest of a long payload that cannot be spliced any further, and no byte of what follows it.
    Spilt,
}

/// What a step brought.
enum Came {
    Over,
    Clock,
    Read(usize),
    Passed(StreamId, Arc<Outlet>, Passed),
    Failed(std::io::Error),
}

// === impl Reading ===

impl<R: AsyncRead + OfSocket + Unpin> Reading<R> {
    /// Takes in what comes next; says whether the session goes on.
    async fn step(&mut self) -> bool {
        let came = match self.next_outlet() {
            Some((stream, outlet, most)) => self.pass(stream, outlet, most).await,
            None => self.buffer().await,
        };
        match came {
            Came::Over => return false,
            Came::Clock => self.look_at_the_clock(),
            Came::Read(0) | Came::Passed(_, _, Passed::End) => {
                let mid_frame = !self.decoder.at_boundary(&self.buffers.current);
                self.shared.end(Lost::Cut { mid_frame }, None);
            }
            Came::Read(bytes) => {
                self.receive();
                self.turn.moved(bytes).await;
            }
            Came::Passed(stream, outlet, Passed::Bytes(bytes)) => {
                self.decoder.pass(bytes);
                if self.decoder.awaits_data().is_none() {
                    self.way = Way::Exact;
                }
                let larger = outlet.note(bytes);
                let (is_due, deadline) = self.shared.with(|connection, now| {
                    if let Some(size) = larger {
                        connection.widen(stream, size);
                    }
                    let is_due = connection.passed(stream, bytes, now);
                    (is_due, connection.deadline())
                });
                self.deadline = deadline;
                if is_due {
                    let room = outlet.room();
                    self.shared
                        .with(|connection, _| connection.replenish(stream, room));
                }
                drop(outlet);
                self.turn.moved(bytes).await;
            }
            Came::Passed(_, outlet, Passed::Full) => {
                let has_room = self.traffic.is_of_one() && self.wait_for_room(&outlet).await;
                if !has_room {
                    self.way = Way::Spilt;
                }
            }
            Came::Passed(_, _, Passed::Never) => self.way = Way::Spilt,
            Came::Failed(error) => self.shared.end(error.into(), None),
        }
        true
    }

    /// Where the payload that comes next may be passed to, and how much of it.
    fn next_outlet(&mut self) -> Option<(StreamId, Arc<Outlet>, usize)> {
        let Awaited {
            stream,
            length,
            left,
        } = self.decoder.awaits_data()?;
        if self.way == Way::Spilt {
            return None;
        }
        if length < LEAST || !self.buffers.current.is_empty() || self.reader.socket().is_none() {
            self.way = Way::Buffered;
            return None;
        }
        let state = self.shared.lock();
        if !state.has_outlet(stream) {
            self.way = Way::Buffered;
            return None;
        }
        // The end of a payload of which the most has been copied is not worth a slot of the pipe.
        let is_worth = left >= LEAST || self.way == Way::Passing;
        let Some((outlet, most)) = state.passable(stream).filter(|_| is_worth) else {
            self.way = Way::Spilt;
            return None;
        };
        drop(state);
        self.way = Way::Passing;
        self.traffic.payload(stream);
        Some((stream, outlet, left.min(most)))
    }

    /// Passes a payload on. All branches are cancel safe.
    async fn pass(&self, stream: StreamId, outlet: Arc<Outlet>, most: usize) -> Came {
        let Some(socket) = self.reader.socket() else {
            return Came::Passed(stream, outlet, Passed::Never);
        };
        tokio::select! {
            biased;
            () = self.shared.over.cancelled() => Came::Over,
            passed = outlet.splice(socket, most) => match passed {
                Ok(passed) => Came::Passed(stream, outlet, passed),
                Err(error) => Came::Failed(error),
            },
            () = sleep_until(self.shared.instant(self.deadline)) => Came::Clock,
        }
    }

    /// Reads into memory. All branches are cancel safe: bytes are in the buffer or in the kernel.
    async fn buffer(&mut self) -> Came {
        let exact = self.rest_of_frame();
        self.buffers.make_room(LEAST_ROOM, BUFFER);
        let current = &mut self.buffers.current;
        let read = async {
            match exact {
                Some(length) => (&mut self.reader).take(length).read_buf(current).await,
                None => self.reader.read_buf(current).await,
            }
        };
        tokio::select! {
            biased;
            () = self.shared.over.cancelled() => Came::Over,
            // Before the clock, so that a side which was suspended hears its peer first.
            read = read => read.map_or_else(Came::Failed, Came::Read),
            () = sleep_until(self.shared.instant(self.deadline)) => Came::Clock,
        }
    }

    /// How much to read at most, where long payloads are expected: the header of the next frame, the rest of a short one, or that of a
    /// payload that cannot be spliced.
    fn rest_of_frame(&mut self) -> Option<u64> {
        let have = &self.buffers.current;
        match (self.way, self.decoder.awaits_data()) {
            (Way::Spilt, Some(awaited)) => return Some(awaited.left as u64),
            (Way::Exact, None) => {}
            _ => return None,
        }
        let whole = match have.first_chunk() {
            None => limits::HEADER,
            Some(header) => limits::HEADER + Header::parse(*header).ok()?.length,
        };
        whole.checked_sub(have.len()).map(|rest| rest as u64)
    }

    /// Hands what was read to the connection, or to the pipes of the streams.
    fn receive(&mut self) {
        let received = self.try_receive();
        if self.way == Way::Spilt && self.decoder.awaits_data().is_none() {
            self.way = Way::Exact;
        }
        match received {
            Ok(next) => self.deadline = next,
            Err(lost) => {
                let code = match &lost {
                    Lost::Violation(violation) => violation.code(),
                    _ => code::AWAY_PROTOCOL,
                };
                let text = lost.to_string();
                self.shared.end(lost, Some((code, &text)));
            }
        }
    }

    fn try_receive(&mut self) -> Result<Duration, Lost> {
        let now = self.shared.now();
        let mut state = self.shared.lock();
        state.connection.heard(now);
        while let Some(mut frame) = self
            .decoder
            .decode(&mut self.buffers.current)
            .map_err(Lost::Decode)?
        {
            match &mut frame {
                Frame::Data { stream, payload } => {
                    let stream = *stream;
                    self.traffic.payload(stream);
                    if let Some((outlet, most)) = state.passable(stream) {
                        // The lock is not held across a system call that copies.
                        drop(state);
                        let is_long = payload.len() >= LEAST;
                        let written = outlet.write(&payload[..payload.len().min(most)]);
                        payload.advance(written);
                        if is_long && self.way == Way::Buffered {
                            self.way = Way::Exact;
                        }
                        let larger = outlet.note(written);
                        state = self.shared.lock();
                        if let Some(size) = larger {
                            state.connection.widen(stream, size);
                        }
                        if state.connection.passed(stream, written, now) {
                            state.connection.replenish(stream, outlet.room());
                        }
                        if payload.is_empty() {
                            continue;
                        }
                    }
                }
                Frame::Credit { .. } => self.traffic.credit(),
                _ => {}
            }
            state
                .connection
                .receive(frame, now)
                .map_err(Lost::Violation)?;
        }
        let deadline = state.connection.deadline();
        self.shared.settle(&mut state);
        Ok(deadline)
    }

    /// Waits for a while until a full pipe has room.
    async fn wait_for_room(&self, outlet: &Outlet) -> bool {
        tokio::select! {
            biased;
            () = self.shared.over.cancelled() => false,
            () = outlet.writable() => true,
            () = sleep(PATIENCE) => false,
        }
    }

    fn look_at_the_clock(&mut self) {
        self.buffers.rest();
        let ticked = self
            .shared
            .with(|connection, now| connection.tick(now).map(|()| connection.deadline()));
        match ticked {
            Ok(next) => self.deadline = next,
            Err(violation) => silent(&self.shared, violation),
        }
    }
}

// === impl Traffic ===

impl Traffic {
    fn payload(&mut self, stream: StreamId) {
        if stream != self.current {
            self.current = stream;
            self.since = Instant::now();
        }
    }

    /// Something flows the other way, and must not be held up either.
    fn credit(&mut self) {
        self.since = Instant::now();
    }

    fn is_of_one(&self) -> bool {
        self.since.elapsed() >= ALONE
    }
}

/// Ends a session whose peer is dead. It is told nevertheless, should it hear.
fn silent(shared: &Shared, violation: Violation) {
    let text = violation.to_string();
    let code = violation.code();
    shared.end(Lost::Violation(violation), Some((code, &text)));
}
