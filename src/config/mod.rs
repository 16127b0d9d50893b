//! Configuration: built-in values, then files, then the environment, then flags; later ones win.
//!
//! [`load`] reads all of them and makes the daemon's [`Settings`]. Every value remembers where it came from, and every error points at
//! the place where it was made.

mod client;
mod embedded;
mod environment;
mod error;
mod file;
mod flags;
mod hide;
mod layers;
mod networks;
mod objects;
mod paths;
mod registry;
mod resolve;
mod rest;
mod source;
mod value;

pub(crate) use dpipes_discovery::FileTrouble;

pub(crate) use self::error::NEAR;
pub use self::{
    client::{ClientFile, ColorWord},
    embedded::{EmbeddedInputs, embedded},
    environment::variable_name,
    error::{ConfigError, Misplaced},
    file::{File, LogFormat, LogLevel, PolicyWord},
    flags::Flags,
    layers::{Layers, Origin},
    paths::{Surroundings, ensure_private_dir},
    registry::RegistryEntry,
    resolve::{
        DEFAULT_DRAIN_TIMEOUT, DEFAULT_PORT, DEFAULT_RUN_USER, Facts, ProcessSettings, user_exists,
    },
    value::{Address, Mask, Network, Period, Size, Text, UniqueMap},
};

use crate::{api::RestSettings, daemon::settings::Settings};

/// A configuration that was read and is without contradiction.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What the daemon is told.
    pub settings: Settings,
    /// What the process around it needs.
    pub process: ProcessSettings,
    /// What is served over HTTP; `None` for nothing.
    pub rest: Option<RestSettings>,
    /// Every value and where it came from.
    pub layers: Layers,
    /// Which files were read, lowest layer first.
    pub files: Vec<std::path::PathBuf>,
    /// What is to be said of files: those that were not believed, and those of registries that cannot be used or that others can read; one
    /// sentence each.
    pub notes: Vec<String>,
}

impl Loaded {
    /// Looks for the files without which a daemon does not start. [`load`] only notes that they are not there, for a configuration may be
    /// looked at where its files are not, and a daemon that runs must be found and stopped whatever became of them.
    ///
    /// # Errors
    ///
    /// Returns the first one that cannot be used.
    pub fn check_files(&self) -> Result<(), ConfigError> {
        registry::check_files(&self.layers, &self.layers.effective())
    }
}

/// Reads all layers of a daemon's configuration.
///
/// # Errors
///
/// Returns the first thing that is wrong, with its place.
pub fn load(
    surroundings: &Surroundings,
    flags: &Flags,
    facts: &Facts,
) -> Result<Loaded, ConfigError> {
    let named = source::Named::of(flags.config.as_deref(), surroundings);
    let sources = source::read_all(surroundings, named.as_ref())?;
    let files = sources
        .read
        .iter()
        .map(|source| source.path.clone())
        .collect();
    let mut upper = Vec::new();
    upper.extend(
        sources
            .read
            .into_iter()
            .map(|source| (source.file, Origin::File(source.path))),
    );
    upper.extend(environment::layers(surroundings)?);
    upper.extend(flags.layers(surroundings)?);

    let registries = upper
        .iter()
        .rev()
        .find_map(|(file, _)| file.registry.as_ref());
    let has_registry = registries.is_some_and(|entries| !entries.is_empty());
    let mut built_in = resolve::built_in(facts, surroundings, has_registry);
    // A user who asks for root is not to be given somebody else by the lowest layer.
    let says_root = |file: &File| file.run.as_ref().and_then(|run| run.allow_root);
    if upper.iter().rev().find_map(|(file, _)| says_root(file)) == Some(true) {
        built_in
            .run
            .as_mut()
            .into_iter()
            .for_each(|run| run.run_as = None);
    }
    let mut layers = Layers::default();
    layers.lay(&built_in, &Origin::BuiltIn);
    for (file, origin) in &upper {
        layers.lay(file, origin);
    }
    let mut effective = layers.effective();
    layers.complete(&mut effective, surroundings)?;
    let mut notes = sources.notes;
    notes.extend(registry::file_notes(&layers, &effective));
    if let Some((name, rule)) = flags.only_app(surroundings)? {
        resolve::keep_only(&mut effective, &name, rule);
        layers.replace_apps(&effective, &Origin::Flag("--".to_owned()));
    }
    let process = resolve::process(&effective, surroundings);
    let rest = rest::settings(effective.rest.clone().unwrap_or_default(), surroundings)?;
    let settings = resolve::settings(effective, surroundings, flags.exit)?;
    Ok(Loaded {
        settings,
        process,
        rest,
        layers,
        files,
        notes,
    })
}

#[cfg(test)]
mod tests;
