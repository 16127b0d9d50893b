//! Links whose bytes are compared at their end, or compressed on their way.

mod compress;
mod digest;

use crate::kit::{
    Cluster, Runner,
    hostile::noise,
    proxy::{Fault, Way},
};

/// How much a pipe carries here.
const LENGTH: usize = 3_000_000;

/// Two nodes, the second behind a proxy, and something to carry that does not compress.
fn cluster() -> Cluster {
    let cluster = Cluster::builder()
        .node("a")
        .node("b")
        .proxied("b")
        .run("lease", "3s")
        .start();
    cluster.scratch().file("big", noise(LENGTH, 5));
    // The session is there: what is counted from here on is a pipe's.
    cluster.dpipes(&["@b true"]).run().assert_status(0);
    cluster
}

/// The pipeline as bash understands it.
fn without_places(pipeline: &str) -> String {
    let words = pipeline.split(' ').filter(|word| !word.starts_with('@'));
    words.collect::<Vec<_>>().join(" ")
}

/// Flips one bit of a link at different places. Whoever writes a marker believes that its input was whole.
#[track_caller]
fn a_flipped_bit_is_loud_and_nothing_is_believed(options: &[&str], pipeline: &str, says: &str) {
    let mut said = 0;
    for at in [200_000, 700_001, 1_200_002, 1_700_003] {
        let cluster = cluster();
        cluster.proxy("b").after(at, Way::In, Fault::Flip(at as u8));
        let run = cluster.dpipes(&[options, &[pipeline]].concat()).run();
        assert!(cluster.proxy("b").has_happened());
        run.assert_status(125).assert_says(&cluster.node("b").name);
        assert!(
            !cluster.scratch().has("whole"),
            "what was damaged was believed: {run:?}"
        );
        // A bit in the head of a frame ends the session instead.
        said += usize::from(run.stderr.contains(says));
    }
    assert!(said > 1, "hardly any run says what was found");
}
