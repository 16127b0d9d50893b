//! The five calls for which there is no safe wrapper.

#![expect(
    unsafe_code,
    reason = "signal dispositions, inherited descriptors, descriptors in tokio's reactor and settings of the allocator have no safe wrapper"
)]

use std::{
    fs, io,
    os::fd::{BorrowedFd, OwnedFd, RawFd},
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
