//! What daemons hold, and how many short pipes they run.

use std::thread;

use super::GIBIBYTE;
use crate::{
    hop::{self, Load, through_dpipes},
    kit::{Cluster, Daemon, Invocation, Runner, bash, processes},
    measure::{
        contest::{Contest, Side},
        cpu,
        series::rounds,
    },
    peers::DPIPES,
};

/// Rounds of each figure here, unless said otherwise.
const ROUNDS: usize = 7;

/// Clients at once, and pipes of each in a round.
const CLIENTS: usize = 8;
const PIPES: usize = 50;

/// Short pipes one after the other from several clients.
pub(super) fn many_pipes() -> Vec<Contest> {
    const BASH: &str = "bash, each pipe in a shell of its own";
    let cluster = hop::cluster(&["a", "b"]);
    let ours = || cluster.dpipes(&["-n", "@a /bin/true | @b /bin/true"]);
    let local = || bash(cluster.scratch(), "/bin/true | /bin/true");
    let daemons: Vec<_> = cluster.nodes().iter().map(Daemon::pid).collect();
    let mut sides: Vec<Side<'_>> = vec![
        (BASH, Box::new(|| flood(&local, &[]))),
        (DPIPES, Box::new(|| flood(&ours, &daemons))),
    ];
    let metrics = ["pipes/s", "CPU ms/pipe, programs and all"];
    let contest = Contest::hold(
        "short pipes from 8 clients at once",
        &metrics,
        rounds(ROUNDS),
        &mut sides,
    );
    vec![contest]
}

fn flood(start: &(dyn Fn() -> Invocation + Sync), daemons: &[u32]) -> Vec<f64> {
    let own = std::process::id();
    let all = || {
        let seconds = daemons
            .iter()
            .chain([&own])
            .map(|&pid| cpu::with_children(pid));
        seconds.sum::<f64>()
    };
    let (before, began) = (all(), std::time::Instant::now());
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                for _ in 0..PIPES {
                    start().run().assert_status(0);
                }
            });
        }
    });
    let pipes = (CLIENTS * PIPES) as f64;
    let elapsed = began.elapsed().as_secs_f64();
    vec![pipes / elapsed, (all() - before) * 1e3 / pipes]
}

/// Memory of two daemons.
pub(super) fn memory() -> Vec<Contest> {
    const STARTED: &str = "just started";
    const AFTER: &str = "after a gibibyte";
    const BUSY: &str = "after 100 short pipes more";
    let cluster: std::cell::RefCell<Option<Cluster>> = None.into();
    let measure = |step: &dyn Fn(&Cluster)| {
        let cluster = cluster.borrow();
        let cluster = cluster.as_ref().expect("the first side starts it");
        step(cluster);
        let held = |node: &Daemon| processes::resident(node.pid()) as f64 / f64::from(1 << 20);
        cluster.nodes().iter().map(held).collect()
    };
    let start = || {
        cluster.replace(Some(hop::cluster(&["a", "b"])));
        measure(&|_| ())
    };
    let load = Load::of(GIBIBYTE, 1 << 20);
    let carry = |cluster: &Cluster| drop(through_dpipes(cluster, &load));
    let short = |cluster: &Cluster| {
        for _ in 0..100 {
            let pipe = cluster.dpipes(&["-n", "@a /bin/true | @b /bin/true"]);
            pipe.run().assert_status(0);
        }
    };
    let mut sides: Vec<Side<'_>> = vec![
        (STARTED, Box::new(start)),
        (AFTER, Box::new(|| measure(&carry))),
        (BUSY, Box::new(|| measure(&short))),
    ];
    let metrics = ["entry, MiB", "other node, MiB"];
    let contest = Contest::hold("resident memory", &metrics, rounds(ROUNDS), &mut sides);
    vec![contest]
}
