//! Why a file that was named cannot be used, in words that lead to the mistake: most often a volume that is not mounted, or that another
//! user's process was meant to read.

use std::{
    fmt, fs,
    io::{Error, ErrorKind},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Access, AtFlags, CWD, accessat},
    process::geteuid,
};

/// A file that cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileTrouble {
    path: PathBuf,
    kind: ErrorKind,
    /// What the system said.
    said: String,
    seen: Seen,
}

/// What was found where the file should be.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    /// Nothing that says more than the system did.
    Nothing,
    /// Not even this directory, in which it should be.
    NoDirectory(PathBuf),
    /// A file or directory that this user may not read or enter.
    Closed(Closed),
    /// A directory.
    Directory,
    /// A file without a byte.
    Empty,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Closed {
    at: PathBuf,
    is_directory: bool,
    mode: u32,
    owner: u32,
    user: u32,
}

// === impl FileTrouble ===

impl FileTrouble {
    /// Looks around after this error of opening or reading a file.
    #[must_use]
    pub fn of(path: &Path, error: &Error) -> Self {
        let seen = match error.kind() {
            ErrorKind::NotFound => missing_directory(path).map(Seen::NoDirectory),
            ErrorKind::PermissionDenied => closed(path).map(Seen::Closed),
            ErrorKind::IsADirectory => Some(Seen::Directory),
            _ => path.is_dir().then_some(Seen::Directory),
        };
        Self {
            path: path.to_owned(),
            kind: error.kind(),
            said: error.to_string(),
            seen: seen.unwrap_or(Seen::Nothing),
        }
    }

    /// A file that has nothing in it.
    #[must_use]
    pub fn empty(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            kind: ErrorKind::UnexpectedEof,
            said: "it is empty".to_owned(),
            seen: Seen::Empty,
        }
    }

    /// Whether a file could be used, as far as that can be seen without reading it; a pipe is opened by its reader alone.
    #[must_use]
    pub fn look(path: &Path) -> Option<Self> {
        let found = match fs::metadata(path) {
            Ok(found) => found,
            Err(error) => return Some(Self::of(path, &error)),
        };
        if found.is_dir() {
            return Some(Self::of(path, &ErrorKind::IsADirectory.into()));
        }
        if !found.is_file() {
            return None;
        }
        match fs::File::open(path) {
            Ok(_) if found.len() == 0 => Some(Self::empty(path)),
            Ok(_) => None,
            Err(error) => Some(Self::of(path, &error)),
        }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is not there.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.kind == ErrorKind::NotFound
    }

    /// Whether it lies below a directory that this user may not enter.
    #[must_use]
    pub fn is_out_of_reach(&self) -> bool {
        matches!(&self.seen, Seen::Closed(closed) if closed.is_directory)
    }

    /// What to do about it.
    #[must_use]
    pub fn next_step(&self) -> String {
        let path = self.path.display();
        match &self.seen {
            Seen::Nothing if self.is_absent() => "put it there, or name a file that is".to_owned(),
            Seen::Nothing => format!("see: ls -ld {path}"),
            Seen::NoDirectory(directory) => format!(
                "name a file that is there; in a container, mount the volume that belongs at {}",
                directory.display()
            ),
            Seen::Closed(closed) if closed.is_directory => format!(
                "name a file that user {} can reach, or let that user enter {}",
                closed.user,
                closed.at.display()
            ),
            Seen::Closed(closed) => format!(
                "make it that user's, with mode 0400: chown {} {path} && chmod 0400 {path}; a container's volume takes both from outside, \
                 as from `fsGroup` in Kubernetes",
                closed.user
            ),
            Seen::Directory => {
                "name a file; where a container was to have one mounted that the host lacks, Docker made a directory".to_owned()
            }
            Seen::Empty => "write into it what belongs there, or name another file".to_owned(),
        }
    }
}

