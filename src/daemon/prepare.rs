//! From an offer to an answer: everything but `execve`.
//!
//! Facts are gathered, the pure checks of [`negotiate`] decide, and then the processes are made and wait at their barriers. So what
//! can go wrong with a start is an answer, not a surprise after Start.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
    fs::File,
    io,
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures_util::{FutureExt as _, StreamExt as _, stream};
use serde_json::Value;

use super::{
    node::{Kind, Node},
    objects::Wishes,
    settings::Settings,
    told,
};
use crate::{
    exec::{
        self, Key, Prepared, ResolveError, RunAs, Search, SpawnError, Spec, Stdio, Style,
        environment,
    },
    id::StageNumber,
    media::Format,
    negotiate::{
        self, Agreed, AppFact, Facts, Program,
        rules::{AppRule, Rules, VersionSource},
    },
    transport::Session,
    wire::message::{Accept, Answer, Offer, Refusal, RefusalKind, StageAnswer, StageOffer, Wiring},
};

/// Stages that are prepared at one time. Preparing one is a process start and a few messages; more at once only wait for each other.
const AT_ONCE: usize = 8;

/// The `-o` options that a node heeds. `locale` is heeded by the entry, which alone can compare the nodes; a node has nothing to ignore.
const OPTIONS: [&str; 6] = [
    "on-loss",
    "locale",
    "metadata",
    "mix-formats",
    "on-bad-object",
    "on-non-object",
];

/// Where apps put temporary files unless their owner says otherwise.
const TMPDIR: &str = "/tmp";

/// The locale of apps whose client brings none: what a program without any locale setting gets.
const LANG: &str = "C";

/// A stage that waits at its barrier.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) stage: StageNumber,
    pub(super) app: String,
    pub(super) prepared: Prepared,
    /// The write end of its input, where a link feeds it.
    pub(super) stdin_writer: Option<OwnedFd>,
    pub(super) stdin_is_null: bool,
    /// The read end of its output, where a link carries it.
    pub(super) stdout_reader: Option<OwnedFd>,
    /// The read end of its stderr, unless nobody wants it.
    pub(super) stderr_reader: Option<OwnedFd>,
    pub(super) exit_grace: Option<Duration>,
    pub(super) time_limit: Option<Duration>,
    /// How it wants its objects.
    pub(super) wishes: Wishes,
}

/// The descriptors of one stage, before it has a process.
struct Wires {
    stdio: Stdio,
    stdin_writer: Option<OwnedFd>,
    stdout_reader: Option<OwnedFd>,
    stderr_reader: Option<OwnedFd>,
}

/// Prepares every stage of an offer, or none.
pub(super) async fn prepare(
    node: &Arc<Node>,
    entry: &Session,
    offer: &Offer,
) -> (Answer, Option<Vec<Ready>>) {
    let settings = node.settings();
    let facts = facts(node, offer, &settings.rules).await;
    let checked = negotiate::check_offer(offer, &settings.rules, &facts);
    let ignored = negotiate::ignored_options(offer, &facts);
    let answer = |stages| Answer {
        node: node.id().clone(),
        stages,
        ignored: ignored.clone(),
        features: node.features(),
    };

    if checked.iter().any(Result::is_err) {
        let stages = checked.into_iter().map(|result| match result {
            Ok(agreed) => StageAnswer::Accept(accept(&agreed, None, node, &settings)),
            Err(refusal) => StageAnswer::Refuse(refusal),
        });
        return (answer(stages.collect()), None);
    }
    let agreed: Vec<Agreed> = checked.into_iter().filter_map(Result::ok).collect();
    let wires = match wire_up(offer) {
        Ok(wires) => wires,
        Err(error) => {
            let stages = agreed
                .iter()
                .map(|agreed| StageAnswer::Refuse(busy(agreed.stage, &error)));
            return (answer(stages.collect()), None);
        }
    };
    let mut making = Vec::new();
    for ((agreed, wires), asked) in agreed.into_iter().zip(wires).zip(&offer.stages) {
        let rule = settings
            .rules
            .apps
            .get(&agreed.app)
            .cloned()
            .unwrap_or_default();
        // Boxed, for the compiler cannot tell the lifetimes of so many borrowing futures in one stream apart.
        making.push(make(node, entry, offer, asked, agreed, rule, &settings, wires).boxed());
    }
    let made: Vec<Result<(Accept, Ready), Refusal>> =
        stream::iter(making).buffered(AT_ONCE).collect().await;
    let refused = made.iter().any(Result::is_err);
    let mut ready = Vec::new();
    let mut stages = Vec::new();
    for result in made {
        match result {
            Ok((accept, stage)) => {
                stages.push(StageAnswer::Accept(accept));
                ready.push(stage);
            }
            Err(refusal) => stages.push(StageAnswer::Refuse(refusal)),
        }
    }
    // Dropping what is ready lets its processes go: they never were more than shims.
    (answer(stages), (!refused).then_some(ready))
}

