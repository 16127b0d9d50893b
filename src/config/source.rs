//! Which files are read, and whether they are to be believed.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use dpipes_discovery::FileTrouble;

use super::{
    error::{ConfigError, Misplaced},
    file::File,
    hide::hide_secrets,
    paths::Surroundings,
    registry::RegistryEntry,
};

/// A file as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    /// Where it lies.
    pub path: PathBuf,
    /// What it says; paths in it are absolute.
    pub file: File,
}

/// The files that were read, lowest layer first, and those that were passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sources {
    /// What was read.
    pub read: Vec<Source>,
    /// Why a file that is there was not read, one sentence each.
    pub notes: Vec<String>,
}

/// How much is asked of a file before it is believed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// Where the user or root put it.
    Usual,
    /// It lies in the current directory, which may be anybody's.
    Found,
}

/// The file that takes the place of all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    path: PathBuf,
    /// The flag or variable that names it.
    by: &'static str,
}

// === impl Named ===

impl Named {
    /// The one of `--config`, else of the environment.
    pub(crate) fn of(flag: Option<&Path>, surroundings: &Surroundings) -> Option<Self> {
        let named = |path: &Path, by| Self {
            path: surroundings.cwd.join(path),
            by,
        };
        let variable = || surroundings.variable("DPIPES_CONFIG").map(Path::new);
        flag.map(|path| named(path, "--config"))
            .or_else(|| variable().map(|path| named(path, "$DPIPES_CONFIG")))
    }

    fn read(&self, uid: u32, notes: &mut Vec<String>) -> Result<Source, ConfigError> {
        let unreadable = |trouble| ConfigError::Unreadable {
            named: Some(self.by.to_owned()),
            trouble,
        };
        let path = self.path.as_path();
        let source = match read(path, uid, Trust::Usual, notes) {
            Ok(Some(source)) => source,
            Ok(None) => {
                let absent = rustix::io::Errno::NOENT.into();
                return Err(unreadable(FileTrouble::of(path, &absent)));
            }
            Err(ConfigError::Unreadable { trouble, .. }) => return Err(unreadable(trouble)),
            Err(error) => return Err(error),
        };
        if source.file == File::default() {
            notes.push(format!(
                "{}: {} says nothing, so that everything is as it is by default",
                self.by,
                path.display()
            ));
        }
        Ok(source)
    }
}

/// Reads the daemon's files in order: the one that was named and no other, else every one of the usual places that exists.
///
/// # Errors
///
/// Returns the first thing that is wrong with a file.
pub(crate) fn read_all(
    surroundings: &Surroundings,
    named: Option<&Named>,
) -> Result<Sources, ConfigError> {
    let mut sources = Sources::default();
    if let Some(named) = named {
        let source = named.read(surroundings.uid, &mut sources.notes)?;
        sources.read.push(source);
        return Ok(sources);
    }
    let mut seen = Vec::new();
    for (path, trust) in places(surroundings)? {
        // The home directory may be the current one, and a file is not two layers.
        let identity = fs::metadata(&path)
            .ok()
            .map(|found| (found.dev(), found.ino()));
        if identity.is_some_and(|identity| seen.contains(&identity)) {
            continue;
        }
        seen.extend(identity);
        sources
            .read
            .extend(read(&path, surroundings.uid, trust, &mut sources.notes)?);
    }
    Ok(sources)
}