impl fmt::Display for FileTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.seen {
            Seen::Directory => return f.write_str("it is a directory"),
            _ => f.write_str(&self.said)?,
        }
        match &self.seen {
            Seen::NoDirectory(directory) => {
                write!(f, ", nor is there a directory {}", directory.display())
            }
            Seen::Closed(closed) => {
                let what = match closed.is_directory {
                    true => format!("the directory {}", closed.at.display()),
                    false => "it".to_owned(),
                };
                let Closed {
                    mode, owner, user, ..
                } = closed;
                write!(
                    f,
                    ": {what} has mode {mode:04o} and belongs to user {owner}, and this is user {user}"
                )
            }
            Seen::Nothing | Seen::Directory | Seen::Empty => Ok(()),
        }
    }
}

/// The topmost directory on the way to a file that is not there, if there is such a one.
fn missing_directory(path: &Path) -> Option<PathBuf> {
    let above = path.ancestors().skip(1);
    let missing = above.take_while(|directory| {
        let found = fs::metadata(directory);
        !directory.as_os_str().is_empty()
            && found.is_err_and(|error| error.kind() == ErrorKind::NotFound)
    });
    missing.last().map(Path::to_owned)
}

/// The first on the way to a file, itself included, that this user may not enter or read.
fn closed(path: &Path) -> Option<Closed> {
    let mut way: Vec<_> = path.ancestors().collect();
    way.reverse();
    way.into_iter().find_map(|at| {
        let found = fs::metadata(at).ok()?;
        let wanted = match found.is_dir() {
            true => Access::EXEC_OK,
            false => Access::READ_OK,
        };
        accessat(CWD, at, wanted, AtFlags::EACCESS).err()?;
        Some(Closed {
            at: at.to_owned(),
            is_directory: found.is_dir(),
            mode: found.mode() & 0o7777,
            owner: found.uid(),
            user: geteuid().as_raw(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: &Path) -> String {
        let trouble = FileTrouble::look(path).expect("it cannot be used");
        format!("{trouble}; {}", trouble.next_step())
    }

    #[test]
    fn the_first_directory_that_is_missing_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let volume = dir.path().join("volume");
        let said = text(&volume.join("tls/ca.pem"));
        let wanted = format!(
            "No such file or directory (os error 2), nor is there a directory {}",
            volume.display()
        );
        assert!(said.contains(&format!("{wanted}; ")), "{said}");
        assert!(said.contains("mount the volume"), "{said}");
        let said = text(&dir.path().join("ca.pem"));
        assert!(said.contains("(os error 2); put it there"), "{said}");
    }

    #[test]
    fn a_directory_and_an_empty_file_are_told_from_one_that_can_be_used() {
        let dir = tempfile::tempdir().unwrap();
        assert!(text(dir.path()).contains("it is a directory; "));
        let path = dir.path().join("token");
        fs::write(&path, "").unwrap();
        assert!(text(&path).contains("it is empty; write into it"));
        fs::write(&path, "x").unwrap();
        assert_eq!(FileTrouble::look(&path), None);
    }

    #[test]
    fn who_may_not_read_is_told_both_users() {
        let closed = |is_directory| FileTrouble {
            path: "/run/secrets/token".into(),
            kind: ErrorKind::PermissionDenied,
            said: "Permission denied (os error 13)".to_owned(),
            seen: Seen::Closed(Closed {
                at: if is_directory {
                    "/run/secrets"
                } else {
                    "/run/secrets/token"
                }
                .into(),
                is_directory,
                mode: 0o600,
                owner: 0,
                user: 3747,
            }),
        };
        assert_eq!(
            closed(false).to_string(),
            "Permission denied (os error 13): it has mode 0600 and belongs to user 0, and this is user 3747"
        );
        assert!(
            closed(false)
                .next_step()
                .contains("chown 3747 /run/secrets/token && chmod 0400")
        );
        assert!(
            closed(true)
                .to_string()
                .contains(": the directory /run/secrets has mode 0600")
        );
        assert!(
            closed(true)
                .next_step()
                .ends_with("let that user enter /run/secrets")
        );
    }
}
