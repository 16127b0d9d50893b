//! The files that entries of `registry:` name: whether they can be used, and who else can read them.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use dpipes_discovery::FileTrouble;

use super::{RegistryEntry, TlsSection};
use crate::config::{error::ConfigError, file::File, layers::Layers};

/// A file that an entry names.
struct NamedFile<'a> {
    /// Its key, as `registry.0.consul.token-file`.
    key: String,
    path: &'a Path,
    /// What is not to be read by others.
    is_secret: bool,
    need: Need,
}

/// What happens without a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    /// No client of the registry can be made, and no daemon starts.
    AtStart,
    /// The registry is tried again and again until the file can be used.
    AtUse,
}

/// What is to be said of the files that these entries name, one sentence each.
pub(crate) fn file_notes(layers: &Layers, effective: &File) -> Vec<String> {
    let mut notes = Vec::new();
    for file in files(effective) {
        let named = shown(&file.key, layers);
        let path = file.path.display();
        if let Some(trouble) = FileTrouble::look(file.path) {
            let without = match file.need {
                Need::AtStart => "without it dpipesd does not start",
                Need::AtUse => "until it can be used, the registry will deny what needs it",
            };
            let what = match trouble.is_absent() {
                true => "is not there yet",
                false => "cannot be used",
            };
            notes.push(format!(
                "{named}: {path} {what}: {trouble}; {without}. Next: {}",
                trouble.next_step()
            ));
        } else if let Ok(found) = fs::metadata(file.path)
            && file.is_secret
            && found.mode() & 0o007 != 0
        {
            notes.push(format!(
                "{named}: {path} has mode {:04o}, so everybody on this machine can read it; chmod o-rwx {path}",
                found.mode() & 0o7777
            ));
        }
    }
    notes
}

/// Looks for the files without which nothing starts.
///
/// # Errors
///
/// Returns the first one that cannot be used.
pub(crate) fn check_files(layers: &Layers, effective: &File) -> Result<(), ConfigError> {
    let mut needed = files(effective).into_iter();
    let unusable = needed.find_map(|file| {
        let is_needed = file.need == Need::AtStart;
        let trouble = is_needed.then(|| FileTrouble::look(file.path)).flatten()?;
        Some(ConfigError::Unreadable {
            named: Some(shown(&file.key, layers)),
            trouble,
        })
    });
    unusable.map_or(Ok(()), Err)
}

/// A key as users write it, and where it was said.
fn shown(key: &str, layers: &Layers) -> String {
    let origin = layers.origin(key).or_else(|| layers.origin("registry"));
    let origin = origin.map(|origin| format!(" ({origin})"));
    let (list, rest) = key.split_once('.').unwrap_or((key, ""));
    let (index, rest) = rest.split_once('.').unwrap_or((rest, ""));
    format!("{list}[{index}].{rest}{}", origin.unwrap_or_default())
}

fn files<'a>(effective: &'a File) -> Vec<NamedFile<'a>> {
    let mut files = Vec::new();
    let entries = effective.registry.as_deref().unwrap_or_default();
    for (index, entry) in entries.iter().enumerate() {
        let mut add = |key: &str, path: Option<&'a PathBuf>, is_secret, need| {
            let key = format!("registry.{index}.{key}");
            files.extend(path.map(|path| NamedFile {
                key,
                path,
                is_secret,
                need,
            }));
        };
        match entry {
            RegistryEntry::Consul(section) => {
                let token = section.token_file.as_ref();
                add("consul.token-file", token, true, Need::AtUse);
                let auth = section.auth.as_ref();
                let password = auth.and_then(|auth| auth.password_file.as_ref());
                add("consul.auth.password-file", password, true, Need::AtStart);
                // Whoever speaks in plain text reads none of them, as with an environment that names them for other agents.
                let address = section.address.as_ref();
                if address.is_some_and(|address| address.as_str().starts_with("https://")) {
                    add_tls("consul", section.tls.as_ref(), Need::AtStart, &mut add);
                }
            }
            RegistryEntry::Etcd(section) => {
                let password = section.password_file.as_ref();
                add("etcd.password-file", password, true, Need::AtUse);
                add_tls("etcd", section.tls.as_ref(), Need::AtUse, &mut add);
            }
            RegistryEntry::File(_) | RegistryEntry::Nodes(_) | RegistryEntry::Mdns(_) => {}
        }
    }
    files
}

fn add_tls<'a>(
    kind: &str,
    tls: Option<&'a TlsSection>,
    need: Need,
    add: &mut impl FnMut(&str, Option<&'a PathBuf>, bool, Need),
) {
    let Some(tls) = tls else { return };
    for (key, path, is_secret) in [
        ("ca", &tls.ca, false),
        ("cert", &tls.cert, false),
        ("key", &tls.key, true),
    ] {
        add(&format!("{kind}.tls.{key}"), path.as_ref(), is_secret, need);
    }
}
