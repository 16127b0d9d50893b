//! Which subcommand a command line means. `dpipes 'a | b'` is `dpipes run 'a | b'`; a lone word that is a subcommand is that subcommand;
//! `-c` always means a pipeline.

use std::{collections::BTreeSet, ffi::OsString};

use clap::CommandFactory;

use super::{SUBCOMMANDS, args::RunCli};

/// A command line, understood as far as its subcommand.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Meant {
    /// The arguments, the program's name first, with the subcommand spelled out and `DPIPES_OPTS` put in.
    pub arguments: Vec<OsString>,
    /// Whether it is `run`, whose bad usage has the status of dpipes itself.
    pub is_run: bool,
    /// Words that look like a pipeline without its quotes, and the options before them.
    pub unquoted: Option<Unquoted>,
}

/// A pipeline that was typed without quotes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unquoted {
    /// What stood before it.
    pub before: Vec<String>,
    /// Its words.
    pub words: Vec<String>,
}

/// Finds out what is meant. `options` is the text of `DPIPES_OPTS`.
pub(crate) fn understand(arguments: Vec<OsString>, options: Option<&str>) -> Meant {
    let known = Known::new();
    let (program, rest) = arguments.split_first().map_or_else(
        || (OsString::from("dpipes"), &[][..]),
        |(p, r)| (p.clone(), r),
    );
    let first = known.first_positional(rest);
    let word = first.and_then(|at| rest[at].to_str());
    let extra = || {
        options
            .unwrap_or_default()
            .split_ascii_whitespace()
            .map(OsString::from)
    };
    let as_is = |is_run| Meant {
        arguments: arguments.clone(),
        is_run,
        unquoted: None,
    };
    let is_command = |at: usize| {
        let before = &rest[..at];
        !known.forces_pipeline(before) && before.iter().all(|word| word != "--")
    };
    let asks_version = |at: usize| {
        let before = &rest[..at];
        before
            .iter()
            .any(|word| word == "-V" || word == "--version")
    };
    match (first, word) {
        (Some(at), Some(_)) if asks_version(at) => as_is(false),
        (Some(at), Some("run")) if is_command(at) => {
            let mut all = vec![program, "run".into()];
            all.extend(extra());
            all.extend(without(rest, at));
            let unquoted = known
                .first_positional(&rest[at + 1..])
                .and_then(|next| unquoted(rest, at + 1 + next));
            Meant {
                arguments: all,
                is_run: true,
                unquoted,
            }
        }
        (Some(at), Some(word)) if SUBCOMMANDS.contains(&word) && is_command(at) => {
            let mut all = vec![program, word.into()];
            all.extend(without(rest, at));
            Meant {
                arguments: all,
                is_run: false,
                unquoted: None,
            }
        }
        (None, _) if asks_for_help(rest) => as_is(false),
        _ => {
            let mut all = vec![program, "run".into()];
            all.extend(extra());
            all.extend(rest.iter().cloned());
            let unquoted = first
                .filter(|at| !known.forces_pipeline(&rest[..*at]))
                .and_then(|at| unquoted(rest, at));
            Meant {
                arguments: all,
                is_run: true,
                unquoted,
            }
        }
    }
}

/// The other words. An option that stands before a subcommand means the same behind it.
fn without(rest: &[OsString], at: usize) -> impl Iterator<Item = OsString> {
    rest[..at].iter().chain(&rest[at + 1..]).cloned()
}

/// The whole line in quotes, to copy.
pub(crate) fn quoted_form(unquoted: &Unquoted) -> String {
    let pipeline = unquoted.words.join(" ");
    let quoted = if pipeline.contains('\'') {
        let escaped: String = pipeline
            .chars()
            .flat_map(|c| {
                if "\"\\$`".contains(c) {
                    vec!['\\', c]
                } else {
                    vec![c]
                }
            })
            .collect();
        format!("\"{escaped}\"")
    } else {
        format!("'{pipeline}'")
    };
    let before = unquoted
        .before
        .iter()
        .map(|word| format!("{word} "))
        .collect::<String>();
    format!("dpipes {before}{quoted}")
}

/// Several words, of which the first is no whole pipeline, are one without its quotes. `dpipes 'a | b' --tag` is not: an option may follow.
fn unquoted(rest: &[OsString], at: usize) -> Option<Unquoted> {
    let words: Vec<String> = rest[at..]
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let text = |words: &[OsString]| {
        words
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect()
    };
    let looks_whole = words[0].contains(char::is_whitespace) || words[0].contains('|');
    (words.len() > 1 && !looks_whole).then(|| Unquoted {
        before: text(&rest[..at]),
        words,
    })
}

fn asks_for_help(rest: &[OsString]) -> bool {
    rest.iter().any(|word| {
        ["-h", "--help", "-V", "--version"]
            .iter()
            .any(|help| word == help)
    })
}

/// What clap knows about the options of `run`, which are all that may stand before a pipeline.
struct Known {
    long_with_value: BTreeSet<String>,
    short_with_value: BTreeSet<char>,
}

