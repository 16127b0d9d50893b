//! What a user sees of a daemon that they start: where it is, whom it lets in, and what they should know of that.

use crate::{
    config::{self, FileTrouble, Loaded},
    daemon::settings::{Access, Listen, RegistrySettings, Settings},
    negotiate::rules::Others,
};

/// What the configuration names and this machine does not have, one sentence each. It may come later, so this is no error.
pub(super) fn absent(loaded: &Loaded) -> Vec<String> {
    let rules = &loaded.settings.rules;
    let mut notes = Vec::new();
    for (name, app) in &rules.apps {
        let missing = match &app.path {
            Some(path) => (!path.exists()).then(|| path.display().to_string()),
            None => {
                let found = rules.search_path.iter().any(|dir| dir.join(name).exists());
                (!found).then(|| "a program of this name in run.path".to_owned())
            }
        };
        notes.extend(missing.map(|what| {
            format!(
                "apps.{name}: there is no {what}; until there is, whoever asks for it is refused"
            )
        }));
    }
    let users = rules
        .apps
        .values()
        .map(|app| &app.run_as)
        .chain([&rules.run_as]);
    let mut unknown: Vec<_> = users
        .flatten()
        .filter(|name| !config::user_exists(name))
        .collect();
    unknown.sort();
    unknown.dedup();
    notes.extend(unknown.iter().map(|name| {
        format!("run-as: there is no user `{name}`; until there is, stages that would run as it are refused")
    }));
    for registry in &loaded.settings.registries {
        if let RegistrySettings::StaticFile(path) = registry
            && let Some(trouble) = FileTrouble::look(path)
        {
            let path = path.display();
            notes.push(match trouble.is_absent() {
                true => format!("registry: {path} is not there yet; until it is, no other node is known"),
                false => format!(
                    "registry: {path} cannot be used: {trouble}; until it can, no other node is known. Next: {}",
                    trouble.next_step()
                ),
            });
        }
    }
    notes
}

/// What a user sees of a daemon that runs.
pub(super) fn banner(loaded: &Loaded, addresses: &[String], pid: u32) -> String {
    let settings = &loaded.settings;
    let known_as = settings
        .advertise
        .as_ref()
        .map(|at| format!(", known as {} at {at}", settings.node))
        .unwrap_or_default();
    let named: Vec<&str> = settings.rules.apps.keys().map(String::as_str).collect();
    let apps = match (settings.rules.others, named.is_empty()) {
        (Others::Allow, true) => "any".to_owned(),
        (Others::Allow, false) => format!("{} and any other", named.join(" ")),
        (Others::Deny, _) => named.join(" "),
    };
    let access = match &settings.access {
        Access::Local => "local".to_owned(),
        Access::Members if settings.registries.is_empty() => {
            "members (no registry, so nobody from outside)".to_owned()
        }
        Access::Members => format!("members of {}", places(settings)),
        Access::Networks(networks) => format!("{} networks", networks.len()),
        Access::Open => "OPEN TO EVERYONE".to_owned(),
    };
    let rest = loaded.rest.as_ref().map(|rest| {
        let places: Vec<_> = rest.listen.iter().map(ToString::to_string).collect();
        format!("    rest: {}", places.join(" and "))
    });
    format!(
        "dpipesd {} listening on {}{known_as} (pid {pid})\n  apps: {apps}    access: {access}{}",
        env!("CARGO_PKG_VERSION"),
        addresses.join(" and "),
        rest.unwrap_or_default(),
    )
}

/// Where nodes are found, for people.
fn places(settings: &Settings) -> String {
    let places: Vec<_> = settings
        .registries
        .iter()
        .map(RegistrySettings::place)
        .collect();
    places.join(" and ")
}

/// What somebody who started a daemon should be told next: whom it lets in that perhaps it should not, and what to do where it listens
/// to everybody and lets nobody in.
pub(super) fn advice(loaded: &Loaded) -> String {
    let warnings = loaded.settings.warnings().into_iter();
    let warnings: String = warnings
        .map(|warning| format!("warning: {warning}\n"))
        .collect();
    warnings + how_to_let_in(loaded)
}

fn how_to_let_in(loaded: &Loaded) -> &'static str {
    let settings = &loaded.settings;
    let local = |address: &str| {
        address.starts_with("127.")
            || address.starts_with("localhost")
            || address.starts_with("[::1]")
    };
    let outside = settings
        .listen
        .iter()
        .any(|listen| matches!(listen, Listen::Tcp(address) if !local(address)));
    let closed = settings.access == Access::Members && settings.registries.is_empty();
    match (outside, closed) {
        (true, true) => {
            "note: listening beyond this machine, but without a registry nobody outside is a member and will be let in. Choose one:\n  \
             --registry static:FILE    the nodes in a list; or those of consul:, etcd: or mdns:\n  \
             --networks 10.0.0.0/8     these addresses, in plain text\n  \
             --access open             really everyone: they can run programs here\n"
        }
        (false, true) => "  to let other nodes in: dpipes help access\n",
        (_, false) => "",
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, path::Path};

    use super::*;
    use crate::config::{Facts, Flags, Surroundings};

    fn loaded(directory: &Path, flags: &Flags) -> Loaded {
        let surroundings = Surroundings {
            uid: 1000,
            cwd: directory.into(),
            environment: BTreeMap::new(),
            etc: directory.into(),
        };
        let facts = Facts {
            hostname: "h".to_owned(),
            has_dpipes_user: false,
        };
        config::load(&surroundings, flags, &facts).unwrap()
    }

    #[cfg(feature = "mdns")]
    #[test]
    fn members_by_announcement_are_warned_of_with_their_interfaces_and_the_cure() {
        let base = tempfile::tempdir().unwrap();
        let flags = Flags {
            registry: vec!["mdns:eth0,eth1".to_owned()],
            ..Flags::default()
        };
        let loaded = loaded(base.path(), &flags);
        let shown = advice(&loaded);
        assert!(
            shown.starts_with("warning: members by announcement (mdns on eth0,eth1)"),
            "{shown}"
        );
        assert!(
            shown.contains("anybody on the link") && shown.contains("--networks"),
            "{shown}"
        );
        let banner = banner(&loaded, &["0.0.0.0:3747".to_owned()], 1);
        assert!(
            banner.contains("access: members of mdns on eth0,eth1"),
            "{banner}"
        );
    }

    #[test]
    fn an_open_daemon_is_warned_of() {
        let base = tempfile::tempdir().unwrap();
        let flags = Flags {
            access: Some("open".to_owned()),
            ..Flags::default()
        };
        let loaded = loaded(base.path(), &flags);
        assert!(advice(&loaded).starts_with("warning: access is open"));
        assert!(banner(&loaded, &[], 1).contains("OPEN TO EVERYONE"));
    }

    #[test]
    fn a_list_that_is_not_there_yet_is_noted_and_no_warning() {
        let base = tempfile::tempdir().unwrap();
        let flags = Flags {
            registry: vec!["static:nodes.yaml".to_owned()],
            ..Flags::default()
        };
        let loaded = loaded(base.path(), &flags);
        assert!(
            absent(&loaded)
                .iter()
                .any(|note| note.contains("nodes.yaml is not there yet"))
        );
        assert_eq!(advice(&loaded), "");
    }
}
