//! `dpipes doctor`: what is wrong here and with the nodes.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use rustix::process::{Resource, getrlimit};

use super::{
    args::QueryArgs,
    engine, exit,
    render::views::{Finding, Health},
    run::Context,
};
use crate::{
    config::{self, EmbeddedInputs, Facts, Flags},
    daemon::settings::Access,
    wire::message::{NodeState, NodeView, Query, Reply, SourceView},
};

/// Descriptors below which a daemon runs out early: each stage takes about half a dozen, so this is room for about 150.
const FEW_DESCRIPTORS: u64 = 1_024;

/// Looks at everything and returns the exit status.
pub(crate) async fn run(context: &Context, args: &QueryArgs) -> u8 {
    let mut findings = vec![
        client_file(context),
        daemon_files(context),
        socket(context),
        descriptors(),
        pipe_pages(),
        cgroup(),
    ];
    findings.extend(entry_and_nodes(context, args).await);
    let text = context.output(args.json, args.wide).findings(&findings);
    let status = super::put_or_status(&text);
    let problem = findings
        .iter()
        .any(|finding| finding.state == Health::Problem);
    if status == exit::OK && problem {
        exit::PROBLEMS
    } else {
        status
    }
}

fn finding(check: &str, state: Health, detail: impl Into<String>) -> Finding {
    Finding {
        check: check.to_owned(),
        state,
        detail: detail.into(),
        help: None,
    }
}

impl Finding {
    fn with_help(self, help: impl Into<String>) -> Self {
        Self {
            help: Some(help.into()),
            ..self
        }
    }
}

/// The client's own file was read before this subcommand started.
fn client_file(context: &Context) -> Finding {
    match context.surroundings.client_file() {
        Some(path) if path.exists() => {
            finding("client config", Health::Ok, path.display().to_string())
        }
        Some(path) => finding(
            "client config",
            Health::Ok,
            format!("none at {}", path.display()),
        ),
        None => finding(
            "client config",
            Health::Note,
            "no home directory, so none is read",
        ),
    }
}

fn daemon_files(context: &Context) -> Finding {
    let flags = Flags {
        config: context.global.config.clone(),
        ..Flags::default()
    };
    match config::load(&context.surroundings, &flags, &Facts::of_this_machine()) {
        Ok(loaded) if loaded.settings.access == Access::Open => finding(
            "daemon config",
            Health::Problem,
            "access is open: everyone who reaches the port can run programs",
        )
        .with_help("name the nodes or networks that may come in: dpipes help access"),
        Ok(loaded) if !(loaded.notes.is_empty() && loaded.settings.warnings().is_empty()) => {
            let said = [loaded.notes, loaded.settings.warnings()].concat();
            finding("daemon config", Health::Note, said.join("; "))
        }
        Ok(loaded) => finding(
            "daemon config",
            Health::Ok,
            format!("{} files", loaded.files.len()),
        ),
        // A client of root may well have no daemon, and then it needs no user for the apps.
        Err(error @ config::ConfigError::Contradiction { .. }) => {
            finding("daemon config", Health::Note, error.to_string())
                .with_help("all of it: dpipesd config check")
        }
        Err(error) => finding("daemon config", Health::Problem, error.to_string())
            .with_help("with its place: dpipesd config check"),
    }
}

fn socket(context: &Context) -> Finding {
    let path = context.surroundings.default_socket();
    match fs::symlink_metadata(&path) {
        Err(_) => finding(
            "unix socket",
            Health::Note,
            format!("none at {}", path.display()),
        )
        .with_help("start a daemon for this machine: dpipesd"),
        Ok(found) if found.mode() & 0o002 != 0 && found.uid() != 0 => finding(
            "unix socket",
            Health::Problem,
            format!("{} can be used by everybody", path.display()),
        )
        .with_help(format!("chmod o-rwx {}", path.display())),
        Ok(_) => match std::os::unix::net::UnixStream::connect(&path) {
            Ok(_) => finding("unix socket", Health::Ok, path.display().to_string()),
            Err(error) => finding(
                "unix socket",
                Health::Problem,
                format!("{}: {error}", path.display()),
            )
            .with_help("a daemon that crashed leaves it behind; start it again: dpipesd"),
        },
    }
}

fn descriptors() -> Finding {
    let limit = getrlimit(Resource::Nofile);
    let shown = |limit: Option<u64>| {
        limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string())
    };
    let detail = format!(
        "{} of at most {}",
        shown(limit.current),
        shown(limit.maximum)
    );
    if limit.maximum.is_some_and(|most| most <= FEW_DESCRIPTORS) {
        return finding("open files", Health::Note, detail)
            .with_help("raise the hard limit for many stages: LimitNOFILE=65536");
    }
    finding("open files", Health::Ok, detail)
}

