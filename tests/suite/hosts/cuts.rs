//! Ways between hosts that break while a pipe uses them.

use std::{
    thread,
    time::{Duration, Instant},
};

use dpipes_testbed::net::{Net, Says};

use crate::kit::{
    Run, eventually,
    hostile::noise,
    lan::{AIR, LEASE, Lan, lan_or_return},
    pause,
};

/// What is done to the way between two hosts. The first of them is the entry.
type Fault = fn(&Net, u8, u8);

/// Ways of falling silent: neither side is told by the other that anything has happened.
const SILENCES: [(&str, Fault); 9] = [
    ("the far cable is pulled", |net, _, far| net.unplug(far)),
    ("the near cable is pulled", |net, near, _| net.unplug(near)),
    ("the switch is cut in two", |net, _, far| net.cut(far)),
    ("the far interface goes down", |net, _, far| {
        net.ip(far, "link set eth0 down");
    }),
    ("the near interface goes down", |net, near, _| {
        net.ip(near, "link set eth0 down");
    }),
    ("both directions are dropped", |net, near, far| {
        net.part(near, far);
    }),
    ("the entry is not heard", |net, near, far| {
        net.drop_from(near, far);
    }),
    ("the entry does not hear", |net, near, far| {
        net.drop_from(far, near);
    }),
    ("the entry's route leads nowhere", |net, near, far| {
        net.blackhole(near, far);
    }),
];

/// Neighbours of which each has a fault of its own.
fn pairs(hosts: u8) -> Vec<(u8, u8)> {
    (1..=hosts)
        .step_by(2)
        .map(|near| (near, near + 1))
        .collect()
}

/// Starts a pipe for each fault on two hosts of its own, lets all faults happen at one time, and checks how each pipe ends. Then all is
/// mended, and the hosts have to work together again.
#[track_caller]
fn each_ends_a_pipe(
    faults: &[(&str, Fault)],
    source: &str,
    relay: &str,
    bound: Duration,
) -> Vec<Run> {
    let hosts = u8::try_from(faults.len() * 2).unwrap();
    let Some(mut lan) = Lan::of(hosts) else {
        eprintln!("not run: network namespaces take root");
        return Vec::new();
    };
    let pairs = pairs(hosts);
    for &(near, far) in &pairs {
        lan.start_listed(&[near, far]);
    }
    let start = |&(near, far): &(u8, u8)| {
        let pipeline = format!(
            "@n{far} {source} | @n{near} sh -c '{relay} && touch committed-{near}' | \
             @n{far} sh -c 'cat > /dev/null && touch committed-{far}'"
        );
        lan.dpipes(near, &[&pipeline]).spawn()
    };
    let running: Vec<_> = pairs.iter().map(start).collect();
    lan.assert_runs_on(&(1..=hosts).collect::<Vec<_>>());

    let since = Instant::now();
    let runs: Vec<_> = thread::scope(|scope| {
        let waiting = faults.iter().zip(running).zip(&pairs);
        let waiting: Vec<_> = waiting
            .map(|(((_, fault), running), &(near, far))| {
                let since = Instant::now();
                fault(&lan.net, near, far);
                scope.spawn(move || (running.wait(), since.elapsed()))
            })
            .collect();
        let ended = waiting.into_iter().map(|one| one.join().unwrap());
        ended.collect()
    });
    for (((what, _), (run, after)), (_, far)) in faults.iter().zip(&runs).zip(&pairs) {
        assert_lost(run, &lan, *far, what);
        eprintln!("{what}: {after:.1?}");
        assert!(*after < bound, "{what}: {run:?}");
    }
    lan.assert_gone_without_commit();
    assert!(since.elapsed() < bound, "the stages took too long to go");

    lan.net.mend();
    for &(near, far) in &pairs {
        for host in [near, far] {
            lan.net.plug(host);
            lan.net.heal(host);
            lan.net.ip(host, "link set eth0 up");
            lan.net.ip(host, "route flush type blackhole");
        }
    }
    for (near, far) in pairs {
        lan.assert_work_together(&[near, far]);
    }
    runs.into_iter().map(|(run, _)| run).collect()
}

#[track_caller]
fn assert_lost(run: &Run, lan: &Lan, far: u8, what: &str) {
    assert_eq!(run.status, 125, "{what}: {run:?}");
    assert!(run.stderr.contains(&lan.node(far)), "{what}: {run:?}");
}

/// N5, N7.
#[test]
fn every_way_of_falling_silent_is_noticed_within_the_lease_while_data_flows() {
    let source = "sh -c 'while echo x; do sleep 0.1; done'";
    each_ends_a_pipe(&SILENCES, source, "cat", LEASE + AIR);
}

