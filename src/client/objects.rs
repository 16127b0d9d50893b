//! Objects of the last stage on their way to the user: without the metadata that dpipes put in, and in the format that was asked for.

use crate::{
    id::StageNumber,
    media::{Carriage, Counts, Format, carriage, may_mix},
    object::{BadObject, Layout, Limits, OnBadObject, OnNonObject, Plan, Transform},
    wire::message::{Failure, LinkEndpoint, RunOptions, StagePlan},
};

/// What an object may be here. The nodes' own limits are stricter; this one only keeps a runaway app from filling this machine's memory.
const LIMITS: Limits = Limits {
    max_object: 1 << 30,
    max_depth: 100_000,
};

/// Whether the user sees the metadata in objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MetadataShown {
    /// They are taken out: what is left is what a local pipe would have written.
    #[default]
    No,
    /// They stay.
    Yes,
}

/// What the user wants of objects.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    output: Option<Format>,
    mixed: bool,
    on_bad_object: OnBadObject,
    shown: MetadataShown,
}

/// The objects of the output.
pub(super) struct Objects {
    /// What they should be.
    pub(super) format: Format,
    pub(super) transform: Transform,
}

// === impl Objects ===

impl Objects {
    pub(super) fn counts(&self) -> Counts {
        self.transform.counts()
    }
}

// === impl Wanted ===

impl Wanted {
    pub(super) fn new(options: &RunOptions, shown: MetadataShown) -> Self {
        let said = |key: &str| options.options.get(key).map(String::as_str);
        Self {
            output: options.formats.output,
            mixed: may_mix(&options.options),
            // What cannot be read was refused by the entry.
            on_bad_object: said("on-bad-object")
                .and_then(|way| way.parse().ok())
                .unwrap_or_default(),
            shown,
        }
    }

    /// What is to be done with what the last stage writes; `None` for bytes.
    pub(super) fn transform(&self, last: &StagePlan) -> Option<Objects> {
        let accept = last.accept.as_ref()?;
        let output = self.output.unwrap_or(accept.output);
        let (from, to) = match carriage(accept.output, output, self.mixed)? {
            Carriage::Bytes => return None,
            Carriage::Objects { from, to } => (from, to),
            Carriage::Text(format) | Carriage::Spelled(format) => (format, format),
        };
        let remove = match self.shown {
            MetadataShown::No => accept.naming.iter().cloned().collect(),
            MetadataShown::Yes => Vec::new(),
        };
        let plan = Plan {
            from,
            to,
            remove,
            add: None,
            layout: Layout::AsWritten,
            on_non_object: OnNonObject::Pass,
            on_bad_object: self.on_bad_object,
            limits: LIMITS,
        };
        Some(Objects {
            format: from,
            transform: Transform::new(plan),
        })
    }
}

/// The failure of a run whose last stage wrote something that is no object.
pub(super) fn failure(last: Option<&StagePlan>, format: Format, bad: &BadObject) -> Failure {
    let stage = last.map_or(StageNumber::FIRST, |last| last.stage);
    Failure::BadObject {
        from: LinkEndpoint::Stage(stage),
        app: last.map(|last| last.app.clone()).unwrap_or_default(),
        node: last.map(|last| last.node.clone()),
        to: LinkEndpoint::Client,
        format,
        number: bad.number,
        offset: bad.offset,
        problem: bad.problem.to_string(),
    }
}
