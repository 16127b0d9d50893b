//! Objects on their way to a stage: what is done with them, and what came of it.

use super::{settings::ObjectSettings, stage::Context};
use crate::{
    id::StageNumber,
    media::{self, Carriage, Counts, Format},
    object::{BadObject, Entry, Layout, Metadata, OnBadObject, OnNonObject, Plan, Transform},
    transport::pump::{Filter, Spoilt},
    wire::message::Offer,
};

/// How a stage wants its objects; known when it is prepared.
#[derive(Debug)]
pub(super) struct Wishes {
    /// What its app reads.
    pub(super) reads: Format,
    /// What it is told.
    pub(super) told: Vec<Entry>,
    pub(super) settings: ObjectSettings,
    /// Whether bytes may meet objects.
    pub(super) mixed: bool,
}

/// The objects of one link, as a filter of the bytes that it brings.
pub(super) struct Objects {
    transform: Transform,
    /// What they should be.
    format: Format,
    bad: Option<BadObject>,
}

// === impl Wishes ===

impl Wishes {
    /// What this node does for an offer's stage, with what the client wants otherwise.
    pub(super) fn new(
        reads: Format,
        told: Vec<Entry>,
        settings: &ObjectSettings,
        offer: &Offer,
    ) -> Self {
        let mut settings = settings.clone();
        // The entry has read these values before; what it could not read it would not have sent.
        if let Some(wanted) = offer.options.get("on-bad-object") {
            settings.on_bad_object = wanted.parse().unwrap_or(OnBadObject::Fail);
        }
        if let Some(wanted) = offer.options.get("on-non-object") {
            settings.on_non_object = wanted.parse().unwrap_or(OnNonObject::Error);
        }
        Self {
            reads,
            told,
            settings,
            mixed: media::may_mix(&offer.options),
        }
    }
}

// === impl Objects ===

impl Objects {
    /// What is to be done with what comes to a stage; `None` for bytes.
    pub(super) fn new(context: &Context, stage: StageNumber, wishes: &Wishes) -> Option<Self> {
        let (writes, theirs) = context.terms.writes_to(stage);
        // That the ends fit was seen before anything was started.
        let carriage = media::carriage(writes, wishes.reads, wishes.mixed)?;
        let settings = &wishes.settings;
        let add = || Some(Metadata::new(settings.naming.clone(), &wishes.told));
        let (from, to, add, layout) = match carriage {
            Carriage::Bytes => return None,
            Carriage::Objects { from, to } => (from, to, add(), Layout::Framed),
            Carriage::Spelled(format) => (format, format, add(), Layout::Framed),
            Carriage::Text(format) => (format, format, None, Layout::AsWritten),
        };
        let plan = Plan {
            from,
            to,
            remove: theirs.into_iter().cloned().collect(),
            add,
            layout,
            on_non_object: settings.on_non_object,
            on_bad_object: settings.on_bad_object,
            limits: settings.limits,
        };
        Some(Self {
            transform: Transform::new(plan),
            format: from,
            bad: None,
        })
    }

    pub(super) fn counts(&self) -> Counts {
        self.transform.counts()
    }

    /// What was wrong, after [`Spoilt`], and what it should have been.
    pub(super) fn bad(&self) -> Option<(Format, &BadObject)> {
        self.bad.as_ref().map(|bad| (self.format, bad))
    }

    fn note(&mut self, result: Result<(), BadObject>) -> Result<(), Spoilt> {
        result.map_err(|bad| {
            self.bad = Some(bad);
            Spoilt
        })
    }
}

impl Filter for Objects {
    fn push(&mut self, input: &mut &[u8], output: &mut Vec<u8>) -> Result<(), Spoilt> {
        let pushed = self.transform.push(input, output);
        self.note(pushed)
    }

    fn finish(&mut self, output: &mut Vec<u8>) -> Result<(), Spoilt> {
        let finished = self.transform.finish(output);
        self.note(finished)
    }
}
