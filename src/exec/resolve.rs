//! From the name of an app to the program.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rustix::fs::{Access, access};
use thiserror::Error;

/// Why a name leads to no program.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ResolveError {
    /// There is no such file. Status 127.
    #[error("{}", not_found(name, here.as_deref()))]
    NotFound {
        /// The name.
        name: String,
        /// A file of that name in the working directory, where the search does not look.
        here: Option<PathBuf>,
    },
    /// There is a file, but it cannot be executed. Status 126.
    #[error("`{}` is not executable: {reason}", path.display())]
    NotExecutable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: &'static str,
    },
    /// A path that lies in no directory of the search path. Status 126.
    #[error("`{}` lies in none of the directories where this node looks for apps", path.display())]
    OutsideSearchPath {
        /// The path.
        path: PathBuf,
    },
}

/// Where a name is looked for.
#[derive(Clone, Copy, Debug)]
pub struct Search<'a> {
    /// The directories, in order.
    pub path: &'a [PathBuf],
    /// The working directory of the app.
    pub cwd: &'a Path,
    /// Whether a name with a slash may lead anywhere, and a relative one counts from the working directory: so it is for the user's own
    /// shell-like client. A daemon takes only absolute paths, and only into its search path.
    pub anywhere: bool,
}

impl ResolveError {
    /// Whether there is no such app at all (127), rather than one that may not or cannot be executed (126).
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }
}

/// Finds the program of a name in a daemon's search path.
///
/// # Errors
///
/// See [`ResolveError`].
pub fn resolve(name: &str, path: &[PathBuf], cwd: &Path) -> Result<PathBuf, ResolveError> {
    let anywhere = false;
    resolve_in(
        name,
        Search {
            path,
            cwd,
            anywhere,
        },
    )
}

/// Finds the program of a name.
///
/// # Errors
///
/// See [`ResolveError`].
pub fn resolve_in(name: &str, search: Search<'_>) -> Result<PathBuf, ResolveError> {
    if name.contains('/') {
        return resolve_path(name, search);
    }
    let mut not_executable = None;
    // An empty name, `.` and `..` are directories or nothing, never programs of a search path.
    if !matches!(name, "" | "." | "..") {
        for directory in search.path {
            let candidate = directory.join(name);
            match check(&candidate) {
                Ok(()) => return Ok(candidate),
                Err(Some(reason)) => {
                    not_executable.get_or_insert(ResolveError::NotExecutable {
                        path: candidate,
                        reason,
                    });
                }
                Err(None) => {}
            }
        }
    }
    Err(not_executable.unwrap_or_else(|| {
        let here = search.cwd.join(name);
        ResolveError::NotFound {
            name: name.to_owned(),
            here: here.is_file().then_some(here),
        }
    }))
}

fn resolve_path(name: &str, search: Search<'_>) -> Result<PathBuf, ResolveError> {
    let path = search.cwd.join(name);
    let allowed = search.anywhere || (name.starts_with('/') && lies_in(&path, search.path));
    if !allowed {
        return Err(ResolveError::OutsideSearchPath {
            path: PathBuf::from(name),
        });
    }
    match check(&path) {
        Ok(()) => Ok(path),
        Err(Some(reason)) => Err(ResolveError::NotExecutable { path, reason }),
        Err(None) => Err(ResolveError::NotFound {
            name: name.to_owned(),
            here: None,
        }),
    }
}

/// Whether the file's directory is one of these, after symbolic links: `/bin` often is `/usr/bin`.
fn lies_in(path: &Path, directories: &[PathBuf]) -> bool {
    let Some(Ok(parent)) = path.parent().map(fs::canonicalize) else {
        return false;
    };
    let same = |directory: &PathBuf| fs::canonicalize(directory).is_ok_and(|real| real == parent);
    path.file_name().is_some() && directories.iter().any(same)
}

/// `Err(None)`: no such file; `Err(Some(reason))`: there is something that cannot be executed.
fn check(path: &Path) -> Result<(), Option<&'static str>> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(Some("permission denied"));
        }
        Err(_) => return Err(None),
    };
    if metadata.is_dir() {
        return Err(Some("it is a directory"));
    }
    if !metadata.is_file() {
        return Err(Some("it is no regular file"));
    }
    access(path, Access::EXEC_OK).map_err(|_| Some("permission denied"))
}

fn not_found(name: &str, here: Option<&Path>) -> String {
    match here {
        None => format!("there is no program `{name}`"),
        Some(_) => format!(
            "there is no program `{name}`; the file `{name}` exists in the working directory; maybe you meant `./{name}`"
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file(path: &Path, mode: u32) {
        fs::write(path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn the_first_executable_in_the_search_path_wins() {
        let root = tempfile::tempdir().unwrap();
        let (a, b) = (root.path().join("a"), root.path().join("b"));
        fs::create_dir_all(a.join("tool")).unwrap();
        fs::create_dir_all(&b).unwrap();
        file(&b.join("tool"), 0o755);
        let path = [a.clone(), b.clone()];
        assert_eq!(resolve("tool", &path, root.path()), Ok(b.join("tool")));

        file(&a.join("plain"), 0o644);
        let error = resolve("plain", &path, root.path()).unwrap_err();
        assert!(!error.is_not_found(), "{error}");
        assert!(
            resolve("nothing", &path, root.path())
                .unwrap_err()
                .is_not_found()
        );
        for odd in ["", ".", ".."] {
            assert!(resolve(odd, &path, root.path()).unwrap_err().is_not_found());
        }
    }

    #[test]
    fn a_path_counts_only_inside_the_search_path() {
        let root = tempfile::tempdir().unwrap();
        let bin = root.path().join("bin");
        fs::create_dir_all(&bin).unwrap();
        file(&bin.join("tool"), 0o755);
        file(&root.path().join("evil"), 0o755);
        std::os::unix::fs::symlink(&bin, root.path().join("link")).unwrap();
        let path = [bin.clone()];
        let at = |name: &str| {
            resolve(
                &format!("{}/{name}", root.path().display()),
                &path,
                root.path(),
            )
        };
        assert!(at("bin/tool").is_ok());
        assert!(at("link/tool").is_ok());
        for outside in ["evil", "bin/../evil", "bin/../../evil"] {
            let error = at(outside).unwrap_err();
            assert!(
                matches!(error, ResolveError::OutsideSearchPath { .. }),
                "{outside}: {error}"
            );
        }
        let relative = resolve("bin/tool", &path, root.path()).unwrap_err();
        assert!(matches!(relative, ResolveError::OutsideSearchPath { .. }));
        let anywhere = Search {
            path: &path,
            cwd: root.path(),
            anywhere: true,
        };
        assert_eq!(
            resolve_in("./evil", anywhere),
            Ok(root.path().join("./evil"))
        );
    }

    #[test]
    fn a_file_in_the_working_directory_is_pointed_out() {
        let root = tempfile::tempdir().unwrap();
        file(&root.path().join("mine"), 0o755);
        let error = resolve("mine", &[], root.path()).unwrap_err();
        assert!(
            error.to_string().ends_with("maybe you meant `./mine`"),
            "{error}"
        );
    }
}
