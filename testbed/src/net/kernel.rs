//! What takes an ioctl that no crate of ours has.
#![expect(unsafe_code, reason = "one ioctl")]

use std::{fs::File, io};

use rustix::ioctl::{Setter, ioctl, opcode};

/// `TUNSETIFF` of linux/if_tun.h.
const SET_INTERFACE: rustix::ioctl::Opcode = opcode::write::<i32>(b'T', 202);

/// `IFF_TAP | IFF_NO_PI`: frames of Ethernet and nothing before them. Without further flags the kernel gives each as a network card
/// would send it: cut to size, with its checksum.
const FLAGS: u16 = 0x0002 | 0x1000;

/// `struct ifreq` of linux/if.h as `TUNSETIFF` reads it.
#[repr(C)]
struct Request {
    name: [u8; 16],
    flags: u16,
    rest: [u8; 22],
}

/// Makes a TAP device in the network namespace of the calling thread. It is there as long as the file is open.
pub(super) fn tap(name: &str) -> io::Result<File> {
    let file = File::options()
        .read(true)
        .write(true)
        .open("/dev/net/tun")?;
    let mut request = Request {
        name: [0; 16],
        flags: FLAGS,
        rest: [0; 22],
    };
    request.name[..name.len()].copy_from_slice(name.as_bytes());
    // SAFETY: the kernel reads a `struct ifreq` of 40 bytes, of which this is the layout, and keeps no pointer to it.
    unsafe { ioctl(&file, Setter::<SET_INTERFACE, Request>::new(request)) }?;
    Ok(file)
}
