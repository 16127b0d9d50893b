use std::{
    io::{self, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener},
    os::unix::net::UnixStream,
    path::Path,
    thread::{self, JoinHandle},
    time::Duration,
};

use serde_json::Value;

use super::{a_flipped_bit_is_loud_and_nothing_is_believed, cluster, without_places};
use crate::kit::{
    Cluster, Run, Runner, bash, eventually, holds_within,
    hostile::noise,
    patience,
    proxy::{Fault, Proxy, Way},
};

const ZSTD: &[&str] = &["-o", "compress=zstd"];

/// Half a round trip that no local network has.
const FAR: Duration = Duration::from_millis(15);

/// What the run's record says of its stages.
#[track_caller]
fn stages(cluster: &Cluster, options: &[&str], pipeline: &str) -> (Run, Vec<Value>) {
    let arguments = [options, &["--status-fd", "2", "--stderr", "none", pipeline]].concat();
    let run = cluster.dpipes(&arguments).run();
    let line = run.stderr.lines().last().unwrap_or_default();
    let record: Value =
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: no record in {run:?}"));
    let stages = record["stages"].as_array().cloned().unwrap_or_default();
    (run, stages)
}

#[test]
fn compressed_links_carry_the_same_bytes_as_bash() {
    let cluster = Cluster::of_three();
    cluster.scratch().file("a.txt", "pear\napple\npear\n");
    cluster.scratch().file("binary", noise(400_000, 7));
    for options in [ZSTD, &["-o", "compress=zstd", "-o", "digest"]] {
        for pipeline in [
            "@b cat a.txt | @c sort | uniq -c",
            "@b seq 100000 | @c sort -r | @b tail -n 1",
            "@b printf '' | @c cat",
            "@b true | @c cat | @a wc -c",
            "@b cat binary",
            "@b cat binary | @c sha256sum",
            "@b head -c 20000000 /dev/zero | @c sha256sum",
            "@b cat | @c wc -c",
            "@b sh -c 'echo half; kill -9 $$' | @c cat",
            "@b false | @c sh -c 'exit 3'",
        ] {
            let wanted = bash(cluster.scratch(), &without_places(pipeline))
                .stdin("some input\n")
                .run();
            for over_tcp in [false, true] {
                let arguments = [options, &[pipeline]].concat();
                let run = if over_tcp {
                    cluster.dpipes_over_tcp("a", &arguments)
                } else {
                    cluster.dpipes(&arguments)
                };
                let run = run.stdin("some input\n").run();
                assert!(run.stdout == wanted.stdout, "{run:?}\n{wanted:?}");
                assert_eq!(run.status, wanted.status, "{run:?}");
            }
        }
    }
}

#[test]
fn what_is_counted_are_the_bytes_of_the_apps_and_the_record_has_those_on_the_way() {
    let cluster = Cluster::of_three();
    let (run, stages) = stages(&cluster, ZSTD, "@b head -c 1000000 /dev/zero | @c wc -c");
    run.assert_status(0).assert_wrote("1000000\n");
    assert_eq!(stages[0]["bytes_out"], 1_000_000);
    assert_eq!(stages[1]["bytes_in"], 1_000_000);
    let on_the_way = stages[0]["compressed_out"].as_u64().unwrap();
    assert!(on_the_way < 10_000, "{on_the_way} bytes");
    assert_eq!(stages[1]["compressed_in"], on_the_way);
    assert_eq!(stages[1]["bytes_out"], 8);
}

#[test]
fn noise_is_carried_although_it_does_not_become_less() {
    let cluster = Cluster::of_three();
    cluster.scratch().file("binary", noise(2_000_000, 9));
    let (run, stages) = stages(&cluster, ZSTD, "@b cat binary | @c cmp - binary");
    run.assert_status(0);
    let on_the_way = stages[0]["compressed_out"].as_u64().unwrap();
    assert!(
        (2_000_000..2_010_000).contains(&on_the_way),
        "{on_the_way} bytes"
    );
}

