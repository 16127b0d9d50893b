//! What is done with each value, for every pair of formats.

use super::super::{Layout, Limits, OnNonObject, Plan, Problem, cut::Edited, json, yaml};
use crate::{
    media::{Format, Naming},
    object::Metadata,
};

/// What a conversion keeps in memory for the next value. One that was long must not hold its memory until the stream ends.
const KEPT: usize = 1 << 20;

/// What is done with each value of a stream.
#[derive(Debug)]
pub(super) enum Work {
    Json(json::Editor),
    Yaml(Documents),
    JsonToYaml {
        editor: json::Editor,
        scratch: Vec<u8>,
    },
    YamlToJson {
        editor: json::Editor,
        limits: Limits,
        scratch: Vec<u8>,
    },
}

/// What is done with each document.
#[derive(Debug)]
pub(super) struct Documents {
    remove: Vec<Naming>,
    add: Option<Metadata>,
    layout: Layout,
    on_non_object: OnNonObject,
    limits: Limits,
}

// === impl Work ===

impl Work {
    pub(super) fn new(plan: Plan, layout: Layout) -> Self {
        let editor =
            || json::Editor::new(&plan.remove, plan.add.as_ref(), layout, plan.on_non_object);
        let scratch = Vec::new();
        match (plan.from, plan.to) {
            (Format::Yaml, Format::Yaml) => Self::Yaml(Documents {
                remove: plan.remove,
                add: plan.add,
                layout,
                on_non_object: plan.on_non_object,
                limits: plan.limits,
            }),
            (Format::Yaml, Format::Json | Format::Bytes) => Self::YamlToJson {
                editor: editor(),
                limits: plan.limits,
                scratch,
            },
            (Format::Json | Format::Bytes, Format::Yaml) => Self::JsonToYaml {
                editor: editor(),
                scratch,
            },
            (Format::Json | Format::Bytes, Format::Json | Format::Bytes) => Self::Json(editor()),
        }
    }

    /// Appends what becomes of a value.
    ///
    /// # Errors
    ///
    /// What is wrong with it and at which of its bytes. Some of it may have been appended.
    pub(super) fn apply(
        &mut self,
        text: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Edited, (usize, Problem)> {
        match self {
            Self::Json(editor) => editor.edit(text, out),
            Self::Yaml(documents) => documents.edit(text, out),
            Self::JsonToYaml { editor, scratch } => {
                clear(scratch);
                let edited = editor.edit(text, scratch)?;
                // What is written to the scratch begins with the metadata: only the value itself has places that mean something.
                yaml::from_json(scratch, out).map_err(|(_, problem)| (0, problem))?;
                Ok(edited)
            }
            Self::YamlToJson {
                editor,
                limits,
                scratch,
            } => {
                clear(scratch);
                yaml::to_json(text, *limits, scratch)?;
                editor
                    .edit(scratch, out)
                    .map_err(|(_, problem)| (0, problem))
            }
        }
    }
}

fn clear(scratch: &mut Vec<u8>) {
    scratch.clear();
    scratch.shrink_to(KEPT);
}

// === impl Documents ===

impl Documents {
    fn edit(&self, text: &[u8], out: &mut Vec<u8>) -> Result<Edited, (usize, Problem)> {
        let add = self.add.as_ref();
        let edited = yaml::edit(text, &self.remove, add, self.layout, self.limits, out)?;
        match (edited.object, add, self.on_non_object) {
            (true, ..) => {}
            (false, None, _) | (false, _, OnNonObject::Pass) => yaml::pass(text, self.layout, out),
            (false, Some(add), OnNonObject::Wrap) => yaml::wrap(text, add, self.limits, out)?,
            (false, Some(_), OnNonObject::Error) => {
                let found = "a document that is no mapping";
                return Err((0, Problem::NoObject { found }));
            }
        }
        Ok(edited)
    }
}
