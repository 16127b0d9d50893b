//! Settings of an entry that lives inside the client: the cluster as the daemon's files know it, and this user's own surroundings.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use super::{
    error::ConfigError,
    file::{File, PolicyWord},
    layers::{Layers, Origin},
    paths::Surroundings,
    registry::{self, RegistryEntry},
    resolve::{self, Facts},
    source::{self, Named},
};
use crate::{
    daemon::settings::{Access, Settings},
    negotiate::rules::{Others, Rules},
};

/// What the client says about its embedded entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EmbeddedInputs {
    /// `--config`: the only file to read.
    pub config: Option<PathBuf>,
    /// `--registry`, else the client's own file; `None` for the daemon's files.
    pub registry: Option<Vec<RegistryEntry>>,
    /// The placement policy, if one was asked for.
    pub policy: Option<PolicyWord>,
    /// The umask of this process, which stages that run here keep.
    pub umask: u32,
}

/// Makes the settings of an embedded entry. It listens nowhere, lets nobody in, and runs whatever its user could run anyway: on their
/// `PATH`, with their environment, in their directory, as themselves.
///
/// # Errors
///
/// Returns the first thing that is wrong with a file or a variable.
pub fn embedded(
    surroundings: &Surroundings,
    facts: &Facts,
    inputs: &EmbeddedInputs,
) -> Result<Settings, ConfigError> {
    let named = Named::of(inputs.config.as_deref(), surroundings);
    let mut layers = Layers::default();
    layers.lay(
        &resolve::built_in(facts, surroundings, false),
        &Origin::BuiltIn,
    );
    for source in source::read_all(surroundings, named.as_ref())?.read {
        layers.lay(&shared_part(source.file), &Origin::File(source.path));
    }
    for (file, origin) in super::environment::layers(surroundings)? {
        layers.lay(&shared_part(file), &origin);
    }
    if inputs.registry.is_some() {
        let file = File {
            registry: inputs.registry.clone(),
            ..File::default()
        };
        layers.lay(&file, &Origin::Flag("--registry".to_owned()));
    }
    let mut effective = layers.effective();
    layers.complete(&mut effective, surroundings)?;
    registry::check_files(&layers, &effective)?;
    effective.run.get_or_insert_default().allow_root = Some(true);
    let mut settings = resolve::settings(effective, surroundings, false)?;
    settings.listen = Vec::new();
    settings.access = Access::Local;
    settings.rules = Arc::new(Rules {
        apps: BTreeMap::new(),
        others: Others::Allow,
        search_path: search_path(surroundings),
        env_accept: vec!["*".to_owned()],
        run_as: None,
        allow_root: true,
        cwd: Some(surroundings.cwd.clone()),
        umask: inputs.umask,
        ..Rules::default()
    });
    if let Some(policy) = inputs.policy {
        settings.terms.policy = policy.as_str().to_owned();
    }
    Ok(settings)
}

/// What a client has in common with this machine's daemon: where nodes are found and the terms of pipes. Not what may run here.
fn shared_part(file: File) -> File {
    File {
        registry: file.registry,
        schedule: file.schedule,
        streams: file.streams,
        objects: file.objects,
        ..File::default()
    }
}

/// The user's `PATH`, as far as it is absolute; the usual directories when there is none.
fn search_path(surroundings: &Surroundings) -> Vec<PathBuf> {
    let path = surroundings
        .variable("PATH")
        .unwrap_or("/usr/local/bin:/usr/bin:/bin");
    std::env::split_paths(path)
        .map(|directory| surroundings.cwd.join(directory))
        .collect()
}
