//! From a [`RunRequest`] to what the coordinator works with: the parsed pipeline and the terms it asks for.

use std::{collections::BTreeMap, str::FromStr, time::Duration};

use super::Defaults;
use crate::{
    expr::{self, Pipeline},
    media::{self, Compress},
    negotiate::{DIGEST, Ends, OBJECTS, ZSTD},
    object::{OnBadObject, OnNonObject, UnknownWay},
    wire::message::{EnvVar, Failure, RunRequest},
    word::Word,
};

/// `-o` keys that the entry itself obeys; all others go to the nodes, which name those they ignore.
const ENTRY_KEYS: [&str; 8] = [
    "pipefail",
    "on-loss",
    "policy",
    "lease",
    "kill-grace",
    "window",
    "digest",
    "compress",
];

/// A request that makes sense.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) run: RunRequest,
    pub(super) pipeline: Pipeline,
    /// For each stage the environment asked for by name: `-e` first, then what stands before the command.
    pub(super) env: Vec<Vec<EnvVar>>,
    /// For each stage the versions that will do.
    pub(super) require: Vec<Option<String>>,
    pub(super) lease: Duration,
    pub(super) kill_grace: Duration,
    pub(super) window: u32,
    pub(super) policy: String,
    pub(super) on_loss: OnLoss,
    /// Whether bytes may meet objects.
    pub(super) mixed: bool,
    /// Whether links are compressed.
    pub(super) compress: Compress,
    pub(super) entry_compresses: bool,
    /// Whether each link ends with a digest.
    pub(super) digest: bool,
    /// What nodes are told of `-o`.
    pub(super) node_options: BTreeMap<String, String>,
}

/// What a stage sees when its input is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnLoss {
    /// It is killed and never sees an end.
    Kill,
    /// It sees an end of file; the run fails all the same.
    Eof,
}

// === impl Request ===

impl Request {
    pub(super) fn new(run: RunRequest, defaults: &Defaults) -> Result<Self, Failure> {
        let pipeline = expr::parse(&run.expression).map_err(|error| Failure::BadRequest {
            detail: error.to_string(),
            span: Some((position(error.span.start), position(error.span.end))),
            hint: Some(error.help().to_string()),
        })?;
        let options = &run.options.options;
        let window = match options.get("window") {
            Some(text) => size(text).ok_or_else(|| {
                bad(format!(
                    "-o window={text}: a size from 4K to 16M is wanted, as 256K"
                ))
            })?,
            None => defaults.window,
        };
        let on_loss = match options.get("on-loss").map(String::as_str) {
            None | Some("kill") => OnLoss::Kill,
            Some("eof") => OnLoss::Eof,
            Some(other) => return Err(bad(format!("-o on-loss={other}: kill or eof is wanted"))),
        };
        readable::<OnBadObject>(options, "on-bad-object")?;
        readable::<OnNonObject>(options, "on-non-object")?;
        for app in run.options.formats.by_app.keys() {
            if !runs(&pipeline, app) {
                return Err(bad(format!("--app-format {app}: no stage runs `{app}`")));
            }
        }
        let mut node_options: BTreeMap<_, _> = options
            .iter()
            .filter(|(key, _)| !ENTRY_KEYS.contains(&key.as_str()))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        if on_loss == OnLoss::Eof {
            node_options.insert("on-loss".to_owned(), "eof".to_owned());
        }
        // Nodes do not heed it; each says so in its answer, so that nobody relies on what does not happen.
        if let Some(value) = options.get("lease") {
            node_options.insert("lease".to_owned(), value.clone());
        }
        let digest = match options.get("digest").map(String::as_str) {
            None | Some("false") => false,
            Some("" | "true") => true,
            Some(other) => return Err(bad(format!("-o digest={other}: true or false is wanted"))),
        };
        Ok(Self {
            env: pipeline
                .stages
                .iter()
                .map(|stage| environment(&run, stage))
                .collect(),
            require: requirements(&run, &pipeline)?,
            lease: duration(options, "lease", defaults.lease)?,
            kill_grace: duration(options, "kill-grace", defaults.kill_grace)?,
            window,
            policy: options.get("policy").unwrap_or(&defaults.policy).clone(),
            on_loss,
            mixed: media::may_mix(options),
            compress: Compress::wanted(options.get("compress").map(String::as_str))
                .map_err(|error| bad(format!("-o compress: {error}")))?,
            entry_compresses: defaults.compress,
            digest,
            node_options,
            pipeline,
            run,
        })
    }

    /// Whether objects flow anywhere in the pipe, or may.
    pub(super) fn carries_objects(&self) -> bool {
        self.mixed || self.run.options.formats.has_objects()
    }

