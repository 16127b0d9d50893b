//! The client's own descriptors. They belong to the user's shell as well, so they are never made non-blocking: each is served by a
//! thread that blocks, and a bounded channel.

use std::{io, thread};

use bytes::{Bytes, BytesMut};
use rustix::{
    fd::{AsFd, BorrowedFd},
    io::Errno,
    stdio,
};
use tokio::sync::mpsc;

/// Bytes per read of standard input: as much as a pipe that was enlarged gives in one go, beyond which nothing is gained.
const READ_SIZE: usize = 256 * 1_024;

/// Pieces on their way between the thread and the session. One is being moved while the next is fetched.
const PIECES: usize = 2;

/// Reads standard input until its end, an error, or nobody listens. The thread may stay blocked in its read; it ends with the process.
pub(super) fn read_stdin() -> mpsc::Receiver<io::Result<Bytes>> {
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

/// Writes what it is sent, in order, each piece with as few writes as the kernel allows.
#[derive(Debug)]
pub(super) struct Writer {
    pieces: mpsc::Sender<Bytes>,
    /// Closed by the thread when it is done; holds what stopped it.
    result: tokio::sync::oneshot::Receiver<Written>,
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
    pub(super) fn stdout() -> Self {
        let (pieces, mut incoming) = mpsc::channel::<Bytes>(PIECES);
        let (send, result) = tokio::sync::oneshot::channel();
        let writer = move || {
            let mut written = Written {
                bytes: 0,
                error: None,
            };
            while let Some(piece) = incoming.blocking_recv() {
                if let Err(error) = write_all(&piece, &mut written.bytes) {
                    written.error = Some(error.into());
                    break;
                }
            }
            // Whoever still sends finds the channel closed.
            drop(incoming);
            let _ = send.send(written);
        };
        spawn("dpipes-output", writer);
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