/// The pages of pipe buffers a user may have before the kernel makes new ones small.
fn pipe_pages() -> Finding {
    match fs::read_to_string("/proc/sys/fs/pipe-user-pages-soft") {
        Ok(pages) => finding(
            "pipe buffers",
            Health::Ok,
            format!("{} pages for each user", pages.trim()),
        ),
        Err(error) => finding("pipe buffers", Health::Note, format!("not known: {error}")),
    }
}

fn cgroup() -> Finding {
    if !Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        return finding(
            "cgroups",
            Health::Note,
            "no unified hierarchy: processes are kept together by their group",
        );
    }
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let path = own
        .lines()
        .find_map(|line| line.strip_prefix("0::"))
        .unwrap_or("/");
    finding("cgroups", Health::Ok, format!("unified, at {path}"))
}

async fn entry_and_nodes(context: &Context, args: &QueryArgs) -> Vec<Finding> {
    let reply = async {
        let entry = context.entry(&args.entry, None)?;
        let session = engine::connect(&entry).await?;
        let fell_back = session.fell_back;
        Ok::<_, super::caret::Message>((fell_back, engine::query(session, Query::Nodes).await?))
    };
    match reply.await {
        Err(message) => vec![finding("entry", Health::Problem, message.title).with_help(
            message.help.unwrap_or_else(|| {
                if message.drawn.is_some() {
                    "with its place: dpipes config check".to_owned()
                } else {
                    "start a daemon: dpipesd   or name one: --connect HOST:PORT".to_owned()
                }
            }),
        )],
        Ok((fell_back, Reply::Nodes { nodes, sources })) => {
            let detail = if fell_back {
                "in this process (no daemon found)"
            } else {
                "it answers"
            };
            let mut findings = vec![finding("entry", Health::Ok, detail)];
            for source in &sources {
                findings.push(registry(source));
            }
            findings.extend(nodes.iter().map(node));
            findings
        }
        Ok(_) => vec![
            finding(
                "entry",
                Health::Problem,
                "it does not know the question for nodes",
            )
            .with_help("upgrade it: dpipesd --version"),
        ],
    }
}

/// How fresh a registry's answer is, and what to do about one that does not answer.
fn registry(source: &SourceView) -> Finding {
    let name = &source.name;
    let (why, text) = match (&source.stale, &source.unannounced) {
        (Some(why), _) => (why, format!("{name} is out of date: {why}")),
        (None, Some(why)) => (why, format!("{name} does not show this node: {why}")),
        (None, None) => return finding("registry", Health::Ok, name.clone()),
    };
    let problem = finding("registry", Health::Problem, text);
    // Several registries of one kind are told apart by a suffix, as in `consul-2`.
    let kind = source.name.split(|c: char| !c.is_ascii_alphabetic()).next();
    match cure(kind.unwrap_or_default(), why) {
        Some(help) => problem.with_help(help),
        None => problem,
    }
}

/// What a registry's error is about, told by its words: it comes from other programs, and often from another machine.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// The server does not let this client do it.
    Denied,
    /// One side speaks TLS and the other does not, or does not believe the other's certificate.
    Tls,
    /// It has another form than expected, or does not exist.
    File,
    /// Everything else: as a rule nobody listens there.
    Silence,
}

impl Trouble {
    fn of(why: &str) -> Self {
        let why = why.to_ascii_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| why.contains(word));
        if has(&["denied", "403", "401", "token", "password", "permission"]) {
            Self::Denied
        } else if has(&["https", "tls", "certificate", "broken pipe"]) {
            Self::Tls
        } else if has(&["no such file", "line ", "column"]) {
            Self::File
        } else {
            Self::Silence
        }
    }
}

/// The next step for a registry of this kind.
fn cure(kind: &str, why: &str) -> Option<&'static str> {
    let tls = "https or http? write consul+https://, etcd+https://, or `https://` in the block form; name a private authority with \
               `tls: { ca: FILE }`";
    Some(match (kind, Trouble::of(why)) {
        ("consul", Trouble::Denied) => {
            "the token lacks a right: dpipesd needs service:write on `dpipesd` and `dp.`, node:read and service:read; name it by `token-file`"
        }
        ("consul", Trouble::Silence | Trouble::File) => {
            "does an agent run there? consul members   or name it: --registry consul://HOST:8500"
        }
        ("etcd", Trouble::Denied) => {
            "look at `user` and `password-file`; the user needs to read and write below `prefix`: etcdctl user get USER --detail"
        }
        ("etcd", Trouble::Silence | Trouble::File) => {
            "does a member run there? etcdctl endpoint health   or name them: --registry etcd://A:2379,B:2379"
        }
        ("consul" | "etcd", Trouble::Tls) => tls,
        ("mdns", _) => {
            "does the interface exist, and is multicast (udp port 5353) let through? ip -brief link   and: --registry mdns:INTERFACE"
        }
        ("static", Trouble::Denied) => "may this user read the list? see: ls -l",
        ("static", _) => {
            "is the list there and without errors? what it holds: docs/configuration.md"
        }
        _ => return None,
    })
}

