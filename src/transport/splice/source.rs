//! From a pipe into the socket.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use rustix::{event::PollFlags, io::Errno, net::SendFlags};
use tokio::{io::Interest, net::unix::pipe::Receiver, sync::Notify};

use super::{FLAGS, LEAST, is_ready};
use crate::{
    transport::{pump::Meter, socket::Socket},
    wire::limits,
};

/// What takes the place of bytes that somebody else has read.
const ZEROS: [u8; 4 << 10] = [0; 4 << 10];

/// A pipe whose bytes go into the socket without passing through memory.
#[derive(Debug)]
pub(in crate::transport) struct Source {
    pipe: Receiver,
    meter: Arc<Meter>,
    bytes: AtomicU64,
    /// Whether somebody else has read what was announced.
    robbed: AtomicBool,
    /// Told when less is in the pipe than is worth splicing: whoever holds the stream reads it then.
    dry: Notify,
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

// === impl Source ===

impl Source {
    pub(in crate::transport) fn new(pipe: Receiver, meter: Arc<Meter>) -> Self {
        Self {
            pipe,
            meter,
            bytes: AtomicU64::new(0),
            robbed: AtomicBool::new(false),
            dry: Notify::new(),
        }
    }

    /// The pipe, for reading while nothing of it is announced.
    pub(in crate::transport) const fn pipe(&self) -> &Receiver {
        &self.pipe
    }

    /// How much there is to announce, if it is worth it. Asked only while nothing is announced.
    pub(in crate::transport) fn waiting(&self) -> Option<usize> {
        let waiting = rustix::io::ioctl_fionread(&self.pipe).ok()?;
        let waiting = usize::try_from(waiting).unwrap_or(limits::MAX_DATA);
        (waiting >= LEAST).then_some(waiting)
    }

    /// Notes that nothing more is announced.
    pub(in crate::transport) fn run_dry(&self) {
        self.dry.notify_one();
    }

    /// Waits for that. Cancel safe.
    pub(in crate::transport) async fn dry(&self) {
        self.dry.notified().await;
    }

    /// Whether somebody else has read what was announced, so that what went into the socket is not what the app wrote.
    pub(in crate::transport) fn is_robbed(&self) -> bool {
        self.robbed.load(Ordering::Relaxed)
    }

    /// Bytes that went into the socket.
    pub(in crate::transport) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Moves `left` bytes that were announced into the socket. Cancel safe: what was moved has been taken off.
    ///
    /// If somebody else has read the pipe all the same, as an app can that opens its own output for reading, zeros take the place of what
    /// is missing, for the frame has to be completed; its stream must be [reset](Self::is_robbed) then.
    ///
    /// # Errors
    ///
    /// Returns what the socket says; the session is over then.
    pub(in crate::transport) async fn send(
        &self,
        socket: Socket<'_>,
        left: &mut usize,
    ) -> io::Result<()> {
        while *left > 0 {
            let moved = socket.attempt(Interest::WRITABLE, || {
                if self.is_robbed() {
                    let zeros = &ZEROS[..ZEROS.len().min(*left)];
                    return Ok(rustix::net::send(
                        socket.as_fd(),
                        zeros,
                        SendFlags::NOSIGNAL,
                    )?);
                }
                let moved =
                    rustix::pipe::splice(&self.pipe, None, socket.as_fd(), None, *left, FLAGS);
                match moved {
                    // The bytes should be there, so that it is the socket that would block.
                    Err(Errno::AGAIN) if !is_ready(&self.pipe, PollFlags::IN)? => Ok(0),
                    other => Ok(other?),
                }
            });
            match moved {
                Ok(0) => self.robbed.store(true, Ordering::Relaxed),
                Ok(moved) => {
                    *left -= moved;
                    self.bytes.fetch_add(moved as u64, Ordering::Relaxed);
                    self.meter.add(moved);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    socket.ready(Interest::WRITABLE).await?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
