//! From the socket into a pipe.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use rustix::{event::PollFlags, io::Errno};
use tokio::{io::Interest, net::unix::pipe::Sender};

use super::{FLAGS, LEAST, is_ready};
use crate::{
    mux::Room,
    transport::{
        pump::{Bulk, Grower, Meter},
        socket::Socket,
    },
};

/// What a pipe is believed to take at the least, however little was in it when it was full: its reader may have read meanwhile. It is the
/// size of an ordinary pipe.
const LEAST_CAPACITY: usize = 64 << 10;

/// A pipe that is filled from the socket without passing through memory.
///
/// The session's reader fills it while nothing of its stream waits in memory; what did not fit is written by whoever holds the stream.
/// The two never write at the same time: what may be [passed](crate::mux::Connection::passable) is nothing while something waits.
#[derive(Debug)]
pub(in crate::transport) struct Outlet {
    pipe: Sender,
    meter: Arc<Meter>,
    bytes: AtomicU64,
    /// How much fits as far as is known: less than the kernel says when many slots are filled by little.
    capacity: AtomicUsize,
    grower: Mutex<Grower>,
}

/// What came of an attempt to fill the pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::transport) enum Passed {
    /// So many bytes are in it now.
    Bytes(usize),
    /// It is full, and the socket has more.
    Full,
    /// The socket is at its end.
    End,
    /// Nobody reads it any more, or the kernel cannot splice here. What comes has to go through memory; whoever holds the stream sees why.
    Never,
}

impl AsFd for Outlet {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

// === impl Outlet ===

impl Outlet {
    pub(in crate::transport) fn new(pipe: Sender, meter: Arc<Meter>) -> Self {
        let capacity = rustix::pipe::fcntl_getpipe_size(&pipe).unwrap_or_default();
        Self {
            pipe,
            meter,
            bytes: AtomicU64::new(0),
            capacity: AtomicUsize::new(capacity),
            grower: Mutex::default(),
        }
    }

    /// The pipe.
    pub(in crate::transport) const fn pipe(&self) -> &Sender {
        &self.pipe
    }

    /// Gives the pipe back.
    ///
    /// # Errors
    ///
    /// Returns the kernel's error.
    pub(in crate::transport) fn into_pipe(self) -> io::Result<std::os::fd::OwnedFd> {
        self.pipe.into_nonblocking_fd()
    }

    /// Bytes that are or were in the pipe.
    pub(in crate::transport) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Counts bytes that are in the pipe now.
    pub(in crate::transport) fn count(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.meter.add(bytes);
    }

    /// Notes how much the pipe was given in one go. Returns its size when that has made it larger.
    pub(in crate::transport) fn note(&self, bytes: usize) -> Option<u32> {
        let mut grower = self.grower.lock().unwrap_or_else(PoisonError::into_inner);
        match grower.note(&self.pipe, bytes >= LEAST) {
            Bulk::Grown(size) => {
                self.capacity.store(size, Ordering::Relaxed);
                u32::try_from(size).ok()
            }
            Bulk::No | Bulk::Yes => None,
        }
    }

    /// How much the pipe takes now.
    pub(in crate::transport) fn room(&self) -> Room {
        let held = self.held();
        let capacity = self.capacity.fetch_max(held, Ordering::Relaxed).max(held);
        Room {
            capacity,
            free: capacity - held,
        }
    }

    fn held(&self) -> usize {
        let held = rustix::io::ioctl_fionread(&self.pipe).unwrap_or_default();
        usize::try_from(held).unwrap_or(usize::MAX)
    }

    /// Writes what fits of bytes in memory, and says how much that was.
    pub(in crate::transport) fn write(&self, bytes: &[u8]) -> usize {
        let written = self.pipe.try_write(bytes).unwrap_or(0);
        self.count(written);
        written
    }

    /// Moves some bytes, at most `most`, from the socket into the pipe. Waits for the socket, never for the pipe. Cancel safe.
    ///
    /// # Errors
    ///
    /// Returns what the socket says.
    pub(in crate::transport) async fn splice(
        &self,
        socket: Socket<'_>,
        most: usize,
    ) -> io::Result<Passed> {
        loop {
            let passed = socket.attempt(Interest::READABLE, || self.try_splice(socket, most));
            match passed {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    socket.ready(Interest::READABLE).await?;
                }
                // Its reader was quick.
                Ok(Passed::Full) if self.has_room() => {}
                other => return other,
            }
        }
    }

    /// Fails with [`io::ErrorKind::WouldBlock`] when it is the socket that has nothing.
    fn try_splice(&self, socket: Socket<'_>, most: usize) -> io::Result<Passed> {
        loop {
            return match rustix::pipe::splice(socket.as_fd(), None, &self.pipe, None, most, FLAGS) {
                Ok(0) => Ok(Passed::End),
                Ok(moved) => {
                    self.count(moved);
                    Ok(Passed::Bytes(moved))
                }
                Err(Errno::INTR) => continue,
                // Only this side reads the socket, so what it says of itself stays true; the pipe's reader could have read meanwhile.
                Err(Errno::AGAIN) if is_ready(socket, PollFlags::IN)? => {
                    let held = self.held().max(LEAST_CAPACITY);
                    self.capacity.fetch_min(held, Ordering::Relaxed);
                    Ok(Passed::Full)
                }
                Err(Errno::PIPE | Errno::INVAL | Errno::NOSYS) => Ok(Passed::Never),
                Err(error) => Err(error.into()),
            };
        }
    }

    /// Whether the pipe takes something. If not, the runtime is told to wait for it: it hears of what is written, not of what is spliced.
    fn has_room(&self) -> bool {
        let ask = || match is_ready(&self.pipe, PollFlags::OUT) {
            Ok(true) => Ok(()),
            Ok(false) => Err(io::ErrorKind::WouldBlock.into()),
            Err(error) => Err(error),
        };
        self.pipe.try_io(ask).is_ok()
    }

    /// Waits until the pipe may take something again. Cancel safe.
    pub(in crate::transport) async fn writable(&self) {
        // An error is one of the runtime that is shutting down.
        let _ready = self.pipe.writable().await;
    }
}