fn node(node: &NodeView) -> Finding {
    let own = env!("CARGO_PKG_VERSION");
    let detail = format!("{} at {}", node.node, node.address);
    match (node.state, &node.version) {
        (NodeState::Avoided, _) => finding(
            "node",
            Health::Problem,
            format!("{detail}: {}", node.detail),
        )
        .with_help(format!(
            "is dpipesd running there, and may it be reached? dpipes nodes --connect {}",
            node.address
        )),
        (NodeState::Draining, _) => {
            finding("node", Health::Note, format!("{detail}: it is leaving"))
        }
        (NodeState::Unknown, _) => finding(
            "node",
            Health::Note,
            format!("{detail}: nobody has reached it yet"),
        ),
        (_, Some(version)) if version != own => finding(
            "node",
            Health::Note,
            format!("{detail}: version {version}, and {own} here"),
        ),
        _ => finding("node", Health::Ok, detail),
    }
}

/// The registry and the terms that an embedded entry would use; shown by `dpipes config check`.
///
/// # Errors
///
/// Returns what is wrong with the daemon's files.
pub(crate) fn embedded_is_fine(context: &Context) -> Result<(), config::ConfigError> {
    let inputs = EmbeddedInputs {
        config: context.global.config.clone(),
        ..EmbeddedInputs::default()
    };
    config::embedded(&context.surroundings, &Facts::of_this_machine(), &inputs).map(|_| ())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::cli::render::samples;

    #[test]
    fn a_registry_that_does_not_answer_comes_with_its_cure() {
        let help = |name: &str, why: &str| {
            let source = SourceView {
                name: name.to_owned(),
                age_ms: None,
                stale: Some(why.to_owned()),
                unannounced: None,
            };
            let found = registry(&source);
            assert_eq!(found.state, Health::Problem);
            assert!(found.detail.contains(name) && found.detail.contains(why));
            found.help.unwrap_or_default()
        };
        let refused = "cannot connect to 127.0.0.1:8500: Connection refused (os error 111)";
        assert!(help("consul", refused).contains("consul members"));
        assert!(help("consul-2", refused).contains("consul members"));
        assert!(help("consul", "denied: ACL not found").contains("token-file"));
        assert!(
            help("consul", "Client sent an HTTP request to an HTTPS server.")
                .contains("consul+https://")
        );
        assert!(help("etcd", "transport error: broken pipe").contains("etcd+https://"));
        assert!(
            help(
                "etcd",
                "denied: authentication failed, invalid user ID or password"
            )
            .contains("password-file")
        );
        assert!(help("etcd", "no leader").contains("etcdctl endpoint health"));
        assert!(help("mdns", "no such interface").contains("5353"));
        assert!(help("static", "nodes.yaml:1:2: unknown field").contains("the list"));
        assert_eq!(help("other", refused), "");
        let fine = SourceView {
            name: "etcd".to_owned(),
            age_ms: Some(1),
            stale: None,
            unannounced: None,
        };
        assert_eq!(registry(&fine).state, Health::Ok);
    }

    #[test]
    fn a_node_is_fine_when_it_answers_with_the_same_version() {
        let view = |state, version: &str| NodeView {
            node: samples::node("node-a"),
            address: "a:1".to_owned(),
            state,
            detail: "connect timeout".to_owned(),
            apps: None,
            load: None,
            version: Some(version.to_owned()),
            labels: BTreeMap::new(),
            source: "static".to_owned(),
            seen_ms: None,
            weight: None,
            known_ms: None,
        };
        let own = env!("CARGO_PKG_VERSION");
        assert_eq!(node(&view(NodeState::Up, own)).state, Health::Ok);
        assert_eq!(node(&view(NodeState::Up, "0.0.1")).state, Health::Note);
        let avoided = node(&view(NodeState::Avoided, own));
        assert_eq!(avoided.state, Health::Problem);
        assert!(avoided.detail.contains("connect timeout") && avoided.help.is_some());
    }
}