/// What the daemon knows that the offer's checks need.
async fn facts(node: &Arc<Node>, offer: &Offer, rules: &Rules) -> Facts {
    let embedded = matches!(node.kind(), Kind::Embedded { .. });
    let mut apps: BTreeMap<String, AppFact> = BTreeMap::new();
    for stage in &offer.stages {
        let known = apps.get(&stage.app);
        if known.is_some_and(|known| known.version.is_some() || stage.require.is_none()) {
            continue;
        }
        let program = program(node, &stage.app, rules);
        let version = match &program {
            Program::Found(path) => version(node, stage, path, rules).await,
            Program::NotExecutable { .. } | Program::Missing => None,
        };
        apps.insert(stage.app.clone(), AppFact { program, version });
    }
    let of_apps = rules.apps.values().filter_map(|rule| rule.run_as.clone());
    let of_offer = offer.stages.iter().filter_map(|stage| stage.user.clone());
    let daemon = exec::current_user();
    let privileged = daemon.uid == 0;
    // Only who would run apps as root by accident runs them as this user.
    let instead = (privileged && !rules.allow_root && !embedded).then(|| "dpipes".to_owned());
    let named: BTreeSet<String> = of_apps
        .chain(of_offer)
        .chain(rules.run_as.clone())
        .chain(instead)
        .collect();
    Facts {
        options: OPTIONS.map(str::to_owned).into(),
        features: node.features(),
        formats: vec![Format::Bytes, Format::Json, Format::Yaml],
        apps,
        privileged,
        user: daemon.name,
        users: existing(named).await,
        // The offer's own slots are taken already.
        running: node
            .load()
            .stages
            .saturating_sub(u32::try_from(offer.stages.len()).unwrap_or(u32::MAX)),
        draining: node.is_leaving(),
        own_shell: embedded,
    }
}

/// Those of these users that exist. The name service may take its time, which is not the runtime's.
async fn existing(named: BTreeSet<String>) -> BTreeSet<String> {
    if named.is_empty() {
        return named;
    }
    let exists = |name: &String| exec::lookup_user(name).is_ok();
    let asking = move || named.into_iter().filter(exists).collect();
    // A look-up that panicked found nobody; whoever is meant is refused then.
    tokio::task::spawn_blocking(asking)
        .await
        .unwrap_or_default()
}

