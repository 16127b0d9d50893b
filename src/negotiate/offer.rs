//! The node's side: an offer against the owner's rules and the node's facts.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    arguments::check_words,
    environment::is_accepted,
    facts::{Facts, Program},
    features::ZSTD,
    parameter::{Refuse, refuse},
    rules::{AppRule, CredentialRule, Limits, Others, Rules},
    version::{Requirement, Version},
};
use crate::{
    id::StageNumber,
    media::{AppFormat, Format},
    variable::{is_name, is_never_taken},
    wire::message::{EnvVar, Offer, Refusal, RefusalKind, StageOffer, Wiring},
    word::Word,
};

/// Stages of a pipe at most: a thousand processes and their links are what one entry can watch.
const MAX_STAGES: u16 = 1_024;
/// How often a pipe may be started from inside another one: deeper than anybody means, and shallow enough that an app which calls itself
/// through dpipes ends soon.
const MAX_HOPS: u8 = 16;
/// Variables of one stage at most, asked for by name.
const MAX_VARIABLES: usize = 256;
/// Longest value of a variable.
const MAX_VALUE: usize = 32 * 1024;
/// Least credit of a link: one page, so that a kernel pipe's smallest atomic write fits.
const MIN_WINDOW: u32 = 4 * 1024;
/// Largest credit of a link: a gigabit over a path of 130 ms, and what a node may have to store for it.
const MAX_WINDOW: u32 = 16 * 1024 * 1024;
/// Longest lease and grace: nothing outlives its client for longer.
const MAX_HOLD: Duration = Duration::from_secs(3_600);
/// Who runs apps of a daemon that was started as root and told nobody else.
const SERVICE_USER: &str = "dpipes";
/// What exists only inside a shell.
const SHELL_ONLY: &[&str] = &[
    ".", "alias", "bg", "cd", "eval", "exec", "export", "fg", "jobs", "read", "set", "shift",
    "source", "trap", "ulimit", "umask", "unset", "wait",
];

/// What a node agrees to for one stage: everything the exec side needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The stage.
    pub stage: StageNumber,
    /// Its app.
    pub app: String,
    /// The program that will be run.
    pub program: PathBuf,
    /// Arguments the owner puts in front.
    pub prepend: Vec<String>,
    /// The words of the pipeline, to be expanded.
    pub args: Vec<Word>,
    /// The user it runs as.
    pub user: String,
    /// The directory it starts in; `None` for that user's home.
    pub cwd: Option<PathBuf>,
    /// Variables the client merely has and this node takes; the weakest.
    pub ambient: Vec<(String, String)>,
    /// Variables asked for by name, to be expanded.
    pub env: Vec<EnvVar>,
    /// Variables the owner sets; they win over all others.
    pub env_set: BTreeMap<String, String>,
    /// How many variables of the client were not taken.
    pub dropped_env: u32,
    /// The version, where known.
    pub version: Option<String>,
    /// The locale the app will see: `LC_ALL`, else `LC_COLLATE`, else `LANG`; empty for none.
    pub locale: String,
    /// What it reads and writes.
    pub format: AppFormat,
    /// What it may use.
    pub limits: Limits,
    /// How long something may hold its output open after it exited.
    pub exit_grace: Option<Duration>,
    /// Whether it may gain privileges by a set-user-id program.
    pub allow_setuid: bool,
    /// Its umask.
    pub umask: u32,
}

/// Checks an offer: one result for each offered stage, in the same order. A refusal about the whole offer is every stage's.
#[must_use]
pub fn check_offer(offer: &Offer, rules: &Rules, facts: &Facts) -> Vec<Result<Agreed, Refusal>> {
    if let Err(refusal) = check_whole(offer, rules, facts) {
        return vec![Err(refusal); offer.stages.len()];
    }
    let mut running = facts.running;
    let one = |stage: &StageOffer| {
        let room = check_room(running, rules);
        let agreed = room.and_then(|()| check_stage(stage, offer, rules, facts));
        running = running.saturating_add(u32::from(agreed.is_ok()));
        agreed.map_err(|refusal| refusal.at(stage.stage))
    };
    offer.stages.iter().map(one).collect()
}

/// The `-o` options of an offer that this node does not heed, for the answer.
#[must_use]
pub fn ignored_options(offer: &Offer, facts: &Facts) -> Vec<String> {
    let ignored = |key: &&String| !facts.options.contains(*key);
    offer.options.keys().filter(ignored).cloned().collect()
}