impl Known {
    fn new() -> Self {
        let command = RunCli::command();
        let takes_value = |arg: &&clap::Arg| arg.get_action().takes_values();
        let all = || command.get_arguments().filter(takes_value);
        Self {
            long_with_value: all()
                .filter_map(|arg| arg.get_long())
                .map(str::to_owned)
                .collect(),
            short_with_value: all().filter_map(clap::Arg::get_short).collect(),
        }
    }

    /// Where the first word stands that is neither an option nor the value of one.
    fn first_positional(&self, rest: &[OsString]) -> Option<usize> {
        let mut at = 0;
        while let Some(word) = rest.get(at) {
            let word = word.to_string_lossy();
            if word == "--" {
                return (at + 1 < rest.len()).then_some(at + 1);
            }
            if !word.starts_with('-') || word == "-" {
                return Some(at);
            }
            at += if self.wants_next(&word) { 2 } else { 1 };
        }
        None
    }

    /// Whether the value of this option is the next word.
    fn wants_next(&self, option: &str) -> bool {
        if let Some(long) = option.strip_prefix("--") {
            return self.long_with_value.contains(long);
        }
        let cluster: Vec<char> = option.chars().skip(1).collect();
        let taker = cluster
            .iter()
            .position(|letter| self.short_with_value.contains(letter));
        taker.is_some_and(|at| at + 1 == cluster.len())
    }

    /// Whether `-c` stands among these options.
    fn forces_pipeline(&self, options: &[OsString]) -> bool {
        options.iter().any(|word| {
            let word = word.to_string_lossy();
            let first_taker = word
                .chars()
                .skip(1)
                .find(|letter| self.short_with_value.contains(letter));
            word == "--command"
                || word.starts_with("--command=")
                || (word.starts_with('-') && !word.starts_with("--") && first_taker == Some('c'))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant(words: &[&str]) -> Meant {
        meant_with(words, None)
    }

    fn meant_with(words: &[&str], options: Option<&str>) -> Meant {
        let words = std::iter::once("dpipes").chain(words.iter().copied());
        understand(words.map(OsString::from).collect(), options)
    }

    fn spelled(meant: &Meant) -> String {
        meant.arguments[1..]
            .iter()
            .map(|word| word.to_string_lossy())
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn one_string_is_a_pipeline() {
        for words in [
            &["a | b"][..],
            &["ls"],
            &["-n", "a | b"],
            &["-o", "check", "ls"],
            &["a | b", "--tag"],
            &[],
        ] {
            let meant = meant(words);
            assert!(meant.is_run, "{words:?}");
            assert_eq!(meant.unquoted, None, "{words:?}");
            assert!(spelled(&meant).starts_with("run"));
        }
    }

    #[test]
    fn a_lone_word_that_is_a_subcommand_is_that_subcommand() {
        for words in [
            &["nodes"][..],
            &["--color", "never", "check", "a"],
            &["lab", "up"],
            &["--help"],
            &["-V"],
        ] {
            assert!(!meant(words).is_run, "{words:?}");
        }
    }

    #[test]
    fn an_option_before_a_subcommand_is_an_option_of_that_subcommand() {
        for (words, wanted) in [
            (
                &["--connect", "x:1", "nodes", "--json"][..],
                "nodes --connect x:1 --json",
            ),
            (
                &["--registry=mdns:", "apps", "sort"],
                "apps --registry=mdns: sort",
            ),
            (
                &["--no-daemon", "run", "-n", "a | b"],
                "run --no-daemon -n a | b",
            ),
            (&["--help", "nodes"], "nodes --help"),
            (&["-q", "lab", "up"], "lab -q up"),
        ] {
            assert_eq!(spelled(&meant(words)), wanted);
        }
        assert_eq!(spelled(&meant(&["-V", "nodes"])), "-V nodes");
        // Behind the dashes stands a pipeline.
        assert_eq!(spelled(&meant(&["--", "nodes"])), "run -- nodes");
    }

    #[test]
    fn c_forces_a_pipeline() {
        for words in [
            &["-c", "nodes"][..],
            &["-nc", "nodes"],
            &["--command=nodes"],
            &["-cnodes"],
        ] {
            assert!(meant(words).is_run, "{words:?}");
        }
    }

    #[test]
    fn several_words_are_given_back_in_quotes() {
        let form = |words: &[&str]| quoted_form(&meant(words).unquoted.unwrap());
        assert_eq!(form(&["sort", "-r", "a"]), "dpipes 'sort -r a'");
        assert_eq!(
            form(&["-o", "pipefail", "seq", "5"]),
            "dpipes -o pipefail 'seq 5'"
        );
        assert_eq!(form(&["echo", "it's", "$5"]), "dpipes \"echo it's \\$5\"");
        assert_eq!(form(&["run", "seq", "5"]), "dpipes run 'seq 5'");
    }

    #[test]
    fn options_of_the_environment_hold_for_runs_only() {
        assert_eq!(
            spelled(&meant_with(&["a | b"], Some("-o pipefail"))),
            "run -o pipefail a | b"
        );
        assert_eq!(
            spelled(&meant_with(&["run", "a"], Some("--tag"))),
            "run --tag a"
        );
        assert_eq!(spelled(&meant_with(&["nodes"], Some("--tag"))), "nodes");
    }
}