fn program(node: &Node, app: &str, rules: &Rules) -> Program {
    let found = match (
        rules.apps.get(app).and_then(|rule| rule.path.clone()),
        node.kind(),
    ) {
        (Some(path), _) => exec::resolve_in(
            &path.to_string_lossy(),
            Search {
                path: &[],
                cwd: Path::new("/"),
                anywhere: true,
            },
        ),
        (None, Kind::Embedded { cwd, search_path }) => exec::resolve_in(
            app,
            Search {
                path: search_path,
                cwd,
                anywhere: true,
            },
        ),
        (None, Kind::Daemon) => exec::resolve(app, &rules.search_path, Path::new("/")),
    };
    match found {
        Ok(path) => Program::Found(path),
        Err(ResolveError::NotExecutable { path, reason }) => Program::NotExecutable {
            path,
            detail: reason.to_string(),
        },
        Err(error @ ResolveError::OutsideSearchPath { .. }) => Program::NotExecutable {
            path: PathBuf::from(app),
            detail: error.to_string(),
        },
        Err(_) => Program::Missing,
    }
}

async fn version(
    node: &Arc<Node>,
    stage: &StageOffer,
    program: &Path,
    rules: &Rules,
) -> Option<String> {
    match rules
        .apps
        .get(&stage.app)
        .and_then(|rule| rule.version.clone())
    {
        Some(VersionSource::Fixed(version)) => Some(version),
        Some(VersionSource::Command(command)) => node.versions().ask(node, &command, program).await,
        // Most programs know this option; it is used only when somebody asks for a version.
        None if stage.require.is_some() => {
            let command = [
                program.to_string_lossy().into_owned(),
                "--version".to_owned(),
            ];
            node.versions().ask(node, &command, program).await
        }
        None => None,
    }
}

/// Makes the descriptors of all stages: pipes to links, pipes between neighbours, `/dev/null`.
fn wire_up(offer: &Offer) -> io::Result<Vec<Wires>> {
    let mut joined: Option<OwnedFd> = None;
    let mut all = Vec::new();
    for stage in &offer.stages {
        let (stdin, stdin_writer) = match stage.stdin {
            Wiring::Joined => (joined.take().ok_or(io::ErrorKind::InvalidInput)?, None),
            Wiring::Null => (File::open("/dev/null")?.into(), None),
            Wiring::Link => {
                let (read, write) = exec::pipe()?;
                (read, Some(write))
            }
        };
        let (read, stdout) = exec::pipe()?;
        let stdout_reader = match stage.stdout {
            Wiring::Joined => {
                joined = Some(read);
                None
            }
            Wiring::Link | Wiring::Null => Some(read),
        };
        let (stderr, stderr_reader) = if stage.stderr_joined {
            (stdout.try_clone()?, None)
        } else if offer.drop_stderr {
            (File::options().write(true).open("/dev/null")?.into(), None)
        } else {
            let (read, write) = exec::pipe()?;
            (write, Some(read))
        };
        let stdio = Stdio {
            stdin,
            stdout,
            stderr,
            stdin_writer: stdin_writer.as_ref().map(OwnedFd::try_clone).transpose()?,
            stderr_reader: stderr_reader.as_ref().map(OwnedFd::try_clone).transpose()?,
        };
        all.push(Wires {
            stdio,
            stdin_writer,
            stdout_reader,
            stderr_reader,
        });
    }
    Ok(all)
}

#[expect(
    clippy::too_many_arguments,
    reason = "everything one stage is made of, gathered where it is known"
)]
async fn make(
    node: &Arc<Node>,
    entry: &Session,
    offer: &Offer,
    asked: &StageOffer,
    agreed: Agreed,
    rule: AppRule,
    settings: &Settings,
    wires: Wires,
) -> Result<(Accept, Ready), Refusal> {
    let user = run_user(&agreed)?;
    let mut told = told::told(node, entry, offer, asked, &user);
    let spec = spec(
        node,
        offer,
        asked,
        &agreed,
        &settings.rules,
        &user,
        &told::variables(&told),
    );
    let environ = told::is_asked(offer, "environ").then(|| text_of(&spec.env));
    let prepared = match node.launcher().prepare(spec, wires.stdio).await {
        Ok(prepared) => prepared,
        Err(error) => return Err(not_started(&agreed, &error)),
    };
    // The rules are for what the app really gets, after file names took the place of patterns.
    let given = prepared
        .argv()
        .get(1 + agreed.prepend.len()..)
        .unwrap_or_default();
    negotiate::check_arguments(&rule.args, given).map_err(|refusal| Refusal {
        stage: Some(agreed.stage),
        ..refusal
    })?;
    let accept = accept(&agreed, Some(&prepared), node, settings);
    if told::is_asked(offer, "argv") {
        told.push(("argv", accept.argv.clone().into()));
    }
    told.extend(environ.map(|environ| ("environ", environ)));
    let ready = Ready {
        stage: agreed.stage,
        app: agreed.app,
        prepared,
        stdin_writer: wires.stdin_writer,
        stdin_is_null: asked.stdin == Wiring::Null,
        stdout_reader: wires.stdout_reader,
        stderr_reader: wires.stderr_reader,
        exit_grace: agreed.exit_grace,
        time_limit: agreed.limits.time,
        wishes: Wishes::new(agreed.format.reads, told, &settings.objects, offer),
    };
    Ok((accept, ready))
}

