//! Users: who an app runs as.

use std::{
    collections::BTreeMap,
    ffi::CString,
    io,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use nix::unistd::{Gid, Uid, User, getegid, geteuid, getgrouplist, getgroups};
use thiserror::Error;

/// How long an answer of the name service is believed. Every offer asks about the same few users, and an answer may cost a round trip to
/// a server, or a search through a dozen directories; somebody who has just changed a user waits so long at most.
const BELIEVED: Duration = Duration::from_secs(5);

/// Answers that are remembered at most; names come from offers, so their number must have an end.
const REMEMBERED: usize = 256;

/// The answers of the name service: for a name, and for the number of this process's user.
static ANSWERS: Mutex<BTreeMap<Question, (Instant, Option<RunAs>)>> = Mutex::new(BTreeMap::new());

/// What the name service is asked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Question {
    Name(String),
    Current(u32, u32),
}

/// The user an app runs as, with everything that was looked up about him: after the fork of a shim nobody asks the name service again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunAs {
    /// The user's name.
    pub name: String,
    /// The user's number.
    pub uid: u32,
    /// The primary group.
    pub gid: u32,
    /// All groups of the process, exactly.
    pub groups: Vec<u32>,
    /// The home directory.
    pub home: PathBuf,
    /// The login shell.
    pub shell: PathBuf,
}

/// Why a user is not known.
#[derive(Debug, Error)]
pub enum UserError {
    /// There is none of that name or number.
    #[error("there is no user `{0}`")]
    Unknown(String),
    /// The name service did not answer.
    #[error("looking up user `{name}` failed")]
    Lookup {
        /// The user.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// An answer that is fresh enough, or a new one. That there is no such user is an answer too; a failure is none.
fn remembered(
    question: Question,
    ask: impl FnOnce() -> Result<Option<RunAs>, UserError>,
) -> Result<Option<RunAs>, UserError> {
    let lock = || ANSWERS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((at, answer)) = lock().get(&question)
        && at.elapsed() < BELIEVED
    {
        return Ok(answer.clone());
    }
    // Asked without the lock: the name service may be slow.
    let answer = ask()?;
    let mut answers = lock();
    if answers.len() >= REMEMBERED {
        answers.clear();
    }
    answers.insert(question, (Instant::now(), answer.clone()));
    Ok(answer)
}

/// Looks up a user by name, or by number where no user has that name. The answer may be a few seconds old.
///
/// # Errors
///
/// [`UserError`] when there is none or the name service fails.
pub fn lookup_user(name: &str) -> Result<RunAs, UserError> {
    remembered(Question::Name(name.to_owned()), || ask_for(name))?
        .ok_or_else(|| UserError::Unknown(name.to_owned()))
}

fn ask_for(name: &str) -> Result<Option<RunAs>, UserError> {
    let failed = |error: nix::Error| UserError::Lookup {
        name: name.to_owned(),
        source: error.into(),
    };
    let mut found = User::from_name(name).map_err(failed)?;
    if found.is_none()
        && let Ok(number) = name.parse()
    {
        found = User::from_uid(Uid::from_raw(number)).map_err(failed)?;
    }
    let Some(user) = found else {
        return Ok(None);
    };
    let c_name = CString::new(user.name.as_bytes()).map_err(|error| UserError::Lookup {
        name: name.to_owned(),
        source: error.into(),
    })?;
    let groups = getgrouplist(&c_name, user.gid).map_err(failed)?;
    Ok(Some(RunAs {
        name: user.name,
        uid: user.uid.as_raw(),
        gid: user.gid.as_raw(),
        groups: groups.into_iter().map(Gid::as_raw).collect(),
        home: user.dir,
        shell: user.shell,
    }))
}

/// The user this process runs as. A user without an entry in the user database is named by his number, and his home is `$HOME` or `/`.
#[must_use]
pub fn current_user() -> RunAs {
    let (uid, gid) = (geteuid(), getegid());
    let question = Question::Current(uid.as_raw(), gid.as_raw());
    remembered(question, || Ok(Some(ask_for_current(uid, gid))))
        .ok()
        .flatten()
        .unwrap_or_else(|| ask_for_current(uid, gid))
}

fn ask_for_current(uid: Uid, gid: Gid) -> RunAs {
    let known = User::from_uid(uid).ok().flatten();
    let home = known.as_ref().map(|user| user.dir.clone());
    let from_environment = || std::env::var_os("HOME").map(PathBuf::from);
    RunAs {
        name: known
            .as_ref()
            .map_or_else(|| uid.to_string(), |user| user.name.clone()),
        uid: uid.as_raw(),
        gid: gid.as_raw(),
        groups: getgroups()
            .unwrap_or_default()
            .into_iter()
            .map(Gid::as_raw)
            .collect(),
        home: home
            .or_else(from_environment)
            .unwrap_or_else(|| PathBuf::from("/")),
        shell: known.map_or_else(|| PathBuf::from("/bin/sh"), |user| user.shell),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_found_by_name_and_by_number() {
        let root = lookup_user("root").unwrap();
        assert_eq!((root.uid, root.gid), (0, 0));
        assert!(root.groups.contains(&0));
        assert_eq!(lookup_user("0").unwrap(), root);
    }

    #[test]
    fn an_unknown_user_is_named_in_the_error() {
        // The second answer is the remembered one.
        for _ in 0..2 {
            let error = lookup_user("no such user").unwrap_err();
            assert_eq!(error.to_string(), "there is no user `no such user`");
        }
    }

    #[test]
    fn the_current_user_is_who_the_kernel_says() {
        let user = current_user();
        assert_eq!(user.uid, geteuid().as_raw());
        assert!(user.home.is_absolute());
    }
}
