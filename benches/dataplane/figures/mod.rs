//! Every figure: what is compared, and the bar.

mod daemons;
mod lines;
mod long_way;
mod one_hop;
mod start;
mod streams;
mod watched;

use crate::measure::contest::Contest;

/// What a figure is called, and what measures it.
pub(crate) type Figure = (&'static str, fn() -> Vec<Contest>);

/// All of them, in the order of the report.
pub(crate) const ALL: [Figure; 16] = [
    ("one-hop", one_hop::large_blocks),
    ("small-blocks", one_hop::small_blocks),
    ("three-hops", streams::three_hops),
    ("streams", streams::many_streams),
    ("one-stalls", streams::one_stalls),
    ("slow-reader", one_hop::slow_reader),
    ("lines", lines::flood),
    ("latency", lines::latency),
    ("start", start::short_pipe),
    ("large-daemons", start::large_daemons),
    ("early-exit", start::early_exit),
    ("long-way", long_way::long_way),
    ("many-pipes", daemons::many_pipes),
    ("memory", daemons::memory),
    ("watched", watched::watched),
    ("many-listed", watched::many_listed),
];

/// Bytes of a large transfer: a quarter of a second or more.
const GIBIBYTE: u64 = 1 << 30;
const MEBIBYTE: u64 = 1 << 20;