fn run_user(agreed: &Agreed) -> Result<RunAs, Refusal> {
    let daemon = exec::current_user();
    if agreed.user == daemon.name {
        return Ok(daemon);
    }
    exec::lookup_user(&agreed.user).map_err(|error| {
        refusal(
            agreed.stage,
            "user",
            agreed.user.clone(),
            error.to_string(),
            RefusalKind::Forbidden,
        )
    })
}

/// An environment as objects are told of it.
fn text_of(environment: &[(OsString, OsString)]) -> Value {
    let all = environment
        .iter()
        .map(|(name, value)| (lossy(name), Value::from(lossy(value))));
    Value::Object(all.collect())
}

fn spec(
    node: &Arc<Node>,
    offer: &Offer,
    asked: &StageOffer,
    agreed: &Agreed,
    rules: &Rules,
    user: &RunAs,
    own: &[(OsString, OsString)],
) -> Spec {
    let os = |(name, value): (&String, String)| (OsString::from(name), OsString::from(value));
    let literal = |variable: &&crate::wire::message::EnvVar| variable.value.as_literal().is_some();
    let plain: Vec<_> = agreed
        .env
        .iter()
        .filter(literal)
        .map(|v| os((&v.name, v.value.to_string())))
        .collect();
    let words = agreed.env.iter().filter(|v| v.value.as_literal().is_none());
    let (env, cwd, home, style) = match node.kind() {
        Kind::Embedded { cwd, .. } => {
            let env = environment::build_embedded(std::env::vars_os(), &plain, own);
            let home = std::env::var_os("HOME").map(PathBuf::from);
            (
                env,
                agreed.cwd.clone().unwrap_or_else(|| cwd.clone()),
                home,
                Style::Embedded,
            )
        }
        Kind::Daemon => {
            let ambient: Vec<_> = agreed
                .ambient
                .iter()
                .map(|(name, value)| os((name, value.clone())))
                .collect();
            let set: Vec<_> = agreed
                .env_set
                .iter()
                .map(|(name, value)| os((name, value.clone())))
                .collect();
            let env = environment::build(&environment::Layers {
                search_path: &rules.search_path,
                user,
                lang: LANG,
                tmpdir: Path::new(TMPDIR),
                ambient: &ambient,
                asked: &plain,
                set: &set,
                own,
            });
            (
                env,
                agreed.cwd.clone().unwrap_or_else(|| user.home.clone()),
                Some(user.home.clone()),
                Style::Contained,
            )
        }
    };
    Spec {
        key: Key {
            pipe: offer.pipe,
            stage: agreed.stage,
        },
        program: agreed.program.clone(),
        arg0: OsString::from(&agreed.app),
        args: agreed
            .prepend
            .iter()
            .map(crate::word::Word::literal)
            .chain(agreed.args.iter().cloned())
            .collect(),
        env,
        env_words: words
            .map(|v| (OsString::from(&v.name), v.value.clone()))
            .collect(),
        cwd,
        run_as: (user.uid != exec::current_user().uid).then(|| user.clone()),
        home,
        umask: (style == Style::Contained).then_some(agreed.umask),
        limits: exec::Limits {
            memory: agreed.limits.memory,
            processes: agreed.limits.pids.map(u64::from),
            open_files: agreed.limits.open_files,
            cpu_time: None,
        },
        style,
        no_new_privs: style == Style::Contained && !agreed.allow_setuid,
        // A stage that feeds a neighbour through a kernel pipe must not die before that neighbour.
        die_with_parent: asked.stdout != Wiring::Joined,
    }
}

