//! From flags to what the entry is told about a run.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{args::SharedArgs, caret::Message, run};
use crate::{
    config::{FileTrouble, Period, PolicyWord, Size, Text},
    media::{AppFormat, Compress, Formats},
    object::{OnBadObject, OnNonObject},
    wire::message::{RunOptions, StderrMode, milliseconds},
};

/// What is asked for beside the pipeline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// For the entry.
    pub options: RunOptions,
    /// Whether every stage's status counts; only the client needs to know.
    pub pipefail: bool,
}

/// Longest text of a credential or an environment file: far above any token, far below what an offer may carry.
const LONGEST_FILE: u64 = 64 << 10;

/// Makes the options of a run. `defaults` are the `options` of the client's own file.
///
/// # Errors
///
/// Returns what is wrong with a flag, to be shown as bad usage.
pub(crate) fn asked(
    args: &SharedArgs,
    environment: &BTreeMap<String, String>,
    defaults: &BTreeMap<String, String>,
) -> Result<Asked, Message> {
    let mut options = defaults.clone();
    for option in &args.options {
        let (key, value) = option.split_once('=').unwrap_or((option, ""));
        options.insert(key.to_owned(), value.to_owned());
    }
    if let Some(policy) = args.policy {
        options.insert("policy".to_owned(), policy.as_str().to_owned());
    }
    let pipefail = match options.remove("pipefail") {
        None => false,
        Some(value) => flag("pipefail", &value)?,
    };
    for (key, value) in &mut options {
        check_option(key, value)?;
    }
    for requirement in &args.require {
        check_requirement(requirement)?;
    }
    Ok(Asked {
        pipefail,
        options: RunOptions {
            formats: formats(args)?,
            env: variables(args, environment)?,
            ambient: ambient(environment),
            cwd: args.cwd.clone(),
            user: args.user.clone(),
            require: args.require.clone(),
            avoid: args.avoid.clone(),
            options,
            credential: credential(args, environment)?,
            timeout_ms: args.timeout.map(|period| milliseconds(period.0)),
            stderr: StderrMode::All,
            progress: false,
            hops: environment
                .get("DP_HOPS")
                .and_then(|hops| hops.parse().ok())
                .unwrap_or(0),
        },
    })
}

/// What is said of formats.
fn formats(args: &SharedArgs) -> Result<Formats, Message> {
    let of_app = |text: &String| {
        let (app, format) = text
            .split_once('=')
            .filter(|(app, _)| !app.is_empty())
            .ok_or_else(|| {
                Message::new(format!(
                    "--app-format {text}: an app and its format are wanted"
                ))
                .with_help("as in: --app-format jq=json:bytes")
            })?;
        let format: AppFormat = format
            .parse()
            .map_err(|error| Message::new(format!("--app-format {text}: {error}")))?;
        Ok::<_, Message>((app.to_owned(), format))
    };
    Ok(Formats {
        apps: args.format,
        by_app: args
            .app_format
            .iter()
            .map(of_app)
            .collect::<Result<_, Message>>()?,
        input: args.format_in,
        output: args.format_out,
    })
}

