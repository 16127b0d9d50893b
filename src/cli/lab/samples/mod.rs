//! Data to play with, the same bytes everywhere: made up here, so nothing has to be fetched and nobody has a right to it.

mod access_log;
mod events;
mod random;
mod web;
mod words;

use self::random::Random;

/// Where the numbers of every sample begin. Another value is other data: the documentation shows what comes of this one.
const SEED: u64 = 3_747;

/// One file.
pub(super) struct Sample {
    /// Its name.
    pub name: &'static str,
    /// What stands in it.
    pub text: String,
}

/// All files. Each has numbers of its own, so that a change of one leaves the others as they are.
pub(super) fn all() -> [Sample; 4] {
    let made = |name, make: fn(&mut Random) -> String| Sample {
        name,
        text: make(&mut Random::new(SEED)),
    };
    [
        made("words.txt", words::text),
        made("access.log", access_log::text),
        made("events.ndjson", events::text),
        Sample {
            name: "deploys.yaml",
            text: include_str!("deploys.yaml").to_owned(),
        },
    ]
}
