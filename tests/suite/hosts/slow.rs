//! Ways that are slow, long, or lose something: pipes over them are slower, and the same.

use std::time::{Duration, Instant};

use dpipes_testbed::net::Delay;

use crate::kit::{
    Run, bash, eventually,
    hostile::noise,
    lan::{LEASE, Lan, USUAL_LEASE, lan_or_return},
    patience,
};

/// A sum of what went over all hosts is that of what went in.
#[track_caller]
fn assert_same(lan: &Lan, pipeline: &str, bytes: usize) -> Run {
    lan.scratch.file("big", noise(bytes, 3));
    let wanted = bash(&lan.scratch, "sha256sum < big").run();
    let run = lan.dpipes(1, &[pipeline]).within(patience() * 4).run();
    run.assert_status(0).assert_wrote(wanted.text());
    run
}

/// N10.
#[test]
fn a_tenth_of_all_packets_lost_changes_nothing() {
    let lan = lan_or_return!().lease(USUAL_LEASE).with_listed(3);
    lan.net.lose(2, 10);
    let run = assert_same(&lan, "@n1 cat big | @n2 cat | @n3 sha256sum", 2_000_000);
    eprintln!("{:.1?}", run.elapsed);
}

/// N10: a long way on which packets overtake each other.
#[test]
fn packets_that_overtake_each_other_change_nothing() {
    let lan = lan_or_return!();
    let ms = Duration::from_millis;
    lan.net.lengthen(
        2,
        Delay {
            at_least: ms(5),
            jitter: ms(30),
        },
    );
    let lan = lan.with_listed(3);
    let run = assert_same(&lan, "@n1 cat big | @n2 cat | @n3 sha256sum", 3_000_000);
    eprintln!("{:.1?}", run.elapsed);
}

/// N11: a round trip of 300 ms and 1 Mbit/s. Nothing runs into a timeout, not even a second pipe behind the first on the same way, whose
/// offer has to wait its turn. At least 80 % of the link is used.
#[test]
fn a_long_and_narrow_way_is_filled_and_nothing_times_out() {
    const BYTES: u32 = 1_000_000;
    /// The link carries 125,000 bytes in a second, of which headers of Ethernet, IP and TCP take five in a hundred.
    const AT_BEST: Duration = Duration::from_secs(8);
    let lan = lan_or_return!(2);
    let ms = Duration::from_millis;
    lan.net.lengthen(
        2,
        Delay {
            at_least: ms(150),
            jitter: ms(0),
        },
    );
    lan.net.limit(2, "1mbit");
    let lan = lan.with_listed(2);
    let started = Instant::now();
    let long = lan
        .dpipes(
            1,
            &[&format!(
                "@n2 sh -c 'touch started; head -c {BYTES} /dev/zero' | @n1 wc -c"
            )],
        )
        .within(patience() * 4)
        .spawn();
    // What it writes fits into the pipe, so that the process itself may be gone at once.
    let begun = lan.scratch.work().join("started");
    eventually!(begun.exists(), "the long one runs");
    let flows = started.elapsed();
    let short = lan.dpipes(1, &["@n1 echo x | @n2 cat | @n1 cat"]).run();
    short.assert_status(0).assert_wrote("x\n");
    let run = long.wait();
    run.assert_status(0).assert_wrote(&format!("{BYTES}\n"));
    let took = run.elapsed.checked_sub(flows).unwrap();
    eprintln!(
        "{took:.1?} for {BYTES} bytes, {:.0} % of the link; the short pipe took {:.1?}",
        100.0 * AT_BEST.as_secs_f64() / took.as_secs_f64(),
        short.elapsed
    );
    assert!(took < AT_BEST.mul_f64(1.0 / 0.8), "{took:?}");
}

/// A slow way to one host does not slow a pipe between others that has the same entry: of two that begin together the quick one ends while
/// the slow one has hardly begun.
#[test]
fn a_slow_way_to_one_host_slows_nobody_else() {
    let lan = lan_or_return!(4).lease(LEASE * 2).with_listed(4);
    lan.net.limit(4, "2mbit");
    lan.scratch.file("big", noise(20_000_000, 3));
    let mut slow = lan
        .dpipes(1, &["@n4 cat big | @n1 cat"])
        .count_stdout()
        .within(patience() * 10)
        .spawn();
    lan.assert_runs_on(&[4]);
    let wanted = bash(&lan.scratch, "sha256sum < big").run();
    lan.dpipes(1, &["@n2 cat big | @n3 cat | @n1 sha256sum"])
        .run()
        .assert_status(0)
        .assert_wrote(wanted.text());
    assert!(!slow.is_over(), "20 MB cannot have passed at 2 Mbit/s");
    slow.signal(crate::kit::Signal::TERM);
    slow.wait().assert_status(143);
    eventually!(lan.apps(4).is_empty(), "its stages go");
}
