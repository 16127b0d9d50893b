//! What the fuzzer once found stays fixed: every input that is kept is decoded again, without a fuzzer.

#[expect(
    unreachable_pub,
    reason = "it is the library of the fuzz targets, for which all of it is public"
)]
#[path = "../../fuzz/src/lib.rs"]
mod bodies;

use std::{
    collections::BTreeSet,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use self::bodies::{Body, TARGETS};

#[test]
fn every_input_that_was_kept_is_decoded_as_promised() {
    let mut failures = Vec::new();
    for (name, body) in TARGETS {
        let inputs = files(&fuzz().join("corpus").join(name));
        assert!(!inputs.is_empty(), "{name} has no corpus");
        failures.extend(inputs.into_iter().filter(|path| !passes(*body, path)));
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn every_target_is_replayed_and_every_corpus_has_its_target() {
    let listed: BTreeSet<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(listed.len(), TARGETS.len());
    for folder in ["fuzz_targets", "corpus"] {
        let there = files(&fuzz().join(folder));
        let there = there.iter().filter_map(|path| path.file_stem()?.to_str());
        assert_eq!(there.map(str::to_owned).collect::<BTreeSet<_>>(), listed);
    }
}

/// Whether a body is content with the input in a file. Its panic tells why not, and the others have their turn.
fn passes(body: Body, path: &Path) -> bool {
    let input = fs::read(path).unwrap();
    catch_unwind(AssertUnwindSafe(|| body(&input))).is_ok()
}

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}
