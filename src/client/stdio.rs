//! The client's own descriptors. They belong to the user's shell as well, so they are never made non-blocking: each is served by a
//! thread that blocks, and a bounded channel. Standard output has one only when a write has to wait.

use std::{
    io::{self, IoSlice},
    thread,
};

use bytes::{Buf, Bytes, BytesMut};
use rustix::{
    fd::{AsFd, BorrowedFd},
    io::{Errno, ReadWriteFlags},
    stdio,
};
use tokio::sync::{mpsc, oneshot};

/// Bytes per read of standard input: as much as a pipe that was enlarged gives in one go, beyond which nothing is gained.
const READ_SIZE: usize = 256 * 1_024;

/// Pieces on their way between the thread and the session. One is being moved while the next is fetched.
const PIECES: usize = 2;

/// As the offset of a write: where the descriptor stands, as with write(2).
const CURRENT_OFFSET: u64 = u64::MAX;

/// Reads standard input until its end, an error, or nobody listens. The thread may stay blocked in its read; it ends with the process.
fn read_stdin() -> mpsc::Receiver<io::Result<Bytes>> {
    let (send, receive) = mpsc::channel(PIECES);
    let reader = move || {
        let mut buffer = BytesMut::new();
        loop {
            buffer.resize(READ_SIZE, 0);
            let piece = match read(stdio::stdin(), &mut buffer) {
                Ok(0) => return,
                Ok(length) => Ok(buffer.split_to(length).freeze()),
                Err(error) => Err(error.into()),
            };
            let failed = piece.is_err();
            if send.blocking_send(piece).is_err() || failed {
                return;
            }
        }
    };
    spawn("dpipes-stdin", reader);
    receive
}

fn read(from: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize, Errno> {
    loop {
        match rustix::io::read(from, &mut *buffer) {
            Err(Errno::INTR) => {}
            // Somebody else made it non-blocking.
            Err(Errno::AGAIN) => wait(from, rustix::event::PollFlags::IN)?,
            other => return other,
        }
    }
}

/// What a run reads.
#[derive(Debug)]
pub(super) enum Input {
    /// Standard input. Nobody reads it before the run wants something of it.
    Own,
    /// What somebody in this process sends.
    Channel(mpsc::Receiver<io::Result<Bytes>>),
}

// === impl Input ===

impl Input {
    pub(super) fn pieces(self) -> mpsc::Receiver<io::Result<Bytes>> {
        match self {
            Self::Own => read_stdin(),
            Self::Channel(pieces) => pieces,
        }
    }
}

/// Writes what it is sent, in order, each piece with as few writes as the kernel allows.
#[derive(Debug)]
pub(super) struct Writer {
    pieces: mpsc::Sender<Bytes>,
    /// Sent by whoever wrote last; holds what stopped it.
    result: oneshot::Receiver<Written>,
}

/// What became of the bytes.
#[derive(Debug)]
pub(super) struct Written {
    /// Bytes that the kernel took.
    pub(super) bytes: u64,
    /// Why there were no more.
    pub(super) error: Option<io::Error>,
}

// === impl Writer ===

impl Writer {
    /// To be called inside the runtime.
    pub(super) fn stdout() -> Self {
        let (pieces, incoming) = mpsc::channel::<Bytes>(PIECES);
        let (send, result) = oneshot::channel();
        tokio::spawn(write_at_once(incoming, send));
        Self { pieces, result }
    }

    /// For somebody in this process, who takes the pieces himself.
    pub(super) fn channel(pieces: mpsc::Sender<Bytes>) -> Self {
        let (send, result) = oneshot::channel();
        let taken = Written {
            bytes: 0,
            error: None,
        };
        // The receiver is at hand.
        let _sent = send.send(taken);
        Self { pieces, result }
    }

    /// A way to send pieces; several may exist.
    pub(super) fn pieces(&self) -> mpsc::Sender<Bytes> {
        self.pieces.clone()
    }

    /// Waits until everything that was sent is written, or could not be. All clones of [`Writer::pieces`] must be gone.
    pub(super) async fn finish(self) -> Written {
        drop(self.pieces);
        let stopped = || Written {
            bytes: 0,
            error: Some(io::Error::other("the writing thread stopped")),
        };
        self.result.await.unwrap_or_else(|_| stopped())
    }
}

/// Writes what standard output takes without waiting. With the first piece that would take a wait, or where the kernel cannot tell, a
/// thread takes over: it may block, and a short pipe ends before one is needed.
async fn write_at_once(mut incoming: mpsc::Receiver<Bytes>, result: oneshot::Sender<Written>) {
    let mut written = Written {
        bytes: 0,
        error: None,
    };
    while let Some(mut piece) = incoming.recv().await {
        while !piece.is_empty() {
            let now = rustix::io::pwritev2(
                stdio::stdout(),
                &[IoSlice::new(&piece)],
                CURRENT_OFFSET,
                ReadWriteFlags::NOWAIT,
            );
            match now {
                Ok(length) if length > 0 => {
                    piece.advance(length);
                    written.bytes += length as u64;
                }
                // Whatever keeps it from being written now, a write that waits comes past it, or says what is wrong.
                Ok(_) | Err(_) => {
                    let rest = move || write_waiting(piece, incoming, written, result);
                    return spawn("dpipes-output", rest);
                }
            }
        }
    }
    let _ = result.send(written);
}

/// Writes until there is nothing more or an error ends it.
fn write_waiting(
    first: Bytes,
    mut incoming: mpsc::Receiver<Bytes>,
    mut written: Written,
    result: oneshot::Sender<Written>,
) {
    let mut next = Some(first);
    while let Some(piece) = next {
        if let Err(error) = write_all(&piece, &mut written.bytes) {
            written.error = Some(error.into());
            break;
        }
        next = incoming.blocking_recv();
    }
    // Whoever still sends finds the channel closed.
    drop(incoming);
    let _ = result.send(written);
}

fn write_all(mut data: &[u8], written: &mut u64) -> Result<(), Errno> {
    let to = stdio::stdout();
    while !data.is_empty() {
        match rustix::io::write(to, data) {
            Ok(length) => {
                data = &data[length..];
                *written += length as u64;
            }
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => wait(to, rustix::event::PollFlags::OUT)?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn wait(on: BorrowedFd<'_>, events: rustix::event::PollFlags) -> Result<(), Errno> {
    let on = on.as_fd();
    match rustix::event::poll(
        &mut [rustix::event::PollFd::from_borrowed_fd(on, events)],
        None,
    ) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error),
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .expect("a client can start its few threads");
}
