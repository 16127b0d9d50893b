use std::io::Write as _;

use super::{a_flipped_bit_is_loud_and_nothing_is_believed, cluster, without_places};
use crate::kit::{
    Cluster, Runner, eventually,
    hostile::noise,
    proxy::{Fault, Proxy, Way},
};

/// A machine that is too busy to answer a ping counts as far, and what it sends has zstd's checksum too.
const DIGEST: &[&str] = &["-o", "digest", "-o", "compress=off"];

#[test]
fn what_a_network_changes_is_found_and_never_believed() {
    a_flipped_bit_is_loud_and_nothing_is_believed(
        DIGEST,
        "@a cat big | @b sh -c 'cat > part && mv part whole'",
        "SHA-256",
    );
}

#[test]
fn what_comes_to_the_first_stage_is_compared_too() {
    let cluster = cluster();
    cluster.proxy("b").after(500_000, Way::In, Fault::Flip(3));
    let big = std::fs::read(cluster.scratch().work().join("big")).unwrap();
    let run = cluster
        .dpipes(&[DIGEST, &["@b sh -c 'cat > part && mv part whole'"]].concat())
        .stdin(big)
        .run();
    run.assert_status(125).assert_says("SHA-256");
    assert!(!cluster.scratch().has("whole"));
}

#[test]
fn what_comes_back_to_the_client_is_compared_too() {
    let cluster = cluster();
    let proxy = Proxy::to(cluster.node("a").address);
    for options in [DIGEST, &["-o", "compress=off"]] {
        proxy.after(1_000_000, Way::Out, Fault::Flip(3));
        let address = proxy.address().to_string();
        let run = cluster
            .dpipes(&[options, &["@a cat big"]].concat())
            .env("DPIPES_CONNECT", &address)
            .run();
        assert!(proxy.has_happened());
        if options != DIGEST {
            // Nobody looked: that is what the option is for.
            run.assert_status(0);
        } else {
            run.assert_status(125).assert_says("SHA-256");
        }
    }
}

#[test]
fn a_digest_changes_nothing_else() {
    let cluster = Cluster::of_three();
    cluster.scratch().file("a.txt", "pear\napple\npear\n");
    cluster.scratch().file("binary", noise(400_000, 7));
    for pipeline in [
        "@b cat a.txt | @c sort | uniq -c",
        "@b seq 100000 | @c sort -r | @b tail -n 1",
        "@b printf '' | @c cat",
        "@b true | @c cat | @a wc -c",
        "@b cat binary | @c sha256sum",
        "@b cat | @c wc -c",
        "@b sh -c 'echo half; kill -9 $$' | @c cat",
    ] {
        let wanted = crate::kit::bash(cluster.scratch(), &without_places(pipeline))
            .stdin("some input\n")
            .run();
        let run = cluster
            .dpipes(&["-o", "digest", pipeline])
            .stdin("some input\n")
            .run();
        assert!(run.stdout == wanted.stdout, "{run:?}\n{wanted:?}");
        assert_eq!(run.status, wanted.status, "{run:?}");
    }
}

#[test]
fn a_reader_that_had_enough_ends_its_writer_at_once() {
    let cluster = Cluster::of_three();
    cluster
        .dpipes(&["-o", "digest", "@b yes | @c head -n 1"])
        .run()
        .assert_status(0)
        .assert_wrote("y\n");
}

#[test]
fn a_line_arrives_while_its_writer_still_runs() {
    let cluster = Cluster::of_three();
    let mut running = cluster
        .dpipes(&[
            "-o",
            "digest",
            "@b cat | @c sh -c 'read line; touch got-$line; cat'",
        ])
        .stdin_piped()
        .spawn();
    let mut stdin = running.take_stdin();
    stdin.write_all(b"one\n").unwrap();
    eventually!(cluster.scratch().has("got-one"), "the line arrives");
    stdin.write_all(b"two\n").unwrap();
    drop(stdin);
    running.wait().assert_status(0).assert_wrote("two\n");
}

#[test]
fn objects_are_hashed_as_they_were_sent() {
    let cluster = Cluster::of_three();
    cluster
        .dpipes(&["-o", "digest", "-f", "json", "@b cat | @c cat"])
        .stdin("{\"a\":1}\n{\"a\":2}\n")
        .run()
        .assert_status(0)
        .assert_wrote("{\"a\":1}\n{\"a\":2}\n");
}
