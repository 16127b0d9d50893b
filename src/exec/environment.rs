//! The environment of an app, built from nothing.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use super::RunAs;
use crate::variable::{self, OWN_PREFIX};

/// What an app's environment is made of, in the order in which later ones win.
#[derive(Clone, Debug)]
pub struct Layers<'a> {
    /// The directories of `PATH`.
    pub search_path: &'a [PathBuf],
    /// The user, for `HOME`, `USER`, `LOGNAME` and `SHELL`.
    pub user: &'a RunAs,
    /// `LANG` where the client's is not taken.
    pub lang: &'a str,
    /// `TMPDIR`.
    pub tmpdir: &'a Path,
    /// What the client merely has and this node accepts.
    pub ambient: &'a [(OsString, OsString)],
    /// What the user asked for by name.
    pub asked: &'a [(OsString, OsString)],
    /// What the node's owner sets for this app; may be anything.
    pub set: &'a [(OsString, OsString)],
    /// The `DP_*` variables.
    pub own: &'a [(OsString, OsString)],
}

/// Whether this variable is never to be taken from outside, whatever a configuration says.
fn is_never_accepted(name: &OsStr, value: &OsStr) -> bool {
    let (Some(name), Some(value)) = (name.to_str(), value.to_str()) else {
        return true;
    };
    !variable::is_name(name) || variable::is_never_taken(name, value)
}

/// The environment of an app on a node. What is [never taken](variable::is_never_taken) of ambient and asked variables is enforced here once more.
#[must_use]
pub fn build(layers: &Layers<'_>) -> Vec<(OsString, OsString)> {
    let mut path = OsString::new();
    for (index, directory) in layers.search_path.iter().enumerate() {
        if index > 0 {
            path.push(":");
        }
        path.push(directory);
    }
    let user = layers.user;
    let base: [(&str, &OsStr); 7] = [
        ("PATH", &path),
        ("HOME", user.home.as_os_str()),
        ("USER", OsStr::new(&user.name)),
        ("LOGNAME", OsStr::new(&user.name)),
        ("SHELL", user.shell.as_os_str()),
        ("LANG", OsStr::new(layers.lang)),
        ("TMPDIR", layers.tmpdir.as_os_str()),
    ];
    let mut all: BTreeMap<OsString, OsString> = base
        .into_iter()
        .map(|(name, value)| (name.into(), value.to_owned()))
        .collect();
    let outside = layers.ambient.iter().chain(layers.asked);
    all.extend(
        outside
            .filter(|(name, value)| !is_never_accepted(name, value))
            .cloned(),
    );
    all.extend(layers.set.iter().chain(layers.own).cloned());
    all.into_iter().collect()
}

/// The environment of an app that the user's own client runs on his own machine: everything he has, what he asked for, and `DP_*`.
#[must_use]
pub fn build_embedded(
    whole: impl IntoIterator<Item = (OsString, OsString)>,
    asked: &[(OsString, OsString)],
    own: &[(OsString, OsString)],
) -> Vec<(OsString, OsString)> {
    let is_own = |name: &OsStr| name.as_bytes().starts_with(OWN_PREFIX.as_bytes());
    let kept = whole.into_iter().filter(|(name, _)| {
        !name.to_str().is_some_and(variable::is_always_removed) && !is_own(name)
    });
    let mut all: BTreeMap<OsString, OsString> = kept.collect();
    all.extend(asked.iter().filter(|(name, _)| !is_own(name)).cloned());
    all.extend(own.iter().cloned());
    all.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(list: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        list.iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect()
    }

    #[test]
    fn later_layers_win_and_nothing_is_inherited() {
        let user = RunAs {
            name: "ann".into(),
            uid: 7,
            gid: 7,
            groups: vec![7],
            home: "/home/ann".into(),
            shell: "/bin/sh".into(),
        };
        let path = ["/usr/bin".into(), "/bin".into()];
        let built = build(&Layers {
            search_path: &path,
            user: &user,
            lang: "C.UTF-8",
            tmpdir: Path::new("/tmp"),
            ambient: &pairs(&[("LANG", "de_DE.UTF-8"), ("LD_PRELOAD", "x")]),
            asked: &pairs(&[("FOO", "1"), ("BAR", "2")]),
            set: &pairs(&[("BAR", "3"), ("PYTHONPATH", "/opt")]),
            own: &pairs(&[("DP_STAGE", "1")]),
        });
        let expected = pairs(&[
            ("BAR", "3"),
            ("DP_STAGE", "1"),
            ("FOO", "1"),
            ("HOME", "/home/ann"),
            ("LANG", "de_DE.UTF-8"),
            ("LOGNAME", "ann"),
            ("PATH", "/usr/bin:/bin"),
            ("PYTHONPATH", "/opt"),
            ("SHELL", "/bin/sh"),
            ("TMPDIR", "/tmp"),
            ("USER", "ann"),
        ]);
        assert_eq!(built, expected);
    }

    #[test]
    fn an_embedded_app_has_the_whole_environment_but_not_the_daemons() {
        let whole = pairs(&[
            ("PATH", "/mine"),
            ("LD_PRELOAD", "mine.so"),
            ("NOTIFY_SOCKET", "x"),
            ("DP_PIPE", "outer"),
        ]);
        let built = build_embedded(
            whole,
            &pairs(&[("A", "1")]),
            &pairs(&[("DP_PIPE", "inner")]),
        );
        let expected = pairs(&[
            ("A", "1"),
            ("DP_PIPE", "inner"),
            ("LD_PRELOAD", "mine.so"),
            ("PATH", "/mine"),
        ]);
        assert_eq!(built, expected);
    }
}
