//! Daemons that are replaced, one host after the other, while pipes run.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use crate::kit::{
    eventually,
    lan::{Lan, lan_or_return},
    patience,
};

/// What runs again and again: every host has its share of it.
const PIPELINE: &str = "@n1 seq 3000 | @n2 sort -r | @n3 cat | @n4 sort -n | @n5 sha256sum";

/// One after the other.
const SINGLY: [&[u8]; 4] = [&[2], &[3], &[4], &[5]];

/// Replaces the daemons of these groups of hosts, after the ones before have been seen to work again, while a client on host 1 runs pipes
/// in a loop. Each pipe gives the right bytes, or says what was lost with a status of its own.
#[track_caller]
fn no_result_is_wrong_while_each_is(groups: &[&[u8]], replaced: fn(&mut Lan, &[u8])) {
    let mut lan = lan_or_return!(5).with_listed(5);
    let wanted = lan.dpipes(1, &[PIPELINE]).run();
    wanted.assert_status(0);
    let text = wanted.text().to_owned();
    let over = AtomicBool::new(false);
    // The client has an entry that is never replaced, on host 1; so it needs nothing of the `lan` that is being changed.
    let again = lan.again(1, &[PIPELINE]);
    let (right, loud) = thread::scope(|scope| {
        let looping = scope.spawn(|| {
            let (mut right, mut loud) = (0, 0);
            while !over.load(Ordering::SeqCst) {
                let run = again().run();
                if run.status == 0 {
                    run.assert_wrote(&text);
                    right += 1;
                } else {
                    // A node that leaves refuses; one that is lost after its last byte leaves a whole result of unknown status.
                    assert!([125, 126].contains(&run.status), "{run:?}");
                    assert!(run.stdout.is_empty() || run.text() == text, "{run:?}");
                    assert!(run.stderr.contains("-n"), "no node is named: {run:?}");
                    loud += 1;
                }
            }
            (right, loud)
        });
        for hosts in groups {
            replaced(&mut lan, hosts);
            for &host in *hosts {
                lan.assert_work_together(&[1, host]);
            }
        }
        over.store(true, Ordering::SeqCst);
        looping.join().unwrap()
    });
    eprintln!("{right} right, {loud} loud");
    assert!(right > 0, "not one pipe came through");
    // Failures stop when all are back.
    eventually!(
        lan.dpipes(1, &[PIPELINE]).run().text() == text,
        "all work together again"
    );
    for _ in 0..5 {
        lan.dpipes(1, &[PIPELINE])
            .within(patience())
            .run()
            .assert_status(0)
            .assert_wrote(&text);
    }
}

#[test]
fn pipes_are_right_or_loud_while_every_daemon_leaves_and_comes_back() {
    no_result_is_wrong_while_each_is(&SINGLY, |lan, hosts| {
        for &host in hosts {
            lan.leave(host);
            lan.start_again(host);
        }
    });
}

#[test]
fn pipes_are_right_or_loud_while_every_daemon_crashes_and_comes_back() {
    no_result_is_wrong_while_each_is(&SINGLY, |lan, hosts| {
        for &host in hosts {
            lan.crash(host);
            lan.start_again(host);
        }
    });
}

/// Two at a time, for each pair takes a lease and a dial that nobody answers.
#[test]
fn pipes_are_right_or_loud_while_every_cable_is_pulled_and_plugged() {
    no_result_is_wrong_while_each_is(&[&[2, 3], &[4, 5]], |lan, hosts| {
        hosts.iter().for_each(|&host| lan.net.unplug(host));
        let asked = |&host: &u8| lan.dpipes(1, &[&format!("@n{host} true")]).spawn();
        let noticed = || {
            let running: Vec<_> = hosts.iter().map(asked).collect();
            let mut over = running.into_iter().map(|running| running.wait().status);
            over.all(|status| status == 125)
        };
        eventually!(noticed(), "hosts {hosts:?} are lost");
        hosts.iter().for_each(|&host| lan.net.plug(host));
    });
}
