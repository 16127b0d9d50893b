//! The one table of what is negotiated.

use std::fmt::Write as _;

use crate::{
    id::StageNumber,
    wire::message::{Refusal, RefusalKind},
};

/// One thing both sides must agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name, as in a refusal.
    pub name: &'static str,
    /// Who says what is wanted.
    pub stated_by: Side,
    /// Who can say no.
    pub checked_by: Side,
    /// When it is agreed.
    pub rule: &'static str,
    /// What it is.
    pub doc: &'static str,
}

/// A side of the negotiation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The client, through its entry.
    Client,
    /// The entry itself.
    Entry,
    /// Each node.
    Node,
    /// Entry and node alike.
    Both,
}

const fn row(
    name: &'static str,
    stated_by: Side,
    checked_by: Side,
    rule: &'static str,
    doc: &'static str,
) -> Parameter {
    Parameter {
        name,
        stated_by,
        checked_by,
        rule,
        doc,
    }
}

/// Everything that is negotiated, in the order of the checks.
pub const PARAMETERS: &[Parameter] = &[
    row(
        "protocol",
        Side::Both,
        Side::Both,
        "equal major version; checked when the session opens",
        "version of the wire protocol",
    ),
    row(
        "features",
        Side::Entry,
        Side::Node,
        "the node has every one",
        "optional abilities of the protocol that the pipe needs",
    ),
    row(
        "stages",
        Side::Entry,
        Side::Both,
        "1 to 1,024 in all, ascending, each offered and answered once; joined ends meet on one node",
        "which stages a node is to run",
    ),
    row(
        "availability",
        Side::Node,
        Side::Node,
        "the node is not leaving; otherwise the stage is placed anew",
        "whether the node takes work at all",
    ),
    row(
        "hops",
        Side::Entry,
        Side::Node,
        "at most 16",
        "how often a pipe was started from inside another one",
    ),
    row(
        "deadline",
        Side::Client,
        Side::Node,
        "within the node's limit, if it has one",
        "longest run time of the pipe",
    ),
    row(
        "lease",
        Side::Client,
        Side::Node,
        "at most one hour",
        "how long a pipe outlives the loss of its entry",
    ),
    row(
        "kill-grace",
        Side::Client,
        Side::Node,
        "at most one hour",
        "time from SIGTERM to SIGKILL",
    ),
    row(
        "window",
        Side::Client,
        Side::Node,
        "4 KiB to 16 MiB",
        "credit of a link",
    ),
    row(
        "credential",
        Side::Client,
        Side::Node,
        "present, where the node demands one",
        "what the client shows to be let in",
    ),
    row(
        "room",
        Side::Node,
        Side::Node,
        "a free place for the stage; otherwise it is placed anew",
        "how many stages the node runs at once",
    ),
    row(
        "app",
        Side::Client,
        Side::Node,
        "offered by the node, found there and executable",
        "the program of a stage",
    ),
    row(
        "version",
        Side::Client,
        Side::Both,
        "known, and within the requirement",
        "version of the app, with `--require`",
    ),
    row(
        "arguments",
        Side::Client,
        Side::Both,
        "within the owner's rules before and after expansion; what the node reports holds every word asked for",
        "the words after the app",
    ),
    row(
        "environment",
        Side::Client,
        Side::Node,
        "asked by name: taken whole or refused; merely present: taken or counted as dropped",
        "variables of the app",
    ),
    row(
        "user",
        Side::Client,
        Side::Both,
        "the one the node would use anyway",
        "who the app runs as",
    ),
    row(
        "directory",
        Side::Client,
        Side::Node,
        "an absolute path",
        "where the app starts",
    ),
    row(
        "format",
        Side::Client,
        Side::Both,
        "the ends of every link fit: the same, or JSON and YAML; bytes meet objects only with `-o mix-formats`",
        "what flows along a link",
    ),
    row(
        "digest",
        Side::Client,
        Side::Both,
        "with `-o digest`: every node and the client have the feature `digest`",
        "SHA-256 of what each link carried, compared at its end",
    ),
    row(
        "compress",
        Side::Client,
        Side::Both,
        "with `zstd`: every node and a client on TCP have the feature `zstd`; with `auto`, for each link, both its ends",
        "whether links between nodes are compressed",
    ),
    row(
        "locale",
        Side::Node,
        Side::Entry,
        "a difference is a note; with `-o locale=same` it is refused",
        "sorting order and character set of the apps",
    ),
    row(
        "options",
        Side::Client,
        Side::Node,
        "heeded, or named as ignored; never refused",
        "whatever else is said with `-o`",
    ),
    row(
        "answer",
        Side::Node,
        Side::Entry,
        "one from each node asked, whole and about what was asked",
        "the answer itself",
    ),
    row(
        "terms",
        Side::Entry,
        Side::Node,
        "hold this node's stages as agreed; their SHA-256 opens the links",
        "the agreement that every node starts by",
    ),
];

/// A row by its name.
#[must_use]
pub fn parameter(name: &str) -> Option<&'static Parameter> {
    PARAMETERS.iter().find(|parameter| parameter.name == name)
}

/// The table as Markdown, for the documentation.
#[must_use]
pub fn table_markdown() -> String {
    let mut text = String::from(
        "| parameter | what it is | stated by | checked by | agreed when |\n|---|---|---|---|---|\n",
    );
    for parameter in PARAMETERS {
        let Parameter {
            name, doc, rule, ..
        } = parameter;
        let (stated, checked) = (parameter.stated_by.as_str(), parameter.checked_by.as_str());
        writeln!(text, "| `{name}` | {doc} | {stated} | {checked} | {rule} |")
            .expect("a string takes all");
    }
    text
}

impl Side {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Entry => "entry",
            Self::Node => "node",
            Self::Both => "entry and node",
        }
    }
}

/// A refusal of a parameter that is against a rule; the builders below say more.
pub(super) fn refuse(
    name: &'static str,
    wanted: impl Into<String>,
    got: impl Into<String>,
) -> Refusal {
    debug_assert!(parameter(name).is_some(), "`{name}` is in the table");
    Refusal {
        stage: None,
        parameter: name.to_owned(),
        wanted: wanted.into(),
        got: got.into(),
        kind: RefusalKind::Forbidden,
        word: None,
        hint: None,
    }
}

/// Builds a refusal.
pub(super) trait Refuse: Sized {
    fn at(self, stage: StageNumber) -> Self;
    fn kind(self, kind: RefusalKind) -> Self;
    fn word(self, word: usize) -> Self;
    fn hint(self, hint: impl Into<String>) -> Self;
}

impl Refuse for Refusal {
    fn at(mut self, stage: StageNumber) -> Self {
        self.stage = Some(stage);
        self
    }

    fn kind(mut self, kind: RefusalKind) -> Self {
        self.kind = kind;
        self
    }

    fn word(mut self, word: usize) -> Self {
        self.word = u16::try_from(word).ok();
        self
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_rows_are_whole() {
        let names: BTreeSet<_> = PARAMETERS.iter().map(|p| p.name).collect();
        assert_eq!(names.len(), PARAMETERS.len());
        for Parameter {
            name, rule, doc, ..
        } in PARAMETERS
        {
            assert!(!rule.is_empty() && !doc.is_empty() && !name.is_empty());
            assert!(!rule.contains('|') && !doc.contains('|'), "a table cell");
        }
        assert_eq!(table_markdown().lines().count(), PARAMETERS.len() + 2);
    }
}