/// What the client merely has and any node may take.
fn ambient(environment: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let common = |name: &str| name == "LANG" || name == "TZ" || name.starts_with("LC_");
    environment
        .iter()
        .filter(|(name, _)| common(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Checks the value of an option that dpipes itself knows; others are for the nodes, which say what they ignored.
fn check_option(key: &str, value: &mut String) -> Result<(), Message> {
    let wrong = |problem: String| {
        Message::new(format!("-o {key}: {problem}"))
            .with_help("the options and their values: dpipes run --help")
    };
    match key {
        "on-loss" if !["kill", "eof"].contains(&value.as_str()) => {
            Err(wrong(format!("`{value}` is neither `kill` nor `eof`")))
        }
        "policy" => value.parse::<PolicyWord>().map(|_| ()).map_err(wrong),
        "lease" | "kill-grace" => Period::from_text(value).map(|_| ()).map_err(wrong),
        "window" => Size::from_text(value).map(|_| ()).map_err(wrong),
        "on-bad-object" => value
            .parse::<OnBadObject>()
            .map(|_| ())
            .map_err(|way| wrong(way.to_string())),
        "on-non-object" => value
            .parse::<OnNonObject>()
            .map(|_| ())
            .map_err(|way| wrong(way.to_string())),
        "metadata" => match value
            .split(',')
            .map(str::trim)
            .find(|one| !MORE_METADATA.contains(one))
        {
            Some(other) => Err(wrong(format!(
                "`{other}` is not one of {}",
                MORE_METADATA.join(", ")
            ))),
            None => Ok(()),
        },
        "compress" => value
            .parse::<Compress>()
            .map(|_| ())
            .map_err(|way| wrong(way.to_string())),
        "digest" | "mix-formats" => {
            *value = flag(key, value)?.to_string();
            Ok(())
        }
        "" => Err(Message::new("-o needs a key").with_help("as in: -o pipefail")),
        other => match run::nearest(other, KNOWN, run::VERY_NEAR) {
            // A node may know keys of its own; one letter beside a common one is a slip all the same.
            Some(near) if near != other => Err(Message::new(format!("-o {other}: no such option"))
                .with_help(format!("did you mean `-o {near}`?"))),
            _ => Ok(()),
        },
    }
}

/// The options that dpipes itself knows.
const KNOWN: [&str; 13] = [
    "pipefail",
    "on-loss",
    "policy",
    "lease",
    "kill-grace",
    "window",
    "digest",
    "compress",
    "locale",
    "mix-formats",
    "on-bad-object",
    "on-non-object",
    "metadata",
];

/// What apps are told only when it is asked for.
const MORE_METADATA: [&str; 3] = ["argv", "environ", "credential"];

fn flag(key: &str, value: &str) -> Result<bool, Message> {
    match value {
        "" | "true" => Ok(true),
        "false" => Ok(false),
        other => Err(
            Message::new(format!("-o {key}: `{other}` is neither `true` nor `false`"))
                .with_help(format!("alone it means true: -o {key}")),
        ),
    }
}

fn check_requirement(text: &str) -> Result<(), Message> {
    let at = text
        .find(['<', '>', '=', '^', '~', ' '])
        .unwrap_or(text.len());
    let (app, requirement) = text.split_at(at);
    let wrong = || {
        Message::new(format!("--require: `{text}` is not APP and versions"))
            .with_help("as in: --require 'sort>=8.30'")
    };
    if app.is_empty() || requirement.is_empty() {
        return Err(wrong());
    }
    requirement
        .parse::<semver::VersionReq>()
        .map(|_| ())
        .map_err(|_| wrong())
}

/// The variables of `--env-file`, then those of `-e`; later ones win.
fn variables(
    args: &SharedArgs,
    environment: &BTreeMap<String, String>,
) -> Result<Vec<(String, String)>, Message> {
    let mut variables: Vec<(String, String)> = Vec::new();
    let mut add = |item: &str, from: &str| -> Result<(), Message> {
        let (name, value) = match item.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            None => {
                let value = environment.get(item);
                let unset = || {
                    Message::new(format!("{from}: `{item}` is not set here"))
                        .with_help(format!("give it a value: -e {item}=..."))
                };
                (item, value.ok_or_else(unset)?.clone())
            }
        };
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty()
            || name.starts_with(|c: char| c.is_ascii_digit())
            || !name.chars().all(legal)
        {
            return Err(
                Message::new(format!("{from}: `{name}` is no name of a variable"))
                    .with_help("letters, digits and `_`, as in: -e LC_ALL=C"),
            );
        }
        variables.retain(|(known, _)| known != name);
        variables.push((name.to_owned(), value));
        Ok(())
    };
    for path in &args.env_file {
        let text = read_small(path).map_err(|error| unreadable("--env-file", path, &error))?;
        let lines = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        for line in lines {
            add(line, &path.display().to_string())?;
        }
    }
    for item in &args.env {
        add(item, "-e")?;
    }
    Ok(variables)
}

/// The credential, from a file, a variable, or the file that `DPIPES_CREDENTIAL_FILE` names.
fn credential(
    args: &SharedArgs,
    environment: &BTreeMap<String, String>,
) -> Result<Option<String>, Message> {
    if let Some(name) = &args.credential_env {
        let unset = || {
            Message::new(format!("--credential-env: `{name}` is not set here"))
                .with_help("export it first, or name a file: --credential-file FILE")
        };
        return environment
            .get(name)
            .map(|value| Some(value.trim_end().to_owned()))
            .ok_or_else(unset);
    }
    let variable = || environment.get("DPIPES_CREDENTIAL_FILE");
    let (path, named) = match (&args.credential_file, variable().map(PathBuf::from)) {
        (Some(path), _) => (path.clone(), "--credential-file"),
        (None, Some(path)) => (path, "$DPIPES_CREDENTIAL_FILE"),
        (None, None) => return Ok(None),
    };
    let found = fs::metadata(&path).map_err(|error| unreadable(named, &path, &error))?;
    if found.mode() & 0o007 != 0 {
        let path = path.display();
        return Err(Message::new(format!(
            "{named}: {path} is open to everybody (mode {:04o})",
            found.mode() & 0o7777
        ))
        .with_help(format!("keep it to yourself: chmod 600 {path}")));
    }
    let text = read_small(&path).map_err(|error| unreadable(named, &path, &error))?;
    match text.trim_end() {
        "" => Err(unusable(named, &FileTrouble::empty(&path))),
        credential => Ok(Some(credential.to_owned())),
    }
}

fn read_small(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = io::Read::read_to_string(
        &mut io::Read::take(fs::File::open(path)?, LONGEST_FILE + 1),
        &mut text,
    )?;
    if read as u64 > LONGEST_FILE {
        return Err(io::Error::other(format!(
            "it is longer than {LONGEST_FILE} bytes"
        )));
    }
    Ok(text)
}

fn unreadable(flag: &str, path: &Path, error: &io::Error) -> Message {
    unusable(flag, &FileTrouble::of(path, error))
}

fn unusable(named: &str, trouble: &FileTrouble) -> Message {
    let path = trouble.path().display();
    Message::new(format!("{named}: cannot read {path}: {trouble}")).with_help(trouble.next_step())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn here() -> BTreeMap<String, String> {
        let pairs = [
            ("LANG", "C"),
            ("LC_ALL", "C.UTF-8"),
            ("TZ", "UTC"),
            ("SECRET", "x\n"),
            ("DP_HOPS", "2"),
        ];
        pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    fn of(change: impl FnOnce(&mut SharedArgs)) -> Result<Asked, Message> {
        let mut args = SharedArgs::default();
        change(&mut args);
        asked(
            &args,
            &here(),
            &BTreeMap::from([("lease".to_owned(), "30s".to_owned())]),
        )
    }

    #[test]
    fn pipefail_stays_here_and_the_rest_goes_along() {
        let asked = of(|args| {
            args.options = ["pipefail", "digest", "x=y", "lease=5s"]
                .map(str::to_owned)
                .into()
        })
        .unwrap();
        assert!(asked.pipefail);
        let expected = [("digest", "true"), ("lease", "5s"), ("x", "y")];
        assert_eq!(
            asked.options.options,
            expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into()
        );
        assert_eq!(asked.options.hops, 2);
    }

    #[test]
    fn known_options_are_checked_here() {
        for bad in [
            "on-loss=x",
            "policy=x",
            "lease=5",
            "window=big",
            "digest=maybe",
            "compress=lz4",
            "pipefail=maybe",
            "=x",
        ] {
            assert!(
                of(|args| args.options = vec![bad.to_owned()]).is_err(),
                "{bad}"
            );
        }
        for good in [
            "on-loss=eof",
            "policy=pack",
            "lease=5s",
            "window=64K",
            "digest=false",
            "compress=zstd",
            "pipefail=false",
        ] {
            assert!(
                of(|args| args.options = vec![good.to_owned()]).is_ok(),
                "{good}"
            );
        }
    }

    #[test]
    fn versions_are_required_of_an_app() {
        for (text, good) in [
            ("sort>=8.30", true),
            ("sort ^1", true),
            ("sort", false),
            (">=1", false),
            ("sort>=x", false),
        ] {
            assert_eq!(
                of(|args| args.require = vec![text.to_owned()]).is_ok(),
                good,
                "{text}"
            );
        }
    }

    #[test]
    fn only_the_locale_and_the_time_zone_go_along_unasked() {
        let asked = of(|_| {}).unwrap();
        let names: Vec<_> = asked
            .options
            .ambient
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(names, ["LANG", "LC_ALL", "TZ"]);
    }

    #[test]
    fn variables_come_from_files_and_flags_and_the_last_wins() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "# comment\n\nA=1\nTZ\nB=x=y\n").unwrap();
        let asked = of(|args| {
            args.env_file = vec![file.path().to_owned()];
            args.env = ["A=2", "LANG"].map(str::to_owned).into();
        });
        let expected = [("TZ", "UTC"), ("B", "x=y"), ("A", "2"), ("LANG", "C")];
        assert_eq!(
            asked.unwrap().options.env,
            expected.map(|(k, v)| (k.to_owned(), v.to_owned()))
        );
        for bad in ["UNSET", "1A=x", "=x", "A-B=x"] {
            assert!(of(|args| args.env = vec![bad.to_owned()]).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_credential_that_everybody_can_read_is_none() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "token\n").unwrap();
        let with = || of(|args| args.credential_file = Some(file.path().to_owned()));
        assert_eq!(with().unwrap().options.credential.as_deref(), Some("token"));
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o644)).unwrap();
        assert!(with().is_err());
        let by_name = of(|args| args.credential_env = Some("SECRET".to_owned())).unwrap();
        assert_eq!(by_name.options.credential.as_deref(), Some("x"));
    }
}