fn accept(
    agreed: &Agreed,
    prepared: Option<&Prepared>,
    node: &Node,
    settings: &Settings,
) -> Accept {
    let home = || {
        exec::lookup_user(&agreed.user)
            .map(|user| user.home)
            .unwrap_or_default()
    };
    let cwd = match (&agreed.cwd, node.kind()) {
        (Some(cwd), _) | (None, Kind::Embedded { cwd, .. }) => cwd.clone(),
        (None, Kind::Daemon) => home(),
    };
    let argv = match prepared {
        Some(prepared) => prepared.argv().iter().map(|arg| lossy(arg)).collect(),
        // Another stage was refused, so nobody expanded these; the run ends or is placed anew.
        None => std::iter::once(agreed.app.clone())
            .chain(agreed.prepend.clone())
            .chain(agreed.args.iter().map(ToString::to_string))
            .collect(),
    };
    Accept {
        stage: agreed.stage,
        program: agreed.program.to_string_lossy().into_owned(),
        argv,
        version: agreed.version.clone(),
        user: agreed.user.clone(),
        cwd: cwd.to_string_lossy().into_owned(),
        locale: agreed.locale.clone(),
        input: agreed.format.reads,
        output: agreed.format.writes,
        naming: (agreed.format.reads != Format::Bytes).then(|| settings.objects.naming.clone()),
        isolation: match node.launcher().isolation() {
            exec::Isolation::Cgroup => "cgroup".to_owned(),
            exec::Isolation::ProcessGroup => "pgroup".to_owned(),
        },
        dropped_env: agreed.dropped_env,
        pid: prepared.map(Prepared::pid),
    }
}

fn lossy(text: &OsStr) -> String {
    String::from_utf8_lossy(text.as_bytes()).into_owned()
}

fn not_started(agreed: &Agreed, error: &SpawnError) -> Refusal {
    if error.is_busy() {
        return refusal(
            agreed.stage,
            "room",
            "a process for one more stage".to_owned(),
            error.to_string(),
            RefusalKind::Busy,
        );
    }
    let (parameter, wanted) = match error {
        SpawnError::Step { step, .. }
            if step.starts_with("chdir") || step.contains("directory") =>
        {
            (
                "directory",
                agreed.cwd.as_ref().map_or_else(
                    || "the home directory".to_owned(),
                    |cwd| cwd.display().to_string(),
                ),
            )
        }
        SpawnError::Step { step, .. }
            if step.contains("uid") || step.contains("gid") || step.contains("groups") =>
        {
            ("user", agreed.user.clone())
        }
        _ => ("app", agreed.app.clone()),
    };
    refusal(
        agreed.stage,
        parameter,
        wanted,
        error.to_string(),
        RefusalKind::Forbidden,
    )
}

fn busy(stage: StageNumber, error: &io::Error) -> Refusal {
    refusal(
        stage,
        "room",
        "descriptors for one more stage".to_owned(),
        error.to_string(),
        RefusalKind::Busy,
    )
}

fn refusal(
    stage: StageNumber,
    parameter: &str,
    wanted: String,
    got: String,
    kind: RefusalKind,
) -> Refusal {
    Refusal {
        stage: Some(stage),
        parameter: parameter.to_owned(),
        wanted,
        got,
        kind,
        word: None,
        hint: None,
    }
}
