//! What daemons hold: idle, with stages that do not move, and after many pipes.
//!
//! `cargo bench --bench memory`, with `DPIPES_BENCH_ROUNDS` for more or fewer than 1,000 pipes.

#[path = "../tests/suite/kit/mod.rs"]
#[expect(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "the suite uses all of the kit, a bench only some"
)]
mod kit;
#[expect(
    dead_code,
    reason = "nothing is compared here, so only the number of rounds is asked for"
)]
mod measure;

use std::time::Duration;

use kit::{Cluster, Daemon, Runner, Running, Signal, holds_within, patience, pause, processes};
use measure::rounds;

/// Pipes that are stalled at once; each has one stage on either node.
const STALLED: u32 = 50;

fn main() {
    let cluster = Cluster::builder().node("a").node("b").start();
    println!("\nmemory and descriptors of two daemons, each with its keeper in brackets");
    row("idle, just started", &cluster);
    let pipe = || {
        cluster
            .dpipes(&["-n", "@a echo x | @b cat"])
            .run()
            .assert_status(0)
            .elapsed
    };
    pipe();
    row("idle, after one pipe", &cluster);

    let before: Vec<_> = cluster
        .nodes()
        .iter()
        .map(|node| processes::resident(node.pid()))
        .collect();
    let start = |_| {
        cluster
            .dpipes(&["-n", "@a cat /dev/zero | @b sleep 3000"])
            .spawn()
    };
    let stalled: Vec<Running> = (0..STALLED).map(start).collect();
    let running = || cluster.node("b").apps().len() >= STALLED as usize;
    assert!(holds_within(patience(), running), "not all pipes run");
    // Windows fill within milliseconds; a second shows that nothing grows after that.
    pause(Duration::from_secs(1));
    row(&format!("{STALLED} stalled pipes"), &cluster);
    for (node, before) in cluster.nodes().iter().zip(before) {
        let grown = processes::resident(node.pid()).saturating_sub(before);
        println!(
            "    {} KiB for each stalled stage on {}",
            grown / 1024 / u64::from(STALLED),
            node.alias
        );
    }
    stalled.iter().for_each(|pipe| pipe.signal(Signal::TERM));
    stalled.into_iter().for_each(|pipe| drop(pipe.wait()));
    row("afterwards", &cluster);

    let pipes = rounds(1000);
    for _ in 0..pipes {
        pipe();
    }
    row(&format!("after {pipes} short pipes"), &cluster);
}

fn row(moment: &str, cluster: &Cluster) {
    let figures = |node: &Daemon| {
        let keeper: u64 = processes::children_of(node.pid())
            .into_iter()
            // The others are stages, and processes in which stages will start.
            .filter(|&child| processes::command_line(child).contains("__keeper"))
            .map(processes::resident)
            .sum();
        let (memory, descriptors) = (
            processes::resident(node.pid()),
            processes::descriptors(node.pid()),
        );
        format!(
            "{}: {} KiB [{} KiB], {descriptors} descriptors",
            node.alias,
            memory / 1024,
            keeper / 1024
        )
    };
    let nodes: Vec<_> = cluster.nodes().iter().map(figures).collect();
    println!("  {moment:<28} {}", nodes.join("   "));
}
