//! Every figure: what is compared, and the bar.

mod lines;
mod one_hop;

use crate::measure::contest::Contest;

/// What a figure is called, and what measures it.
pub(crate) type Figure = (&'static str, fn() -> Vec<Contest>);

/// All of them, in the order of the report.
pub(crate) const ALL: [Figure; 5] = [
    ("one-hop", one_hop::large_blocks),
    ("small-blocks", one_hop::small_blocks),
    ("slow-reader", one_hop::slow_reader),
    ("lines", lines::flood),
    ("latency", lines::latency),
];

/// Bytes of a large transfer: a quarter of a second or more.
const GIBIBYTE: u64 = 1 << 30;
const MEBIBYTE: u64 = 1 << 20;
