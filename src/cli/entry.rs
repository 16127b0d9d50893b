//! Which daemon a client talks to.

use std::path::PathBuf;

use super::{args::EntryArgs, caret::Message, lab};
use crate::config::{Address, ClientFile, RegistryEntry, Surroundings, Text};

/// Where the entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EntryChoice {
    /// At this address and nowhere else: the user said so.
    At(Address),
    /// In this process: the user said so.
    Embedded,
    /// At the first of these sockets where something listens, in this process otherwise.
    First(Vec<PathBuf>),
}

/// Chooses: `--connect`, `--no-daemon`, `DPIPES_CONNECT`, the client's own file; else the default socket, the system's, the first node of
/// a running lab, and this process.
///
/// # Errors
///
/// Returns what is wrong with an address.
pub(crate) fn choose(
    args: &EntryArgs,
    surroundings: &Surroundings,
    file: &ClientFile,
) -> Result<EntryChoice, Message> {
    if args.no_daemon {
        return Ok(EntryChoice::Embedded);
    }
    let said = [
        ("--connect", args.connect.as_deref()),
        ("$DPIPES_CONNECT", surroundings.variable("DPIPES_CONNECT")),
        ("`connect` of the configuration", file.connect.as_deref()),
    ];
    for (origin, text) in said {
        if let Some(text) = text {
            let address = Address::from_text(text).map_err(|problem| {
                Message::new(format!("{origin}: {problem}")).with_help(
                    "as in: --connect node-a:3747   or --connect unix:/run/dpipes/dpipesd.sock",
                )
            })?;
            return Ok(EntryChoice::At(address.rebased(&surroundings.cwd)));
        }
    }
    // Who names a registry wants those nodes and not what a daemon here knows.
    if !args.registry.is_empty() {
        return Ok(EntryChoice::Embedded);
    }
    let mut sockets = vec![surroundings.default_socket()];
    sockets.extend(surroundings.system_socket());
    sockets.extend(lab::first_socket(surroundings));
    Ok(EntryChoice::First(sockets))
}

/// The registry of an embedded entry, if the user names one.
///
/// # Errors
///
/// Returns what is wrong with it.
pub(crate) fn registry(
    args: &EntryArgs,
    surroundings: &Surroundings,
    file: &ClientFile,
) -> Result<Option<Vec<RegistryEntry>>, Message> {
    if args.registry.is_empty() {
        return Ok(file.registry.clone());
    }
    let read = |text: &String| {
        match RegistryEntry::from_text(text) {
        Ok(mut entry) => {
            entry.rebase(&surroundings.cwd);
            Ok(entry)
        }
        Err(problem) => Err(Message::new(format!("--registry: {problem}")).with_help(
            "as in: --registry consul:   or --registry static:nodes.yaml; every form: dpipes help config",
        )),
    }
    };
    args.registry
        .iter()
        .map(read)
        .collect::<Result<_, _>>()
        .map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_comes_before_what_is_found() {
        let said = EntryArgs {
            connect: Some("unix:x".to_owned()),
            ..EntryArgs::default()
        };
        let here = Surroundings::of_a_user(&[
            ("DPIPES_CONNECT", "b:1"),
            ("DPIPES_RUNTIME_DIR", "/nowhere"),
        ]);
        let file = ClientFile {
            connect: Some("c:1".to_owned()),
            ..ClientFile::default()
        };
        let choice = |args: &EntryArgs, here: &Surroundings| choose(args, here, &file).unwrap();
        assert_eq!(
            choice(&said, &here),
            EntryChoice::At(Address::Unix("/work/x".into()))
        );
        assert_eq!(
            choice(&EntryArgs::default(), &here),
            EntryChoice::At(Address::Tcp("b:1".to_owned()))
        );
        assert_eq!(
            choice(&EntryArgs::default(), &Surroundings::of_a_user(&[])),
            EntryChoice::At(Address::Tcp("c:1".to_owned()))
        );
        assert_eq!(
            choice(
                &EntryArgs {
                    no_daemon: true,
                    ..EntryArgs::default()
                },
                &here
            ),
            EntryChoice::Embedded
        );
        let bad = EntryArgs {
            connect: Some("nonsense".to_owned()),
            ..EntryArgs::default()
        };
        assert!(choose(&bad, &here, &file).is_err());
    }

    #[test]
    fn without_a_word_the_sockets_are_tried_in_order() {
        let none = ClientFile::default();
        let here = Surroundings::of_a_user(&[("DPIPES_RUNTIME_DIR", "/nowhere")]);
        let found = choose(&EntryArgs::default(), &here, &none).unwrap();
        assert_eq!(
            found,
            EntryChoice::First(vec!["/nowhere/dpipesd.sock".into()])
        );
        let found = choose(
            &EntryArgs::default(),
            &Surroundings::of_a_user(&[("XDG_RUNTIME_DIR", "/nowhere")]),
            &none,
        )
        .unwrap();
        assert_eq!(
            found,
            EntryChoice::First(vec![
                "/nowhere/dpipes.sock".into(),
                "/run/dpipes/dpipesd.sock".into()
            ])
        );
    }
}