    /// What every node must be able to.
    pub(super) fn features(&self) -> Vec<String> {
        let needed = [
            (self.carries_objects(), OBJECTS),
            (self.digest, DIGEST),
            (self.compress == Compress::Zstd, ZSTD),
        ];
        let needed = needed.into_iter().filter(|(is_needed, _)| *is_needed);
        needed.map(|(_, feature)| feature.to_owned()).collect()
    }

    /// What the client must be able to; nothing is compressed on a socket within a machine.
    pub(super) fn needed_of_client(&self, is_tcp: bool) -> impl Iterator<Item = &'static str> {
        let zstd = (is_tcp && self.compress == Compress::Zstd).then_some(ZSTD);
        self.digest.then_some(DIGEST).into_iter().chain(zstd)
    }

    /// What the client gives and wants.
    pub(super) fn ends(&self) -> Ends {
        let formats = &self.run.options.formats;
        Ends {
            input: formats.input(),
            output: formats.output,
            mixed: self.mixed,
            compress: self.compress,
            entry_compresses: self.entry_compresses,
        }
    }

    /// The app of each stage, in order.
    pub(super) fn apps(&self) -> impl Iterator<Item = String> {
        self.pipeline
            .stages
            .iter()
            .map(|stage| stage.app.word.to_string())
    }
}

/// Refuses an option that nobody could read; the nodes and the client read it again.
fn readable<T: FromStr<Err = UnknownWay>>(
    options: &BTreeMap<String, String>,
    key: &str,
) -> Result<(), Failure> {
    let read = options.get(key).map(|text| text.parse::<T>());
    match read {
        Some(Err(problem)) => Err(bad(format!("-o {key}: {problem}"))),
        Some(Ok(_)) | None => Ok(()),
    }
}

/// Whether a stage runs this app.
fn runs(pipeline: &Pipeline, app: &str) -> bool {
    let mut stages = pipeline.stages.iter();
    stages.any(|stage| stage.app.word.to_string() == app)
}

fn environment(run: &RunRequest, stage: &expr::Stage) -> Vec<EnvVar> {
    let everywhere = run.options.env.iter().map(|(name, value)| EnvVar {
        name: name.clone(),
        value: Word::literal(value),
    });
    let here = stage.env.iter().map(|assigned| EnvVar {
        name: assigned.name.clone(),
        value: assigned.value.clone(),
    });
    let mut variables: Vec<EnvVar> = Vec::new();
    for variable in everywhere.chain(here) {
        variables.retain(|earlier| earlier.name != variable.name);
        variables.push(variable);
    }
    variables
}

/// `sort>=8.30` asks of every stage that runs `sort`.
fn requirements(run: &RunRequest, pipeline: &Pipeline) -> Result<Vec<Option<String>>, Failure> {
    let mut wanted: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for text in &run.options.require {
        let at = text.find(['<', '>', '=', '~', '^']).filter(|&at| at > 0);
        let Some(at) = at else {
            return Err(bad(format!(
                "--require {text}: an app and its versions are wanted, as sort>=8.30"
            )));
        };
        let (app, versions) = text.split_at(at);
        if !runs(pipeline, app.trim()) {
            return Err(bad(format!(
                "--require {text}: no stage runs `{}`",
                app.trim()
            )));
        }
        wanted
            .entry(app.trim().to_owned())
            .or_default()
            .push(versions.trim().to_owned());
    }
    let of = |stage: &expr::Stage| {
        wanted
            .get(&stage.app.word.to_string())
            .map(|versions| versions.join(","))
    };
    Ok(pipeline.stages.iter().map(of).collect())
}

fn duration(
    options: &BTreeMap<String, String>,
    key: &str,
    default: Duration,
) -> Result<Duration, Failure> {
    match options.get(key) {
        Some(text) => humantime::parse_duration(text)
            .map_err(|_| bad(format!("-o {key}={text}: a duration is wanted, as 5s"))),
        None => Ok(default),
    }
}

/// A size as users write it: digits with `K` or `M`, between 4 KiB and 16 MiB.
fn size(text: &str) -> Option<u32> {
    let (digits, unit) = match text.strip_suffix(['K', 'k']) {
        Some(digits) => (digits, 1_024),
        None => match text.strip_suffix(['M', 'm']) {
            Some(digits) => (digits, 1_024 * 1_024),
            None => (text, 1),
        },
    };
    let bytes = digits.parse::<u32>().ok()?.checked_mul(unit)?;
    (4 * 1_024..=16 * 1_024 * 1_024)
        .contains(&bytes)
        .then_some(bytes)
}

fn position(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

fn bad(detail: String) -> Failure {
    Failure::BadRequest {
        detail,
        span: None,
        hint: None,
    }
}
