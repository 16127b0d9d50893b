//! Unix sockets between the daemon and its shims and keeper: messages with descriptors.

use std::{
    io::{self, IoSlice, IoSliceMut, Read, Write},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::{Serialize, de::DeserializeOwned};

/// Most descriptors that travel with one message: standard input, output and error.
pub(super) const MAX_DESCRIPTORS: usize = 3;

/// Longest JSON text in either direction. The kernel takes at most 6 MiB of arguments and environment in all; JSON escapes make at
/// most six characters of a byte.
pub(super) const MAX_TEXT: usize = 40 << 20;

/// Bytes of the length before every text on a stream socket.
pub(super) const HEADER: usize = 4;

/// A connected pair, close-on-exec.
pub(super) fn pair(kind: SocketType) -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(
        AddressFamily::UNIX,
        kind,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

/// Sends these bytes and descriptors with one call. A stream socket may take fewer bytes; the descriptors go with the first.
pub(super) fn send(
    socket: impl AsFd,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> rustix::io::Result<usize> {
    send_with(socket, bytes, descriptors, SendFlags::NOSIGNAL)
}

/// As [`send`], with other flags.
pub(super) fn send_with(
    socket: impl AsFd,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
    flags: SendFlags,
) -> rustix::io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        let pushed = control.push(SendAncillaryMessage::ScmRights(descriptors));
        assert!(pushed, "at most MAX_DESCRIPTORS descriptors are sent");
    }
    rustix::io::retry_on_intr(|| sendmsg(&socket, &[IoSlice::new(bytes)], &mut control, flags))
}

/// Receives what one call gives: the number of bytes, 0 at the end, and the descriptors that came with them, close-on-exec.
pub(super) fn receive(
    socket: impl AsFd,
    buffer: &mut [u8],
) -> rustix::io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got = rustix::io::retry_on_intr(|| {
        recvmsg(
            &socket,
            &mut [IoSliceMut::new(buffer)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        )
    })?;
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            descriptors.extend(received);
        }
    }
    Ok((got.bytes, descriptors))
}

/// A message as it stands on a stream socket: its length, then JSON.
pub(super) fn encode(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; HEADER];
    serde_json::to_writer(&mut bytes, message)?;
    let length = u32::try_from(bytes.len() - HEADER)
        .ok()
        .filter(|length| *length as usize <= MAX_TEXT)
        .ok_or_else(|| io::Error::from(io::ErrorKind::ArgumentListTooLong))?;
    bytes[..HEADER].copy_from_slice(&length.to_le_bytes());
    Ok(bytes)
}

/// The length of the text that follows this header.
pub(super) fn decode_header(header: [u8; HEADER]) -> io::Result<usize> {
    let length = u32::from_le_bytes(header) as usize;
    if length > MAX_TEXT {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(length)
}

/// Reads one message from a blocking stream socket; `None` when it was closed before one began.
pub(super) fn read_message<T: DeserializeOwned>(
    socket: &OwnedFd,
) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut header = [0; HEADER];
    let (got, descriptors) = receive(socket, &mut header)?;
    if got == 0 {
        return Ok(None);
    }
    let mut stream = std::fs::File::from(socket.try_clone()?);
    stream.read_exact(&mut header[got..])?;
    let mut text = vec![0; decode_header(header)?];
    stream.read_exact(&mut text)?;
    Ok(Some((serde_json::from_slice(&text)?, descriptors)))
}

/// Writes one message to a blocking stream socket.
pub(super) fn write_message(socket: &OwnedFd, message: &impl Serialize) -> io::Result<()> {
    let bytes = encode(message)?;
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let sent = send(socket, rest, &[])?;
        rest = &rest[sent..];
    }
    std::fs::File::from(socket.try_clone()?).flush()
}
