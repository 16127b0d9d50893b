//! The honest reference: what the kernel lets a relay do that never blocks and never touches a byte. One process moves from a pipe to a
//! connection, another from a connection to a pipe.
//!
//! A relay with blocking descriptors is quicker by a fifth, and wrong: `splice` from a socket holds the pipe's lock while it waits, so
//! that the reader cannot even take what is in the pipe already.

use std::{io, os::fd::BorrowedFd};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::{Errno, ioctl_fionbio, retry_on_intr},
    pipe::{SpliceFlags, fcntl_setpipe_size, splice},
    stdio::{stdin, stdout},
};

/// The size of its pipe: what any user may have.
const PIPE: usize = 1 << 20;

/// Moves stdin to stdout, of which one is a pipe and the other a connection.
pub(super) fn run() -> io::Result<()> {
    let (from, to) = (stdin(), stdout());
    for end in [from, to] {
        ioctl_fionbio(end, true)?;
        let _it_is_no_pipe = fcntl_setpipe_size(end, PIPE);
    }
    loop {
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        match splice(from, None, to, None, PIPE, flags) {
            Ok(0) => return Ok(()),
            Ok(_) | Err(Errno::INTR) => {}
            // Either side may be the reason. Only this process reads `from`, so that it can tell.
            Err(Errno::AGAIN) if is_ready(from)? => wait(to, PollFlags::OUT, None).map(drop)?,
            Err(Errno::AGAIN) => wait(from, PollFlags::IN, None).map(drop)?,
            Err(error) => return Err(error.into()),
        }
    }
}

fn is_ready(from: BorrowedFd<'_>) -> io::Result<bool> {
    wait(from, PollFlags::IN, Some(&Timespec::default()))
}

fn wait(end: BorrowedFd<'_>, what: PollFlags, limit: Option<&Timespec>) -> io::Result<bool> {
    let mut watched = [PollFd::from_borrowed_fd(end, what)];
    Ok(retry_on_intr(|| poll(&mut watched, limit))? > 0)
}
