//! Where things are: sockets, state, and the places where configuration is looked for.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

/// The process's surroundings as far as paths depend on them, read once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surroundings {
    /// The effective user.
    pub uid: u32,
    /// The directory the command was typed in.
    pub cwd: PathBuf,
    /// The environment. Names and values that are no UTF-8 are not in it.
    pub environment: BTreeMap<String, String>,
    /// Where system-wide configuration lies; `/etc` outside tests.
    pub etc: PathBuf,
}

// === impl Surroundings ===

impl Surroundings {
    /// Those of an ordinary user with nothing but these variables.
    #[cfg(test)]
    pub(crate) fn of_a_user(variables: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self {
            uid: 1000,
            cwd: "/work".into(),
            environment: variables.iter().map(owned).collect(),
            etc: "/etc".into(),
        }
    }

    /// Reads the surroundings of this process.
    ///
    /// # Errors
    ///
    /// Returns the error of finding the current directory, which may have been removed.
    pub fn of_this_process() -> io::Result<Self> {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Ok(Self {
            uid: rustix::process::geteuid().as_raw(),
            cwd: std::env::current_dir()?,
            environment: std::env::vars_os().filter_map(text).collect(),
            etc: PathBuf::from("/etc"),
        })
    }

    /// A variable of the environment that is set and not empty.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.environment
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// An absolute path from the environment. The XDG rules say that others are to be ignored.
    fn directory(&self, name: &str) -> Option<PathBuf> {
        self.variable(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    }

    /// The user's home.
    #[must_use]
    pub fn home(&self) -> Option<PathBuf> {
        self.directory("HOME")
    }

    /// Where the user's configuration lies: `$XDG_CONFIG_HOME/dpipes`, by default `~/.config/dpipes`.
    #[must_use]
    pub fn config_home(&self) -> Option<PathBuf> {
        let base = self
            .directory("XDG_CONFIG_HOME")
            .or_else(|| Some(self.home()?.join(".config")));
        Some(base?.join("dpipes"))
    }

    /// The client's own file.
    #[must_use]
    pub fn client_file(&self) -> Option<PathBuf> {
        Some(self.config_home()?.join("dpipes.yaml"))
    }

    /// Where sockets, pid files and the lab live until the next boot: `$DPIPES_RUNTIME_DIR`, or a directory of this user in it where it
    /// is everybody's as `/tmp` is; `/run/dpipes` for root; `$XDG_RUNTIME_DIR`; else a directory of this user in `/tmp`.
    #[must_use]
    pub fn runtime_dir(&self) -> PathBuf {
        if let Some(given) = self.directory("DPIPES_RUNTIME_DIR") {
            return match is_everybodys(&given) {
                true => given.join(format!("dpipes-{}", self.uid)),
                false => given,
            };
        }
        if self.uid == 0 {
            return PathBuf::from("/run/dpipes");
        }
        self.directory("XDG_RUNTIME_DIR")
            .unwrap_or_else(|| PathBuf::from(format!("/tmp/dpipes-{}", self.uid)))
    }

    /// The unix socket that a daemon of this user opens and a client tries first.
    #[must_use]
    pub fn default_socket(&self) -> PathBuf {
        let shared = self.uid != 0
            && self.directory("DPIPES_RUNTIME_DIR").is_none()
            && self.directory("XDG_RUNTIME_DIR").is_some();
        self.runtime_dir().join(if shared {
            "dpipes.sock"
        } else {
            "dpipesd.sock"
        })
    }

    /// The unix socket of a daemon that root runs for everybody on this machine; `None` when it is the default one anyway, or when
    /// `DPIPES_RUNTIME_DIR` sets this process apart.
    #[must_use]
    pub fn system_socket(&self) -> Option<PathBuf> {
        let path = PathBuf::from("/run/dpipes/dpipesd.sock");
        (self.directory("DPIPES_RUNTIME_DIR").is_none() && path != self.default_socket())
            .then_some(path)
    }

    /// The pid file of a daemon that was not told another one.
    #[must_use]
    pub fn default_pid_file(&self) -> PathBuf {
        self.default_socket().with_extension("pid")
    }

    /// The log of a daemon in the background that was not told another one.
    #[must_use]
    pub fn default_log_file(&self) -> PathBuf {
        if self.directory("DPIPES_RUNTIME_DIR").is_some() {
            return self.runtime_dir().join("dpipesd.log");
        }
        if self.uid == 0 {
            return PathBuf::from("/var/log/dpipes/dpipesd.log");
        }
        let state = self
            .directory("XDG_STATE_HOME")
            .or_else(|| Some(self.home()?.join(".local/state")));
        state.map_or_else(
            || self.runtime_dir().join("dpipesd.log"),
            |state| state.join("dpipes/dpipesd.log"),
        )
    }

    /// Where the lab keeps its files.
    #[must_use]
    pub fn lab_dir(&self) -> PathBuf {
        self.runtime_dir().join("dpipes-lab")
    }
}

/// Whether this directory is one where all users make files and none can take another's away, as with `/tmp` or a `tmpfs` that a
/// container runtime mounts.
fn is_everybodys(directory: &Path) -> bool {
    fs::metadata(directory).is_ok_and(|found| found.is_dir() && found.mode() & 0o1002 == 0o1002)
}

/// Makes a directory that only this user can use, or checks that an existing one is so. Somebody else's directory in `/tmp` would let
/// them put a socket of their own where clients look for the daemon.
///
/// # Errors
///
/// Returns an error when it cannot be made, belongs to somebody else, or is open to others and this user cannot be root.
pub fn ensure_private_dir(directory: &Path, uid: u32) -> io::Result<()> {
    match fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
    {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let found = fs::symlink_metadata(directory)?;
    let refuse = |why: String| io::Error::new(io::ErrorKind::PermissionDenied, why);
    if !found.is_dir() {
        return Err(refuse(format!("{} is no directory", directory.display())));
    }
    if found.uid() != uid {
        return Err(refuse(format!(
            "{} belongs to user {}, not to {uid}",
            directory.display(),
            found.uid()
        )));
    }
    if found.mode() & 0o022 != 0 {
        return Err(refuse(format!(
            "{} can be written by others (mode {:04o})",
            directory.display(),
            found.mode() & 0o7777
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn surroundings(uid: u32, variables: &[(&str, &str)]) -> Surroundings {
        Surroundings {
            uid,
            cwd: PathBuf::from("/work"),
            environment: variables
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect(),
            etc: PathBuf::from("/etc"),
        }
    }

    #[test]
    fn the_socket_is_where_the_user_keeps_running_things() {
        let path = |uid, variables: &[_]| {
            surroundings(uid, variables)
                .default_socket()
                .display()
                .to_string()
        };
        assert_eq!(
            path(0, &[("XDG_RUNTIME_DIR", "/run/user/0")]),
            "/run/dpipes/dpipesd.sock"
        );
        assert_eq!(
            path(1000, &[("XDG_RUNTIME_DIR", "/run/user/1000")]),
            "/run/user/1000/dpipes.sock"
        );
        assert_eq!(path(1000, &[]), "/tmp/dpipes-1000/dpipesd.sock");
        assert_eq!(
            path(1000, &[("XDG_RUNTIME_DIR", "relative")]),
            "/tmp/dpipes-1000/dpipesd.sock"
        );
        assert_eq!(path(0, &[("DPIPES_RUNTIME_DIR", "/x")]), "/x/dpipesd.sock");
    }

    #[test]
    fn a_runtime_directory_that_is_everybodys_has_one_for_each_user() {
        let base = tempfile::tempdir().unwrap();
        let given = base.path().join("run");
        fs::create_dir(&given).unwrap();
        let here = surroundings(1000, &[("DPIPES_RUNTIME_DIR", given.to_str().unwrap())]);
        // Without the sticky bit others could put another directory in its place.
        for (mode, wanted) in [(0o700, ""), (0o777, ""), (0o1777, "dpipes-1000")] {
            fs::set_permissions(&given, fs::Permissions::from_mode(mode)).unwrap();
            let own = given.join(wanted);
            assert_eq!(here.runtime_dir(), own, "{mode:o}");
            assert_eq!(here.default_pid_file(), own.join("dpipesd.pid"));
            assert_eq!(here.default_log_file(), own.join("dpipesd.log"));
        }
    }

    #[test]
    fn configuration_and_logs_follow_xdg() {
        let plain = surroundings(1000, &[("HOME", "/home/ann")]);
        assert_eq!(
            plain.client_file(),
            Some(PathBuf::from("/home/ann/.config/dpipes/dpipes.yaml"))
        );
        assert_eq!(
            plain.default_log_file(),
            PathBuf::from("/home/ann/.local/state/dpipes/dpipesd.log")
        );
        assert_eq!(surroundings(1000, &[]).client_file(), None);
    }

    #[test]
    fn a_private_directory_is_neither_borrowed_nor_shared() {
        let base = tempfile::tempdir().unwrap();
        let uid = rustix::process::geteuid().as_raw();
        let directory = base.path().join("a/b");
        ensure_private_dir(&directory, uid).unwrap();
        assert_eq!(fs::metadata(&directory).unwrap().mode() & 0o777, 0o700);
        ensure_private_dir(&directory, uid).unwrap();
        assert!(ensure_private_dir(&directory, uid + 1).is_err());
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(ensure_private_dir(&directory, uid).is_err());
    }
}
