//! A program that reads, and says how much came in what time.

use std::{io, time::Duration};

use rustix::{
    io::{read as read_some, retry_on_intr},
    stdio::stdin,
};

use super::{now, pause};

/// Most that is read at a time.
const PIECE: usize = 1 << 20;

/// Most that is read at a time by one that has a limit: what a program with stdio or `cat` takes.
const LIMITED_PIECE: usize = 128 << 10;

/// What came through a pipe.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flow {
    /// How many bytes.
    pub(crate) bytes: u64,
    /// When the first ones and when the end came, in nanoseconds of a clock that all processes share.
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// What the program that read them took of a processor, in seconds.
    pub(crate) cpu: f64,
}

/// Reads to the end and prints what came, at most so many bytes in a second.
pub(super) fn read(limit: Option<u64>) -> io::Result<()> {
    let mut piece = vec![
        0;
        if limit.is_some() {
            LIMITED_PIECE
        } else {
            PIECE
        }
    ];
    let (mut bytes, mut first) = (0, 0);
    loop {
        let length = retry_on_intr(|| read_some(stdin(), &mut piece[..]))?;
        if length == 0 {
            break;
        }
        if bytes == 0 {
            first = now();
        }
        bytes += length as u64;
        if let Some(limit) = limit {
            let due = first + bytes * 1_000 / (limit / 1_000_000);
            pause(Duration::from_nanos(due.saturating_sub(now())));
        }
    }
    let cpu = crate::measure::cpu::seconds(std::process::id());
    println!("{bytes} {first} {} {cpu}", now());
    Ok(())
}

// === impl Flow ===

impl Flow {
    /// What a program of this kind printed.
    #[track_caller]
    pub(crate) fn parse(text: &str) -> Self {
        let parse = || {
            let mut words = text.split_ascii_whitespace();
            Some(Self {
                bytes: words.next()?.parse().ok()?,
                first: words.next()?.parse().ok()?,
                last: words.next()?.parse().ok()?,
                cpu: words.next()?.parse().ok()?,
            })
        };
        parse().unwrap_or_else(|| panic!("the reader printed {text:?}"))
    }

    /// Megabytes in a second, from the first bytes to the end.
    pub(crate) fn rate(&self) -> f64 {
        Self::rate_of(&[*self])
    }

    /// The same of several that ran at once.
    pub(crate) fn rate_of(flows: &[Self]) -> f64 {
        let bytes: u64 = flows.iter().map(|flow| flow.bytes).sum();
        let first = flows.iter().map(|flow| flow.first).min().unwrap_or(0);
        let last = flows.iter().map(|flow| flow.last).max().unwrap_or(0);
        bytes as f64 * 1e3 / last.saturating_sub(first) as f64
    }
}