#[test]
fn a_reader_that_had_enough_ends_its_writer_at_once() {
    let cluster = Cluster::of_three();
    cluster
        .dpipes(&["-o", "compress=zstd", "@b yes | @c head -n 1"])
        .run()
        .assert_status(0)
        .assert_wrote("y\n");
    cluster
        .dpipes_over_tcp(
            "a",
            &[
                "-o",
                "compress=zstd",
                "-o",
                "pipefail",
                "@b yes | @c head -n 1",
            ],
        )
        .run()
        .assert_status(141)
        .assert_wrote("y\n");
}

#[test]
fn a_line_arrives_while_its_writer_still_runs() {
    let cluster = Cluster::of_three();
    let mut running = cluster
        .dpipes_over_tcp(
            "a",
            &[
                "-o",
                "compress=zstd",
                "@b cat | @c sh -c 'read line; touch got-$line; cat'",
            ],
        )
        .stdin_piped()
        .spawn();
    let mut stdin = running.take_stdin();
    for line in ["one\n", "two\n"] {
        stdin.write_all(line.as_bytes()).unwrap();
        eventually!(cluster.scratch().has("got-one"), "the line arrives");
    }
    drop(stdin);
    running.wait().assert_status(0).assert_wrote("two\n");
}

#[test]
fn what_a_network_changes_is_found_and_never_believed() {
    a_flipped_bit_is_loud_and_nothing_is_believed(
        ZSTD,
        "@a cat big | @b sh -c 'cat > part && mv part whole'",
        "what came cannot be decompressed",
    );
}

#[test]
fn a_cut_in_the_middle_is_loud_and_no_end_of_input() {
    for fault in [Fault::Cut, Fault::Reset] {
        let cluster = cluster();
        cluster.proxy("b").after(1_500_000, Way::In, fault);
        let run = cluster
            .dpipes(&[
                "-o",
                "compress=zstd",
                "@a cat big | @b sh -c 'cat > part && mv part whole'",
            ])
            .run();
        run.assert_status(125).assert_says(&cluster.node("b").name);
        assert!(!cluster.scratch().has("whole"));
    }
}

#[test]
fn links_on_this_machine_are_not_compressed_unless_asked_for() {
    let cluster = Cluster::of_three();
    let is_plain = || {
        let (run, stages) = stages(&cluster, &[], "@b echo x | @c cat");
        run.assert_status(0).assert_wrote("x\n");
        stages.iter().all(|stage| {
            stage.get("compressed_in").is_none() && stage.get("compressed_out").is_none()
        })
    };
    // A machine that is too busy to answer a first ping counts as far; the next one tells.
    assert!(holds_within(patience(), is_plain));
}

#[test]
fn a_link_that_leads_far_away_is_compressed_by_itself() {
    let cluster = Cluster::builder()
        .node("a")
        .node("b")
        .proxied("b")
        .delayed(FAR)
        .start();
    let pipeline = "@a head -c 1000000 /dev/zero | @b wc -c";
    let (run, far) = stages(&cluster, &[], pipeline);
    run.assert_status(0).assert_wrote("1000000\n");
    for (stage, member) in [(0, "compressed_out"), (1, "compressed_in")] {
        assert!(far[stage][member].as_u64().unwrap() < 10_000, "{far:?}");
    }
    let (run, off) = stages(&cluster, &["-o", "compress=off"], pipeline);
    run.assert_status(0).assert_wrote("1000000\n");
    assert!(off[0].get("compressed_out").is_none(), "{off:?}");
}