/// N6.
#[test]
fn every_way_of_falling_silent_is_noticed_within_the_lease_while_nothing_flows() {
    each_ends_a_pipe(&SILENCES, "sleep 300", "cat", LEASE + AIR);
}

/// N5, N12: a pipe that is full, for nobody reads, is noticed as soon.
#[test]
fn every_way_of_falling_silent_is_noticed_within_the_lease_while_the_reader_stalls() {
    each_ends_a_pipe(&SILENCES, "yes", "sleep 300; cat", LEASE + AIR);
}

/// N3 in other words: a firewall that turns established connections away. A reset is heard at once by whoever sent the packet; the other
/// side, and whoever is told no more than that the host cannot be reached, finds out when the lease is over.
#[test]
fn a_firewall_that_turns_packets_away_is_loud() {
    let faults: [(&str, Fault); 4] = [
        ("the far side resets", |net, near, far| {
            net.reject(far, near, Says::Reset);
        }),
        ("the near side resets", |net, near, far| {
            net.reject(near, far, Says::Reset);
        }),
        ("the far side cannot be reached", |net, near, far| {
            net.reject(far, near, Says::Unreachable);
        }),
        ("the near side cannot be reached", |net, near, far| {
            net.reject(near, far, Says::Unreachable);
        }),
    ];
    let source = "sh -c 'while echo x; do sleep 0.1; done'";
    let runs = each_ends_a_pipe(&faults, source, "cat", LEASE + AIR);
    if let Some(reset) = runs.first() {
        assert!(!reset.stderr.contains("silent for"), "{reset:?}");
    }
}

/// N9: a way that is there again before the lease has ended. TCP waits twice as long before each time that it tries again, so a silence
/// may last as long once more as it did; this one is a fifth of the lease, for on a busy machine it may become a longer one.
#[test]
fn a_silence_that_heals_before_the_lease_loses_no_byte() {
    /// Long enough to be one, for every retransmission within it is lost.
    const SILENCE: Duration = Duration::from_secs(2);
    let heal: [Fault; 4] = [
        |net, _, far| net.plug(far),
        |net, _, far| net.heal(far),
        |net, _, far| net.ip(far, "link set eth0 up"),
        |net, _, _| net.mend(),
    ];
    let faults = [
        (SILENCES[0], heal[0]),
        (SILENCES[2], heal[1]),
        (SILENCES[3], heal[2]),
        (SILENCES[5], heal[3]),
        (SILENCES[6], heal[3]),
        (SILENCES[7], heal[3]),
    ];
    let hosts = u8::try_from(faults.len() * 2).unwrap();
    let mut lan = lan_or_return!(hosts).lease(SILENCE * 5);
    let big = noise(4_000_000, 5);
    lan.scratch.file("big", &big);
    let wanted = crate::kit::bash(&lan.scratch, "sha256sum < big").run();
    let pairs = pairs(hosts);
    for &(near, far) in &pairs {
        lan.start_listed(&[near, far]);
        // It takes longer than the fault needs to come.
        lan.net.limit(far, "12mbit");
    }
    let start = |&(near, far): &(u8, u8)| {
        let pipeline = format!("@n{far} cat big | @n{near} cat | @n{far} sha256sum");
        lan.dpipes(near, &[&pipeline]).spawn()
    };
    let running: Vec<_> = pairs.iter().map(start).collect();
    for &(near, far) in &pairs {
        lan.assert_runs_on(&[near, far]);
    }
    let net = &lan.net;
    thread::scope(|scope| {
        for (((_, fault), heal), &(near, far)) in faults.iter().zip(&pairs) {
            scope.spawn(move || {
                fault(net, near, far);
                pause(SILENCE);
                heal(net, near, far);
            });
        }
    });
    for (((what, _), _), running) in faults.iter().zip(running) {
        let run = running.wait();
        assert_eq!(
            (run.status, run.text()),
            (0, wanted.text()),
            "{what}: {run:?}"
        );
        assert!(run.elapsed > SILENCE, "{what}: it was over before: {run:?}");
    }
}

