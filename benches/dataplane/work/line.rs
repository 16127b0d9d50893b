//! Lines that carry the time at which they were written.

use std::{
    io::{self, BufRead, Write},
    time::Duration,
};

use rustix::{io::retry_on_intr, stdio::stdout};

use super::{now, pause};

/// Bytes of a line, with its end.
pub(crate) const LINE: usize = 50;

/// How late lines were, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Latencies {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

/// Writes so many lines, each with one call, so many microseconds apart.
pub(super) fn tick(lines: u64, apart: u64) -> io::Result<()> {
    for _ in 0..lines {
        pause(Duration::from_micros(apart));
        let line = format!("{:>width$}\n", now(), width = LINE - 1);
        let mut rest = line.as_bytes();
        while !rest.is_empty() {
            let written = retry_on_intr(|| rustix::io::write(stdout(), rest))?;
            rest = &rest[written..];
        }
    }
    Ok(())
}

/// Reads lines to the end and prints how late they were.
pub(super) fn listen() -> io::Result<()> {
    let mut late = Vec::new();
    for line in io::stdin().lock().lines() {
        let line = line?;
        let came = now();
        let written: u64 = line.trim_start().parse().map_err(io::Error::other)?;
        late.push(came.saturating_sub(written));
    }
    late.sort_unstable();
    let at = |share: usize| {
        let index = late.len().saturating_sub(1) * share / 100;
        late.get(index).map_or(f64::NAN, |&late| late as f64 / 1e3)
    };
    writeln!(io::stdout(), "{} {}", at(50), at(99))
}

// === impl Latencies ===

impl Latencies {
    /// What a program that listened printed.
    #[track_caller]
    pub(crate) fn parse(text: &str) -> Self {
        let parse = || {
            let (p50, p99) = text.trim().split_once(' ')?;
            Some(Self {
                p50: p50.parse().ok()?,
                p99: p99.parse().ok()?,
            })
        };
        parse().unwrap_or_else(|| panic!("the listener printed {text:?}"))
    }
}