/// Where the daemon's files may lie, lowest layer first.
fn places(surroundings: &Surroundings) -> Result<Vec<(PathBuf, Trust)>, ConfigError> {
    let mut places = vec![(surroundings.etc.join("dpipesd.conf"), Trust::Usual)];
    let directory = surroundings.etc.join("dpipesd.conf.d");
    let unreadable = |error| ConfigError::unreadable(&directory, &error);
    match fs::read_dir(&directory) {
        Ok(entries) => {
            let mut parts = Vec::new();
            for entry in entries {
                let path = entry.map_err(unreadable)?.path();
                if path
                    .extension()
                    .is_some_and(|extension| extension == "yaml")
                {
                    parts.push((path, Trust::Usual));
                }
            }
            parts.sort_by(|(a, _), (b, _)| a.cmp(b));
            places.append(&mut parts);
        }
        Err(error) if is_absent(&error) => {}
        Err(error) => return Err(unreadable(error)),
    }
    places.extend(
        surroundings
            .config_home()
            .map(|home| (home.join("dpipesd.yaml"), Trust::Usual)),
    );
    places.extend(
        surroundings
            .home()
            .map(|home| (home.join(".dpipesdrc"), Trust::Usual)),
    );
    places.push((surroundings.cwd.join(".dpipesdrc"), Trust::Found));
    Ok(places)
}

/// Reads one file; `None` when it is not there or not to be believed, the latter with a note.
fn read(
    path: &Path,
    uid: u32,
    trust: Trust,
    notes: &mut Vec<String>,
) -> Result<Option<Source>, ConfigError> {
    let unreadable = |error| ConfigError::unreadable(path, &error);
    let mut opened = match fs::File::open(path) {
        Ok(opened) => opened,
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    // The open file is asked, so that what is checked is what is read.
    let found = opened.metadata().map_err(unreadable)?;
    let (mode, owner) = (found.mode() & 0o7777, found.uid());
    if trust == Trust::Found && (owner != uid || mode & 0o022 != 0) {
        notes.push(format!(
            "{} was not read: it has mode {mode:04o} and owner {owner}, and only a file of user {uid} that nobody else can write is believed there",
            path.display()
        ));
        return Ok(None);
    }
    if uid == 0 && (mode & 0o022 != 0 || owner != 0) {
        return Err(ConfigError::Untrusted {
            path: path.to_owned(),
            mode,
            owner,
        });
    }
    let text = io::read_to_string(&mut opened).map_err(unreadable)?;
    let file = parse(path, &text)?;
    let mut registries = file.registry.iter().flatten();
    if mode & 0o007 != 0 && registries.any(RegistryEntry::has_inline_secret) {
        notes.push(format!(
            "{} holds a token or password and has mode {mode:04o}, so everybody on this machine can read it; chmod o-rwx {}, or name a \
             file with `token-file` or `password-file`",
            path.display(),
            path.display()
        ));
    }
    Ok(Some(Source {
        path: path.to_owned(),
        file,
    }))
}

/// Reads the text of a file; relative paths are taken from its directory.
///
/// # Errors
///
/// Returns where it is wrong and how.
pub(crate) fn parse(path: &Path, text: &str) -> Result<File, ConfigError> {
    let mut file: File = parse_as(path, text)?;
    if let Some(version) = file.version.filter(|version| *version != File::VERSION) {
        let start = text.find("version").unwrap_or(0);
        let end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        return Err(ConfigError::InFile(Box::new(Misplaced {
            path: path.to_owned(),
            text: hide_secrets(text),
            span: start..end,
            problem: format!("version {version} of the configuration is not known"),
            label: Some(format!("this build reads version {}", File::VERSION)),
            help: Some(
                "upgrade dpipesd, or write the file as this version reads it: dpipes help config"
                    .to_owned(),
            ),
        })));
    }
    file.rebase(path.parent().unwrap_or_else(|| Path::new("/")));
    Ok(file)
}

/// Reads the text of a file as this type. An empty file says nothing.
///
/// # Errors
///
/// Returns where it is wrong and how.
pub(crate) fn parse_as<T: serde::de::DeserializeOwned + Default>(
    path: &Path,
    text: &str,
) -> Result<T, ConfigError> {
    let parsed: Result<Option<T>, _> = serde_yaml::from_str(text);
    parsed.map(Option::unwrap_or_default).map_err(|error| {
        ConfigError::InFile(Box::new(Misplaced::from_yaml(
            path.to_owned(),
            text.to_owned(),
            &error,
        )))
    })
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}
