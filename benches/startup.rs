//! What a short pipe costs: three programs over three warm daemons, beside bash with its local pipes.
//!
//! `cargo bench --bench startup`, with `DPIPES_BENCH_ROUNDS` for more or fewer than 100 rounds.

#[path = "../tests/suite/kit/mod.rs"]
#[expect(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "the suite uses all of the kit, a bench only some"
)]
mod kit;
mod measure;

use kit::{Cluster, Invocation, Local, Runner, bash};
use measure::{interleave, report, rounds, time};

fn main() {
    let cluster = Cluster::of_three();
    let local = Local::new();
    let milliseconds = |start: &dyn Fn() -> Invocation| {
        time(|| {
            start().run().assert_status(0).assert_wrote("hi\n");
        })
        .as_secs_f64()
            * 1e3
    };
    let in_bash = || bash(cluster.scratch(), "/bin/echo hi | cat | cat");
    let spread = || cluster.dpipes(&["-n", "@a /bin/echo hi | @b cat | @c cat"]);
    let over_tcp = || cluster.dpipes_over_tcp("a", &["-n", "@a /bin/echo hi | @b cat | @c cat"]);
    let on_one_node = || cluster.dpipes(&["-n", "@a /bin/echo hi | @a cat | @a cat"]);
    let embedded = || local.dpipes(&["-n", "/bin/echo hi | cat | cat"]);
    let series = interleave(
        rounds(100),
        &mut [
            ("bash -c", Box::new(|| milliseconds(&in_bash))),
            (
                "dpipes, three nodes, unix socket",
                Box::new(|| milliseconds(&spread)),
            ),
            (
                "dpipes, three nodes, TCP",
                Box::new(|| milliseconds(&over_tcp)),
            ),
            ("dpipes, one node", Box::new(|| milliseconds(&on_one_node))),
            ("dpipes, no daemon", Box::new(|| milliseconds(&embedded))),
        ],
    );
    report(
        "/bin/echo hi | cat | cat, from start to exit",
        "ms",
        &series,
    );
}
