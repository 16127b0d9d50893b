//! The test bed of `docker-compose.yml`, brought up from the shipped files as they are: pipelines over containers, and what happens to them
//! when a container is killed, frozen, cut off or restarted.
//!
//! `cargo test --test compose` runs it; `cargo test` alone does not, for it takes the Docker engine, some minutes, and the images that the
//! files name: pulled, or made by `deploy/images/stand-ins.sh build`. It fails, and does not skip, where one of these is missing.
//!
//! Each of the three profiles is brought up once, under a project name of its own and beside beds that run already; its tests run one
//! after the other, for each leaves the bed as it found it; then it is torn down. A name or a part of one runs only these tests, as with
//! any other test program: `cargo test --test compose etcd::`.

mod bed;
#[path = "../suite/kit/mod.rs"]
#[expect(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "the suite uses all of the kit, these tests only some"
)]
mod kit;
mod loops;
mod tests;

use std::{process::ExitCode, sync::Arc};

use libtest_mimic::{Arguments, Trial};

use bed::{Bed, Profile};

fn main() -> ExitCode {
    let arguments = Arguments {
        // They share a bed.
        test_threads: Some(1),
        ..Arguments::from_args()
    };
    let wanted: Vec<Profile> = Profile::ALL
        .into_iter()
        .filter(|profile| arguments.list || is_wanted(&arguments, *profile))
        .collect();
    if arguments.list {
        // Nothing is brought up for a list.
        let trials = wanted
            .into_iter()
            .flat_map(|profile| {
                tests::all(profile).map(move |(name, _)| {
                    Trial::test(format!("{}::{name}", profile.name()), || Ok(()))
                })
            })
            .collect();
        return libtest_mimic::run(&arguments, trials).exit_code();
    }
    let mut failed = false;
    for profile in wanted {
        let bed = Arc::new(Bed::up(profile));
        let trials = tests::all(profile)
            .map(|(name, test)| {
                let bed = Arc::clone(&bed);
                Trial::test(format!("{}::{name}", profile.name()), move || {
                    let mend = Mend(&bed);
                    test(&bed);
                    bed.assert_tidy();
                    drop(mend);
                    Ok(())
                })
            })
            .collect();
        failed |= libtest_mimic::run(&arguments, trials).has_failed();
    }
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// Mends the bed when a test has failed.
struct Mend<'a>(&'a Bed);

impl Drop for Mend<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.show_logs();
            self.0.mend();
        }
    }
}

/// Whether any test of the profile is asked for.
fn is_wanted(arguments: &Arguments, profile: Profile) -> bool {
    arguments.filter.as_ref().is_none_or(|filter| {
        tests::all(profile).any(|(name, _)| format!("{}::{name}", profile.name()).contains(filter))
    })
}
