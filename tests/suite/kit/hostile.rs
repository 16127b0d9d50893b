//! A cast of bad peers.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// A connection that does not behave.
pub(crate) struct Peer {
    stream: TcpStream,
    since: Instant,
}

impl Peer {
    /// Connects and says nothing: the staller.
    pub(crate) fn silent(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the daemon listens");
        Self {
            stream,
            since: Instant::now(),
        }
    }

    /// Connects and says this.
    pub(crate) fn saying(address: SocketAddr, bytes: &[u8]) -> Self {
        let mut peer = Self::silent(address);
        peer.say(bytes);
        peer
    }

    /// Says more. The daemon may have hung up already, which is its right.
    pub(crate) fn say(&mut self, bytes: &[u8]) {
        let _refused = self.stream.write_all(bytes);
    }

    /// Sends without end until the daemon hangs up, and returns how many bytes it got rid of; `None` if nobody stopped it.
    pub(crate) fn flood(&mut self, bytes: &[u8], limit: Duration) -> Option<u64> {
        self.stream
            .set_write_timeout(Some(limit))
            .expect("a timeout above zero");
        let mut sent = 0;
        while self.since.elapsed() < limit {
            match self.stream.write(bytes) {
                Ok(0) => return Some(sent),
                Ok(length) => sent += length as u64,
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    return None;
                }
                Err(_) => return Some(sent),
            }
        }
        None
    }

    /// Waits until the daemon hangs up and returns what it said before; `None` if it did not within the limit.
    pub(crate) fn cut_off_within(&mut self, limit: Duration) -> Option<Vec<u8>> {
        let mut said = Vec::new();
        let mut buffer = [0; 4096];
        while let Some(left) = limit
            .checked_sub(self.since.elapsed())
            .filter(|left| !left.is_zero())
        {
            self.stream
                .set_read_timeout(Some(left))
                .expect("a timeout above zero");
            match self.stream.read(&mut buffer) {
                Ok(0) => return Some(said),
                Ok(length) => said.extend_from_slice(&buffer[..length]),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    return None;
                }
                // A reset is a way of hanging up, too.
                Err(_) => return Some(said),
            }
        }
        None
    }

    /// What the daemon says first, to take it apart or to send it back.
    pub(crate) fn hear(&mut self, limit: Duration) -> Vec<u8> {
        self.stream
            .set_read_timeout(Some(limit))
            .expect("a timeout above zero");
        let mut buffer = vec![0; 4096];
        let length = self.stream.read(&mut buffer).unwrap_or(0);
        buffer.truncate(length);
        buffer
    }
}

/// Bytes that look like nothing, the same in every run: xorshift from a fixed seed.
pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(next).take(length).collect()
}
