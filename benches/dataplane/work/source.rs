//! A program that writes.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use rustix::{io::retry_on_intr, stdio::stdout};

/// Says with a file that it is ready, and waits until somebody opens the named pipe to write.
pub(super) fn wait_for(ready: &str, go: &str) -> io::Result<()> {
    fs::write(Path::new(ready), "")?;
    File::open(go).map(drop)
}

/// Writes zeros, in blocks of this size.
pub(super) fn write(block: usize, bytes: u64) -> io::Result<()> {
    let zeros = vec![0; block];
    let mut left = bytes;
    while left > 0 {
        let length = usize::try_from(left).unwrap_or(block).min(block);
        let written = retry_on_intr(|| rustix::io::write(stdout(), &zeros[..length]))?;
        left -= written as u64;
    }
    Ok(())
}
