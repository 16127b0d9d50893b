//! Bytes that the kernel moves between a pipe and a socket, without a copy in this process.
//!
//! A [`Source`] is the pipe that a stream is written from, an [`Outlet`] the one that it ends in. Framing is the same as for bytes in memory:
//! the header is written or read as ever, and the payload behind it is spliced. Both ends decide on their own whether they splice; the
//! peer cannot tell.
//!
//! What makes it correct:
//!
//! * Only bytes that the pipe is known to hold are announced in a header. Nobody else reads that pipe, so that they are still there when
//!   the frame's turn comes; and a frame that was begun is completed, whatever becomes of its stream.
//! * All descriptors are non-blocking. `splice` from a blocking socket would hold the pipe's lock while it waits, and with it the
//!   process at the pipe's other end.
//! * `EAGAIN` may be about either side. A pipe is never waited for in the belief that it was the socket, nor the other way round: the
//!   socket is asked how much it holds.

mod outlet;
mod source;

pub(super) use self::{
    outlet::{Outlet, Passed},
    source::Source,
};

use std::{io, os::fd::AsFd, sync::LazyLock};

use rustix::{
    event::{PollFd, PollFlags, Timespec},
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, socketpair},
    pipe::{PipeFlags, SpliceFlags, pipe_with},
};

/// Less than this is not worth system calls of its own: it is copied through memory, header and all in one. Between 16 and 64 KiB it makes
/// no difference that could be measured. Short pieces would also use up the slots of a pipe, which are counted, not only their bytes.
pub(super) const LEAST: usize = 16 << 10;

/// Non-blocking on the pipe's side too, whatever its descriptor says. `SPLICE_F_MORE` is not used: on the last piece it would hold
/// back the tail for 200 ms.
const FLAGS: SpliceFlags = SpliceFlags::NONBLOCK;

/// Whether the kernel splices between pipes and sockets: Linux does, what imitates it may not.
pub(super) fn works() -> bool {
    static WORKS: LazyLock<bool> = LazyLock::new(|| {
        let tried = try_it();
        if let Err(error) = tried {
            tracing::debug!(%error, "the kernel does not splice; data is copied");
        }
        tried.is_ok()
    });
    *WORKS
}

/// Sends a byte from a pipe through a socket into a pipe.
fn try_it() -> Result<(), Errno> {
    let (source, into_source) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    let (outlet, into_outlet) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (a, b) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::io::write(&into_source, b"x")?;
    rustix::pipe::splice(&source, None, &a, None, 1, FLAGS)?;
    rustix::pipe::splice(&b, None, &into_outlet, None, 1, FLAGS)?;
    let mut byte = [0];
    match rustix::io::read(&outlet, &mut byte)? {
        1 if byte == *b"x" => Ok(()),
        _ => Err(Errno::IO),
    }
}

/// Whether reading or writing would not block: there is something, there is room, or it would fail.
fn is_ready(descriptor: impl AsFd, what: PollFlags) -> io::Result<bool> {
    let mut asked = [PollFd::new(&descriptor, what)];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    Ok(rustix::event::poll(&mut asked, Some(&now))? > 0)
}
