//! The owner's rules for arguments. A guard-rail, not a boundary: many programs start others when told to.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

use super::{
    parameter::{Refuse, refuse},
    pattern::matches,
    rules::ArgRules,
};
use crate::{wire::message::Refusal, word::Word};

/// Words of a stage at most: more than anybody writes, and what keeps an offer small.
const MAX_ARGUMENTS: usize = 1_024;
/// Longest argument: what Linux itself takes (`MAX_ARG_STRLEN`).
const MAX_ARGUMENT: usize = 128 * 1024;

/// Checks arguments after expansion, without those that the owner puts in front. The stage and, where it is known, the word are left for
/// the caller to fill in: one word may have become many arguments.
///
/// # Errors
///
/// Returns the refusal of the first argument that the rules do not allow.
pub fn check_arguments<S: AsRef<OsStr>>(rule: &ArgRules, argv: &[S]) -> Result<(), Refusal> {
    // How many the kernel takes is its own affair: a glob may well match more files than anybody writes words.
    count(rule, argv.len(), usize::MAX)?;
    if let Some(exact) = &rule.exact {
        let same = exact.len() == argv.len()
            && exact
                .iter()
                .zip(argv)
                .all(|(a, b)| OsStr::new(a) == b.as_ref());
        if !same {
            let given: Vec<_> = argv.iter().map(|a| a.as_ref().to_string_lossy()).collect();
            return Err(not_exact(exact, &given.join(" ")));
        }
    }
    for argument in argv {
        one(rule, argument.as_ref().as_bytes())?;
    }
    Ok(())
}

/// Checks words as written: what can be known before expansion. The word in a refusal counts the app as 0.
pub(super) fn check_words(rule: &ArgRules, words: &[Word]) -> Result<(), Refusal> {
    count(rule, words.len(), MAX_ARGUMENTS)?;
    if let Some(exact) = &rule.exact {
        let wrong = (0..words.len().max(exact.len())).find(|index| {
            let word = words.get(*index).and_then(Word::as_literal);
            word.is_none() || word.as_ref() != exact.get(*index)
        });
        if let Some(index) = wrong {
            let given: Vec<_> = words.iter().map(ToString::to_string).collect();
            let word = if index < words.len() { index + 1 } else { 0 };
            return Err(not_exact(exact, &given.join(" ")).word(word));
        }
    }
    for (index, word) in words.iter().enumerate() {
        let at = |refusal: Refusal| refusal.word(index + 1);
        // A null byte ends an argument for the kernel: what was checked would not be what runs.
        if word.to_string().contains('\0') {
            return Err(at(refuse(
                "arguments",
                "a null character",
                "arguments without one",
            )));
        }
        match word.as_literal() {
            Some(literal) => one(rule, literal.as_bytes()).map_err(at)?,
            None => length(word.to_string().as_bytes()).map_err(at)?,
        }
    }
    Ok(())
}

fn count(rule: &ArgRules, given: usize, limit: usize) -> Result<(), Refusal> {
    let max = rule.max.map_or(limit, |max| limit.min(usize::from(max)));
    if given <= max {
        return Ok(());
    }
    Err(refuse(
        "arguments",
        format!("{given} arguments"),
        format!("at most {max}"),
    )
    .word(max + 1))
}

fn length(argument: &[u8]) -> Result<(), Refusal> {
    if argument.len() <= MAX_ARGUMENT {
        return Ok(());
    }
    let wanted = format!("an argument of {} bytes", argument.len());
    Err(
        refuse("arguments", wanted, format!("at most {MAX_ARGUMENT} bytes"))
            .hint("send it through stdin instead"),
    )
}

fn one(rule: &ArgRules, argument: &[u8]) -> Result<(), Refusal> {
    length(argument)?;
    let shown = || String::from_utf8_lossy(argument).into_owned();
    if let Some(denied) = rule.deny.iter().find(|p| matches(p, argument)) {
        return Err(refuse("arguments", shown(), format!("not `{denied}`"))
            .hint("leave it out, or run the stage on another node with @NODE"));
    }
    if !rule.allow.is_empty() && !rule.allow.iter().any(|p| matches(p, argument)) {
        let allowed = format!("only `{}`", rule.allow.join("` `"));
        return Err(refuse("arguments", shown(), allowed)
            .hint("use what the node allows, or run the stage on another node with @NODE"));
    }
    Ok(())
}

fn not_exact(exact: &[String], given: &str) -> Refusal {
    let shown = |text: String| {
        if text.is_empty() {
            "no arguments".to_owned()
        } else {
            text
        }
    };
    let got = match exact {
        [] => "no arguments".to_owned(),
        exact => format!("exactly `{}`", exact.join(" ")),
    };
    refuse("arguments", shown(given.to_owned()), got)
        .hint("write the arguments just so, or choose another node with @NODE")
}
