//! The six calls for which there is no safe wrapper.

#![expect(
    unsafe_code,
    reason = "signal dispositions, inherited descriptors, descriptors in tokio's reactor, copies of a process and settings of the allocator have no safe wrapper"
)]

use std::{
    fs, io,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd},
};

use nix::{
    libc,
    sys::signal::{SigHandler, SigSet, Signal, signal},
};
use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
use tokio::io::{Interest, unix::AsyncFd};

/// Allocations from this length on go back to the kernel as soon as they are freed: it is half of the buffers that data passes through.
#[cfg(target_env = "gnu")]
const GIVE_BACK: i32 = 128 << 10;

/// The first signal that is no standard one, see signal(7).
const FIRST_BEYOND_STANDARD: i32 = 32;

/// The last signal there is.
const LAST_SIGNAL: i32 = 64;

/// The size of the kernel's set of signals, which it wants to hear.
const SIGNAL_SET: usize = 8;

/// More than any architecture's `struct sigaction` of the kernel takes.
const KERNEL_SIGACTION: usize = 64;

/// Gives every signal its default action and unblocks all of them: what is ignored or blocked is inherited through `execve`,
/// and a parent started by `nohup` or by a careless service manager ignores some.
pub(super) fn default_signals() -> io::Result<()> {
    for each in Signal::iterator() {
        if matches!(each, Signal::SIGKILL | Signal::SIGSTOP) {
            continue;
        }
        // SAFETY: the default action installs no handler, so no code of this process can run in signal context because of it.
        unsafe { signal(each, SigHandler::SigDfl) }?;
    }
    // The real-time signals, and the two that the C library keeps to itself: its own spawn leaves those ignored, and its sigaction
    // refuses to name them.
    let default = [0_u8; KERNEL_SIGACTION];
    for number in FIRST_BEYOND_STANDARD..=LAST_SIGNAL {
        // SAFETY: an action of zeros is the default one on every architecture; the kernel reads it and writes nothing.
        let result = unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                number,
                default.as_ptr(),
                std::ptr::null_mut::<u8>(),
                SIGNAL_SET,
            )
        };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    SigSet::empty().thread_set_mask()?;
    Ok(())
}

/// Marks every open descriptor from 3 on close-on-exec. To be called before other threads exist.
pub(super) fn close_inherited_on_exec() -> io::Result<()> {
    for number in open_descriptors()? {
        // SAFETY: the number was open a moment ago and no other thread exists that could have closed it; were it closed (as the
        // directory listing itself is), the kernel says EBADF, which is ignored, and no descriptor is kept or closed here.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        if let Ok(flags) = fcntl_getfd(descriptor) {
            fcntl_setfd(descriptor, flags | FdFlags::CLOEXEC)?;
        }
    }
    Ok(())
}

/// Makes the allocator give large buffers back when they are freed. By itself it would learn from the first of them to keep all later
/// ones, so a daemon that was busy once would stay large for ever. To be called before other threads exist.
#[cfg(target_env = "gnu")]
pub(super) fn give_large_buffers_back() {
    // SAFETY: mallopt changes a number of the allocator and may be called at any time; a refusal changes nothing.
    unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, GIVE_BACK) };
}

/// Other allocators need not be told.
#[cfg(not(target_env = "gnu"))]
pub(super) fn give_large_buffers_back() {}

/// Lets the runtime wait until a descriptor becomes readable.
pub(super) fn watch(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open, and nobody replaces or closes it while the `AsyncFd` owns it.
    Ok(unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) }?)
}

/// The numbers of all open descriptors from 3 on.
pub(super) fn open_descriptors() -> io::Result<Vec<RawFd>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name();
        if let Some(number) = name.to_str().and_then(|text| text.parse().ok())
            && number > 2
        {
            numbers.push(number);
        }
    }
    Ok(numbers)
}

/// Which of two processes this is, after one has become two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Copied {
    /// The one that was there before.
    Original {
        /// The process of the copy.
        pid: i32,
    },
    /// The new one.
    Copy,
}

/// Copies this process, which must have no other threads. The copy is not a child of this process but of its parent, who hears of its end
/// as it would hear of the end of this one.
pub(super) fn copy() -> io::Result<Copied> {
    let flags = i64::from(libc::CLONE_PARENT | libc::SIGCHLD);
    // SAFETY: without CLONE_VM the copy has memory of its own, and as no other thread exists, no lock in it is held by anybody. A stack of
    // zero is the same stack, copied. The arguments behind it are not looked at with these flags, whose place is the first on all
    // architectures but s390x and cris, and there these calls refuse a stack at such an address.
    let result = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    copied(result)
}

/// As [`copy`], with the copy in this cgroup from its birth on. Moving it there later would hold up every start and end of a process on
/// this machine, for milliseconds.
pub(super) fn copy_into(cgroup: BorrowedFd<'_>) -> io::Result<Copied> {
    // The bit of CLONE_INTO_CGROUP does not fit the C library's type for flags everywhere.
    const INTO_CGROUP: u64 = 0x2_0000_0000;
    // SAFETY: it is a C structure of numbers, of which all may be zero.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = libc::CLONE_PARENT as u64 | INTO_CGROUP;
    arguments.cgroup = cgroup.as_raw_fd() as u64;
    // SAFETY: as in `copy`; the kernel reads as much of the structure as it is told, and keeps nothing of it.
    let result = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw const arguments,
            size_of_val(&arguments),
        )
    };
    copied(result)
}

fn copied(result: libc::c_long) -> io::Result<Copied> {
    match i32::try_from(result) {
        Ok(0) => Ok(Copied::Copy),
        Ok(pid) if pid > 0 => Ok(Copied::Original { pid }),
        _ => Err(io::Error::last_os_error()),
    }
}