fn check_whole(offer: &Offer, rules: &Rules, facts: &Facts) -> Result<(), Refusal> {
    let missing = |feature: &&String| !facts.features.contains(*feature);
    if let Some(feature) = offer.features.iter().find(missing) {
        let refusal = refuse("features", feature, "a node without it");
        return Err(refusal.hint(match feature.as_str() {
            ZSTD => {
                "compress where both ends can: -o compress=auto; or keep off the node: --avoid NODE"
            }
            _ => "upgrade the node, or keep off it: --avoid NODE",
        }));
    }
    check_shape(offer)?;
    if facts.draining {
        return Err(refuse(
            "availability",
            "a node that takes work",
            "a node that is leaving",
        )
        .kind(RefusalKind::Gone)
        .hint("run again"));
    }
    if offer.hops > MAX_HOPS {
        let wanted = format!("a pipe {} deep inside others", offer.hops);
        return Err(refuse("hops", wanted, format!("at most {MAX_HOPS}"))
            .hint("see whether the app starts itself again through dpipes"));
    }
    if let Some(max) = rules.max_deadline {
        let asked = offer.deadline_ms.map(Duration::from_millis);
        if asked.is_none_or(|asked| asked > max) {
            let wanted = asked.map_or_else(|| "no limit".to_owned(), |asked| format!("{asked:?}"));
            return Err(refuse("deadline", wanted, format!("at most {max:?}"))
                .hint(format!("--timeout {}s", max.as_secs().max(1))));
        }
    }
    for (name, asked) in [
        ("lease", offer.lease_ms),
        ("kill-grace", offer.kill_grace_ms),
    ] {
        if Duration::from_millis(asked) > MAX_HOLD {
            let wanted = format!("{:?}", Duration::from_millis(asked));
            return Err(refuse(name, wanted, format!("at most {MAX_HOLD:?}"))
                .hint(format!("-o {name}=15s")));
        }
    }
    if !(MIN_WINDOW..=MAX_WINDOW).contains(&offer.window) {
        return Err(
            refuse("window", format!("{} bytes", offer.window), "4K to 16M").hint("-o window=256K"),
        );
    }
    if rules.credential == CredentialRule::Demanded
        && offer.credential.as_deref().unwrap_or_default().is_empty()
    {
        return Err(refuse("credential", "a run without one", "one is demanded")
            .hint("--credential-file F, or --credential-env VAR"));
    }
    Ok(())
}

/// Whether an offer is one that a well-meant entry can make.
fn check_shape(offer: &Offer) -> Result<(), Refusal> {
    let wrong = |what: String| Err(refuse("stages", what, "an offer that is whole"));
    if !(1..=MAX_STAGES).contains(&offer.stages_total) {
        let wanted = format!("{} stages", offer.stages_total);
        return Err(refuse("stages", wanted, format!("1 to {MAX_STAGES}"))
            .hint("split the pipeline with a file in between"));
    }
    let mut last = 0;
    for (index, stage) in offer.stages.iter().enumerate() {
        let number = stage.stage.number();
        if number <= last || number > offer.stages_total {
            return wrong(format!(
                "stage {number} of {} after stage {last}",
                offer.stages_total
            ));
        }
        // A joined end is one half of a kernel pipe: the other half must be made here too.
        let before = index.checked_sub(1).map(|i| &offer.stages[i]);
        let fed =
            before.is_some_and(|b| b.stdout == Wiring::Joined && b.stage.next() == stage.stage);
        if (stage.stdin == Wiring::Joined) != fed {
            return wrong(format!(
                "stage {number} joined to a neighbour that is not here"
            ));
        }
        if stage.stdout == Wiring::Joined && index + 1 == offer.stages.len() {
            return wrong(format!("stage {number} joined to nothing"));
        }
        last = number;
    }
    Ok(())
}

fn check_room(running: u32, rules: &Rules) -> Result<(), Refusal> {
    if running < rules.max_stages {
        return Ok(());
    }
    let got = format!("{running} of {} in use", rules.max_stages);
    Err(refuse("room", "a place for one more stage", got)
        .kind(RefusalKind::Busy)
        .hint("try again later, or let another node take it"))
}