/// N8: clients on hosts 3 to 5 and their entry on host 1 no longer hear each other, while the stages on 1 and 2 see nothing of it. Both
/// sides find out within the lease, which the entry has told them. A run that asked for a longer one, from host 6, waits until the way
/// is mended.
#[test]
fn a_client_that_is_cut_from_its_entry_ends_its_pipe_everywhere() {
    use std::io::Write as _;
    let mut lan = lan_or_return!(6);
    let list = lan.list(&[1, 2, 3, 4, 5, 6]);
    for host in [1, 2] {
        lan.start(host, &lan.node(host), &list);
    }
    let cuts: [(u8, Fault); 4] = [
        (3, Net::part),
        (4, |net, client, entry| net.drop_from(client, entry)),
        (5, |net, client, entry| net.drop_from(entry, client)),
        (6, Net::part),
    ];
    let patient = ["-o", "lease=60s", "@n2 cat | @n1 cat"];
    let mut patient = lan
        .dpipes_on(
            6,
            &[&["--connect", "10.77.0.1:3747"], &patient[..]].concat(),
        )
        .stdin_piped()
        .spawn();
    let mut stdin = patient.take_stdin();
    lan.assert_runs_on(&[1, 2]);
    let start = |client| {
        let pipeline = format!(
            "@n2 sh -c 'touch started-{client}; while echo x; do sleep 0.1; done' | @n1 sh -c 'cat && touch committed-{client}'"
        );
        lan.dpipes_on(client, &["--connect", "10.77.0.1:3747", &pipeline])
            .spawn()
    };
    let running = [3, 4, 5].map(start);
    for client in [3, 4, 5] {
        let started = lan.scratch.work().join(format!("started-{client}"));
        eventually!(started.exists(), "the pipe of host {client} runs");
    }
    for (client, cut) in cuts {
        cut(&lan.net, client, 1);
    }
    let since = Instant::now();
    for running in running {
        running.wait().assert_status(125).assert_says("10.77.0.1");
    }
    eventually!(
        [1, 2].iter().all(|&host| lan.apps(host).len() == 1),
        "only the stages of the patient one are left"
    );
    assert!(since.elapsed() < LEASE + AIR, "that took too long");
    assert_eq!(lan.committed(), [""; 0], "a false end of file was seen");
    lan.net.mend();
    stdin.write_all(b"still here\n").unwrap();
    drop(stdin);
    patient.wait().assert_status(0).assert_wrote("still here\n");
}

/// N22: the entry is lost with everything between it and the others, who see each other still.
#[test]
fn a_pipe_whose_entry_is_cut_off_ends_on_every_node() {
    let lan = lan_or_return!().with_listed(3);
    let pipeline = "@n2 sh -c 'while echo x; do sleep 0.1; done' | @n3 sh -c 'cat > /dev/null && touch committed'";
    let running = lan.running(1, pipeline, &[2, 3]);
    lan.net.cut(1);
    let since = Instant::now();
    lan.assert_gone_without_commit();
    assert!(
        since.elapsed() < LEASE + AIR,
        "the stages took too long to go"
    );
    running.wait().assert_status(125);
    lan.net.heal(1);
    lan.assert_work_together(&[1, 2, 3]);
}

/// N22 once more: the client reaches its entry over the network, and the entry's host loses power.
#[test]
fn a_client_whose_entry_vanishes_says_so_and_the_stages_go() {
    let mut lan = lan_or_return!().with_listed(3);
    let pipeline =
        "@n2 sh -c 'while echo x; do sleep 0.1; done' | @n3 sh -c 'cat && touch committed'";
    let running = lan
        .dpipes_on(3, &["--connect", "10.77.0.1:3747", pipeline])
        .spawn();
    lan.assert_runs_on(&[2, 3]);
    lan.net.unplug(1);
    lan.crash(1);
    let since = Instant::now();
    running.wait().assert_status(125).assert_says("10.77.0.1");
    lan.assert_gone_without_commit();
    assert!(
        since.elapsed() < LEASE + AIR,
        "the stages took too long to go"
    );
}

/// N5, seen from elsewhere: of two pipes of one entry the one over a lost host ends, the other goes on and loses nothing.
#[test]
fn a_host_that_is_cut_off_is_no_matter_for_a_pipe_between_others() {
    use std::io::Write as _;
    let lan = lan_or_return!(4).with_listed(4);
    let mut other = lan.dpipes(1, &["@n2 cat | @n3 cat"]).stdin_piped().spawn();
    let mut stdin = other.take_stdin();
    stdin.write_all(b"before\n").unwrap();
    let lost = lan.running(
        1,
        "@n4 sleep 300 | @n2 sh -c 'cat && touch committed'",
        &[2, 4],
    );
    lan.net.cut(4);
    lost.wait().assert_status(125).assert_says(&lan.node(4));
    eventually!(lan.apps(4).is_empty(), "the lost host's stage is gone");
    stdin.write_all(b"after\n").unwrap();
    drop(stdin);
    other
        .wait()
        .assert_status(0)
        .assert_wrote("before\nafter\n");
    assert_eq!(lan.committed(), [""; 0]);
}
