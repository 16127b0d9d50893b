//! The environment as a layer: `DPIPES_<SECTION>_<KEY>` says the same as `section: { key: … }`.

use serde_yaml::{Mapping, Value};

use super::{error::ConfigError, file::File, layers::Origin, paths::Surroundings};

/// How the text of a variable is read.
#[derive(Clone, Copy)]
enum Form {
    /// As it stands.
    Word,
    /// As a list, separated by this character.
    List(char),
    /// As a list, separated by white space: its items hold commas themselves.
    Spaced,
    /// As a map of `key=value`, separated by commas.
    Map,
    /// As a number or `true` or `false`.
    Plain,
}

/// Every key that a variable can say. What `apps` says is too much for one variable; `--app` and files are for that.
const VARIABLES: [(&str, Form); 44] = [
    ("node.name", Form::Word),
    ("node.labels", Form::Map),
    ("node.weight", Form::Plain),
    ("listen", Form::List(',')),
    ("advertise", Form::Word),
    ("access", Form::Word),
    ("access.networks", Form::List(',')),
    ("registry", Form::Spaced),
    ("discovery.required", Form::Plain),
    ("discovery.ttl", Form::Word),
    ("run.path", Form::List(':')),
    ("run.env.accept", Form::List(',')),
    ("run.cwd", Form::Word),
    ("run.run-as", Form::Word),
    ("run.allow-root", Form::Plain),
    ("run.kill-grace", Form::Word),
    ("run.lease", Form::Word),
    ("run.max-processes", Form::Plain),
    ("run.max-time", Form::Word),
    ("run.umask", Form::Word),
    ("run.credential", Form::Word),
    ("schedule.policy", Form::Word),
    ("streams.window", Form::Word),
    ("streams.splice", Form::Plain),
    ("streams.compress", Form::Plain),
    ("objects.metadata.style", Form::Word),
    ("objects.metadata.name", Form::Word),
    ("objects.metadata.prefix", Form::Word),
    ("objects.on-non-object", Form::Word),
    ("objects.on-bad-object", Form::Word),
    ("objects.max-object", Form::Word),
    ("objects.max-depth", Form::Plain),
    ("rest.listen", Form::List(',')),
    ("rest.ui", Form::Plain),
    ("rest.metrics", Form::Plain),
    ("rest.token-file", Form::Word),
    ("rest.require-token", Form::Plain),
    ("rest.hosts", Form::List(',')),
    ("rest.allow-plain", Form::Plain),
    ("drain-timeout", Form::Word),
    ("log.level", Form::Word),
    ("log.format", Form::Word),
    ("log.file", Form::Word),
    ("pid-file", Form::Word),
];

/// The variable that says a key: `run.kill-grace` is said by `DPIPES_RUN_KILL_GRACE`.
#[must_use]
pub fn variable_name(key: &str) -> String {
    format!(
        "DPIPES_{}",
        key.to_ascii_uppercase().replace(['.', '-'], "_")
    )
}

/// The names of all variables.
#[cfg(test)]
pub(super) fn variables() -> impl Iterator<Item = String> {
    VARIABLES.iter().map(|(key, _)| variable_name(key))
}

/// One layer for each variable that is set, so that every value has its own origin.
///
/// # Errors
///
/// Returns the first variable whose text is not what its key takes.
pub(crate) fn layers(surroundings: &Surroundings) -> Result<Vec<(File, Origin)>, ConfigError> {
    let mut layers = Vec::new();
    for (key, form) in VARIABLES {
        let name = variable_name(key);
        let Some(text) = surroundings.variable(&name) else {
            continue;
        };
        let wrong = |problem: String| ConfigError::Value {
            origin: format!("${name}"),
            problem,
        };
        let mut value = read(text, form).map_err(wrong)?;
        for part in key.rsplit('.') {
            value = Value::Mapping(Mapping::from_iter([(
                Value::String(part.to_owned()),
                value,
            )]));
        }
        let mut file: File =
            serde_yaml::from_value(value).map_err(|error| wrong(error.to_string()))?;
        file.rebase(&surroundings.cwd);
        layers.push((file, Origin::Environment(name)));
    }
    Ok(layers)
}

fn read(text: &str, form: Form) -> Result<Value, String> {
    let word = |text: &str| Value::String(text.trim().to_owned());
    match form {
        Form::Word => Ok(word(text)),
        Form::List(separator) => Ok(text
            .split(separator)
            .filter(|item| !item.trim().is_empty())
            .map(word)
            .collect()),
        Form::Spaced => Ok(text.split_whitespace().map(word).collect()),
        Form::Map => {
            let entries = text
                .split(',')
                .filter(|item| !item.trim().is_empty())
                .map(|item| {
                    let (key, value) = item
                        .split_once('=')
                        .ok_or_else(|| format!("`{item}` is not KEY=VALUE"))?;
                    Ok((word(key), word(value)))
                });
            entries
                .collect::<Result<Mapping, String>>()
                .map(Value::Mapping)
        }
        Form::Plain => serde_yaml::from_str(text).map_err(|error| error.to_string()),
    }
}