fn check_stage(
    stage: &StageOffer,
    offer: &Offer,
    rules: &Rules,
    facts: &Facts,
) -> Result<Agreed, Refusal> {
    let rule = rules.apps.get(&stage.app);
    let (program, version) = check_app(stage, rule, rules, facts)?;
    check_version(stage, version.as_deref())?;
    let none = AppRule::default();
    let settled = rule.unwrap_or(&none);
    check_words(&settled.args, &stage.args)?;
    check_asked_env(stage, rule, rules, facts)?;
    let user = check_user(stage, rule, rules, facts)?;
    let format = check_formats(stage, rule, facts)?;
    let cwd = match &stage.cwd {
        Some(cwd) if !Path::new(cwd).is_absolute() || cwd.contains('\0') => {
            return Err(refuse("directory", cwd, "an absolute path").hint("--cwd /absolute/path"));
        }
        Some(cwd) => Some(PathBuf::from(cwd)),
        None => rules.cwd.clone(),
    };
    let taken = |(name, value): &&(String, String)| {
        let can_be_set = is_name(name) && value.len() <= MAX_VALUE && !value.contains('\0');
        facts.own_shell
            || (can_be_set && !is_never_taken(name, value) && is_accepted(name, rules, rule))
    };
    let ambient: Vec<_> = offer.ambient.iter().filter(taken).cloned().collect();
    let dropped = offer.ambient.len() - ambient.len();
    let mut agreed = Agreed {
        stage: stage.stage,
        app: stage.app.clone(),
        program,
        prepend: settled.args.prepend.clone(),
        args: stage.args.clone(),
        user,
        cwd,
        ambient,
        env: stage.env.clone(),
        env_set: settled.env_set.clone(),
        dropped_env: u32::try_from(dropped).unwrap_or(u32::MAX),
        version,
        locale: String::new(),
        format,
        limits: settled.limits,
        exit_grace: settled.exit_grace,
        allow_setuid: settled.allow_setuid,
        umask: rules.umask,
    };
    agreed.locale = locale(&agreed);
    Ok(agreed)
}

fn check_app(
    stage: &StageOffer,
    rule: Option<&AppRule>,
    rules: &Rules,
    facts: &Facts,
) -> Result<(PathBuf, Option<String>), Refusal> {
    let app = &stage.app;
    let missing = |got: String| {
        let hint = if SHELL_ONLY.contains(&app.as_str()) {
            format!("`{app}` exists only inside a shell: sh -c '{app} …'")
        } else {
            "see who offers what: dpipes apps".to_owned()
        };
        Err(refuse("app", app, got)
            .kind(RefusalKind::NoSuchApp)
            .word(0)
            .hint(hint))
    };
    if app.is_empty() || app.contains('\0') {
        return missing("the name of a program".to_owned());
    }
    if rule.is_none() && rules.others == Others::Deny {
        let offered: Vec<_> = rules.apps.keys().map(String::as_str).collect();
        return missing(match &offered[..] {
            [] => "no apps at all".to_owned(),
            some => format!("only {}", some.join(", ")),
        });
    }
    let Some(fact) = facts.apps.get(app) else {
        return missing("no such program on this node".to_owned());
    };
    let version = fact.version.clone();
    match &fact.program {
        Program::Found(path) => Ok((path.clone(), version)),
        Program::Missing => missing("no such program on this node".to_owned()),
        Program::NotExecutable { path, detail } => {
            let got = format!("{}: {detail}", path.display());
            Err(refuse("app", app, got)
                .kind(RefusalKind::NotExecutable)
                .word(0)
                .hint(format!("on the node: ls -l {}", path.display())))
        }
    }
}

/// Whether a version is known and good; both sides ask this.
pub(super) fn check_version(stage: &StageOffer, version: Option<&str>) -> Result<(), Refusal> {
    let Some(wanted) = &stage.require else {
        return Ok(());
    };
    let app = &stage.app;
    let requirement: Requirement = wanted.parse().map_err(|_| {
        refuse("version", wanted, "a requirement such as >=8.30")
            .hint(format!("--require '{app}>=8.30'"))
    })?;
    let shown = format!("{app}{wanted}");
    let Some(version) = version else {
        let hint = format!("let the node know it: apps.{app}.version in its configuration");
        return Err(refuse("version", shown, "an unknown version")
            .word(0)
            .hint(hint));
    };
    match Version::parse(version) {
        Some(parsed) if requirement.accepts(&parsed) => Ok(()),
        _ => Err(refuse("version", shown, version)
            .word(0)
            .hint("choose a node that has it with @NODE")),
    }
}