#[test]
fn a_client_that_is_far_away_has_its_output_and_input_compressed() {
    let cluster = Cluster::of_one();
    let proxy = Proxy::to(cluster.node("a").address);
    proxy.delay(FAR);
    let address = proxy.address().to_string();
    let bytes = vec![b'x'; 1_000_000];
    for (options, is_less) in [(&["-o", "compress=off"][..], false), (&[], true)] {
        let before = [Way::In, Way::Out].map(|way| proxy.passed(way));
        let run = cluster
            .dpipes(&[options, &["cat"]].concat())
            .env("DPIPES_CONNECT", &address)
            .stdin(bytes.clone())
            .run();
        run.assert_status(0);
        assert!(run.stdout == bytes);
        for (way, before) in [Way::In, Way::Out].into_iter().zip(before) {
            let passed = proxy.passed(way) - before;
            assert_eq!(passed < 100_000, is_less, "{way:?}: {passed} bytes");
        }
    }
}

#[test]
fn a_tunnel_from_tcp_to_the_unix_socket_may_be_compressed_too() {
    let cluster = Cluster::of_one();
    let (address, tunnel) = tunnel(&cluster.node("a").socket);
    let run = cluster
        .dpipes(&["-o", "compress=zstd", "-o", "digest", "wc -c"])
        .env("DPIPES_CONNECT", &address.to_string())
        .stdin(vec![b'x'; 1_000_000])
        .run();
    run.assert_status(0).assert_wrote("1000000\n");
    tunnel.join().unwrap();
}

/// Carries one connection from a port to a unix socket, as `ssh -L` does.
fn tunnel(socket: &Path) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let far = UnixStream::connect(socket).unwrap();
    let carrying = thread::spawn(move || {
        let (near, _) = listener.accept().unwrap();
        let (mut from, mut to) = (near.try_clone().unwrap(), far.try_clone().unwrap());
        let there = thread::spawn(move || {
            let _either_may_leave = io::copy(&mut from, &mut to);
            let _it_may_be_gone = to.shutdown(Shutdown::Write);
        });
        let _either_may_leave = io::copy(&mut &far, &mut &near);
        let _it_may_be_gone = near.shutdown(Shutdown::Both);
        there.join().unwrap();
    });
    (address, carrying)
}

/// A node whose owner forbids it says what one of an older version says: nothing.
fn with_one_that_does_not() -> Cluster {
    Cluster::builder()
        .node("a")
        .node_with("b", |node| node.section("streams: { compress: false }"))
        .node("c")
        .start()
}

#[test]
fn a_node_without_compression_takes_part_as_before() {
    let cluster = with_one_that_does_not();
    let (run, stages) = stages(
        &cluster,
        &["-o", "compress=auto"],
        "@c echo x | @b cat | @c cat",
    );
    run.assert_status(0).assert_wrote("x\n");
    for stage in &stages[..2] {
        assert!(stage.get("compressed_out").is_none(), "{stages:?}");
    }
}

#[test]
fn compression_that_a_node_does_not_have_is_refused_before_anything_starts() {
    let cluster = with_one_that_does_not();
    let run = cluster
        .dpipes(&["-o", "compress=zstd", "@c touch started | @b cat"])
        .run();
    run.assert_status(126)
        .assert_says("zstd")
        .assert_says(&cluster.node("b").name);
    assert!(!cluster.scratch().has("started"));
    let run = cluster
        .dpipes_at("b", &["-o", "compress=zstd", "@c echo x"])
        .run();
    run.assert_status(125).assert_says("zstd");
    let run = cluster.dpipes(&["-o", "compress=lz4", "@c echo x"]).run();
    run.assert_status(125)
        .assert_says("none of auto, zstd and off");
}

#[test]
fn objects_are_made_of_what_was_compressed() {
    let cluster = Cluster::of_three();
    cluster
        .dpipes(&[
            "-o",
            "compress=zstd",
            "-o",
            "digest",
            "-f",
            "json",
            "@b cat | @c cat | @c cat",
        ])
        .stdin("{\"a\":1}\n{\"a\":2}\n")
        .run()
        .assert_status(0)
        .assert_wrote("{\"a\":1}\n{\"a\":2}\n");
}