fn check_asked_env(
    stage: &StageOffer,
    rule: Option<&AppRule>,
    rules: &Rules,
    facts: &Facts,
) -> Result<(), Refusal> {
    if stage.env.len() > MAX_VARIABLES {
        let wanted = format!("{} variables", stage.env.len());
        return Err(refuse(
            "environment",
            wanted,
            format!("at most {MAX_VARIABLES}"),
        ));
    }
    for EnvVar { name, value } in &stage.env {
        let value = value.to_string();
        let no = |got: String| refuse("environment", name, got);
        if !is_name(name) {
            return Err(no("letters, digits and `_`, no digit in front".to_owned()));
        }
        if value.len() > MAX_VALUE || value.contains('\0') {
            return Err(no(format!(
                "a value of at most {MAX_VALUE} bytes without a null character"
            )));
        }
        if facts.own_shell {
            continue;
        }
        if is_never_taken(name, &value) {
            return Err(no("never taken from outside".to_owned()).hint(format!(
                "leave it out; the node's owner can set it: apps.{}.env.set",
                stage.app
            )));
        }
        // An app without rules of its own may be `env` as well, so that accepting names would protect nothing.
        if rule.is_some() && !is_accepted(name, rules, rule) {
            return Err(
                no(format!("not accepted for `{}`", stage.app)).hint(format!(
                    "leave it out, or let the node accept it: apps.{}.env.accept",
                    stage.app
                )),
            );
        }
    }
    Ok(())
}

fn check_user(
    stage: &StageOffer,
    rule: Option<&AppRule>,
    rules: &Rules,
    facts: &Facts,
) -> Result<String, Refusal> {
    let named = rule
        .and_then(|rule| rule.run_as.as_ref())
        .or(rules.run_as.as_ref());
    let by_accident =
        facts.privileged && facts.user == "root" && !rules.allow_root && !facts.own_shell;
    let user = match named {
        Some(user) => user.as_str(),
        None if by_accident => SERVICE_USER,
        None => &facts.user,
    };
    let asked = stage.user.as_deref().unwrap_or(user);
    if asked != user {
        return Err(refuse("user", asked, format!("runs it as `{user}`")).hint("leave --user out"));
    }
    if user == facts.user && !by_accident {
        return Ok(user.to_owned());
    }
    if user == "root" && !rules.allow_root {
        return Err(refuse("user", "root", "not without `allow-root`")
            .hint("name another user on the node: run.run-as"));
    }
    if !facts.users.contains(user) {
        return Err(refuse("user", user, "no such user on this node")
            .hint("name one that exists: run.run-as"));
    }
    if !facts.privileged {
        let got = format!(
            "a daemon of `{}` that cannot become another user",
            facts.user
        );
        return Err(refuse("user", user, got).hint("start the daemon as root, or leave run-as out"));
    }
    Ok(user.to_owned())
}

/// What the app reads and writes: what its owner says, else what is asked. Whether that fits its neighbours is seen by the entry.
fn check_formats(
    stage: &StageOffer,
    rule: Option<&AppRule>,
    facts: &Facts,
) -> Result<AppFormat, Refusal> {
    let format = AppFormat {
        reads: rule.and_then(|rule| rule.reads).unwrap_or(stage.input),
        writes: rule.and_then(|rule| rule.writes).unwrap_or(stage.output),
    };
    for (what, format, wiring) in [
        ("reads", format.reads, stage.stdin),
        ("writes", format.writes, stage.stdout),
    ] {
        if !facts.formats.contains(&format) {
            let wanted = format!("`{}` {what} {format}", stage.app);
            return Err(refuse("format", wanted, "the node cannot carry that").hint("-f bytes"));
        }
        // On a kernel pipe between two apps nobody could look at the objects.
        if format != Format::Bytes && wiring == Wiring::Joined {
            let app = format!("`{}` {what} {format}", stage.app);
            return Err(refuse("format", app, "the pipe carries bytes")
                .word(0)
                .hint(format!("-f {format}")));
        }
    }
    Ok(format)
}

/// The locale that sorts and classifies, as the C library chooses it.
fn locale(agreed: &Agreed) -> String {
    let value = |name: &str| {
        let set = agreed.env_set.get(name).cloned();
        let asked = agreed.env.iter().rev().find(|var| var.name == name);
        let has = agreed.ambient.iter().rev().find(|(n, _)| n == name);
        set.or_else(|| asked.map(|var| var.value.to_string()))
            .or_else(|| has.map(|(_, value)| value.clone()))
            .filter(|value| !value.is_empty())
    };
    let names = ["LC_ALL", "LC_COLLATE", "LANG"];
    names.into_iter().find_map(value).unwrap_or_default()
}
